//! Removes folders that somebody else has filled, however deep they are.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// When a removal is given up, since whoever fills the folder faster than it can be emptied may never end.
const LIMIT: Duration = Duration::from_mins(10);

/// All that an owner may do with a folder.
const FULL_ACCESS: u32 = 0o700;

/// Removes `folder` and all that is in it, in bounded memory and time. A folder inside is first moved up into `folder`
/// and emptied there, so neither the depth of the tree nor the length of its paths matters, and none of its links is
/// followed.
///
/// # Errors
/// When something cannot be removed, or not in ten minutes; what is left stays where it is.
pub fn remove(folder: &Path) -> io::Result<()> {
    remove_within(folder, LIMIT)
}

fn remove_within(folder: &Path, limit: Duration) -> io::Result<()> {
    let began = Instant::now();
    let check_time = || {
        let is_late = began.elapsed() >= limit;
        if is_late { Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")) } else { Ok(()) }
    };
    let mut moved = 0_u64;
    loop {
        let mut is_empty = true;
        for entry in fs::read_dir(folder)? {
            is_empty = false;
            let path = entry?.path();
            let Some(metadata) = if_there(path.symlink_metadata())? else { continue };
            if !metadata.is_dir() {
                check_time()?;
                if_there(fs::remove_file(&path))?;
                continue;
            }
            open_up(&path, metadata.permissions())?;
            for entry in fs::read_dir(&path)? {
                check_time()?;
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    move_up(&entry.path(), folder, &mut moved)?;
                } else {
                    if_there(fs::remove_file(entry.path()))?;
                }
            }
            match fs::remove_dir(&path) {
                // Somebody is still filling it; the next look finds it again.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => check_time()?,
                result => result?,
            }
        }
        if is_empty {
            return fs::remove_dir(folder);
        }
    }
}

/// Moves `inner` into `folder` under a name that is free there.
fn move_up(inner: &Path, folder: &Path, moved: &mut u64) -> io::Result<()> {
    let free = loop {
        *moved += 1;
        let name = folder.join(format!("removed-{moved}"));
        if if_there(name.symlink_metadata())?.is_none() {
            break name;
        }
    };
    let result = match fs::rename(inner, &free) {
        // Its owner needs the right to write to a folder whose `..` changes. Source: rename(2), EACCES.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(inner, inner.symlink_metadata()?.permissions())?;
            fs::rename(inner, &free)
        }
        result => result,
    };
    if_there(result).map(drop)
}

/// Lets the folder's owner look into it and change it.
fn open_up(folder: &Path, mut permissions: fs::Permissions) -> io::Result<()> {
    if permissions.mode() & FULL_ACCESS == FULL_ACCESS {
        return Ok(());
    }
    permissions.set_mode(permissions.mode() | FULL_ACCESS);
    fs::set_permissions(folder, permissions)
}

/// None where what it is about is gone.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A tree so deep that no call takes the path of its innermost folder: it is made from the inside out.
    fn deep(parent: &Path, depth: u32) -> PathBuf {
        let (tree, outer) = (parent.join("tree"), parent.join("outer"));
        fs::create_dir(&tree).unwrap();
        for _ in 0..depth {
            fs::create_dir(&outer).unwrap();
            fs::rename(&tree, outer.join("d")).unwrap();
            fs::rename(&outer, &tree).unwrap();
        }
        tree
    }

    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = deep(parent.path(), 15_000);
        fs::write(folder.join("removed-1"), "a name that is taken").unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_closed_is_removed_and_no_link_is_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, other) = (parent.path().join("tree"), parent.path().join("other"));
        fs::create_dir_all(folder.join("a/b/c")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "").unwrap();
        for (place, target) in [("a/link", &other), ("a/b/link", &other), ("link", &other)] {
            symlink(target, folder.join(place)).unwrap();
        }
        fs::write(folder.join("a/b/file"), "").unwrap();
        for closed in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(folder.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&folder).unwrap();
        assert!(!folder.exists() && other.join("kept").exists());
    }

    #[test]
    fn a_removal_that_comes_to_no_end_is_given_up() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tree");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        let error = remove_within(&folder, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(folder.exists());
    }
}
