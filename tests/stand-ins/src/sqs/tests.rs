//! The calls of the real client, as the product makes them and as it must not.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Depth, Sqs};
use crate::bench::{ACCOUNT, Bench, REGION};

const SECOND: Duration = Duration::from_secs(1);

/// What a role may do with the queues of a stack.
fn rights() -> Value {
    let queues = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:s-*");
    json!([
        { "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues,
          "Condition": { "StringEquals": { "aws:ResourceTag/stack": "s" } } },
        { "Effect": "Allow", "Action": ["sqs:CreateQueue", "sqs:TagQueue"], "Resource": queues,
          "Condition": { "StringEquals": { "aws:RequestTag/stack": "s" } } },
    ])
}

fn bench(seed: u64, repeats_one_in: u32) -> (Bench, Sqs) {
    let bench = Bench::seeded(seed, &rights());
    let sqs = Sqs { repeats_one_in, ..Sqs::new(bench.around.clone()) };
    (bench, sqs)
}

/// An SQS, and a client of the account's root.
pub fn sqs(seed: u64, repeats_one_in: u32) -> (Sqs, Client) {
    let (bench, sqs) = bench(seed, repeats_one_in);
    let client = Client::new(&bench.root(sqs.clone()));
    (sqs, client)
}

/// A queue of the template, and its URL.
pub fn queue(sqs: &Sqs, name: &str, properties: &[(&str, Value)]) -> String {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    sqs.make_queue(name, &Value::Object(properties)).expect("a queue");
    sqs.url(name)
}

pub async fn send(client: &Client, url: &str, body: &str) {
    client.send_message().queue_url(url).message_body(body).send().await.expect("it is sent");
}

async fn receive(client: &Client, url: &str) -> Vec<Message> {
    let request = client.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(1);
    let received = request.send().await.expect("an answer");
    received.messages.unwrap_or_default()
}

