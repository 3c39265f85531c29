//! The processes of a container.

use std::collections::HashSet;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Stat, all_processes};

/// All processes of a container, known by the one that it was started with: on AWS they share a PID namespace. Here they
/// share the session of that process, or descend from one that does, whatever their process group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    /// Docker's PID 1, which leads the session.
    pub leader: Pid,
}

impl Processes {
    /// Those that are alive now.
    pub fn alive(self) -> Vec<Stat> {
        let leader = self.leader.as_raw();
        let all = all_processes().inspect_err(|error| tracing::error!(%error, "/proc cannot be read"));
        // A process that ends meanwhile cannot be read, and a zombie is dead.
        let stats = all.into_iter().flatten().filter_map(|process| process.ok()?.stat().ok());
        let stats = stats.filter(|process| !matches!(process.state, 'Z' | 'X'));
        let (mut own, mut others): (Vec<_>, Vec<_>) =
            stats.partition(|process| process.session == leader || process.pid == leader);
        loop {
            let parents: HashSet<_> = own.iter().map(|process| process.pid).collect();
            let (children, rest): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|process| parents.contains(&process.ppid));
            if children.is_empty() {
                return own;
            }
            own.extend(children);
            others = rest;
        }
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
