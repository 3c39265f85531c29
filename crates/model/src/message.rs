//! What the functions and the worker say to each other: orders through the job's mailbox, reports through the done
//! queue.

mod folders;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::parts::{PartsWanted, SignedParts};
use crate::turn::Turn;

pub use folders::{FolderSize, Listed, OUTPUT_LIST, Object, Page, Room, encoded, kind_of};

/// The largest object that one POST can make: 5 GB.
/// Source: S3 user guide, "Uploading objects", and S3 API Reference, "POST Object".
pub const POST_LIMIT: u64 = 5 * 1024 * 1024 * 1024;

/// A message in the job's mailbox. It never carries the task token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Order {
    /// Run the job's command.
    Run(Assignment),
    /// The URLs that the worker asked for.
    Urls(SignedUrls),
    /// The objects of a folder that the worker asked for.
    Page(Page),
    /// The parts of a large output that the worker asked for.
    Parts(SignedParts),
}

impl Order {
    /// The start that it is for.
    pub fn start(&self) -> u32 {
        match self {
            Self::Run(assignment) => assignment.turn.start,
            Self::Urls(urls) => urls.start,
            Self::Page(page) => page.start,
            Self::Parts(parts) => parts.start,
        }
    }
}

/// The order for one start of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The job's id.
    pub job: String,
    /// The start's turn; of two orders the one with the later start counts.
    pub turn: Turn,
    /// Proves that a report comes from a container of this job.
    pub nonce: String,
    /// The argument vector; no shell parses it.
    pub command: Vec<String>,
    /// Files to download before the command starts.
    pub inputs: Vec<Download>,
    /// Folders to fill before the command starts, by their names in the working directory; their objects are to be asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_folders: Vec<String>,
    /// Files to upload when the command has succeeded, by their names in the working directory; or folders, or patterns.
    pub outputs: Vec<String>,
    /// Those of the outputs that may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional_outputs: Vec<String>,
    /// Whether the list of all files that were uploaded is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lists_outputs: bool,
    /// The attempt's time-out, in seconds from this message.
    pub timeout_seconds: u64,
    /// How often to report, in seconds.
    pub report_every_seconds: u64,
}

/// A file and where to get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// The file's name in the working directory.
    pub file: String,
    /// A signed URL, or the job document's own https URL.
    pub url: String,
}

/// Answer to [`News::UrlsWanted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedUrls {
    /// The start that asked.
    pub start: u32,
    /// Fresh URLs of inputs.
    pub downloads: Vec<Download>,
    /// Where to post outputs.
    pub uploads: Vec<Upload>,
}

/// A file and where to post it; or a folder, whose form is good for every file below the prefix that is in its field `key`.
/// Source: S3 API Reference, "POST Object" and "Creating an HTML form (using AWS Signature Version 4)".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The file's name in the working directory, or the folder's or the pattern; or [`OUTPUT_LIST`].
    pub file: String,
    /// The bucket's URL.
    pub url: String,
    /// The form's fields, which go before the file.
    pub fields: BTreeMap<String, String>,
}

/// A message in the done queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The job's id.
    pub job: String,
    /// The assignment's turn; of a task that never got one, the turn that was going on when it ended.
    pub turn: Turn,
    /// The assignment's nonce.
    pub nonce: String,
    /// The worker's own task, from the metadata endpoint; absent where ECS could place none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// What there is to say.
    pub news: News,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum News {
    /// The worker is alive.
    Heartbeat(Progress),
    /// The worker needs URLs: for inputs whose URL has expired, for outputs that are ready.
    UrlsWanted {
        /// Inputs, by file.
        downloads: Vec<String>,
        /// Outputs, by file.
        uploads: Vec<FileSize>,
    },
    /// The worker needs the objects of an input that is a folder.
    PageWanted {
        /// The folder's name.
        folder: String,
        /// The name after which the page is to begin, in the folder; absent for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The worker needs a large output's parts signed.
    PartsWanted(PartsWanted),
    /// The work is over, well or not.
    Finished(Finished),
    /// What no container can report itself: ECS says that the task has ended, or cannot be placed.
    Lost(Loss),
}

/// What a start is lost by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
    /// Whether ECS has given up the whole service and starts no task of it any more. Else it goes on trying.
    #[serde(default)]
    pub given_up: bool,
}

/// A file in the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSize {
    /// The file's name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

/// How far the work is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What the worker is doing.
    pub phase: Phase,
    /// Of the current phase, 0 to 100, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// The command's last line of output, or the file on its way; at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// The phases of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Getting the inputs.
    Downloading,
    /// The command runs.
    Running,
    /// Bringing the outputs to their places.
    Uploading,
}

/// How the work ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// From the assignment's arrival to the end, in seconds.
    pub seconds: f64,
    /// The command's exit code; absent where it never ran, or was killed by a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The files that were uploaded, each an output of its own.
    #[serde(default)]
    pub outputs: Vec<FileSize>,
    /// What was uploaded of outputs that are folders or patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderSize>,
    /// Why it failed; absent where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Whether a part of what the command printed has not come to the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_truncated: bool,
}

/// Why the work failed, or a start was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The class.
    pub class: Class,
    /// A sentence that a person can act on.
    pub message: String,
    /// The last 4 KB of the command's output, where a command failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}
