//! How one attempt ended and what comes next.

use serde::{Deserialize, Serialize};

use crate::outcome::{JobFailure, JobResult};

/// What collect-result tells the state machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// What the state machine's choice looks at.
    pub next: Next,
    /// What the job made, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// Why the attempt failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Next {
    /// The job is over.
    Conclude,
    /// Another attempt is due.
    TryAgain,
}
