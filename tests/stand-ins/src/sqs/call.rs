//! Requests in and answers out.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::policy::Context;
use local_aws::server::Service;
use local_aws::upstream::Upstream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error;
use super::messages::{Message, Received};
use super::queue::{Attributes, Queue, check_name};
use super::{DELETION, Sqs, Wait};
use crate::json::{Asked, Refused, answer};

/// The most queues in a list (`ListQueues`).
const LISTED: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateQueue {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default, rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage {
    message_body: String,
    delay_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReceiveMessage {
    max_number_of_messages: Option<usize>,
    wait_time_seconds: Option<u64>,
    visibility_timeout: Option<u64>,
}

/// `DeleteMessage` or `ChangeMessageVisibility`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfReceipt {
    receipt_handle: String,
    visibility_timeout: Option<u64>,
}

#[async_trait]
impl Service for Sqs {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let queue = |action: &str, body: &Value| match action {
            "ListQueues" => "*".to_owned(),
            _ => self.arn(name(body)),
        };
        answer(&self.around, "sqs", request, queue, |asked| self.perform(asked)).await
    }
}

/// The name of the queue that is meant: it is given, or the last part of its URL.
fn name(body: &Value) -> &str {
    let url = body["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next());
    url.or(body["QueueName"].as_str()).unwrap_or_default()
}

impl Sqs {
    async fn perform(&self, mut asked: Asked) -> Result<Value, Refused> {
        match asked.action.as_str() {
            "CreateQueue" => return self.create(&asked).await,
            "ListQueues" => {
                asked.may(&Context::new()).await?;
                return self.list(&asked.parameters()?);
            }
            _ => {}
        }
        let url = asked.body.as_object_mut().and_then(|body| body.remove("QueueUrl")).unwrap_or_default();
        let name = self.name_in(url.as_str().unwrap_or_default())?;
        // A call finds the queue, or it does not; its rights follow from the tags of what it finds.
        let seen = self.state().queues.get(name).and_then(|queue| queue.seen(&self.around.upstream));
        asked.may(&keys("aws:ResourceTag", seen.iter().flatten())).await?;
        if seen.is_none() {
            return Err(error::no_queue());
        }
        match asked.action.as_str() {
            "ChangeMessageVisibility" => self.hide(name, &asked.parameters()?),
            "DeleteMessage" => self.delete_message(name, &asked.parameters()?),
            "DeleteQueue" => Ok(self.delete_queue(name)),
            "ListQueueTags" => self.with(name, |queue| Ok(json!({ "Tags": queue.tags }))),
            "ReceiveMessage" => self.receive_messages(name, &asked.parameters()?).await,
            "SendMessage" => self.send(name, asked.parameters()?),
            _ => Err(asked.unknown()),
        }
    }

    /// The name in the URL of a queue of this account's, at one of SQS's hosts in the Region: the older one or the
    /// dual-stack one. `InvalidAddress` is an error of every call with a URL; its wording is a guess.
    /// Source: developer guide, "Dual-stack (IPv4 and IPv6) endpoints", and General Reference, "Amazon SQS endpoints and quotas".
    fn name_in<'a>(&self, url: &'a str) -> Result<&'a str, Refused> {
        let Upstream { region, account, .. } = &self.around.upstream;
        let hosts = [format!("sqs.{region}.amazonaws.com"), format!("sqs.{region}.api.aws")];
        let name = hosts.iter().find_map(|host| url.strip_prefix(&format!("https://{host}/{account}/")));
        name.filter(|name| !name.is_empty() && !name.contains('/')).ok_or_else(|| {
            Refused::new("InvalidAddress", format!("The address {url} is not valid for this endpoint."))
        })
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Queue) -> Result<T, Refused>) -> Result<T, Refused> {
        act(self.state().queues.get_mut(name).ok_or_else(error::no_queue)?)
    }

    /// Tags at a queue's creation take a right of their own (`CreateQueue`, `tags`).
    async fn create(&self, asked: &Asked) -> Result<Value, Refused> {
        let CreateQueue { queue_name: name, attributes, tags } = asked.parameters()?;
        let mut context = keys("aws:RequestTag", &tags);
        if !tags.is_empty() {
            context.insert("aws:TagKeys".to_owned(), tags.keys().cloned().collect());
        }
        asked.may(&context).await?;
        if !tags.is_empty() {
            asked.may_also("TagQueue", &asked.resource, &context).await?;
        }
        check_name(&name)?;
        check_tags(&tags)?;
        let attributes = Attributes::parse(attributes)?;
        let mut state = self.state();
        if state.reserved.contains_key(&name) {
            let message = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
            return Err(Refused {
                query_code: "AWS.SimpleQueueService.QueueDeletedRecently",
                ..Refused::new("QueueDeletedRecently", message)
            });
        }
        let url = self.url(&name);
        if let Some(queue) = state.queues.get(&name) {
            if let Some(name) = queue.attributes.difference(&attributes) {
                let message = format!(
                    "A queue already exists with the same name and a different value for attribute {name}"
                );
                let query_code = "QueueAlreadyExists";
                return Err(Refused { query_code, ..Refused::new("QueueNameExists", message) });
            }
        } else {
            state.queues.insert(name, Queue::new(attributes, tags, &self.around.upstream));
        }
        Ok(json!({ "QueueUrl": url }))
    }

    /// The deletion takes up to a minute, in which calls may succeed (`DeleteQueue`).
    fn delete_queue(&self, name: &str) -> Value {
        let (now, random) = (self.now(), &self.around.upstream.random);
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(name) {
            queue.deleted.get_or_insert_with(|| now + random.range(Duration::ZERO..DELETION));
        }
        state.reserved.entry(name.to_owned()).or_insert(now + DELETION);
        drop(state);
        self.changed.notify_waiters();
        json!({})
    }

    fn list(&self, call: &ListQueues) -> Result<Value, Refused> {
        let most = within(call.max_results, "MaxResults", &(1..=LISTED))?;
        let after = call.next_token.as_deref();
        let (state, upstream) = (self.state(), &self.around.upstream);
        let mut names = state.queues.iter().filter(|(name, queue)| {
            name.starts_with(&call.queue_name_prefix)
                && after.is_none_or(|after| name.as_str() > after)
                && queue.answers(upstream)
        });
        let page: Vec<_> = names.by_ref().take(most.unwrap_or(LISTED)).map(|(name, _)| name).collect();
        let mut answer = json!({});
        // "You must set MaxResults to receive a value for NextToken."
        if let Some(last) = page.last().filter(|_| most.is_some() && names.next().is_some()) {
            answer["NextToken"] = json!(last);
        }
        if !page.is_empty() {
            answer["QueueUrls"] = page.into_iter().map(|name| self.url(name)).collect();
        }
        Ok(answer)
    }

    fn send(&self, name: &str, call: SendMessage) -> Result<Value, Refused> {
        let body = call.message_body;
        if body.is_empty() {
            return Err(error::missing("MessageBody"));
        }
        let delay = within(call.delay_seconds, "DelaySeconds", &(0..=900))?;
        if !body.chars().all(is_allowed) {
            let message = "Invalid binary character was found in the message body";
            return Err(Refused::new("InvalidMessageContents", message));
        }
        let (now, id) = (self.now(), self.around.upstream.random.uuid().to_string());
        self.with(name, |queue| {
            let Attributes { size, delay: default, .. } = queue.attributes;
            if body.len() > size {
                let reason = format!("Message must be shorter than {size} bytes.");
                return Err(error::invalid(format!("One or more parameters are invalid. Reason: {reason}")));
            }
            let visible = now + delay.map_or(default, Duration::from_secs);
            queue.messages.push(Message::new(id.clone(), body, now, visible));
            Ok(())
        })?;
        self.changed.notify_waiters();
        Ok(json!({ "MessageId": id }))
    }

    async fn receive_messages(&self, name: &str, call: &ReceiveMessage) -> Result<Value, Refused> {
        let most = within(call.max_number_of_messages, "MaxNumberOfMessages", &(1..=10))?;
        let wait = within(call.wait_time_seconds, "WaitTimeSeconds", &(0..=20))?;
        let visibility = visibility(call.visibility_timeout)?;
        let wait = match wait {
            Some(seconds) => Duration::from_secs(seconds),
            None => self.with(name, |queue| Ok(queue.attributes.wait))?,
        };
        let wait = if wait.is_zero() { Wait::No } else { Wait::Until(self.now() + wait) };
        let messages = self.poll(name, most.unwrap_or(1), wait, visibility).await?;
        let messages: Vec<_> = messages.iter().map(view).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
    }

    fn delete_message(&self, name: &str, call: &OfReceipt) -> Result<Value, Refused> {
        let (now, chances) = (self.now(), self.chances());
        self.with(name, |queue| queue.delete(&call.receipt_handle, now, chances))?;
        self.changed.notify_waiters();
        Ok(json!({}))
    }

    fn hide(&self, name: &str, call: &OfReceipt) -> Result<Value, Refused> {
        let hidden =
            visibility(call.visibility_timeout)?.ok_or_else(|| error::missing("VisibilityTimeout"))?;
        let now = self.now();
        self.with(name, |queue| queue.hide(&call.receipt_handle, hidden, now))?;
        self.changed.notify_waiters();
        Ok(json!({}))
    }
}

