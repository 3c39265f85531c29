//! What the kernel says of a process, and how much of a processor it gives it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

/// How often the kernel hands a share out, in microseconds. Lambda documents none; it must be so short that a start takes
/// several, or a start would be over before its first share is used up.
const PERIOD: u64 = 20_000;
/// Where Linux has its control groups. Source: cgroups(7).
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// A control group whose processes together get a part of one processor. It is gone when this is dropped.
pub struct Share {
    folder: PathBuf,
}

impl Share {
    /// This many thousandths of a processor.
    ///
    /// # Errors
    /// When the kernel has no such control groups, or does not let us.
    pub fn new(thousandths: u64) -> Result<Self> {
        let quota = PERIOD * thousandths / 1000;
        let root = Path::new(CONTROL_GROUPS);
        let is_unified = root.join("cgroup.controllers").exists();
        let parent = if is_unified { root.to_owned() } else { root.join("cpu") };
        if is_unified {
            std::fs::write(root.join("cgroup.subtree_control"), "+cpu")
                .context("the cpu controller cannot be turned on")?;
        }
        let folder = parent.join(format!("mayfly-bench-{}-{thousandths}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let share = Self { folder };
        if is_unified {
            share.set("cpu.max", &format!("{quota} {PERIOD}"))?;
        } else {
            share.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            share.set("cpu.cfs_quota_us", &quota.to_string())?;
        }
        Ok(share)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, value).with_context(|| format!("{} cannot be written", path.display()))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // It is empty by then, or stays until the machine ends.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A command; in a control group it is from its own first instruction on, since the shell before it joins the group and then
/// becomes it.
pub fn command(words: &[OsString], share: Option<&Share>) -> Command {
    match share {
        None => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            command
        }
        Some(share) => {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
            command.arg(share.folder.join("cgroup.procs")).args(words);
            command
        }
    }
}

/// Resident memory in MB: now (`VmRSS`), or the most that it has been (`VmHWM`).
/// Source: proc_pid_status(5).
pub fn memory(child: &Child, line: &str) -> Result<f64> {
    let id = child.id().context("the process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let value =
        status.lines().find_map(|l| l.strip_prefix(line)?.trim_start_matches(':').split_whitespace().next());
    let kibibytes: f64 = value.with_context(|| format!("the kernel does not tell {line}"))?.parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}
