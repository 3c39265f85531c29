//! Lambda's event source mapping of a queue: what takes its messages to a function.
//! Sources: Lambda developer guide, "Using Lambda with Amazon SQS", "Configuring scaling behavior for SQS event source
//! mappings" and "Handling errors for an SQS event source in Lambda", read in November 2026.

use std::collections::BTreeSet;
use std::future::Future;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::sqs::{Received, Sqs};

/// An event source mapping with `ReportBatchItemFailures` and without a batching window.
#[derive(Debug)]
pub struct Poller {
    /// The queues of the account.
    pub sqs: Sqs,
    /// The queue's ARN.
    pub queue: String,
    /// `BatchSize`: up to 10.
    pub batch: usize,
    /// `MaximumConcurrency`: how many calls of the function there are at once.
    pub concurrency: usize,
}

impl Poller {
    /// Takes messages to a function until the queue is gone. `invoke` calls it with a payload and gives what it answers; none
    /// where it failed, or was not run.
    ///
    /// A batch is received when the function can be called with it: Lambda reads no more than the maximum concurrency lets
    /// it handle. It backs off when calls fail by errors of the function's code, by how much no page says; here it does not,
    /// as with `ReportBatchItemFailures` it "doesn't scale down message polling when function invocations fail".
    pub async fn run<F: Future<Output = Option<String>>>(self, invoke: impl Fn(String) -> F) {
        let name = self.queue.rsplit(':').next().unwrap_or_default();
        let one_at_a_time = async |_| {
            while let Some(batch) = self.sqs.receive(name, self.batch).await {
                let records: Vec<_> = batch.iter().map(|message| self.record(message)).collect();
                let answer = invoke(json!({ "Records": records }).to_string()).await;
                self.settle(name, &batch, answer);
            }
        };
        join_all((0..self.concurrency).map(one_at_a_time)).await;
    }

    /// Deletes what the function has handled; the rest comes back when its visibility time-out is over, the queue's or the
    /// one that the function has set.
    ///
    /// A throttled call is tried again by Lambda while the batch is hidden, after pauses that no page bounds: here they are
    /// longer than that.
    fn settle(&self, name: &str, batch: &[Received], answer: Option<String>) {
        let Some(failed) = answer.and_then(|answer| failures(&answer, batch)) else { return };
        for message in batch.iter().filter(|message| !failed.contains(&message.id)) {
            self.sqs.delete(name, &message.handle);
        }
    }

    fn record(&self, message: &Received) -> Value {
        json!({
            "messageId": message.id,
            "receiptHandle": message.handle,
            "body": message.body,
            "attributes": { "ApproximateReceiveCount": message.receives.to_string() },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue,
            "awsRegion": self.queue.split(':').nth(3),
        })
    }
}

