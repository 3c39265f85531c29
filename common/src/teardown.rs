//! What the states of tear-down hand to their functions.

use serde::{Deserialize, Serialize};

use crate::inventory::Receipt;

/// The job whose resources a function of tear-down looks for or deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The job's id.
    pub job: String,
}

/// The input of find-leftovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// The job's id.
    pub job: String,
    /// What earlier searches saw.
    #[serde(default)]
    pub receipt: Receipt,
}
