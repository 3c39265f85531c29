//! The worker's way to the done queue.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use local_aws::clock::Clock;
use local_aws::random::Random;
use mayfly_model::message::{Assignment, News, Report};
use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::worker::log::Log;
use crate::worker::truth::{Sent, Truth};

/// The worker's own limit for the tries of a result after SIGTERM.
const LAST_TRIES: Duration = Duration::from_secs(90);
/// What the worker waits between tries: a second, twice as long each time, at most this, and up to as much again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Pauses between tries.
#[derive(Debug)]
pub(super) struct Backoff {
    clock: Clock,
    random: Random,
    next: Duration,
}

impl Backoff {
    pub fn new(clock: Clock, random: Random) -> Self {
        Self { clock, random, next: FIRST_PAUSE }
    }

    pub fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }

    pub async fn pause(&mut self) {
        let jitter = self.next.mul_f64(self.random.value());
        self.clock.sleep(self.next + jitter).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

/// Reports on one assignment.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub sqs: Client,
    pub url: String,
    pub task: String,
    pub task_arn: String,
    pub job: String,
    pub clock: Clock,
    pub random: Random,
    pub truth: Truth,
    pub log: Arc<Log>,
}

impl Reporter {
    /// The message in which the worker says `news` of `assignment`.
    pub fn message(&self, assignment: &Assignment, news: News) -> String {
        let report = Report {
            job: assignment.job.clone(),
            turn: assignment.turn,
            nonce: assignment.nonce.clone(),
            task_arn: Some(self.task_arn.clone()),
            news,
        };
        let text = serde_json::to_string(&report).expect("a report can be written");
        // The two characters of Unicode's that SQS refuses: API Reference, `SendMessage`, `MessageBody`.
        text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    }

    /// Sends a message once, which may fail.
    pub async fn mention(&self, message: String) {
        if self.send(message).await.is_err() {
            self.log.warn("report not sent");
        }
    }

    /// Sends the result until SQS has it, or for so long as a container lives that has been told to stop. Every sending is
    /// part of the truth.
    pub async fn insist(&self, message: String, told_to_stop: &CancellationToken) {
        let sending = async {
            let mut backoff = Backoff::new(self.clock, self.random.clone());
            loop {
                let sent = Sent { at: self.clock.now(), accepted: None };
                self.truth.of_start(&self.task, |start| start.sent.push(sent));
                if self.send(message.clone()).await.is_ok() {
                    break;
                }
                self.log.warn("report not sent, trying again");
                backoff.pause().await;
            }
        };
        let out_of_time = async {
            told_to_stop.cancelled().await;
            self.clock.sleep(LAST_TRIES).await;
        };
        select! {
            biased;
            () = sending => {
                let now = self.clock.now();
                self.truth.of_start(&self.task, |start| {
                    if let Some(last) = start.sent.last_mut() {
                        last.accepted = Some(now);
                    }
                });
                self.log.info("report accepted", serde_json::Value::Null);
            }
            () = out_of_time => self.log.warn("report lost: SQS did not accept it in time"),
        }
    }

    async fn send(&self, message: String) -> Result<(), ()> {
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(message)
            .send()
            .await
            .map(drop)
            .map_err(drop)
    }
}
