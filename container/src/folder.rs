//! The folder that one assignment has for itself. Names never lead out of it, not even by a link that the command made: the worker could read
//! what the command may not.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};
use std::thread;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt};
use mayfly_model::job::{FOLDER_LIMIT, Pattern};
use mayfly_model::message::FileSize;
use mayfly_model::shown::shown;
use nix::fcntl::OFlag;
use nix::unistd::{getegid, geteuid};
use tracing::{Span, info, warn};

use crate::links;
use crate::list::OutputList;
use crate::tree;
use crate::user::User;
use crate::walk;

/// How many names [`Folder::listing`] shows.
const LISTED: usize = 20;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = tree::remove(&self.0) {
            warn!("working folder not removed: {error}");
        }
    }
}

/// A fresh folder with two empty ones in it: the command's working folder, and the one for its temporary files.
#[derive(Debug)]
pub struct Folder {
    place: Place,
    /// The working folder.
    inside: Dir,
    /// Who owns both from [`Folder::hand_over`] on.
    owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

/// The worker itself.
fn own() -> Owner {
    Owner { user: geteuid().as_raw(), group: getegid().as_raw() }
}

/// Whether `name` stays in the working folder: relative, and without `..`.
pub fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

impl Folder {
    /// Makes a folder in `parent` for a command that will run as `user`, or else as the worker's own user.
    pub fn create(parent: &Path, user: Option<&User>) -> io::Result<Self> {
        let owner = user.map_or_else(own, |user| Owner { user: user.id, group: user.group });
        let may_enter = owner == own() || may_enter(parent, owner)?;
        if !may_enter {
            let (parent, user) = (parent.display(), owner.user);
            let closed = format!("{parent} is closed to user {user}, who runs the command");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, closed));
        }
        // The path without links is the one that the command sees.
        let parent = parent.canonicalize()?;
        // Others may pass through, but not look around.
        let place = tempfile::Builder::new()
            .prefix("attempt-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(parent)?
            .keep();
        let place = Place(place);
        for folder in [work(&place), temporary(&place)] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        let inside = Dir::open_ambient_dir(work(&place), ambient_authority())?;
        Ok(Self { place, inside, owner })
    }

    /// The command's working folder.
    pub fn work(&self) -> PathBuf {
        work(&self.place)
    }

    /// The command's folder for temporary files.
    pub fn temporary(&self) -> PathBuf {
        temporary(&self.place)
    }

    /// Gives all that is there to the command's user. Nobody but the worker could get in before.
    pub fn hand_over(&self) -> io::Result<()> {
        if self.owner == own() {
            return Ok(());
        }
        give(&self.temporary(), self.owner)?;
        give(&self.work(), self.owner)
    }

    /// Makes the folders that the file `name` lies in.
    pub fn create_parents(&self, name: &str) -> io::Result<()> {
        let parent = Path::new(name).parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.map_or(Ok(()), |parent| self.inside.create_dir_all(parent))
    }

