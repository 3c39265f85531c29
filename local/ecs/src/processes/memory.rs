//! Ends a container that needs more memory than its task has, as the kernel does on AWS: no control group can be made
//! here without root, so its processes are looked at again and again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use procfs::WithCurrentSystemInfo;
use procfs::process::Stat;
use tokio::fs;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::namespace::{Namespace, send};

/// The variable that tells the container's first process where its control group is; on Fargate it is at
/// `/sys/fs/cgroup`, and there is no such variable.
pub(crate) const VARIABLE: &str = "MAYFLY_CGROUP";

/// The pause between two looks, in real time: each goes through all of this machine's processes. The more room is left, the
/// longer it is: nothing fills memory faster than `FASTEST`, in bytes a second.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const FASTEST: u64 = 4 << 30;

/// Watches over the memory of one container until it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    exhausted: Arc<AtomicBool>,
    _watch: AbortOnDropHandle<()>,
}

impl Memory {
    /// Kills the largest process as soon as all together hold more than `limit` bytes, and counts it in the control group
    /// `folder`. The first process goes last, and all goes with it.
    pub async fn watch(namespace: Namespace, limit: u64, folder: PathBuf) -> io::Result<Self> {
        let exhausted = Arc::new(AtomicBool::new(false));
        fs::create_dir_all(&folder).await?;
        count(&folder, 0).await?;
        let watch = tokio::spawn(watch(namespace, limit, folder, exhausted.clone()));
        Ok(Self { exhausted, _watch: AbortOnDropHandle::new(watch) })
    }

    /// Whether the whole container was killed.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }
}

async fn watch(namespace: Namespace, limit: u64, folder: PathBuf, exhausted: Arc<AtomicBool>) {
    let mut kills = 0;
    let mut victim = None;
    loop {
        let alive = spawn_blocking(move || namespace.alive()).await.unwrap_or_default();
        let used: u64 = alive.iter().map(resident).sum();
        // A process that is dying gives its memory back soon.
        let is_dying = alive.iter().any(|process| Some(process.pid) == victim);
        if used > limit && !is_dying {
            let first = alive.iter().map(|process| (process.starttime, process.pid)).min();
            let others = alive.iter().filter(|process| Some((process.starttime, process.pid)) != first);
            let Some(largest) = others.max_by_key(|process| resident(process)) else {
                exhausted.store(true, Ordering::Relaxed);
                namespace.signal(Signal::SIGKILL);
                return;
            };
            kills += 1;
            victim = Some(largest.pid);
            tracing::info!(process = largest.pid, used, limit, "process killed for want of memory");
            // Counted first: who sees the death looks at the count.
            if let Err(error) = count(&folder, kills).await {
                tracing::error!(%error, "a kill could not be counted");
            }
            send(Pid::from_raw(largest.pid), Signal::SIGKILL);
        }
        sleep(pause(limit.saturating_sub(used))).await;
    }
}

fn pause(room: u64) -> Duration {
    let room = Duration::from_millis(room.saturating_mul(1000) / FASTEST);
    room.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn resident(process: &Stat) -> u64 {
    process.rss_bytes().get()
}

/// Writes `memory.events` as the kernel documentation, admin-guide/cgroup-v2, has it; at once, so that nobody reads half
/// of it.
async fn count(folder: &Path, kills: u32) -> io::Result<()> {
    let (file, draft) = (folder.join("memory.events"), folder.join("draft"));
    let events = format!("low 0\nhigh 0\nmax {kills}\noom {kills}\noom_kill {kills}\noom_group_kill 0\n");
    fs::write(&draft, events).await?;
    fs::rename(draft, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_short_where_little_room_is_left() {
        assert_eq!(pause(0), SHORTEST_PAUSE);
        assert_eq!(pause(FASTEST / 8), Duration::from_millis(125));
        assert_eq!(pause(u64::MAX), LONGEST_PAUSE);
    }
}
