//! How one start of a job ended and what comes next.

use serde::{Deserialize, Serialize};

use crate::outcome::{JobFailure, JobResult};
use crate::turn::Turn;

/// What collect-result tells the state machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// What the state machine's choice looks at.
    pub next: Next,
    /// The turn that comes next, unless the job is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// Whether the container itself has said so; what others say of it gives way to a report that comes late.
    pub reported: bool,
    /// What the job made, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// Why the start failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
}

/// What comes after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Next {
    /// The job is over.
    Conclude,
    /// Another order to the same service, which starts its next container by itself.
    Dispatch,
    /// Another service: the container of this one must not work on, or the capacity changes.
    Relaunch,
}
