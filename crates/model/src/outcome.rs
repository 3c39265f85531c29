//! The document a job ends with: the output of a successful execution, the `Cause` of a failed one.

use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::inventory::Receipt;
use crate::job::Task;
use crate::message::Failure;
use crate::record::Stored;
use crate::turn::{Provider, Turn};

/// The longest `Cause` that Step Functions takes is 32,768 characters; some are kept back for its own words.
/// Source: Step Functions API Reference, `SendTaskFailure`, `cause`.
pub const CAUSE_LIMIT: usize = 30_000;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The job's id.
    pub job: String,
    /// Whether it succeeded.
    pub status: Status,
    /// What it made; absent where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// Why it failed; absent where it succeeded.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// What was created for it and what has become of that.
    pub receipt: Receipt,
}

/// Whether a job succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The command ended with 0 and every output is in its place.
    Succeeded,
    /// Anything else.
    Failed,
}

/// What a job made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// The command's exit code: 0.
    pub exit_code: i32,
    /// The attempt that succeeded, from 1.
    pub attempt: u32,
    /// The ECS capacity provider it ran on.
    pub capacity: Provider,
    /// How long the attempt took in the container.
    pub seconds: f64,
    /// The task it ran in.
    pub task_arn: String,
    /// What was delivered.
    pub outputs: Vec<Delivered>,
}

impl JobResult {
    /// What a stored result comes to, for a job that was to do `task`: its result, or why it failed.
    ///
    /// # Errors
    /// The failure, where the container reported one.
    pub fn from_stored(stored: Stored, task: &Task) -> Result<Self, JobFailure> {
        let Stored { turn, task_arn, finished } = stored;
        if let Some(failure) = finished.failure {
            return Err(JobFailure::new(turn, failure, finished.exit_code, task_arn));
        }
        let outputs = finished.outputs.into_iter().filter_map(|delivered| {
            let output = task.outputs.iter().find(|output| output.file == delivered.file)?;
            Some(Delivered { file: delivered.file, to: output.to.clone(), bytes: delivered.bytes })
        });
        Ok(Self {
            exit_code: finished.exit_code.unwrap_or_default(),
            attempt: turn.attempt,
            capacity: turn.provider,
            seconds: finished.seconds,
            task_arn: task_arn.unwrap_or_default(),
            outputs: outputs.collect(),
        })
    }
}

/// An output in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// The file's name in the working directory.
    pub file: String,
    /// `s3://BUCKET/KEY`.
    pub to: String,
    /// Its size.
    pub bytes: u64,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFailure {
    /// The class.
    pub error: Class,
    /// A sentence that a person can act on.
    pub message: String,
    /// The attempt that failed, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The command's exit code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The task it ran in, where one reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// The last 4 KB of the command's output, where a command failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl JobFailure {
    /// The failure of the start `turn`.
    pub fn new(turn: Turn, failure: Failure, exit_code: Option<i32>, task_arn: Option<String>) -> Self {
        Self {
            error: failure.class,
            message: failure.message,
            attempt: Some(turn.attempt),
            exit_code,
            task_arn,
            output: failure.output,
        }
    }
}

/// The sentence in a caught `Cause`: a function's error arrives as the JSON of its diagnostic, the cause of a
/// `States.Timeout` is plain text.
pub fn message_of(cause: &str) -> String {
    let diagnostic: Option<serde_json::Value> = serde_json::from_str(cause).ok();
    let message = diagnostic.as_ref().and_then(|value| value.get("errorMessage")?.as_str());
    message.unwrap_or(cause).to_owned()
}
