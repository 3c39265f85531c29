//! The `Jobs` table: the only memory outside the state machines. One item per job, attributes by these names.

use serde::{Deserialize, Serialize};

use crate::message::Finished;
use crate::turn::Turn;

/// The partition key: the job's id.
pub const JOB: &str = "job";
/// The [`Turn`] that is going on, as JSON.
pub const TURN: &str = "turn";
/// That turn's `start`, a number, for conditions.
pub const START: &str = "start";
/// The task token of that start. It is in no log and no state's data.
pub const TOKEN: &str = "token";
/// Proves that a report comes from a container of this job.
pub const NONCE: &str = "nonce";
/// The mailbox's URL, for answers to the worker; its random name also tells one run of a job id from a later one.
pub const MAILBOX: &str = "mailbox";
/// The document's `capacity`, as it stands there.
pub const CAPACITY: &str = "capacity";
/// The job's work, its document's `task`, as JSON: the only source of the keys that are signed.
pub const WORK: &str = "task";
/// The ARN of the task that works at this start, once it has reported.
pub const TASK_ARN: &str = "taskArn";
/// The ARNs of the tasks whose end is known: what ECS still says of them is no news.
pub const ENDED_TASKS: &str = "endedTasks";
/// The last progress, as JSON.
pub const PROGRESS: &str = "progress";
/// What this start was lost by, as the JSON of a [`Loss`](crate::message::Loss).
pub const LOSS: &str = "loss";
/// The [`Stored`] result; written before Step Functions is told, and never written over.
pub const RESULT: &str = "result";
/// The start whose container has reported last, a number; absent where nobody knows of a container that has worked.
pub const WORKED: &str = "worked";
/// True where the job was concluded without a result: one that is stored from then on is too late.
pub const CONCLUDED: &str = "concluded";
/// When DynamoDB may forget the item, epoch seconds.
pub const TTL: &str = "ttl";

/// How a job was finished, by a container of whichever start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The turn it was finished in.
    pub turn: Turn,
    /// The task that finished it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Its report.
    pub finished: Finished,
}
