//! The awslogs driver: a container's output, line by line, in its log stream.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use jiff::Timestamp;
use local_aws::clock::Clock;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

/// The options of the awslogs driver that Fargate demands: Developer Guide, "Send Amazon ECS logs to
/// CloudWatch".
pub(crate) const OPTIONS: [&str; 3] = ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"];

/// Why a task has no log stream when nothing leads to CloudWatch Logs: as seen on AWS (civiform/civiform#7648).
pub(crate) const UNREACHABLE: &str = "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log group \
     defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network \
     configuration. : signal: killed";

/// How long a line waits for company, in real time.
const INTERVAL: Duration = Duration::from_millis(500);

/// API Reference, `PutLogEvents`: at most 10,000 events and 1 MiB a call, each event counting 26 bytes more
/// than its message. With lines of at most 64 KiB and fewer of them than this a batch of half the size is
/// always within.
const MAX_BATCH: usize = 5_000;
const MAX_BATCH_BYTES: usize = 512 << 10;
const EVENT_BYTES: usize = 26;
/// How long a line may be.
pub(crate) const MAX_LINE_BYTES: u64 = 64 << 10;

/// The log stream of one container.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    group: String,
    name: String,
}

impl LogStream {
    /// Creates the stream `prefix/container/task` with the credentials in `config`, those of the execution
    /// role. The error is the code and the message of CloudWatch Logs.
    pub(crate) async fn create(
        config: &SdkConfig,
        options: &BTreeMap<String, String>,
        container: &str,
        task: &str,
    ) -> Result<Self, String> {
        let [group, _, prefix] = OPTIONS.map(|option| options.get(option).cloned().unwrap_or_default());
        let stream =
            Self { client: Client::new(config), group, name: format!("{prefix}/{container}/{task}") };
        let request = stream.client.create_log_stream();
        match request.log_group_name(&stream.group).log_stream_name(&stream.name).send().await {
            Ok(_) => Ok(stream),
            Err(error) => Err(match (error.code(), error.message()) {
                (Some(code), message) => format!("{code}: {}", message.unwrap_or_default()),
                _ => DisplayErrorContext(error).to_string(),
            }),
        }
    }

    /// Puts the lines of one batch there; empty ones are left out (API Reference, `InputLogEvent$message`: at least one
    /// character).
    pub async fn put(&self, batch: Vec<Line>) {
        let events = batch.into_iter().filter(|line| !line.text.is_empty()).filter_map(|line| {
            InputLogEvent::builder().timestamp(line.time.as_millisecond()).message(line.text).build().ok()
        });
        let events: Vec<_> = events.collect();
        if events.is_empty() {
            return;
        }
        let request = self.client.put_log_events().log_group_name(&self.group).log_stream_name(&self.name);
        if let Err(error) = request.set_log_events(Some(events)).send().await {
            // As on AWS: lost output does not stop a task.
            let error = DisplayErrorContext(error).to_string();
            tracing::error!(group = self.group, stream = self.name, error, "output of a task was lost");
        }
    }
}

/// A line of a container's output.
#[derive(Debug)]
pub struct Line {
    /// When it was read.
    pub time: Timestamp,
    /// What it says, without its end.
    pub text: String,
}

/// The lines of the next interval, as many as fit into one call, and whether there may be more.
pub(crate) async fn next_batch(lines: &mut mpsc::Receiver<Line>, clock: Clock) -> (Vec<Line>, bool) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut deadline = None;
    while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
        let next = match deadline {
            None => lines.recv().await,
            Some(deadline) => match timeout_at(deadline, lines.recv()).await {
                Ok(next) => next,
                Err(_) => return (batch, true),
            },
        };
        let Some(line) = next else { return (batch, false) };
        deadline.get_or_insert_with(|| clock.instant() + INTERVAL);
        bytes += line.text.len() + EVENT_BYTES;
        batch.push(line);
    }
    (batch, true)
}
