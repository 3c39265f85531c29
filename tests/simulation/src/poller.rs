//! What Lambda does between a queue and a function.
//! Source: Lambda developer guide, "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source".

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::lambda::{Lambda, Ran};
use crate::sqs::{Received, Sqs};

/// An event source mapping.
#[derive(Clone, Debug)]
pub struct Poller {
    /// Whose queues.
    pub sqs: Sqs,
    /// Whose functions.
    pub lambda: Lambda,
    /// The queue's ARN.
    pub queue: String,
    /// The function's.
    pub function: String,
    /// `BatchSize`.
    pub batch: usize,
    /// `MaximumConcurrency`.
    pub concurrency: usize,
}

impl Poller {
    /// Polls for ever.
    pub async fn poll(self) {
        let name = self.queue.rsplit(':').next().unwrap_or_default().to_owned();
        let mut running = JoinSet::new();
        loop {
            if running.len() >= self.concurrency {
                running.join_next().await;
                continue;
            }
            self.sqs.visible(&name).await;
            let batch = self.sqs.receive(&name, self.batch, None);
            if !batch.is_empty() {
                let poller = self.clone();
                let name = name.clone();
                running.spawn(async move { poller.hand(&name, batch).await });
            }
            while running.try_join_next().is_some() {}
        }
    }

    /// What was not told to have failed is deleted; nothing is where the function has failed, or was not run.
    async fn hand(&self, name: &str, batch: Vec<Received>) {
        let records: Vec<_> = batch.iter().map(|message| self.record(message)).collect();
        let event = json!({ "Records": records }).to_string();
        let Ok(Ran::Answered(answer)) = self.lambda.invoke(&self.function, &event).await else { return };
        let Some(failed) = failures(&answer) else { return };
        for message in batch.iter().filter(|message| !failed.contains(&message.id)) {
            self.sqs.delete(name, &message.handle);
        }
    }

    fn record(&self, message: &Received) -> Value {
        let region = self.queue.split(':').nth(3).unwrap_or_default();
        json!({
            "messageId": message.id,
            "receiptHandle": message.handle,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.count.to_string(),
                "SentTimestamp": message.sent_at.to_string(),
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue,
            "awsRegion": region,
        })
    }
}

/// The ids of the messages that the function says have failed; nothing where its answer is none, and all count as failed. An
/// empty answer says that none has ("Success and failure conditions").
fn failures(answer: &str) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    match &answer["batchItemFailures"] {
        Value::Null => Some(Vec::new()),
        Value::Array(failures) => {
            let ids = failures.iter().map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned));
            ids.collect::<Option<_>>().filter(|ids: &Vec<String>| ids.iter().all(|id| !id.is_empty()))
        }
        _ => None,
    }
}
