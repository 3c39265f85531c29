//! The awslogs driver: a container's output, line by line, in its log stream and in a file.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::fargate::LOG_OPTIONS;

/// How long a line waits for company, in real time.
const INTERVAL: Duration = Duration::from_millis(500);

/// API Reference, `PutLogEvents`: at most 10,000 events and 1 MiB a call, each event counting 26 bytes more
/// than its message. With lines of at most 64 KiB and fewer of them than this a batch of half the size is
/// always within.
const MAX_BATCH: usize = 5_000;
const MAX_BATCH_BYTES: usize = 512 << 10;
const EVENT_BYTES: usize = 26;
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Lines that may wait before the process has to; it is the driver's mode `blocking`.
const MAX_WAITING: usize = 1024;

/// The log stream of one container.
#[derive(Debug)]
pub(crate) struct LogStream {
    client: Client,
    group: String,
    name: String,
}

impl LogStream {
    /// Creates the stream `prefix/container/task` with the credentials in `config`, those of the execution
    /// role. The error is the code and the message of CloudWatch Logs.
    pub async fn create(
        config: &SdkConfig,
        options: &BTreeMap<String, String>,
        container: &str,
        task: &str,
    ) -> Result<Self, String> {
        let [group, _, prefix] = LOG_OPTIONS.map(|option| options.get(option).cloned().unwrap_or_default());
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

    async fn put(&self, events: Vec<InputLogEvent>) {
        let request = self.client.put_log_events().log_group_name(&self.group).log_stream_name(&self.name);
        if let Err(error) = request.set_log_events(Some(events)).send().await {
            // As on AWS: lost output does not stop a task.
            let error = DisplayErrorContext(error).to_string();
            tracing::error!(group = self.group, stream = self.name, error, "output of a task was lost");
        }
    }
}

/// Follows both outputs of a process in the background, until both are closed and everything is delivered.
pub(crate) fn follow(
    tracker: &TaskTracker,
    stdout: impl AsyncRead + Unpin + Send + 'static,
    stderr: impl AsyncRead + Unpin + Send + 'static,
    file: File,
    stream: Option<LogStream>,
) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    tracker.spawn(read(stdout, sender.clone()));
    tracker.spawn(read(stderr, sender));
    tracker.spawn(deliver(receiver, file, stream));
}

/// Reads lines; a line that is too long comes in pieces.
async fn read(output: impl AsyncRead + Unpin, lines: mpsc::Sender<Line>) {
    let mut output = BufReader::new(output);
    loop {
        let mut bytes = Vec::new();
        match (&mut output).take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "output of a task could not be read"),
        }
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
        if lines.send(Line { time: Timestamp::now(), text }).await.is_err() {
            return;
        }
    }
}

struct Line {
    time: Timestamp,
    text: String,
}

async fn deliver(mut lines: mpsc::Receiver<Line>, mut file: File, stream: Option<LogStream>) {
    let mut open = true;
    while open {
        let (batch, more) = collect(&mut lines).await;
        open = more;
        let text: String = batch.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect();
        if let Err(error) = async {
            file.write_all(text.as_bytes()).await?;
            file.flush().await
        }
        .await
        {
            tracing::warn!(%error, "output of a task could not be kept in its file");
        }
        let Some(stream) = &stream else { continue };
        // API Reference, `InputLogEvent$message`: at least one character.
        let events = batch.into_iter().filter(|line| !line.text.is_empty()).filter_map(|line| {
            InputLogEvent::builder().timestamp(line.time.as_millisecond()).message(line.text).build().ok()
        });
        let events: Vec<_> = events.collect();
        if !events.is_empty() {
            stream.put(events).await;
        }
    }
}

/// The lines of the next interval, as many as fit into one call, and whether there may be more.
async fn collect(lines: &mut mpsc::Receiver<Line>) -> (Vec<Line>, bool) {
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
        deadline.get_or_insert_with(|| Instant::now() + INTERVAL);
        bytes += line.text.len() + EVENT_BYTES;
        batch.push(line);
    }
    (batch, true)
}
