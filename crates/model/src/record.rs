//! The `Jobs` table: the only memory outside the state machines. One item per job, attributes by these names.
//!
//! A job that is a service has none of a turn's attributes. It has [`ADDRESSES`] and [`CONTAINERS`] as soon as one of its
//! containers runs; [`MAILBOX`], [`EXECUTION`], [`BEGUN`], [`END`] and [`ENTRANCE`] from when it is ready, which is once;
//! [`TOKEN`] while the state machine waits for its end; and [`ENDING`] from when it is over.

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
/// Set of a job whose container has IPv6 alone: its URLs are signed for S3's dual-stack hosts.
pub const IPV6: &str = "ipv6";
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
/// The uploads in parts that were begun for the job: the JSON of a list of [`PartedUpload`](crate::parts::PartedUpload), at most
/// one of each output.
pub const UPLOADS: &str = "uploads";
/// True while one of them may not be over: no tag can be on an upload, so this is how the sweeper finds it.
pub const UPLOADING: &str = "uploading";
/// True from when the job is torn down: no upload is begun for it any more.
pub const TORN_DOWN: &str = "tornDown";
/// True where the job was concluded without a result: one that is stored from then on is too late.
pub const CONCLUDED: &str = "concluded";
/// The ARN of the job's execution.
pub const EXECUTION: &str = "execution";
/// When a service was ready, RFC 3339 UTC.
pub const BEGUN: &str = "begun";
/// When a service ends, RFC 3339 UTC. It is what counts, and may be put off; the tag `expiry` is only the first promise.
pub const END: &str = "end";
/// How often a service's end has been put off, a number; absent where it never was.
pub const EXTENSIONS: &str = "extensions";
/// Where a service's containers that run are called: the JSON of a list of [`Address`](crate::service::Address).
pub const ADDRESSES: &str = "addresses";
/// What a service is called at: the JSON of an [`Entrance`](crate::service::Entrance).
pub const ENTRANCE: &str = "entrance";
/// What ECS has told of a service's containers: the JSON of [`Containers`](crate::service::Containers).
pub const CONTAINERS: &str = "containers";
/// Why a service cannot stay up: the JSON of a [`JobFailure`](crate::outcome::JobFailure).
pub const FAILURE: &str = "failure";
/// True from when a service is over: it is extended no more.
pub const ENDING: &str = "ending";
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
