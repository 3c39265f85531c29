//! The folder of a local cloud: the tasks' files, and the tools' logs. It is locked as long as the cloud lives, so that
//! the next one can tell what belongs to nobody any more.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use procfs::process::all_processes;

/// What the folder's name begins with.
const PREFIX: &str = "mayfly-cloud-";
/// The file in it that the cloud holds locked. The kernel lets go of it whatever the cloud dies of: flock(2).
const LOCK: &str = "lock";
/// The variables by which the processes of a cloud are known: of each, one names a place in the cloud's folder.
const PLACES: [&str; 2] = ["HOME", "TMPDIR"];
/// How long processes that are killed may take to end.
const DEATH: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A fresh folder among the temporary files, which is removed when it is dropped, whatever the tasks have left in it.
#[derive(Debug)]
pub struct CloudFolder {
    path: PathBuf,
    /// The program that the containers' init processes are.
    init: PathBuf,
    lock: File,
}

impl CloudFolder {
    /// Makes the folder, and first sweeps away what is left of clouds that were killed.
    pub fn create(init: &Path) -> io::Result<Self> {
        sweep(&env::temp_dir(), init);
        Self::create_in(&env::temp_dir(), init)
    }

    fn create_in(parent: &Path, init: &Path) -> io::Result<Self> {
        // A worker that is root runs the command as somebody else, who must get through to its files.
        let passable = Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(passable).tempdir_in(parent)?;
        // It is locked before it has its name, so that nobody ever sees it free.
        let draft = folder.path().join("draft");
        let lock = File::create_new(&draft)?;
        lock.lock()?;
        fs::rename(draft, folder.path().join(LOCK))?;
        Ok(Self { path: folder.keep(), init: init.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CloudFolder {
    fn drop(&mut self) {
        if let Err(error) = local_ecs::remove(&self.init, &self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the local cloud's folder could not be removed");
        }
        // Closing it would do as well.
        let _ = self.lock.unlock();
    }
}

/// Ends the processes and removes the folders in `parent` of this user's clouds that are gone; those that live are other
/// clones'.
fn sweep(parent: &Path, init: &Path) {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = folder.path();
        let is_own = |metadata: fs::Metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw();
        if !path.symlink_metadata().is_ok_and(is_own) {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        end_processes(&path);
        if let Err(error) = local_ecs::remove(init, &path) {
            tracing::warn!(folder = %path.display(), %error, "what a killed cloud has left could not be removed");
        }
    }
}

/// Kills the processes that belong to the cloud of this folder until none is left.
fn end_processes(folder: &Path) {
    let began = Instant::now();
    loop {
        let processes = all_processes().into_iter().flatten().flatten();
        let is_of_cloud = |process: &procfs::process::Process| {
            let environment = process.environ().unwrap_or_default();
            PLACES.iter().any(|name| {
                environment.get(OsStr::new(name)).is_some_and(|place| Path::new(place).starts_with(folder))
            })
        };
        let left: Vec<_> = processes.filter(is_of_cloud).map(|process| process.pid).collect();
        if left.is_empty() || began.elapsed() > DEATH {
            return;
        }
        for process in left {
            // One that has ended meanwhile is what is wanted.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A process whose temporary files are in this folder, as a daemon of a cloud's.
    fn daemon(folder: &Path) -> std::process::Child {
        Command::new("sleep").arg("600").env("TMPDIR", folder.join("tasks")).spawn().unwrap()
    }

    #[test]
    fn what_a_killed_cloud_has_left_is_swept_and_what_lives_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let init = Path::new("/nobody/needs/it");
        let living = CloudFolder::create_in(parent.path(), init).unwrap();
        let killed = CloudFolder::create_in(parent.path(), init).unwrap();
        let (killed_path, foreign) = (killed.path.clone(), parent.path().join("mayfly-cloud-without-a-lock"));
        fs::create_dir(&foreign).unwrap();
        let (mut of_living, mut of_killed) = (daemon(living.path()), daemon(&killed_path));
        // Its lock goes, and nothing else.
        killed.lock.unlock().unwrap();
        std::mem::forget(killed);

        sweep(parent.path(), init);
        assert!(!killed_path.exists());
        assert_eq!(of_killed.wait().unwrap().code(), None, "it was killed");
        assert!(living.path().join(LOCK).exists() && foreign.exists());
        assert!(of_living.try_wait().unwrap().is_none(), "another clone's lives on");
        of_living.kill().unwrap();
        of_living.wait().unwrap();
    }
}
