//! The job's mailbox, from which the worker takes its orders.

use std::cmp::Reverse;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use backon::{ExponentialBuilder, Retryable};
use mayfly_model::message::Order;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, warn};

/// How long one request waits for a message; SQS allows no more.
/// Source: SQS API Reference, `ReceiveMessage`, `WaitTimeSeconds`.
pub const LONG_POLL: Duration = Duration::from_secs(20);
/// The most messages that one request brings.
/// Source: SQS API Reference, `ReceiveMessage`, `MaxNumberOfMessages`.
const BATCH: i32 = 10;

/// Polls the mailbox at `url` until `told_to_stop`: what arrives then is for the next container. A message is deleted as
/// soon as it has arrived.
pub fn open(sqs: Client, url: String, told_to_stop: CancellationToken) -> mpsc::Receiver<Order> {
    // A Tokio task of its own, because an order whose message is deleted must not get lost in a cancelled future.
    let (sender, receiver) = mpsc::channel(1);
    let poll = async move {
        while let Some(messages) = told_to_stop.run_until_cancelled(receive(&sqs, &url)).await {
            let mut orders: Vec<Order> = Vec::new();
            for message in messages {
                delete(&sqs, &url, &message).await;
                // The parser's words may quote the message, which holds signed URLs.
                if let Ok(order) = serde_json::from_str(message.body().unwrap_or_default()) {
                    orders.push(order);
                } else {
                    warn!("message dropped: it is no order that this worker knows");
                }
            }
            // An order for a container that never came still waits when the next one is given; it is then the stale one.
            orders.sort_by_key(|order| Reverse(order.start()));
            for order in orders {
                if sender.send(order).await.is_err() {
                    return;
                }
            }
        }
        // Orders that are here already are still to be read.
        sender.closed().await;
    };
    tokio::spawn(poll.in_current_span());
    receiver
}

async fn receive(sqs: &Client, url: &str) -> Vec<Message> {
    let backoff =
        ExponentialBuilder::new().with_max_delay(Duration::from_secs(30)).with_jitter().without_max_times();
    let seconds = i32::try_from(LONG_POLL.as_secs()).unwrap_or(20);
    let received = (async || {
        let request = sqs.receive_message().queue_url(url).max_number_of_messages(BATCH);
        Ok::<_, anyhow::Error>(request.wait_time_seconds(seconds).send().await?)
    })
    .retry(backoff)
    .notify(|error, _| warn!("mailbox not read, trying again: {error:#}"))
    .await;
    received.ok().and_then(|output| output.messages).unwrap_or_default()
}

/// A message that stays is delivered again, and ignored then.
async fn delete(sqs: &Client, url: &str, message: &Message) {
    let deleted =
        sqs.delete_message().queue_url(url).set_receipt_handle(message.receipt_handle.clone()).send().await;
    if let Err(error) = deleted {
        warn!("message not deleted: {:#}", anyhow::Error::from(error));
    }
}
