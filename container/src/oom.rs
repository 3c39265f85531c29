//! Tells whether the kernel killed something in this container for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

/// The files that count kills, for cgroups v2 and v1; both have a line `oom_kill N`.
/// Source: kernel documentation, admin-guide/cgroup-v2 (`memory.events`) and cgroup-v1/memory (`memory.oom_control`).
const COUNTERS: [&str; 2] = ["memory.events", "memory/memory.oom_control"];

/// Watches the counter of kills from one moment on.
#[derive(Debug)]
pub struct OomWatch {
    cgroup: PathBuf,
    before: u64,
}

impl OomWatch {
    /// Begins to watch the control group at `cgroup`.
    pub fn begin(cgroup: &Path) -> Self {
        Self { cgroup: cgroup.to_owned(), before: kills(cgroup) }
    }

    /// Whether something has been killed since.
    pub fn rose(&self) -> bool {
        kills(&self.cgroup) > self.before
    }
}

/// A kernel without the counter looks like one that never kills.
fn kills(cgroup: &Path) -> u64 {
    let count =
        |text: String| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    COUNTERS.iter().find_map(|file| fs::read_to_string(cgroup.join(file)).ok().and_then(count)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_seen_in_either_version() {
        for (file, text) in [
            (COUNTERS[0], "low 0\nhigh 0\nmax 3\noom 2\noom_kill N\noom_group_kill 0\n"),
            (COUNTERS[1], "oom_kill_disable 0\nunder_oom 0\noom_kill N\n"),
        ] {
            let cgroup = tempfile::tempdir().unwrap();
            let counter = cgroup.path().join(file);
            fs::create_dir_all(counter.parent().unwrap()).unwrap();
            fs::write(&counter, text.replace('N', "1")).unwrap();
            let watch = OomWatch::begin(cgroup.path());
            assert!(!watch.rose());
            fs::write(&counter, text.replace('N', "2")).unwrap();
            assert!(watch.rose());
        }
    }

    #[test]
    fn no_counter_is_no_kill() {
        let cgroup = tempfile::tempdir().unwrap();
        assert!(!OomWatch::begin(cgroup.path()).rose());
    }
}
