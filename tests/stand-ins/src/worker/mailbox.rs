//! The worker's mailbox: polled all the time, each message deleted as soon as it has arrived.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use local_aws::clock::Clock;
use local_aws::random::Random;
use mayfly_model::message::Order;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::worker::log::Log;
use crate::worker::reports::Backoff;

/// SQS API Reference, `ReceiveMessage`: what `WaitTimeSeconds` and `MaxNumberOfMessages` may be at most.
const LONG_POLL: i32 = 20;
const BATCH: i32 = 10;

/// The longest that one request of the mailbox or the done queue goes without an answer: the worker's own limit.
pub(super) const ATTEMPT: Duration = Duration::from_secs(30);

/// What arrives in the mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub orders: mpsc::Receiver<Order>,
    _poll: AbortOnDropHandle<()>,
}

impl Mailbox {
    /// Polls the mailbox at `url` until the worker is told to stop: what comes then is for the next container.
    pub fn open(
        sqs: Client,
        url: String,
        told_to_stop: CancellationToken,
        (clock, random): (Clock, Random),
        log: Arc<Log>,
    ) -> Self {
        let (sender, orders) = mpsc::channel(1);
        let poll = tokio::spawn(async move {
            let mut backoff = Backoff::new(clock, random);
            while let Some(messages) = told_to_stop.run_until_cancelled(receive(&sqs, &url)).await {
                let Ok(messages) = messages else {
                    log.warn("mailbox not read, trying again");
                    if told_to_stop.run_until_cancelled(backoff.pause()).await.is_none() {
                        break;
                    }
                    continue;
                };
                backoff.reset();
                let mut orders: Vec<Order> = Vec::new();
                for (body, receipt) in messages {
                    // What stays comes again, and is stale then.
                    if sqs.delete_message().queue_url(&url).receipt_handle(receipt).send().await.is_err() {
                        log.warn("message not deleted");
                    }
                    match serde_json::from_str(&body) {
                        Ok(order) => orders.push(order),
                        Err(_) => log.warn("message dropped: it is no order that this worker knows"),
                    }
                }
                orders.sort_by_key(|order| Reverse(order.start()));
                for order in orders {
                    if sender.send(order).await.is_err() {
                        return;
                    }
                }
            }
            sender.closed().await;
        });
        Self { orders, _poll: AbortOnDropHandle::new(poll) }
    }
}

/// The bodies and the receipts of the next messages.
async fn receive(sqs: &Client, url: &str) -> Result<Vec<(String, String)>, ()> {
    let request = sqs.receive_message().queue_url(url).max_number_of_messages(BATCH);
    let received = request.wait_time_seconds(LONG_POLL).send().await.map_err(|_| ())?;
    let parts = |message: aws_sdk_sqs::types::Message| {
        (message.body.unwrap_or_default(), message.receipt_handle.unwrap_or_default())
    };
    Ok(received.messages.unwrap_or_default().into_iter().map(parts).collect())
}
