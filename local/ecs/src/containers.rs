//! The containers of a task, as they are.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::health::Health;

/// The states of a container: API Reference, `Container$lastStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ContainerStatus {
    #[default]
    Pending,
    Running,
    Stopped,
}

impl ContainerStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A container of a task.
#[derive(Debug, Default)]
pub(crate) struct TaskContainer {
    pub id: String,
    pub status: ContainerStatus,
    pub exit_code: Option<i32>,
    /// What its health check has found.
    pub health: Health,
    /// Why it could not be started, or was killed.
    pub reason: Option<String>,
    /// Docker's id of it, on Fargate the task's id and a number.
    pub runtime_id: Option<String>,
    pub started_at: Option<Timestamp>,
    /// The same, for what has to happen in time.
    pub began: Option<Instant>,
}
