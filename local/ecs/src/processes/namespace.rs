//! Which processes belong to a container, and their end.

use std::collections::HashSet;

use mayfly_worker::descendants;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Stat;

/// All processes of a container: on AWS they share a PID namespace. Here they descend from its init process, which adopts
/// the orphans among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namespace {
    /// The init process, which is not counted among them.
    pub init: Pid,
}

impl Namespace {
    /// Those that are alive now.
    pub fn alive(self) -> Vec<Stat> {
        descendants::below(self.init)
    }

    /// Sends `signal`, SIGKILL or SIGSTOP, to all of them: looks until nobody has been born between look and signal.
    pub fn signal(self, signal: Signal) {
        let mut signalled = HashSet::new();
        loop {
            let alive = self.alive().into_iter().map(|process| process.pid);
            let new: Vec<_> = alive.filter(|pid| signalled.insert(*pid)).collect();
            if new.is_empty() {
                return;
            }
            for pid in new {
                send(Pid::from_raw(pid), signal);
            }
        }
    }
}

/// Sends a signal to one process; one that is gone is no trouble.
pub(crate) fn send(process: Pid, signal: Signal) {
    if let Err(error) = kill(process, signal)
        && error != Errno::ESRCH
    {
        tracing::warn!(%error, %process, %signal, "process could not be signalled");
    }
}
