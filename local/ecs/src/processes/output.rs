//! What a container's processes write, line by line, in its log stream and in a file.

use local_aws::clock::Clock;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::logs::{Line, LogStream, MAX_LINE_BYTES, next_batch};

/// Lines that may wait before the process has to; it is the driver's mode `blocking`.
const MAX_WAITING: usize = 1024;

/// Follows both outputs of a process in the background, until both are closed and everything is delivered.
pub(super) fn follow(
    tracker: &TaskTracker,
    stdout: impl AsyncRead + Unpin + Send + 'static,
    stderr: impl AsyncRead + Unpin + Send + 'static,
    file: File,
    stream: Option<LogStream>,
    clock: Clock,
) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    tracker.spawn(read(stdout, sender.clone(), clock));
    tracker.spawn(read(stderr, sender, clock));
    tracker.spawn(deliver(receiver, file, stream, clock));
}

/// Reads lines; a line that is too long comes in pieces.
async fn read(output: impl AsyncRead + Unpin, lines: mpsc::Sender<Line>, clock: Clock) {
    let mut output = BufReader::new(output);
    loop {
        let mut bytes = Vec::new();
        match (&mut output).take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "output of a task could not be read"),
        }
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
        if lines.send(Line { time: clock.now(), text }).await.is_err() {
            return;
        }
    }
}

async fn deliver(mut lines: mpsc::Receiver<Line>, mut file: File, stream: Option<LogStream>, clock: Clock) {
    let mut open = true;
    while open {
        let (batch, more) = next_batch(&mut lines, clock).await;
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
        if let Some(stream) = &stream {
            stream.put(batch).await;
        }
    }
}
