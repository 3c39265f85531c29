//! The input of tear-down's functions, which is the same for all of them.

use serde::{Deserialize, Serialize};

use crate::inventory::Receipt;
use crate::names::deserialize_job_id;

/// The job whose resources a function of tear-down looks for or deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The job's id.
    #[serde(deserialize_with = "deserialize_job_id")]
    pub job: String,
}

/// The output of a function that deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// How many resources there were, those included that something else deleted meanwhile.
    pub deleted: usize,
}

/// The output of delete-queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedQueues {
    /// The URLs of the mailboxes that are gone as soon as SQS no longer answers for them.
    #[serde(default)]
    pub accepted: Vec<String>,
}

/// The output of find-leftovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was created and what has become of it, brought up to date.
    pub receipt: Receipt,
    /// Whether nothing is left.
    pub empty: bool,
    /// Whether parts of a network of the job's own are there.
    pub network: bool,
    /// The receipt as the `Cause` of a teardown that gives up.
    pub cause: String,
}

/// The input of find-leftovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// The job's id.
    #[serde(deserialize_with = "deserialize_job_id")]
    pub job: String,
    /// What earlier searches saw.
    #[serde(default)]
    pub receipt: Receipt,
    /// What delete-queue has said in this round.
    #[serde(default)]
    pub queues: DeletedQueues,
}
