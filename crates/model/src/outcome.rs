//! The document a job ends with: the output of a successful execution, the `Cause` of a failed one.

use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::inventory::Receipt;
use crate::job::Output;
use crate::message::{Failure, FileSize, Finished};
use crate::record::Stored;
use crate::service::Address;
use crate::turn::{Provider, Turn};

/// The longest `Cause` that Step Functions takes is 32,768 characters; some are kept back for its own words.
/// Source: Step Functions API Reference, `SendTaskFailure`, `cause`.
pub const CAUSE_LIMIT: usize = 30_000;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Document", into = "Document")]
pub struct Outcome {
    /// The job's id.
    pub job: String,
    /// What it made, or why it failed.
    pub end: End,
    /// What was created for it and what has become of that.
    pub receipt: Receipt,
}

/// The outcome as it is written.
#[derive(Clone, Serialize, Deserialize)]
struct Document {
    job: String,
    #[serde(flatten)]
    end: EndByStatus,
    receipt: Receipt,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "UPPERCASE")]
enum EndByStatus {
    Succeeded { result: Success },
    Failed(JobFailure),
}

impl From<Outcome> for Document {
    fn from(Outcome { job, end, receipt }: Outcome) -> Self {
        let end = match end {
            End::Succeeded(result) => EndByStatus::Succeeded { result },
            End::Failed(failure) => EndByStatus::Failed(failure),
        };
        Self { job, end, receipt }
    }
}

impl From<Document> for Outcome {
    fn from(Document { job, end, receipt }: Document) -> Self {
        let end = match end {
            EndByStatus::Succeeded { result } => End::Succeeded(result),
            EndByStatus::Failed(failure) => End::Failed(failure),
        };
        Self { job, end, receipt }
    }
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

/// What a job made, or why it failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum End {
    /// It made this.
    #[serde(rename = "result")]
    Succeeded(Success),
    /// It failed because of this.
    #[serde(rename = "failure")]
    Failed(JobFailure),
}

impl End {
    /// Whether it is a success.
    pub fn status(&self) -> Status {
        match self {
            Self::Succeeded(_) => Status::Succeeded,
            Self::Failed(_) => Status::Failed,
        }
    }

    /// What the job made, where it succeeded and was to make something.
    pub fn result(&self) -> Option<&JobResult> {
        match self {
            Self::Succeeded(Success::Work(result)) => Some(result),
            Self::Succeeded(Success::Service(_)) | Self::Failed(_) => None,
        }
    }

    /// How the service went, where the job was one and succeeded.
    pub fn service(&self) -> Option<&ServiceResult> {
        match self {
            Self::Succeeded(Success::Service(result)) => Some(result),
            Self::Succeeded(Success::Work(_)) | Self::Failed(_) => None,
        }
    }

    /// Why it failed, where it did.
    pub fn failure(&self) -> Option<&JobFailure> {
        match self {
            Self::Succeeded(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }

    /// What a stored result comes to, for a job that was to make `outputs`.
    pub fn of(stored: Stored, outputs: &[Output]) -> Self {
        let Stored { turn, task_arn, finished } = stored;
        let outputs = delivered(&finished, outputs);
        if let Some(failure) = finished.failure {
            let failure = JobFailure::of_start(turn, failure, finished.exit_code, task_arn);
            return Self::Failed(JobFailure { outputs, log_truncated: finished.log_truncated, ..failure });
        }
        Self::Succeeded(Success::Work(JobResult {
            exit_code: finished.exit_code.unwrap_or_default(),
            attempt: turn.attempt,
            capacity: turn.provider,
            seconds: finished.seconds,
            task_arn: task_arn.unwrap_or_default(),
            outputs,
            log_truncated: finished.log_truncated,
        }))
    }
}

/// Which of a job's `outputs` are in their places.
fn delivered(finished: &Finished, outputs: &[Output]) -> Vec<Delivered> {
    let delivered = |output: &Output| {
        let (file, to) = (output.file.clone(), output.to.clone());
        if output.pattern().is_none() {
            let size = finished.outputs.iter().find(|size| size.file == output.file)?;
            return Some(Delivered {
                file,
                to,
                bytes: size.bytes,
                files: None,
                first: Vec::new(),
                more: None,
            });
        }
        let size = finished.folders.iter().find(|size| size.file == output.file)?;
        let more = size.files.saturating_sub(size.first.len() as u64);
        Some(Delivered {
            file,
            to,
            bytes: size.bytes,
            files: Some(size.files),
            first: size.first.clone(),
            more: Some(more).filter(|more| *more > 0),
        })
    };
    outputs.iter().filter_map(delivered).collect()
}

/// What has become of a job that succeeded. Each has fields that the other has not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Success {
    /// Of work: what it made.
    Work(JobResult),
    /// Of a service: how it went.
    Service(ServiceResult),
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
    /// How long the work took in the container.
    pub seconds: f64,
    /// The task it ran in.
    pub task_arn: String,
    /// What was delivered.
    pub outputs: Vec<Delivered>,
    /// Whether a part of what the command printed is not in the log: CloudWatch Logs stood still for too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_truncated: bool,
}

/// How a service went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceResult {
    /// When it was ready, RFC 3339 UTC.
    pub begun: String,
    /// When it was to end, RFC 3339 UTC.
    pub end: String,
    /// How long it could be called.
    pub seconds: f64,
    /// How many containers have run, those included that others have taken the place of.
    pub containers: u64,
    /// The ECS capacity provider they ran on.
    pub capacity: Provider,
    /// Those that ran at the end.
    pub addresses: Vec<Address>,
    /// Where it was called, see [`Entrance::url`](crate::service::Entrance::url).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why it has ended, in words.
    pub reason: String,
}

