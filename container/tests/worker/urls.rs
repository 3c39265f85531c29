//! Questions for signed URLs.

use std::time::Duration;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use mayfly_model::message::{FileSize, News, Order, SignedUrls, Upload};
use mayfly_worker::done::{DoneQueue, Reporter};
use mayfly_worker::urls::{Pace, UrlDesk};
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::cloud::{Queues, TASK_ARN, assignment};
use crate::server::quick;

/// Who reports on the assignment of these tests.
pub fn reporter(queues: &Queues) -> Reporter {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("worker", "secret", None, None, "test"))
        .endpoint_url(queues.url.as_str())
        .build();
    let queue = queues.url.join("123456789012/done").unwrap();
    let done = DoneQueue::new(aws_sdk_sqs::Client::from_conf(config), queue.to_string(), TASK_ARN.to_owned());
    done.reporter(&assignment(1, ""))
}

fn desk(queues: &Queues) -> (UrlDesk, UnboundedSender<Order>) {
    let (sender, answers) = mpsc::unbounded_channel();
    let pace =
        Pace { ask_again: Duration::from_millis(50), give_up: Duration::from_millis(500), backoff: quick() };
    (UrlDesk::new(reporter(queues), answers, pace), sender)
}

fn answer(file: &str, url: &str) -> Order {
    let upload = Upload { file: file.to_owned(), url: url.to_owned(), fields: [].into() };
    Order::Urls(SignedUrls { start: 1, downloads: Vec::new(), uploads: vec![upload] })
}

fn files() -> [FileSize; 2] {
    ["a", "b"].map(|file| FileSize { file: file.to_owned(), bytes: 1 })
}

#[tokio::test]
async fn a_lost_question_is_asked_again_and_an_answer_may_come_in_parts() {
    let mut queues = Queues::start().await;
    let (mut desk, answers) = desk(&queues);
    answers.send(answer("a", "of an earlier question")).unwrap();
    let answering = async {
        for _ in 0..2 {
            queues.report(|news| matches!(news, News::UrlsWanted { .. })).await;
        }
        answers.send(answer("b", "second")).unwrap();
        answers.send(answer("c", "not wanted")).unwrap();
        answers.send(answer("a", "first")).unwrap();
    };
    let wanted = files();
    let (uploads, ()) = tokio::join!(desk.uploads(&wanted), answering);
    let urls: Vec<String> = uploads.unwrap().into_iter().map(|upload| upload.url).collect();
    assert_eq!(urls, ["first", "second"]);
}

#[tokio::test]
async fn a_question_without_an_answer_is_given_up() {
    let queues = Queues::start().await;
    let (mut desk, answers) = desk(&queues);
    answers.send(answer("a", "only one of two")).unwrap();
    assert_eq!(desk.uploads(&files()).await, None);
}