fn view(message: &Received) -> Value {
    json!({ "MessageId": message.id, "ReceiptHandle": message.handle, "Body": message.body })
}

fn visibility(seconds: Option<u64>) -> Result<Option<Duration>, Refused> {
    Ok(within(seconds, "VisibilityTimeout", &(0..=43_200))?.map(Duration::from_secs))
}

/// A number that is in its range, if it is given.
fn within<T>(number: Option<T>, parameter: &str, range: &RangeInclusive<T>) -> Result<Option<T>, Refused>
where
    T: PartialOrd + Display,
{
    match number {
        Some(number) if !range.contains(&number) => {
            let reason = format!("Must be between {} and {}, if provided.", range.start(), range.end());
            Err(error::value(number, parameter, &reason))
        }
        number => Ok(number),
    }
}

fn keys<'a>(prefix: &str, tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Context {
    let key = |(key, value): (&String, &String)| (format!("{prefix}/{key}"), vec![value.clone()]);
    tags.into_iter().map(key).collect()
}

/// The characters that a message may have (`SendMessage`).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Developer guide, "Amazon SQS standard queue quotas", queue tag.
fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refused> {
    for (key, value) in tags {
        let is_reserved = [key, value].iter().any(|text| text.starts_with("aws:"));
        if is_reserved || !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return Err(error::invalid(format!("The tag {key} is too long, empty or reserved")));
        }
    }
    Ok(())
}