/// An output in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// The file's name in the working directory, or the folder's, or the pattern.
    pub file: String,
    /// `s3://BUCKET/KEY`, or of many files `s3://BUCKET/PREFIX/`.
    pub to: String,
    /// Its size, or that of all files together.
    pub bytes: u64,
    /// Of a folder or a pattern: how many files it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Of a folder or a pattern: the first of the files, at most 100 and at most 12 KB for all outputs together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<FileSize>,
    /// How many more there are; absent where all are in `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u64>,
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
    /// What is in its place all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Delivered>,
    /// Whether a part of what the command printed is not in the log: CloudWatch Logs stood still for too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_truncated: bool,
}

impl JobFailure {
    /// The failure of a job, of no start in particular.
    pub fn of_job(error: Class, message: String) -> Self {
        Self {
            error,
            message,
            attempt: None,
            exit_code: None,
            task_arn: None,
            output: None,
            outputs: Vec::new(),
            log_truncated: false,
        }
    }

    /// The failure of the start `turn`.
    pub fn of_start(turn: Turn, failure: Failure, exit_code: Option<i32>, task_arn: Option<String>) -> Self {
        let Failure { class, message, output } = failure;
        Self { attempt: Some(turn.attempt), exit_code, task_arn, output, ..Self::of_job(class, message) }
    }
}

/// The sentence in a caught `Cause`: a function's error arrives as the JSON of its diagnostic, the cause of a
/// `States.Timeout` is plain text.
pub fn message_of(cause: &str) -> String {
    let diagnostic: Option<serde_json::Value> = serde_json::from_str(cause).ok();
    let message = diagnostic.as_ref().and_then(|value| value.get("errorMessage")?.as_str());
    message.unwrap_or(cause).to_owned()
}

/// `whole` as JSON for a `Cause`, or, where that is longer than [`CAUSE_LIMIT`], what is `shortened` of it.
///
/// # Errors
/// Where it cannot be written as JSON.
pub fn cause<T: Serialize>(whole: &T, shortened: impl FnOnce(&T) -> T) -> serde_json::Result<String> {
    let json = serde_json::to_string(whole)?;
    if json.len() > CAUSE_LIMIT { serde_json::to_string(&shortened(whole)) } else { Ok(json) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_outcome_has_a_result_or_a_failure_by_its_status() {
        let receipt = json!({ "created": [], "deleted": [], "residual": [] });
        let result = json!({
            "exitCode": 0, "attempt": 1, "capacity": "FARGATE_SPOT", "seconds": 1.5, "taskArn": "arn", "outputs": []
        });
        let served = json!({
            "begun": "2030-01-01T00:00:00Z", "end": "2030-01-01T00:05:00Z", "seconds": 300.0, "containers": 1,
            "capacity": "FARGATE_SPOT", "addresses": [{ "taskArn": "arn", "privateIp": "10.0.0.1" }],
            "url": "http://10.0.0.1", "reason": "x"
        });
        for document in [
            json!({ "job": "a", "status": "SUCCEEDED", "result": result, "receipt": receipt }),
            json!({ "job": "a", "status": "SUCCEEDED", "result": served, "receipt": receipt }),
            json!({ "job": "a", "status": "FAILED", "error": "Internal", "message": "x", "receipt": receipt }),
        ] {
            let outcome: Outcome = serde_json::from_value(document.clone()).unwrap();
            assert_eq!(json!(outcome.end.status()), document["status"]);
            assert_eq!(serde_json::to_string(&outcome).unwrap(), document.to_string());
        }
        let neither = json!({ "job": "a", "status": "SUCCEEDED", "receipt": receipt });
        assert!(serde_json::from_value::<Outcome>(neither).is_err());
    }

    #[test]
    fn of_a_folder_the_outcome_counts_the_files_and_names_the_first() {
        let outputs: Vec<Output> = serde_json::from_value(json!([
            { "file": "out.mp4", "to": "s3://b/out.mp4" },
            { "file": "hls/*.ts", "to": "s3://b/show/", "optional": true },
            { "file": "gone/", "to": "s3://b/gone/", "optional": true },
        ]))
        .unwrap();
        let finished = json!({
            "seconds": 1.0, "exitCode": 0, "outputs": [{ "file": "out.mp4", "bytes": 3 }],
            "folders": [{ "file": "hls/*.ts", "files": 2, "bytes": 5, "first": [{ "file": "hls/a.ts", "bytes": 2 }] }]
        });
        let finished: Finished = serde_json::from_value(finished).unwrap();
        let told = json!([
            { "file": "out.mp4", "to": "s3://b/out.mp4", "bytes": 3 },
            { "file": "hls/*.ts", "to": "s3://b/show/", "bytes": 5, "files": 2,
              "first": [{ "file": "hls/a.ts", "bytes": 2 }], "more": 1 },
        ]);
        let stored = Stored { turn: Turn::first(Provider::Spot), task_arn: None, finished: finished.clone() };
        let end = End::of(stored.clone(), &outputs);
        assert_eq!(json!(end.result().unwrap().outputs), told);
        let failure = Failure { class: Class::UploadFailed, message: "x".into(), output: None };
        let finished = Finished { failure: Some(failure), ..finished };
        assert_eq!(json!(End::of(Stored { finished, ..stored }, &outputs).failure().unwrap().outputs), told);
    }

    #[test]
    fn what_is_too_long_for_a_cause_is_shortened() {
        let long = "x".repeat(CAUSE_LIMIT);
        assert_eq!(cause(&long, |_| "short".to_owned()).unwrap(), "\"short\"");
        assert_eq!(cause(&"x".to_owned(), |_| "short".to_owned()).unwrap(), "\"x\"");
    }
}
