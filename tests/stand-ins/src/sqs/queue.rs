//! A queue: its attributes, its tags, and who sees of it when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_aws::upstream::Upstream;
use serde_json::Value;
use tokio::time::Instant;

use super::error;
use super::messages::Message;
use crate::json::Refused;

/// "You must wait at least one second after the queue is created to be able to use the queue" (`CreateQueue`).
const CREATION: Duration = Duration::from_secs(1);
/// How late a new queue's tags are seen where rights are evaluated. A guess: `SetQueueAttributes` says as much of most
/// attributes, and others met denials because tags were seen late (terraform-provider-aws#32966, #44689).
pub const TAGS_SEEN: Duration = Duration::from_mins(1);
/// One queue in so many has tags that are seen later than it is itself: a guess.
const TAGS_LATE_ONE_IN: u32 = 8;

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub attributes: Attributes,
    pub tags: BTreeMap<String, String>,
    pub messages: Vec<Message>,
    /// What was handed out once more although it was hidden or deleted, since somebody has last asked for it.
    pub repeats: Vec<String>,
    /// The handles of all receipts, also of messages that are gone.
    pub handles: BTreeSet<String>,
    /// From when on it does not answer any more, if it was deleted.
    pub deleted: Option<Instant>,
    /// From when on each call finds it.
    known: Instant,
    tags_seen: Instant,
}

/// What a queue does with its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// As they were given.
    pub given: BTreeMap<String, String>,
    pub visibility: Duration,
    pub retention: Duration,
    pub delay: Duration,
    pub wait: Duration,
    /// The most bytes of a message.
    pub size: usize,
    pub redrive: Option<Redrive>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redrive {
    /// The name of the dead-letter queue.
    pub queue: String,
    /// `maxReceiveCount`.
    pub receives: u32,
}

/// The numeric attributes: least, most and default (`CreateQueue`).
const NUMBERS: [(&str, u64, u64, u64); 5] = [
    ("DelaySeconds", 0, 900, 0),
    ("MaximumMessageSize", 1024, 1 << 20, 1 << 20),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("VisibilityTimeout", 0, 43_200, 30),
];

impl Attributes {
    pub fn parse(given: BTreeMap<String, String>) -> Result<Self, Refused> {
        let is_known = |name: &str| {
            ["RedrivePolicy", "SqsManagedSseEnabled"].contains(&name)
                || NUMBERS.iter().any(|(known, ..)| *known == name)
        };
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            return Err(Refused::new("InvalidAttributeName", format!("Unknown Attribute {name}.")));
        }
        let number = |name: &str| {
            let (_, least, most, default) =
                NUMBERS.into_iter().find(|(known, ..)| *known == name).expect("a known attribute");
            let Some(text) = given.get(name) else { return Ok(default) };
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| invalid(name))
        };
        let seconds = |name: &str| number(name).map(Duration::from_secs);
        let redrive = given.get("RedrivePolicy").map(|text| Redrive::parse(text)).transpose()?;
        Ok(Self {
            visibility: seconds("VisibilityTimeout")?,
            retention: seconds("MessageRetentionPeriod")?,
            delay: seconds("DelaySeconds")?,
            wait: seconds("ReceiveMessageWaitTimeSeconds")?,
            size: usize::try_from(number("MaximumMessageSize")?).unwrap_or(usize::MAX),
            redrive,
            given,
        })
    }

    /// The attribute in which a queue of this kind differs from what `asked` says: only what is asked for is compared, and
    /// a default is as good as the same value given.
    pub fn difference<'a>(&self, asked: &'a Self) -> Option<&'a str> {
        asked.given.iter().find(|(name, value)| self.value(name) != **value).map(|(name, _)| name.as_str())
    }

    /// Empty where it is not set and has no default.
    fn value(&self, name: &str) -> String {
        if let Some(value) = self.given.get(name) {
            return value.clone();
        }
        let default = NUMBERS.into_iter().find(|(known, ..)| *known == name);
        match default {
            Some((.., default)) => default.to_string(),
            // Queues are encrypted so unless something else is asked for.
            // Source: SQS developer guide, "Configuring SSE-SQS".
            None if name == "SqsManagedSseEnabled" => "true".to_owned(),
            None => String::new(),
        }
    }
}

impl Redrive {
    fn parse(text: &str) -> Result<Self, Refused> {
        let policy: Value = serde_json::from_str(text).map_err(|_| invalid("RedrivePolicy"))?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        // From 1 to 1,000: SQS developer guide, "Configuring a dead-letter queue".
        let receives =
            count.filter(|count| (1..=1000).contains(count)).and_then(|count| count.try_into().ok());
        let queue = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
        let (Some(queue), Some(receives)) = (queue, receives) else { return Err(invalid("RedrivePolicy")) };
        Ok(Self { queue: queue.to_owned(), receives })
    }
}

fn invalid(attribute: &str) -> Refused {
    Refused::new("InvalidAttributeValue", format!("Invalid value for the parameter {attribute}."))
}

/// Up to 80 letters, digits, hyphens and underscores (`CreateQueue`).
pub(super) fn check_name(name: &str) -> Result<(), Refused> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=80).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(error::invalid(
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ))
}

impl Queue {
    pub fn new(attributes: Attributes, tags: BTreeMap<String, String>, upstream: &Upstream) -> Self {
        let (now, random) = (upstream.clock.instant(), &upstream.random);
        let late = if random.range(0..TAGS_LATE_ONE_IN) == 0 { TAGS_SEEN } else { CREATION };
        Self {
            attributes,
            tags,
            messages: Vec::new(),
            repeats: Vec::new(),
            handles: BTreeSet::new(),
            deleted: None,
            known: now + CREATION,
            tags_seen: now + random.range(Duration::ZERO..=late),
        }
    }

    /// A queue that was made long ago.
    pub fn known_everywhere(self) -> Self {
        let now = self.known - CREATION;
        Self { known: now, tags_seen: now, ..self }
    }

    /// Whether a call finds it now: while it is new, and after it was deleted, only some do.
    pub fn answers(&self, upstream: &Upstream) -> bool {
        let is_between = self.deleted.is_some() || upstream.clock.instant() < self.known;
        !is_between || upstream.random.value()
    }

    /// The tags that the rights of a call which finds it now are evaluated with.
    pub fn seen(&self, upstream: &Upstream) -> Option<BTreeMap<String, String>> {
        let are_seen = upstream.clock.instant() >= self.tags_seen;
        self.answers(upstream).then(|| if are_seen { self.tags.clone() } else { BTreeMap::new() })
    }
}
