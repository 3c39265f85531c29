//! SQS, for the calls that are made: messages come at least once and in no order, and what is deleted is not gone at once.
//! Source: SQS API Reference and developer guide, by the name of each call or attribute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::json::{Asked, Refused, Surroundings, answer};

/// "When you delete a queue, the deletion process takes up to 60 seconds" (`DeleteQueue`).
const DELETED_WITHIN: Duration = Duration::from_mins(1);
/// The defaults of `VisibilityTimeout` and `MessageRetentionPeriod` (`SetQueueAttributes`).
const VISIBILITY: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_hours(4 * 24);
/// The largest message, in bytes: 1 MiB (`SendMessage`).
const MOST_BYTES: usize = 1 << 20;
/// The longest delay (`DelaySeconds`).
const LONGEST_DELAY: u64 = 900;
/// One message in so many is delivered although it was deleted or is hidden: "On rare occasions, one of the servers that
/// stores a copy of a message might be unavailable" (developer guide, "At-least-once delivery"). How rare is a guess.
const TWICE_IN: u32 = 500;

/// The SQS of the account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Sqs {
    around: Surroundings,
    queues: Arc<Mutex<BTreeMap<String, Queue>>>,
    /// Told whenever a message may have become visible.
    arrived: Arc<Notify>,
}

/// A queue, under its name.
#[derive(Debug)]
struct Queue {
    tags: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    visibility: Duration,
    retention: Duration,
    /// The name of the dead-letter queue, and how often a message is received before it goes there.
    redrive: Option<(String, u32)>,
    messages: Vec<Message>,
    deleted: Option<Deletion>,
}

/// What becomes of a queue that has been deleted. "Requests you send involving that queue during the 60 seconds might
/// succeed" (`DeleteQueue`).
#[derive(Clone, Copy, Debug)]
struct Deletion {
    /// Until when it answers.
    answers: Instant,
    /// Until when it is listed, and its name cannot be used again.
    ends: Instant,
}

impl Queue {
    fn answers(&self, now: Instant) -> bool {
        self.deleted.is_none_or(|deletion| deletion.answers > now)
    }

    fn exists(&self, now: Instant) -> bool {
        self.deleted.is_none_or(|deletion| deletion.ends > now)
    }
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    body: String,
    sent: Instant,
    sent_at: i64,
    visible: Instant,
    receipts: u32,
    /// Of the newest receipt: only that one's handle changes anything.
    handle: Option<String>,
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// What deletes it or hides it longer.
    pub handle: String,
    /// How often it was received, this time among them.
    pub count: u32,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at: i64,
}

impl Sqs {
    /// One without queues.
    pub fn new(around: Surroundings) -> Self {
        Self { around, queues: Arc::default(), arrived: Arc::default() }
    }