    /// Makes the file `name`, and the folders that it lies in.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        self.create_parents(name)?;
        let mut options = OpenOptions::new();
        self.inside.open_with(name, options.write(true).create_new(true)).map(cap_std::fs::File::into_std)
    }

    /// Makes the folder `name`, and those that it lies in.
    pub fn create_folder(&self, name: &str) -> io::Result<()> {
        self.inside.create_dir_all(name)
    }

    /// The files that `pattern` names, each with its size, in the order of their names' bytes.
    pub fn files_of(&self, pattern: &Pattern<'_>) -> io::Result<Vec<FileSize>> {
        let folder = pattern.folder();
        let found = walk::files(&self.inside, folder, FOLDER_LIMIT, |name| pattern.names(name))?;
        if found.left_out > 0 {
            info!(
                folder = shown(folder),
                left_out = found.left_out,
                "links, pipes and the like are no outputs"
            );
        }
        let size = |(name, metadata): (String, cap_std::fs::Metadata)| {
            let file = format!("{folder}{name}");
            if metadata.uid() != self.owner.user {
                let told = format!("{} is not the command's own file", shown(&file));
                return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
            }
            Ok(FileSize { file, bytes: metadata.len() })
        };
        found.files.into_iter().map(size).collect()
    }

    /// Makes the list of what is uploaded, where the command cannot see it.
    pub fn create_list(&self) -> io::Result<OutputList> {
        OutputList::create(self.place.0.join("outputs.jsonl"))
    }

    /// Opens the file `name` of the command's, or what its link in the folder leads to, and tells its size in bytes.
    pub fn open_file(&self, name: &str) -> io::Result<(File, u64)> {
        let place = links::resolve(&self.inside, &self.work(), Path::new(name))?;
        let mut options = OpenOptions::new();
        // Opening a pipe would otherwise wait for its writer.
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        // A link that has been put there meanwhile leads out of the folder no more than another.
        let file = self.inside.open_with(place, &options)?.into_std();
        let metadata = file.metadata()?;
        check(&metadata, self.owner.user).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        Ok((file, metadata.len()))
    }

    /// The first names in the folder, for a person who misses one.
    pub fn listing(&self) -> String {
        let Ok(entries) = self.inside.entries() else { return "nothing that can be listed".to_owned() };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| {
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                format!("{}{}", shown(&entry.file_name().to_string_lossy()), if is_dir { "/" } else { "" })
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

    /// Removes the folder and what is in it, while the worker goes on, or ends: many gigabytes take a while.
    pub fn remove(self) {
        let span = Span::current();
        // Where no thread can be had, it is removed here and now.
        let _ = thread::Builder::new().spawn(move || span.in_scope(|| drop(self)));
    }
}

fn work(place: &Place) -> PathBuf {
    place.0.join("work")
}

fn temporary(place: &Place) -> PathBuf {
    place.0.join("tmp")
}

/// Whether `owner`, whatever further groups they are in, may go through `folder` and all above it.
fn may_enter(folder: &Path, owner: Owner) -> io::Result<bool> {
    for folder in folder.canonicalize()?.ancestors() {
        let metadata = folder.metadata()?;
        let bit = match metadata {
            _ if metadata.uid() == owner.user => 0o100,
            _ if metadata.gid() == owner.group => 0o010,
            _ => 0o001,
        };
        if metadata.mode() & bit == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives `path` to `owner`, what is in it first.
fn give(path: &Path, owner: Owner) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    lchown(path, Some(owner.user), Some(owner.group))
}

/// Refuses what is no file of the user `owner`'s: a hard link, too, may lead to what the command may not read.
fn check(metadata: &Metadata, owner: u32) -> Result<(), &'static str> {
    match metadata {
        metadata if !metadata.is_file() => Err("it is not a regular file"),
        metadata if metadata.uid() != owner => Err("it is not the command's own file"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::stat::Mode;

    use super::*;

    fn folder() -> Folder {
        Folder::create(&env::temp_dir(), None).unwrap()
    }

    #[test]
    fn nested_names_get_their_parents() {
        let folder = folder();
        folder.create_file("a/b/in.txt").unwrap();
        assert!(folder.work().join("a/b/in.txt").is_file());
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let folder = folder();
        assert!(is_inside("a/b..c/in.mp4"));
        for name in ["", "../x", "/tmp/x", "a/../../x"] {
            assert!(!is_inside(name), "{name}");
            folder.create_file(name).unwrap_err();
            folder.open_file(name).unwrap_err();
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_followed_and_one_inside_is() {
        let folder = folder();
        fs::write(folder.work().join("real"), "1234").unwrap();
        symlink("real", folder.work().join("inside")).unwrap();
        symlink("/proc/self/environ", folder.work().join("outside")).unwrap();
        symlink("/etc", folder.work().join("etc")).unwrap();
        symlink(folder.work().join("real"), folder.work().join("absolute")).unwrap();
        assert_eq!(folder.open_file("inside").unwrap().1, 4);
        assert_eq!(folder.open_file("absolute").unwrap().1, 4);
        folder.open_file("outside").unwrap_err();
        folder.open_file("etc/passwd").unwrap_err();
    }

    #[test]
    fn a_link_that_is_put_there_meanwhile_leads_out_no_more_than_another() {
        let (folder, elsewhere) = (folder(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("file"), "of another").unwrap();
        fs::create_dir(folder.work().join("inside")).unwrap();
        fs::write(folder.work().join("inside/file"), "own").unwrap();
        let way = folder.work().join("way");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for target in [Path::new("inside"), elsewhere.path()] {
                        symlink(target, folder.work().join("next")).unwrap();
                        fs::rename(folder.work().join("next"), &way).unwrap();
                    }
                }
            });
            // Until both ends of the way were tried: a busy machine may run the other thread late.
            let (mut contents, mut refused) = (Vec::new(), 0);
            while contents.len() < 1000 || refused < 1000 {
                match folder.open_file("way/file") {
                    Ok((mut file, _)) => contents.push(io::read_to_string(&mut file).unwrap()),
                    Err(_) => refused += 1,
                }
                thread::yield_now();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(contents.iter().all(|content| content == "own"), "{contents:?}");
        });
    }

    #[test]
    fn only_a_regular_file_is_an_output() {
        let folder = folder();
        fs::create_dir(folder.work().join("dir")).unwrap();
        nix::unistd::mkfifo(&folder.work().join("pipe"), Mode::S_IRWXU).unwrap();
        for name in ["dir", "pipe"] {
            assert_eq!(folder.open_file(name).unwrap_err().to_string(), "it is not a regular file");
        }
    }

    #[test]
    fn only_a_file_of_the_commands_is_an_output() {
        let folder = folder();
        folder.create_file("in").unwrap();
        let metadata = fs::metadata(folder.work().join("in")).unwrap();
        check(&metadata, folder.owner.user).unwrap();
        assert_eq!(check(&metadata, folder.owner.user + 1), Err("it is not the command's own file"));
    }

    #[test]
    fn a_place_that_is_closed_to_the_command_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let other = User::numbered(geteuid().as_raw() + 1);
        fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).unwrap();
        let error = Folder::create(parent.path(), Some(&other)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        Folder::create(parent.path(), Some(&other)).unwrap();
    }

    #[test]
    fn a_long_listing_is_cut() {
        let folder = folder();
        assert_eq!(folder.listing(), "nothing");
        fs::create_dir(folder.work().join("00")).unwrap();
        for i in 1..=25 {
            fs::write(folder.work().join(format!("{i:02}")), "").unwrap();
        }
        let listing = folder.listing();
        assert!(listing.starts_with("00/, 01, 02"), "{listing}");
        assert!(listing.ends_with("19 and 6 more"), "{listing}");
    }
}
