//! What the kernel says of a process.

use anyhow::{Context, Result};
use tokio::process::Child;

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
