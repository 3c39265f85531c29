//! The processes of this machine, as a test finds and kills them.

use std::fs::{read, read_dir, read_to_string};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// A process, by its files in `/proc`, which are empty once it has ended.
pub struct Process {
    id: String,
}

impl Process {
    /// All that run now.
    pub fn all() -> Result<impl Iterator<Item = Self>> {
        let ids = read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(ids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).map(|id| Self { id }))
    }

    /// The one that started it.
    pub fn parent(&self) -> Option<Self> {
        let status = read_to_string(self.file("status")).unwrap_or_default();
        let id = status.lines().find_map(|line| line.strip_prefix("PPid:\t"))?;
        Some(Self { id: id.to_owned() })
    }

    /// Whether this is its id.
    pub fn is(&self, id: u32) -> bool {
        self.id == id.to_string()
    }

    /// What it was started with, in one text.
    pub fn command_line(&self) -> String {
        String::from_utf8_lossy(&read(self.file("cmdline")).unwrap_or_default()).replace('\0', " ")
    }

    /// The value of a variable that it was started with.
    pub fn variable(&self, name: &str) -> Option<String> {
        let variables = read(self.file("environ")).unwrap_or_default();
        let variables = String::from_utf8_lossy(&variables);
        variables
            .split('\0')
            .find_map(|variable| Some(variable.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.id)
    }
}

/// Kills processes with SIGKILL, which none can catch. Those that have ended meanwhile are none of its concern.
pub async fn kill(processes: &[Process]) -> Result<()> {
    ensure!(!processes.is_empty(), "there is no such process");
    Command::new("kill").arg("-KILL").args(processes.iter().map(|process| &process.id)).output().await?;
    Ok(())
}