fn handle(message: &Message) -> &str {
    message.receipt_handle().expect("a handle")
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> String {
    result.expect_err("refused").code().expect("a code").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_once_received_and_comes_back_until_it_is_deleted() {
    let (sqs, client) = sqs(1, 0);
    let url = queue(&sqs, "q", &[("VisibilityTimeout", json!(30))]);
    send(&client, &url, "hello").await;
    let first = receive(&client, &url).await;
    assert_eq!(first[0].body(), Some("hello"));
    assert_eq!(sqs.depth("q").in_flight, 1);
    assert_eq!(receive(&client, &url).await, []);
    sleep(SECOND * 30).await;
    let second = receive(&client, &url).await;
    assert_ne!(handle(&first[0]), handle(&second[0]));

    let delete =
        async |handle: &str| client.delete_message().queue_url(&url).receipt_handle(handle).send().await;
    delete(handle(&first[0])).await.expect("a stale handle is taken");
    assert_eq!(sqs.depth("q").in_flight, 1, "and deletes nothing");
    delete(handle(&second[0])).await.expect("deleted");
    delete(handle(&second[0])).await.expect("it is gone already");
    assert_eq!(sqs.depth("q"), Depth::default());
    assert_eq!(code(delete("garbage").await), "ReceiptHandleIsInvalid");
}

#[tokio::test(start_paused = true)]
async fn a_message_s_time_can_be_changed_while_it_is_there() {
    let (sqs, client) = sqs(2, 0);
    let url = queue(&sqs, "q", &[]);
    send(&client, &url, "hello").await;
    let message = receive(&client, &url).await.remove(0);
    let hide = async |seconds| {
        let change = client.change_message_visibility().queue_url(&url);
        change.receipt_handle(handle(&message)).visibility_timeout(seconds).send().await
    };
    hide(5).await.expect("changed");
    assert_eq!(receive(&client, &url).await, []);
    sleep(SECOND * 5).await;
    hide(60).await.expect("nobody has received it since");
    assert_eq!(code(hide(43_200).await), "InvalidParameterValue", "twelve hours together");
    sleep(SECOND * 60).await;
    assert_eq!(receive(&client, &url).await.len(), 1);
    assert_eq!(code(hide(5).await), "InvalidParameterValue", "its handle is stale");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_as_soon_as_there_is_a_message_or_its_time_is_up() {
    let (sqs, client) = sqs(3, 0);
    let url = queue(&sqs, "q", &[]);
    let start = sqs.now();
    let delayed = client.send_message().queue_url(&url).message_body("x").delay_seconds(7);
    delayed.send().await.expect("sent");
    assert_eq!(sqs.depth("q").delayed, 1);
    let poll = || client.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let received = poll().await.expect("an answer");
    assert_eq!((received.messages().len(), (sqs.now() - start).as_secs()), (1, 7));
    let start = sqs.now();
    assert_eq!(poll().await.expect("an answer").messages().len(), 0);
    assert_eq!((sqs.now() - start).as_secs(), 20);
    let (polled, ()) = tokio::join!(poll(), async {
        sleep(SECOND).await;
        send(&client, &url, "y").await;
    });
    assert_eq!(polled.expect("an answer").messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_received_too_often_goes_to_the_dead_letters_and_expires_by_its_first_sending() {
    let (sqs, client) = sqs(4, 0);
    let dead = queue(&sqs, "dead", &[("MessageRetentionPeriod", json!(60))]);
    let policy = json!({ "deadLetterTargetArn": sqs.arn("dead"), "maxReceiveCount": 2 });
    let url = queue(&sqs, "q", &[("RedrivePolicy", policy), ("VisibilityTimeout", json!(0))]);
    send(&client, &url, "hello").await;
    for _ in 0..2 {
        assert_eq!(receive(&client, &url).await.len(), 1);
    }
    assert_eq!(sqs.depth("dead").visible, 0);
    assert_eq!(receive(&client, &url).await, []);
    assert_eq!((sqs.depth("q").visible, sqs.depth("dead").visible), (0, 1));
    let buried = receive(&client, &dead).await;
    assert_eq!(buried[0].body(), Some("hello"));
    sleep(SECOND * 60).await;
    assert_eq!(sqs.depth("dead"), Depth::default());
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_no_order_and_some_once_more_but_none_a_third_time() {
    let (sqs, client) = sqs(5, 2);
    let url = queue(&sqs, "q", &[("VisibilityTimeout", json!(600))]);
    for number in 0..20 {
        send(&client, &url, &number.to_string()).await;
    }
    let mut bodies = Vec::new();
    for _ in 0..100 {
        for message in receive(&client, &url).await {
            bodies.push(message.body().expect("a body").to_owned());
            let delete = client.delete_message().queue_url(&url).receipt_handle(handle(&message));
            delete.send().await.expect("deleted");
        }
    }
    let times = |number: u32| bodies.iter().filter(|body| **body == number.to_string()).count();
    let times: Vec<_> = (0..20).map(times).collect();
    assert!(times.iter().all(|times| [1, 2].contains(times)) && times.contains(&2), "{times:?}");
    let first: Vec<_> = (0..10).map(|number: u32| number.to_string()).collect();
    assert_ne!(bodies[..10], first);
    assert_eq!(sqs.depth("q"), Depth::default());
}

#[tokio::test(start_paused = true)]
async fn a_hidden_message_may_be_received_by_another_which_makes_the_first_receipt_stale() {
    let (sqs, client) = sqs(6, 1);
    let url = queue(&sqs, "q", &[("VisibilityTimeout", json!(600))]);
    send(&client, &url, "hello").await;
    let first = receive(&client, &url).await;
    sleep(SECOND * 599).await;
    let second = receive(&client, &url).await;
    assert_eq!((first.len(), second.len()), (1, 1));
    client.delete_message().queue_url(&url).receipt_handle(handle(&first[0])).send().await.expect("taken");
    assert_eq!(sqs.depth("q").in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_queue_may_answer_for_a_minute_and_its_name_is_taken_as_long() {
    let (sqs, client) = sqs(7, 0);
    let url = queue(&sqs, "q", &[]);
    client.delete_queue().queue_url(&url).send().await.expect("deleted");
    assert_eq!(sqs.depth("q"), Depth::default());
    let create = || client.create_queue().queue_name("q").send();
    assert_eq!(code(create().await), "AWS.SimpleQueueService.QueueDeletedRecently");
    let (mut answers, mut refusals) = (0, 0);
    for _ in 0..59 {
        match client.list_queue_tags().queue_url(&url).send().await {
            Ok(_) => answers += 1,
            Err(error) => {
                assert!(error.into_service_error().is_queue_does_not_exist());
                refusals += 1;
            }
        }
        sleep(SECOND).await;
    }
    assert!(answers > 0 && refusals > 0, "{answers} {refusals}");
    sleep(SECOND).await;
    for _ in 0..20 {
        assert_eq!(
            code(client.delete_queue().queue_url(&url).send().await),
            "AWS.SimpleQueueService.NonExistentQueue"
        );
        assert_eq!(client.list_queues().send().await.expect("a list").queue_urls().len(), 0);
    }
    let made = create().await.expect("the name is free");
    assert_eq!(made.queue_url(), Some(&*sqs.url("q")));
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_made_once_for_one_name_and_seen_after_a_second() {
    let (_, client) = sqs(8, 0);
    let create = |seconds: Option<&str>| {
        let create = client.create_queue().queue_name("q");
        match seconds {
            Some(seconds) => create.attributes(QueueAttributeName::VisibilityTimeout, seconds).send(),
            None => create.send(),
        }
    };
    let url = create(Some("5")).await.expect("made").queue_url.expect("a URL");
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(client.list_queue_tags().queue_url(&url).send().await.is_ok());
    }
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
    sleep(SECOND).await;
    for _ in 0..20 {
        assert_eq!(
            client.list_queues().queue_name_prefix("q").send().await.expect("a list").queue_urls(),
            [&*url]
        );
    }
    assert_eq!(create(None).await.expect("the same").queue_url, Some(url.clone()));
    assert_eq!(code(create(Some("6")).await), "QueueAlreadyExists");
    assert_eq!(code(create(Some("43201")).await), "InvalidAttributeValue");
    assert_eq!(code(client.create_queue().queue_name("a/b").send().await), "InvalidParameterValue");
}

#[tokio::test(start_paused = true)]
async fn what_sqs_does_not_take_is_refused_by_its_codes() {
    let (sqs, client) = sqs(9, 0);
    let url = queue(&sqs, "q", &[("MaximumMessageSize", json!(1024))]);
    let send = |body: &str| client.send_message().queue_url(&url).message_body(body).send();
    assert_eq!(code(send("").await), "MissingParameter");
    assert_eq!(code(send("\u{ffff}").await), "InvalidMessageContents");
    send(&"x".repeat(1024)).await.expect("it fits");
    assert_eq!(code(send(&"x".repeat(1025)).await), "InvalidParameterValue");
    let receive = || client.receive_message().queue_url(&url);
    assert_eq!(code(receive().max_number_of_messages(11).send().await), "InvalidParameterValue");
    assert_eq!(code(receive().wait_time_seconds(21).send().await), "InvalidParameterValue");
    let late = client.send_message().queue_url(&url).message_body("x").delay_seconds(901);
    assert_eq!(code(late.send().await), "InvalidParameterValue");
}

#[tokio::test(start_paused = true)]
async fn rights_follow_from_tags_which_are_seen_late() {
    let mut late = 0;
    for seed in 0..40 {
        let (bench, sqs) = bench(seed, 0);
        let root = Client::new(&bench.root(sqs.clone()));
        let worker = Client::new(&bench.role(sqs));
        let create = || worker.create_queue().queue_name("s-q");
        let denied = create().send().await.expect_err("without the tag");
        assert_eq!(denied.code(), Some("AccessDenied"));
        assert!(denied.message().expect("words").contains("perform: sqs:CreateQueue"), "{denied:?}");
        let url = create().tags("stack", "s").send().await.expect("made").queue_url.expect("a URL");
        sleep(SECOND).await;
        let send = || worker.send_message().queue_url(&url).message_body("x").send();
        late += usize::from(send().await.is_err());
        sleep(SECOND * 60).await;
        send().await.expect("the tags are seen");
        let tags = root.list_queue_tags().queue_url(&url).send().await.expect("an answer").tags;
        assert_eq!(tags.expect("tags")["stack"], "s");
        assert_eq!(code(worker.list_queues().send().await), "AccessDenied");
    }
    assert!((1..20).contains(&late), "{late}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_has_two_hosts_and_each_call_is_noted() {
    let (bench, sqs) = bench(11, 0);
    let client = Client::new(&bench.root(sqs.clone()));
    let url = queue(&sqs, "q", &[]);
    assert_eq!(url, format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"));
    send(&client, &url, "hello").await;
    let dual = format!("https://sqs.{REGION}.api.aws/{ACCOUNT}/q");
    assert_eq!(receive(&client, &dual).await.len(), 1);
    for url in ["https://sqs.us-east-1.amazonaws.com/1/q", "q", &url.replace(ACCOUNT, "210987654321")] {
        let sent = client.send_message().queue_url(url).message_body("x").send().await;
        assert_eq!(code(sent), "InvalidAddress", "{url}");
    }
    let missing = client.delete_queue().queue_url(url.replace("/q", "/gone")).send().await;
    assert_eq!(code(missing), "AWS.SimpleQueueService.NonExistentQueue");
    let calls = bench.calls();
    assert_eq!(calls[0], ["sqs:SendMessage".to_owned(), sqs.arn("q"), "OK".to_owned()]);
    let gone =
        ["sqs:DeleteQueue".to_owned(), sqs.arn("gone"), "AWS.SimpleQueueService.NonExistentQueue".to_owned()];
    assert_eq!(calls.last(), Some(&gone));
}
