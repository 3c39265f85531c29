//! Tells whether the disk was full while a command ran, or when a file was to be written. What the command says proves nothing: `ENOSPC` also means too
//! many watched files, or a full `/dev/shm`.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use mayfly_model::class::Class;
use mayfly_model::message::Failure;
use nix::sys::statvfs::statvfs;
use tokio::time::sleep;

/// A disk with less room than this, in bytes, is full: programs write in blocks, and file systems keep a few back.
const FULL: u64 = 16 << 20;
/// The pause between two looks. The less room is left, the shorter it is: nothing fills a disk faster than `FASTEST`, in
/// bytes a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const FASTEST: u64 = 2 << 30;

/// The bytes that are left for files in `folder`: none where no further file can be made. None where nobody knows.
pub fn free(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    // Some file systems do not count their files: statvfs(3) has 0 of 0 then.
    let has_no_entries = disk.files() > 0 && disk.files_available() == 0;
    Some(if has_no_entries { 0 } else { disk.fragment_size() * disk.blocks_available() })
}

/// What it means that a file could not be written: a full disk is a class of its own, `class` is for all else.
pub fn failure(class: Class, message: String, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = format!("{message}; raise container.storageGiB");
        return Failure { class: Class::DiskFull, message, output: None };
    }
    Failure { class, message, output: None }
}

/// Remembers the least room that there was.
#[derive(Debug)]
pub struct DiskWatch(Cell<u64>);

impl DiskWatch {
    /// Has not looked yet.
    pub fn begin() -> Self {
        Self(Cell::new(u64::MAX))
    }

    /// Takes what one look has found.
    pub fn note(&self, free: Option<u64>) {
        self.0.set(self.0.get().min(free.unwrap_or(u64::MAX)));
    }

    /// Looks for ever, every second at least.
    pub async fn watch(&self, look: impl Fn() -> Option<u64>) -> Infallible {
        loop {
            let free = look();
            self.note(free);
            sleep(pause(free.unwrap_or(u64::MAX))).await;
        }
    }

    /// Whether the disk was ever full.
    pub fn was_full(&self) -> bool {
        self.0.get() < FULL
    }
}

fn pause(free: u64) -> Duration {
    Duration::from_millis(free.saturating_mul(1000) / FASTEST).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble_with_a_file() {
        for (errno, class) in [(Errno::ENOSPC, Class::DiskFull), (Errno::EIO, Class::InputUnavailable)] {
            let error = io::Error::from(errno);
            assert_eq!(failure(Class::InputUnavailable, error.to_string(), &error).class, class);
        }
    }

    #[test]
    fn the_least_room_counts_and_the_unknown_does_not() {
        let watch = DiskWatch::begin();
        watch.note(None);
        watch.note(Some(FULL));
        assert!(!watch.was_full());
        for free in [Some(FULL - 1), Some(u64::MAX), None] {
            watch.note(free);
            assert!(watch.was_full());
        }
    }

    #[test]
    fn the_pause_is_short_where_little_room_is_left() {
        assert_eq!(pause(0), SHORTEST_PAUSE);
        assert_eq!(pause(FASTEST / 4), Duration::from_millis(250));
        assert_eq!(pause(u64::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_real_disk_has_room() {
        assert!(free(&std::env::temp_dir()).unwrap() > 0);
    }
}
