//! The processes that descend from one, and their end.
//!
//! A daemon leaves its parent, its group and its session. What it cannot leave is the nearest *subreaper* above it, whose
//! child it becomes when its parent ends.
//! Source: PR_SET_CHILD_SUBREAPER(2const).

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use procfs::process::{Stat, all_processes};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

/// How long all of them may take to die; only what the kernel holds up takes longer than an instant.
const DEATH: Duration = Duration::from_secs(10);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The right and the duty of this process, which is a subreaper, to end and to bury all that descends from it.
#[derive(Clone, Copy, Debug)]
pub struct Subreaper(());

impl Subreaper {
    /// Makes this process the one that adopts the orphans among its descendants.
    ///
    /// # Errors
    /// On a kernel older than Linux 3.4.
    pub fn begin() -> io::Result<Self> {
        prctl::set_child_subreaper(true)?;
        Ok(Self(()))
    }

    /// Buries what dies among the adopted, for ever. The end of `child` is for somebody else to see.
    pub async fn bury(self, child: Option<Pid>) -> Infallible {
        match signal(SignalKind::child()) {
            Ok(mut deaths) => {
                while deaths.recv().await.is_some() {
                    bury_dead(child);
                }
            }
            Err(error) => warn!("orphans are buried late: {error}"),
        }
        pending().await
    }

    /// Kills all that descends from this process, and returns when nothing is left. No other child may be waited for.
    pub async fn end_all(self) {
        let ended = timeout(DEATH, async {
            while self.kill_all() {
                sleep(LOOK_AGAIN).await;
            }
        });
        if ended.await.is_err() {
            warn!("processes that the command has left behind do not end");
        }
    }

    /// Kills all that is there now, and tells whether anything may be left.
    pub fn kill_all(self) -> bool {
        for process in below(Pid::this()) {
            // One that has ended meanwhile is what is wanted.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        bury_dead(None)
    }
}

/// Buries the dead among this process's children, but for `child`, and tells whether a child is left.
fn bury_dead(child: Option<Pid>) -> bool {
    loop {
        // A look that leaves the dead where they are.
        match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(dead) if dead.pid() == child => return true,
            Ok(dead) => _ = waitpid(dead.pid(), Some(WaitPidFlag::WNOHANG)),
            Err(Errno::ECHILD) => return false,
            // Killed by a real-time signal, for which nix has no name; it may be the child.
            Err(Errno::EINVAL) if child.is_some() => return true,
            Err(Errno::EINVAL) => _ = waitpid(None, Some(WaitPidFlag::WNOHANG)),
            Err(_) => {}
        }
    }
}

/// All processes that descend from `ancestor` and are alive now.
pub fn below(ancestor: Pid) -> Vec<Stat> {
    let all = all_processes().inspect_err(|error| error!("/proc cannot be read: {error}"));
    // A process that ends meanwhile cannot be read, and a zombie is dead.
    let stats = all.into_iter().flatten().filter_map(|process| process.ok()?.stat().ok());
    let mut others: Vec<Stat> = stats.filter(|process| !matches!(process.state, 'Z' | 'X')).collect();
    let mut parents = HashSet::from([ancestor.as_raw()]);
    let mut found = Vec::new();
    loop {
        let (children, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|process| parents.contains(&process.ppid));
        if children.is_empty() {
            return found;
        }
        parents = children.iter().map(|process| process.pid).collect();
        found.extend(children);
        others = rest;
    }
}