    /// Makes a queue of the template.
    pub fn make_queue(&self, name: &str, properties: &Value) {
        let seconds = |name: &str| properties[name].as_u64().map(Duration::from_secs);
        let redrive = &properties["RedrivePolicy"];
        let dead = redrive["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
        let most = redrive["maxReceiveCount"].as_u64().and_then(|most| u32::try_from(most).ok());
        let queue = Queue {
            tags: BTreeMap::new(),
            attributes: BTreeMap::new(),
            visibility: seconds("VisibilityTimeout").unwrap_or(VISIBILITY),
            retention: seconds("MessageRetentionPeriod").unwrap_or(RETENTION),
            redrive: dead.map(str::to_owned).zip(most),
            messages: Vec::new(),
            deleted: None,
        };
        self.lock().insert(name.to_owned(), queue);
    }

    /// Up to `most` visible messages, at once.
    pub fn receive(&self, name: &str, most: usize, visibility: Option<Duration>) -> Vec<Received> {
        let now = self.around.upstream.clock.instant();
        let random = &self.around.upstream.random;
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(name) else { return Vec::new() };
        queue.messages.retain(|message| message.sent + queue.retention > now);
        let hidden = now + visibility.unwrap_or(queue.visibility);
        let mut visible: Vec<usize> = (0..queue.messages.len())
            .filter(|place| {
                let message = &queue.messages[*place];
                message.visible <= now || (message.receipts == 1 && random.range(0..TWICE_IN) == 0)
            })
            .collect();
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < most && !visible.is_empty() {
            let place = visible.swap_remove(random.range(0..visible.len()));
            let message = &mut queue.messages[place];
            if queue.redrive.as_ref().is_some_and(|(_, most)| message.receipts >= *most) {
                dead.push(message.id.clone());
                continue;
            }
            message.receipts += 1;
            message.visible = hidden;
            let handle = random.uuid().to_string();
            message.handle = Some(handle.clone());
            let Message { id, body, sent_at, receipts, .. } = message.clone();
            received.push(Received { id, body, handle, count: receipts, sent_at });
        }
        let is_dead = |message: &Message| dead.contains(&message.id);
        let gone: Vec<_> = queue.messages.extract_if(.., |message| is_dead(message)).collect();
        let target = queue.redrive.as_ref().map(|(name, _)| name.clone());
        if let Some(target) = target.and_then(|name| queues.get_mut(&name)) {
            target.messages.extend(gone.into_iter().map(|message| Message { visible: now, ..message }));
        }
        received
    }

    /// Deletes the message of this receipt.
    pub fn delete(&self, name: &str, handle: &str) {
        if let Some(queue) = self.lock().get_mut(name) {
            queue.messages.retain(|message| message.handle.as_deref() != Some(handle));
        }
    }

    /// Waits until something may be visible in the queue.
    pub async fn visible(&self, name: &str) {
        let clock = self.around.upstream.clock;
        loop {
            let arrived = self.arrived.notified();
            let next = {
                let queues = self.lock();
                queues.get(name).and_then(|queue| queue.messages.iter().map(|message| message.visible).min())
            };
            match next {
                Some(next) if next <= clock.instant() => return,
                Some(next) => tokio::select! {
                    biased;
                    () = arrived => {}
                    () = clock.sleep(next - clock.instant()) => {}
                },
                None => arrived.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.queues.lock().expect("no thread panics while it holds the queues")
    }

    fn url(&self, name: &str) -> String {
        let (region, account) = (&self.around.upstream.region, &self.around.upstream.account);
        format!("https://sqs.{region}.amazonaws.com/{account}/{name}")
    }

    fn arn(&self, name: &str) -> String {
        let (region, account) = (&self.around.upstream.region, &self.around.upstream.account);
        format!("arn:aws:sqs:{region}:{account}:{name}")
    }

    async fn perform(&self, asked: Asked) -> Result<Value, Refused> {
        let url = asked.body["QueueUrl"].as_str().unwrap_or_default();
        let name = match asked.action.as_str() {
            "CreateQueue" | "GetQueueUrl" => asked.body["QueueName"].as_str().unwrap_or_default(),
            _ => url.rsplit('/').next().unwrap_or_default(),
        };
        self.authorize(&asked, name).await?;
        let body = &asked.body;
        match asked.action.as_str() {
            "CreateQueue" => self.create(name, body),
            "ListQueues" => Ok(self.list(body)),
            "ReceiveMessage" => self.receive_slowly(name, body).await,
            "DeleteQueue" => {
                let now = self.around.upstream.clock.instant();
                let answers = now + DELETED_WITHIN.mul_f64(self.around.upstream.random.value());
                self.with(name, |queue| {
                    queue.deleted.get_or_insert(Deletion { answers, ends: now + DELETED_WITHIN });
                    json!({})
                })
            }
            "GetQueueUrl" => self.with(name, |_| json!({ "QueueUrl": self.url(name) })),
            "ListQueueTags" => self.with(name, |queue| json!({ "Tags": queue.tags })),
            "SendMessage" => self.send(name, body),
            "DeleteMessage" => {
                let handle = body["ReceiptHandle"].as_str().unwrap_or_default();
                self.with(name, |_| json!({}))?;
                self.delete(name, handle);
                Ok(json!({}))
            }
            "ChangeMessageVisibility" => self.hide(name, body),
            action => Err(Refused::new("InvalidAction", format!("{action} is not served"))),
        }
    }

    /// The tags of a queue that is being made are those of the request, and making one with tags takes the right to tag.
    async fn authorize(&self, asked: &Asked, name: &str) -> Result<(), Refused> {
        let mut context = Context::new();
        if asked.action == "CreateQueue" {
            for (key, value) in asked.body["tags"].as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default().to_owned();
                context.entry("aws:TagKeys".to_owned()).or_default().push(key.clone());
                context.insert(format!("aws:RequestTag/{key}"), vec![value]);
            }
        } else if let Some(queue) = self.lock().get(name) {
            let tags = queue.tags.iter();
            context.extend(tags.map(|(key, value)| (format!("aws:ResourceTag/{key}"), vec![value.clone()])));
        }
        let arn = self.arn(name);
        asked.may(if asked.action == "ListQueues" { "*" } else { &arn }, &context).await?;
        if asked.action == "CreateQueue" && context.contains_key("aws:TagKeys") {
            asked.may_also("TagQueue", &arn, &context).await?;
        }
        Ok(())
    }

    fn create(&self, name: &str, body: &Value) -> Result<Value, Refused> {
        let texts = |name: &str| -> BTreeMap<String, String> {
            let pairs = body[name].as_object().into_iter().flatten();
            pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        let (attributes, tags) = (texts("Attributes"), texts("tags"));
        let now = self.around.upstream.clock.instant();
        let seconds =
            |name: &str| attributes.get(name).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let mut queues = self.lock();
        match queues.get(name) {
            Some(queue) if queue.deleted.is_some() && queue.exists(now) => {
                return Err(refused(
                    "QueueDeletedRecently",
                    "AWS.SimpleQueueService.QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                ));
            }
            Some(queue) if queue.deleted.is_none() && queue.attributes != attributes => {
                return Err(refused(
                    "QueueNameExists",
                    "QueueAlreadyExists",
                    "A queue already exists with the same name",
                ));
            }
            Some(queue) if queue.deleted.is_none() => {}
            _ => {
                let queue = Queue {
                    visibility: seconds("VisibilityTimeout").unwrap_or(VISIBILITY),
                    retention: seconds("MessageRetentionPeriod").unwrap_or(RETENTION),
                    redrive: None,
                    messages: Vec::new(),
                    deleted: None,
                    tags,
                    attributes,
                };
                queues.insert(name.to_owned(), queue);
            }
        }
        Ok(json!({ "QueueUrl": self.url(name) }))
    }

    fn list(&self, body: &Value) -> Value {
        let prefix = body["QueueNamePrefix"].as_str().unwrap_or_default();
        let now = self.around.upstream.clock.instant();
        let queues = self.lock();
        let listed = queues.iter().filter(|(name, queue)| name.starts_with(prefix) && queue.exists(now));
        let urls: Vec<_> = listed.map(|(name, _)| self.url(name)).collect();
        if urls.is_empty() { json!({}) } else { json!({ "QueueUrls": urls }) }
    }

    fn with(&self, name: &str, how: impl FnOnce(&mut Queue) -> Value) -> Result<Value, Refused> {
        let now = self.around.upstream.clock.instant();
        match self.lock().get_mut(name).filter(|queue| queue.answers(now)) {
            Some(queue) => Ok(how(queue)),
            None => Err(refused(
                "QueueDoesNotExist",
                "AWS.SimpleQueueService.NonExistentQueue",
                "The specified queue does not exist.",
            )),
        }
    }

    fn send(&self, name: &str, body: &Value) -> Result<Value, Refused> {
        let text = body["MessageBody"].as_str().unwrap_or_default();
        if text.is_empty() || text.len() > MOST_BYTES {
            return Err(refused(
                "InvalidParameterValue",
                "InvalidParameterValue",
                "One or more parameters are invalid.",
            ));
        }
        let delay = body["DelaySeconds"].as_u64().unwrap_or_default();
        if delay > LONGEST_DELAY {
            return Err(refused(
                "InvalidParameterValue",
                "InvalidParameterValue",
                "DelaySeconds must be <= 900.",
            ));
        }
        let clock = self.around.upstream.clock;
        let now = clock.instant();
        let id = self.around.upstream.random.uuid().to_string();
        let message = Message {
            id: id.clone(),
            body: text.to_owned(),
            sent: now,
            sent_at: clock.now().as_millisecond(),
            visible: now + Duration::from_secs(delay),
            receipts: 0,
            handle: None,
        };
        let digest = md5(text);
        let sent = self.with(name, |queue| {
            queue.messages.push(message);
            json!({ "MessageId": id, "MD5OfMessageBody": digest })
        })?;
        self.arrived.notify_waiters();
        Ok(sent)
    }

    async fn receive_slowly(&self, name: &str, body: &Value) -> Result<Value, Refused> {
        let most = body["MaxNumberOfMessages"].as_u64().unwrap_or(1).min(10);
        let wait = Duration::from_secs(body["WaitTimeSeconds"].as_u64().unwrap_or_default());
        let visibility = body["VisibilityTimeout"].as_u64().map(Duration::from_secs);
        let clock = self.around.upstream.clock;
        let deadline = clock.instant() + wait;
        loop {
            self.with(name, |_| json!({}))?;
            let received = self.receive(name, usize::try_from(most).unwrap_or(1), visibility);
            if !received.is_empty() || clock.instant() >= deadline {
                let messages: Vec<_> = received.iter().map(view).collect();
                return Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) });
            }
            tokio::select! {
                biased;
                () = self.visible(name) => {}
                () = clock.sleep(deadline - clock.instant()) => {}
            }
        }
    }

    fn hide(&self, name: &str, body: &Value) -> Result<Value, Refused> {
        let handle = body["ReceiptHandle"].as_str().unwrap_or_default();
        let seconds = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or_default());
        let now = self.around.upstream.clock.instant();
        let changed = self.with(name, |queue| {
            let message = queue.messages.iter_mut().find(|message| message.handle.as_deref() == Some(handle));
            message.map_or(Value::Null, |message| {
                message.visible = now + seconds;
                json!({})
            })
        })?;
        self.arrived.notify_waiters();
        if changed.is_null() {
            return Err(refused(
                "ReceiptHandleIsInvalid",
                "ReceiptHandleIsInvalid",
                "The input receipt handle is invalid.",
            ));
        }
        Ok(changed)
    }
}

fn view(message: &Received) -> Value {
    json!({
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "Body": message.body,
        "MD5OfBody": md5(&message.body),
        "Attributes": { "ApproximateReceiveCount": message.count.to_string() },
    })
}

/// What the SDK compares with what it has sent.
fn md5(text: &str) -> String {
    use md5::{Digest as _, Md5};
    hex::encode(Md5::digest(text))
}

fn refused(code: &str, query_code: &'static str, message: &str) -> Refused {
    Refused { query_code: Some(query_code), ..Refused::new(&format!("com.amazonaws.sqs#{code}"), message) }
}

impl Service for Sqs {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let sqs = self.clone();
        answer(&self.around, "sqs", request, async move |asked| sqs.perform(asked).await).await
    }
}
