//! The `Jobs` table: the only memory outside the state machines. One item per job, attributes by these names.

/// The partition key: the job's id.
pub const JOB: &str = "job";
/// The attempt that is going on, a number.
pub const ATTEMPT: &str = "attempt";
/// The task token of that attempt. It is in no log and no state's data.
pub const TOKEN: &str = "token";
/// The nonce of that attempt's assignment.
pub const NONCE: &str = "nonce";
/// The mailbox's URL, for answers to the worker; its random name also tells one run of a job id from a later one.
pub const MAILBOX: &str = "mailbox";
/// The job's `task` as JSON: the only source of the keys that are signed.
pub const TASK: &str = "task";
/// The worker's task ARN, once it has reported.
pub const TASK_ARN: &str = "taskArn";
/// The last progress, as JSON.
pub const PROGRESS: &str = "progress";
/// The finished report, as JSON; written before Step Functions is told.
pub const RESULT: &str = "result";
/// When DynamoDB may forget the item, epoch seconds.
pub const TTL: &str = "ttl";
