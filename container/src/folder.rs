//! The attempt's own folder. Names never lead out of it, not even by a link that the command made: the worker could read
//! what the command may not.

use std::env;
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use nix::fcntl::OFlag;
use tempfile::TempDir;
use tracing::warn;

/// How many names [`Folder::listing`] shows.
const LISTED: usize = 20;

/// A fresh, empty folder.
#[derive(Debug)]
pub struct Folder {
    /// Removes what is left when the worker ends early.
    place: TempDir,
    inside: Dir,
}

impl Folder {
    /// Makes a folder in the working directory of the worker, or where that is read-only, in the one for temporary files.
    pub fn create() -> io::Result<Self> {
        let new = |parent| tempfile::Builder::new().prefix("attempt-").tempdir_in(parent);
        let place = env::current_dir().and_then(new).or_else(|_| new(env::temp_dir()))?;
        let inside = Dir::open_ambient_dir(place.path(), ambient_authority())?;
        Ok(Self { place, inside })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Makes the file `name`, and its parent folders.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        if let Some(parent) = Path::new(name).parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.inside.create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        self.inside.open_with(name, options.write(true).create_new(true)).map(cap_std::fs::File::into_std)
    }

    /// Opens the file `name` and tells its size in bytes.
    pub fn open_file(&self, name: &str) -> io::Result<(File, u64)> {
        let mut options = OpenOptions::new();
        // Opening a pipe would otherwise wait for its writer.
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let file = self.inside.open_with(name, &options)?.into_std();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok((file, metadata.len()))
    }

    /// The first names in the folder, for a person who misses one.
    pub fn listing(&self) -> String {
        let Ok(entries) = self.inside.entries() else { return "nothing that can be listed".to_owned() };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| {
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                format!("{}{}", entry.file_name().to_string_lossy(), if is_dir { "/" } else { "" })
            })
            .collect();
        names.sort();
        let more = names.len().saturating_sub(LISTED);
        names.truncate(LISTED);
        match (names.is_empty(), more) {
            (true, _) => "nothing".to_owned(),
            (false, 0) => names.join(", "),
            (false, more) => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Removes the folder and what is in it.
    pub async fn remove(self) {
        // Many gigabytes may take a while.
        let removed = tokio::task::spawn_blocking(|| self.place.close()).await;
        if let Ok(Err(error)) = removed {
            warn!("working folder not removed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    fn folder() -> Folder {
        let place = tempfile::tempdir().unwrap();
        let inside = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        Folder { place, inside }
    }

    #[test]
    fn nested_names_get_their_parents() {
        let folder = folder();
        folder.create_file("a/b/in.txt").unwrap();
        assert!(folder.path().join("a/b/in.txt").is_file());
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let folder = folder();
        for name in ["../x", "/tmp/x", "a/../../x"] {
            folder.create_file(name).unwrap_err();
            folder.open_file(name).unwrap_err();
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_followed_and_one_inside_is() {
        let folder = folder();
        fs::write(folder.path().join("real"), "1234").unwrap();
        symlink("real", folder.path().join("inside")).unwrap();
        symlink("/proc/self/environ", folder.path().join("outside")).unwrap();
        symlink("/etc", folder.path().join("etc")).unwrap();
        assert_eq!(folder.open_file("inside").unwrap().1, 4);
        folder.open_file("outside").unwrap_err();
        folder.open_file("etc/passwd").unwrap_err();
    }

    #[test]
    fn only_a_regular_file_is_an_output() {
        let folder = folder();
        fs::create_dir(folder.path().join("dir")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).unwrap();
        for name in ["dir", "pipe"] {
            assert_eq!(folder.open_file(name).unwrap_err().to_string(), "it is not a regular file");
        }
    }

    #[test]
    fn a_long_listing_is_cut() {
        let folder = folder();
        assert_eq!(folder.listing(), "nothing");
        fs::create_dir(folder.path().join("00")).unwrap();
        for i in 1..=25 {
            fs::write(folder.path().join(format!("{i:02}")), "").unwrap();
        }
        let listing = folder.listing();
        assert!(listing.starts_with("00/, 01, 02"), "{listing}");
        assert!(listing.ends_with("19 and 6 more"), "{listing}");
    }
}
