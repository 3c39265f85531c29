//! What becomes of a queue's messages.

use std::time::Duration;

use local_aws::random::Random;
use tokio::time::Instant;

use super::error;
use super::queue::Queue;
use crate::json::Refused;

/// The longest that a message is hidden after a receipt, all changes together (`ChangeMessageVisibility`).
const LONGEST_HIDDEN: Duration = Duration::from_hours(12);
/// How long after its deletion a message may come again: a guess.
const COMES_AGAIN: Duration = Duration::from_mins(1);

/// A message of a queue.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub id: String,
    pub body: String,
    pub sent: Instant,
    pub visible: Instant,
    /// When a server that has not heard of its receipt hands it out again.
    pub repeated: Option<Instant>,
    /// Whether it was deleted and a copy is left.
    pub is_copy: bool,
    /// Whether it has been handed out once more than it should.
    pub has_repeated: bool,
    pub receives: u32,
    /// The handle of the newest receipt, and when that was.
    pub receipt: Option<(String, Instant)>,
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// What deletes it or changes how long it is hidden.
    pub handle: String,
    /// How often it has been received, this time among them: `ApproximateReceiveCount`.
    pub receives: u32,
}

/// How many messages are in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Can be received.
    pub visible: usize,
    /// Sent with a delay that is not over.
    pub delayed: usize,
    /// Received and hidden.
    pub in_flight: usize,
    /// Deleted, with a copy that may be received yet; counted nowhere else.
    pub copies: usize,
}

/// What is left to chance.
#[derive(Clone, Copy)]
pub(super) struct Chances<'a> {
    pub random: &'a Random,
    pub repeats_one_in: u32,
}

impl Chances<'_> {
    fn repeats(self) -> bool {
        self.repeats_one_in > 0 && self.random.range(0..self.repeats_one_in) == 0
    }
}

impl Message {
    /// One that nobody has received.
    pub fn new(id: String, body: String, sent: Instant, visible: Instant) -> Self {
        Self {
            id,
            body,
            sent,
            visible,
            repeated: None,
            is_copy: false,
            has_repeated: false,
            receives: 0,
            receipt: None,
        }
    }

    fn is_visible(&self, now: Instant) -> bool {
        self.visible <= now || self.repeated.is_some_and(|again| again <= now)
    }
}

impl Queue {
    /// "Amazon SQS automatically deletes messages that have been in a queue longer than the maximum retention period", also
    /// those in flight.
    fn expire(&mut self, now: Instant) {
        let retention = self.attributes.retention;
        self.messages.retain(|message| message.sent + retention > now);
    }

    pub fn depth(&mut self, now: Instant) -> Depth {
        self.expire(now);
        let mut depth = Depth::default();
        for message in &self.messages {
            let kind = match message {
                Message { is_copy: true, .. } => &mut depth.copies,
                Message { visible, .. } if *visible <= now => &mut depth.visible,
                Message { receives: 0, .. } => &mut depth.delayed,
                _ => &mut depth.in_flight,
            };
            *kind += 1;
        }
        depth
    }

    /// Up to `most` visible messages in no order, and those that were received `limit` times already. A short poll asks only
    /// some of the servers (`ReceiveMessage`); that each message is on one of them with even chances is a guess.
    pub fn receive(
        &mut self,
        most: usize,
        is_short: bool,
        visibility: Option<Duration>,
        limit: Option<u32>,
        now: Instant,
        chances: Chances<'_>,
    ) -> (Vec<Received>, Vec<Message>) {
        self.expire(now);
        let random = chances.random;
        let hidden = visibility.unwrap_or(self.attributes.visibility);
        let is_asked = |message: &Message| message.is_visible(now) && (!is_short || random.value());
        let mut places: Vec<_> =
            (0..self.messages.len()).filter(|place| is_asked(&self.messages[*place])).collect();
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < most && !places.is_empty() {
            let message = &mut self.messages[places.swap_remove(random.range(0..places.len()))];
            // "When the ReceiveCount for a message exceeds the maxReceiveCount for a queue, Amazon SQS moves the message to
            // the dead-letter queue" (`CreateQueue`).
            if limit.is_some_and(|limit| message.receives >= limit) {
                dead.push(message.id.clone());
                continue;
            }
            if message.is_copy || message.visible > now {
                self.repeats.push(message.body.clone());
            }
            let handle = random.uuid().to_string();
            message.receives += 1;
            message.visible = now + hidden;
            message.receipt = Some((handle.clone(), now));
            message.repeated = None;
            if !message.has_repeated && chances.repeats() {
                message.has_repeated = true;
                message.repeated = Some(now + random.range(Duration::ZERO..=hidden));
            }
            self.handles.insert(handle.clone());
            let Message { id, body, receives, .. } = message.clone();
            received.push(Received { id, body, handle, receives });
        }
        (received, self.messages.extract_if(.., |message| dead.contains(&message.id)).collect())
    }

    /// Takes over what was received too often elsewhere. It keeps the time at which it was sent, by which it expires.
    /// Source: developer guide, "Using dead-letter queues", of standard queues.
    pub fn bury(&mut self, dead: Vec<Message>, now: Instant) {
        self.messages.extend(dead.into_iter().map(|message| Message {
            visible: now,
            receipt: None,
            ..message
        }));
    }

    /// When the next of the hidden messages becomes visible, or the queue itself goes.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let times = self.messages.iter().flat_map(|message| [Some(message.visible), message.repeated]);
        times.chain([self.deleted]).flatten().filter(|time| *time > now).min()
    }

    /// Deletes the message of a receipt. With an older handle than its newest "the request will succeed, but the message
    /// might not be deleted", and one that is deleted may be received once more on rare occasions (`DeleteMessage`).
    pub fn delete(&mut self, handle: &str, now: Instant, chances: Chances<'_>) -> Result<(), Refused> {
        self.check(handle)?;
        let is_of = |message: &Message| message.receipt.as_ref().is_some_and(|(newest, _)| newest == handle);
        let Some(place) = self.messages.iter().position(is_of) else { return Ok(()) };
        let message = &mut self.messages[place];
        if message.has_repeated || !chances.repeats() {
            self.messages.remove(place);
            return Ok(());
        }
        message.has_repeated = true;
        message.is_copy = true;
        message.visible = now + chances.random.range(Duration::ZERO..=COMES_AGAIN);
        Ok(())
    }

    /// Changes how long the message of a receipt is hidden, from now on. One whose time has run out, and that nobody has
    /// received since, can be hidden again, as recorded; that an older handle is refused is a guess.
    pub fn hide(&mut self, handle: &str, hidden: Duration, now: Instant) -> Result<(), Refused> {
        self.check(handle)?;
        self.expire(now);
        let receipt_of = |message: &Message| {
            message.receipt.as_ref().filter(|(newest, _)| newest == handle).map(|(_, received)| *received)
        };
        let found = self.messages.iter_mut().find_map(|message| Some((receipt_of(message)?, message)));
        let Some((received, message)) = found else {
            return Err(error::value(
                handle,
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        if now + hidden > received + LONGEST_HIDDEN {
            return Err(error::value(
                hidden.as_secs(),
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ));
        }
        message.visible = now + hidden;
        Ok(())
    }

    /// Refuses what never was a handle of this queue.
    fn check(&self, handle: &str) -> Result<(), Refused> {
        if self.handles.contains(handle) {
            return Ok(());
        }
        let message = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
        Err(Refused::new("ReceiptHandleIsInvalid", message))
    }
}
