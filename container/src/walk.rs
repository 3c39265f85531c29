//! Finds the files below a folder that nobody knows beforehand. Links are not followed and pipes not read: they are left out.

use std::io;

use cap_std::fs::{Dir, Metadata};
use mayfly_model::shown::shown;

/// Source: S3 user guide, "Naming Amazon S3 objects": 1,024 bytes of UTF-8.
pub const KEY_LIMIT: usize = 1024;

/// What is below a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Its files by what their names have after the folder, in the order of their bytes.
    pub files: Vec<(String, Metadata)>,
    /// How many links, pipes and the like were left out.
    pub left_out: usize,
}

/// What is below `folder`, which is empty for all of `inside` or ends with `/`, and may not be there; as far as `wants` wants
/// it by its name.
///
/// # Errors
/// Where the folder cannot be read, is a link, has a name in it that no key can have, or more than `most` files that are wanted.
pub fn files(inside: &Dir, folder: &str, most: usize, wants: impl Fn(&str) -> bool) -> io::Result<Found> {
    let mut found = Found::default();
    let start = folder.trim_end_matches('/');
    if !start.is_empty() {
        match inside.symlink_metadata(start) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        }
    }
    // What is below it, with their `/`. One folder is open at a time, however deep a command has made them.
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let path = format!("{folder}{below}");
        let opened = inside.open_dir(if path.is_empty() { "." } else { &path })?;
        for entry in opened.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| {
                let told = format!("the name {} is no UTF-8, as a key is", shown(&name.to_string_lossy()));
                io::Error::new(io::ErrorKind::InvalidInput, told)
            })?;
            let (name, kind) = (format!("{below}{name}"), entry.file_type()?);
            if name.len() >= KEY_LIMIT {
                let told = format!("the name {} is longer than a key may be", shown(&name));
                return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
            }
            if kind.is_dir() {
                folders.push(name + "/");
            } else if !kind.is_file() {
                found.left_out += usize::from(wants(&name));
            } else if wants(&name) {
                if found.files.len() == most {
                    let told = format!(
                        "more than {most} files are in it; pack them, or name them by several patterns"
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
                }
                found.files.push((name, entry.metadata()?));
            }
        }
    }
    found.files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use cap_std::ambient_authority;
    use nix::sys::stat::Mode;

    use super::*;

    fn names(inside: &Dir, folder: &str) -> Vec<String> {
        let found = files(inside, folder, 10, |_| true).unwrap();
        found.files.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn all_files_below_are_found_and_links_left_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        fs::create_dir_all(path.join("hls/a/b")).unwrap();
        for file in ["outside", "hls/2", "hls/1", "hls/a/b/c", "hls/.hidden"] {
            fs::write(path.join(file), "").unwrap();
        }
        symlink("../outside", path.join("hls/link")).unwrap();
        symlink("..", path.join("hls/up")).unwrap();
        symlink("hls", path.join("linked")).unwrap();
        nix::unistd::mkfifo(&path.join("hls/pipe"), Mode::S_IRWXU).unwrap();
        let inside = Dir::open_ambient_dir(path, ambient_authority()).unwrap();
        assert_eq!(names(&inside, "hls/"), [".hidden", "1", "2", "a/b/c"]);
        assert_eq!(names(&inside, "hls/a/"), ["b/c"]);
        assert_eq!(names(&inside, ""), ["hls/.hidden", "hls/1", "hls/2", "hls/a/b/c", "outside"]);
        assert_eq!(names(&inside, "gone/"), [""; 0]);
        assert_eq!(files(&inside, "hls/", 10, |_| true).unwrap().left_out, 3);
        let told = |folder, most| files(&inside, folder, most, |_| true).unwrap_err().to_string();
        assert_eq!([told("linked/", 10), told("outside/", 10)], ["it is not a folder"; 2]);
        assert!(told("hls/", 3).starts_with("more than 3 files are in it"));
        assert_eq!(files(&inside, "hls/", 1, |name| name == "1").unwrap().files.len(), 1);
    }

    #[test]
    fn names_that_no_key_can_have_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let inside = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        fs::write(place.path().join(OsStr::from_bytes(b"a\xff")), "").unwrap();
        let told = files(&inside, "", 10, |_| true).unwrap_err().to_string();
        assert!(told.ends_with("is no UTF-8, as a key is"), "{told}");
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(format!("{}/", "x".repeat(200)).repeat(6))).unwrap();
        let inside = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        let told = files(&inside, "", 10, |_| true).unwrap_err().to_string();
        assert!(told.ends_with("longer than a key may be"), "{told}");
    }
}
