//! The done queue, to which the worker sends its reports.

use std::time::Duration;

use aws_sdk_sqs::Client;
use backon::{ExponentialBuilder, Retryable};
use mayfly_model::message::{Assignment, News, Report};
use mayfly_model::turn::Turn;
use tokio::select;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long one request may go without an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a report may still be tried when the container has been told to stop. With the command's own grace it is
/// less than the 120 s after which ECS kills the container.
const LAST_TRIES: Duration = Duration::from_secs(90);

/// The stack's done queue, as this task uses it.
#[derive(Clone, Debug)]
pub struct DoneQueue {
    sqs: Client,
    url: String,
    task_arn: String,
}

impl DoneQueue {
    /// The queue at `url`, used by the task `task_arn`.
    pub fn new(sqs: Client, url: String, task_arn: String) -> Self {
        Self { sqs, url, task_arn }
    }

    /// Who reports on `assignment`.
    pub fn reporter(&self, assignment: &Assignment) -> Reporter {
        let Assignment { job, turn, nonce, .. } = assignment;
        Reporter { queue: self.clone(), job: job.clone(), turn: *turn, nonce: nonce.clone() }
    }
}

/// Reports on one start.
#[derive(Clone, Debug)]
pub struct Reporter {
    queue: DoneQueue,
    job: String,
    turn: Turn,
    nonce: String,
}

impl Reporter {
    /// Sends `news`. A failure is logged and otherwise ignored: the next report may get through.
    pub async fn mention(&self, news: News) {
        if let Err(error) = self.send(&news).await {
            warn!("report not sent: {error:#}");
        }
    }

    /// Sends `news` and does not return before SQS has accepted it, or the container is about to be killed.
    pub async fn insist(&self, news: News, told_to_stop: &CancellationToken) {
        let backoff = ExponentialBuilder::new()
            .with_max_delay(Duration::from_secs(30))
            .with_jitter()
            .without_max_times();
        let sending = (|| self.send(&news))
            .retry(backoff)
            .notify(|error, _| warn!("report not sent, trying again: {error:#}"));
        let out_of_time = async {
            told_to_stop.cancelled().await;
            sleep(LAST_TRIES).await;
        };
        select! {
            _ = sending => info!(start = self.turn.start, "report accepted"),
            () = out_of_time => error!(start = self.turn.start, "report lost: SQS did not accept it in time"),
        }
    }

    async fn send(&self, news: &News) -> anyhow::Result<()> {
        let Self { queue: DoneQueue { sqs, url, task_arn }, job, turn, nonce } = self;
        let report = Report {
            job: job.clone(),
            turn: *turn,
            nonce: nonce.clone(),
            task_arn: Some(task_arn.clone()),
            news: news.clone(),
        };
        // SQS refuses a message with these two characters, which a command may print; JSON can write them in ASCII.
        // Source: SQS API Reference, `SendMessage`, `MessageBody`.
        let body =
            serde_json::to_string(&report)?.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        sqs.send_message().queue_url(url).message_body(body).send().await?;
        Ok(())
    }
}