/// The ids of the messages that an answer names as failed; none where the answer counts as the failure of the whole batch.
///
/// An answer is a success that has no list, or a list of none; it is a complete failure that is no JSON, or with an id that
/// is empty, null, or under another key. That an id of no message is a failure too is a guess on the safe side.
/// Source: Lambda developer guide, "Handling errors for an SQS event source in Lambda", "Success and failure conditions".
fn failures(answer: &str, batch: &[Received]) -> Option<BTreeSet<String>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let listed = match &answer["batchItemFailures"] {
        Value::Null => return Some(BTreeSet::new()),
        listed => listed.as_array()?,
    };
    let is_known = |id: &&str| batch.iter().any(|message| message.id == *id);
    listed
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().filter(is_known).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use aws_lambda_events::event::sqs::SqsEvent;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::sqs::tests::{queue, send, sqs};

    /// What a function answers to a batch.
    type Answer = Box<dyn Fn(&SqsEvent) -> Option<String> + Send + Sync>;

    /// A function that takes a second, and keeps what it was given, with the time since the start.
    struct Function {
        answer: Answer,
        start: Instant,
        given: Mutex<Vec<(u64, SqsEvent)>>,
        /// How many of its calls are running, and were at once at most.
        running: Mutex<(usize, usize)>,
    }

    impl Function {
        fn new(answer: impl Fn(&SqsEvent) -> Option<String> + Send + Sync + 'static) -> Self {
            Self {
                answer: Box::new(answer),
                start: Instant::now(),
                given: Mutex::default(),
                running: Mutex::default(),
            }
        }

        async fn invoke(&self, payload: String) -> Option<String> {
            let event: SqsEvent = serde_json::from_str(&payload).expect("an event of SQS");
            self.given.lock().expect("no panic").push((self.start.elapsed().as_secs(), event.clone()));
            {
                let (running, most) = &mut *self.running.lock().expect("no panic");
                *running += 1;
                *most = (*most).max(*running);
            }
            sleep(Duration::from_secs(1)).await;
            self.running.lock().expect("no panic").0 -= 1;
            (self.answer)(&event)
        }

        /// The bodies of all batches, each with the second in which it came.
        fn given(&self) -> Vec<(u64, Vec<String>)> {
            let given = self.given.lock().expect("no panic");
            let bodies = |event: &SqsEvent| {
                let mut bodies: Vec<_> =
                    event.records.iter().filter_map(|record| record.body.clone()).collect();
                bodies.sort();
                bodies
            };
            given.iter().map(|(second, event)| (*second, bodies(event))).collect()
        }
    }

    /// The queue's poller runs for so many seconds.
    async fn run(sqs: &Sqs, function: &Function, seconds: u64) {
        let poller = Poller { sqs: sqs.clone(), queue: sqs.arn("q"), batch: 10, concurrency: 5 };
        let running = poller.run(|payload| function.invoke(payload));
        let _ = timeout(Duration::from_secs(seconds), running).await;
    }

    /// The answer that names these bodies as failed.
    fn failing(bodies: &'static [&str]) -> impl Fn(&SqsEvent) -> Option<String> {
        move |event| {
            let failed = event
                .records
                .iter()
                .filter(|record| record.body.as_deref().is_some_and(|body| bodies.contains(&body)));
            let failures: Vec<_> =
                failed.map(|record| json!({ "itemIdentifier": record.message_id })).collect();
            Some(json!({ "batchItemFailures": failures }).to_string())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_succeeded_is_deleted_and_what_failed_comes_back_after_its_time() {
        let (sqs, client) = sqs(1, 0);
        let url = queue(&sqs, "q", &[("VisibilityTimeout", json!(180))]);
        for body in ["good", "bad"] {
            send(&client, &url, body).await;
        }
        let function = Function::new(failing(&["bad"]));
        run(&sqs, &function, 200).await;
        let both = vec!["bad".to_owned(), "good".to_owned()];
        assert_eq!(function.given(), [(0, both), (180, vec!["bad".to_owned()])]);
        let depth = sqs.depth("q");
        assert_eq!((depth.visible, depth.in_flight), (0, 1));
        let given = function.given.lock().expect("no panic");
        let record = given[1].1.records[0].clone();
        assert_eq!(record.event_source_arn, Some(sqs.arn("q")));
        assert_eq!(record.event_source.as_deref(), Some("aws:sqs"));
        assert_eq!(record.aws_region.as_deref(), Some(crate::bench::REGION));
        assert_eq!(record.attributes["ApproximateReceiveCount"], "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_the_function_has_set_is_kept() {
        let (sqs, client) = sqs(2, 0);
        let url = queue(&sqs, "q", &[("VisibilityTimeout", json!(180))]);
        send(&client, &url, "bad").await;
        let function = Function::new(failing(&["bad"]));
        let hide = async {
            sleep(Duration::from_millis(500)).await;
            let handle = function.given.lock().expect("no panic")[0].1.records[0].receipt_handle.clone();
            let hide = client.change_message_visibility().queue_url(&url).set_receipt_handle(handle);
            hide.visibility_timeout(5).send().await.expect("hidden");
        };
        tokio::join!(run(&sqs, &function, 100), hide);
        let seconds: Vec<_> = function.given().into_iter().map(|(second, _)| second).collect();
        assert_eq!(seconds, [0, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_and_an_answer_that_makes_no_sense_leave_the_whole_batch() {
        let answers = [
            None,
            Some("no JSON"),
            Some(r#"{"batchItemFailures":"x"}"#),
            Some(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#),
            Some(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#),
            Some(r#"{"batchItemFailures":[{"id":"x"}]}"#),
            Some(r#"{"batchItemFailures":[{"itemIdentifier":"unknown"}]}"#),
        ];
        for answer in answers {
            let (sqs, client) = sqs(3, 0);
            let url = queue(&sqs, "q", &[]);
            send(&client, &url, "x").await;
            let function = Function::new(move |_| answer.map(str::to_owned));
            run(&sqs, &function, 10).await;
            assert_eq!(sqs.depth("q").in_flight, 1, "{answer:?}");
        }
        for answer in ["null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#] {
            let (sqs, client) = sqs(3, 0);
            let url = queue(&sqs, "q", &[]);
            send(&client, &url, "x").await;
            let function = Function::new(move |_| Some(answer.to_owned()));
            run(&sqs, &function, 10).await;
            assert_eq!(sqs.depth("q"), crate::sqs::Depth::default(), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn batches_have_ten_messages_and_five_run_at_once() {
        let (sqs, client) = sqs(4, 0);
        let url = queue(&sqs, "q", &[]);
        for number in 0..100 {
            send(&client, &url, &number.to_string()).await;
        }
        let function = Function::new(failing(&[]));
        run(&sqs, &function, 10).await;
        let given = function.given();
        assert_eq!(
            given.iter().map(|(second, batch)| (*second, batch.len())).collect::<Vec<_>>(),
            [[(0, 10); 5], [(1, 10); 5]].concat()
        );
        assert_eq!(function.running.lock().expect("no panic").1, 5);
        assert_eq!(sqs.depth("q"), crate::sqs::Depth::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_taken_whenever_it_comes_and_the_end_of_the_queue_is_the_poller_s() {
        let (sqs, client) = sqs(5, 0);
        let url = queue(&sqs, "q", &[]);
        let function = Function::new(failing(&[]));
        let come_and_go = async {
            sleep(Duration::from_hours(24)).await;
            send(&client, &url, "late").await;
            sleep(Duration::from_secs(10)).await;
            assert_eq!(sqs.depth("q"), crate::sqs::Depth::default());
            client.delete_queue().queue_url(&url).send().await.expect("deleted");
        };
        tokio::join!(run(&sqs, &function, 1_000_000), come_and_go);
        assert_eq!(function.given(), [(86_400, vec!["late".to_owned()])]);
        assert!(function.start.elapsed() <= Duration::from_secs(86_400 + 10 + 60));
    }
}
