//! SQS, for just the calls that are made: messages come at least once and in no order, a queue that is deleted may answer for
//! another minute, and tags are seen late. What AWS does not say and is guessed here is called a guess.
//! Sources: SQS API Reference, by the names of calls, parameters and attributes, and SQS developer guide; codes and wordings
//! of errors as LocalStack has recorded them of AWS (tests/aws/services/sqs).

mod call;
mod error;
mod messages;
mod queue;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::future::pending;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use local_aws::upstream::Upstream;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::json::{Refused, Surroundings};
use crate::sqs::messages::Chances;
use crate::sqs::queue::{Attributes, Queue};

pub use crate::sqs::messages::{Depth, Received};
pub use crate::sqs::queue::TAGS_SEEN;

/// How long a queue's name cannot be used again, and the queue itself may answer (`DeleteQueue`).
pub const DELETION: Duration = Duration::from_mins(1);
/// One message in so many is delivered again though it is hidden or deleted, and each once at most. That it happens "on rare
/// occasions" is from the developer guide, "Amazon SQS at-least-once delivery"; how rare they are, and that once is all, is a
/// guess.
const REPEATS_ONE_IN: u32 = 500;

/// The SQS of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Sqs {
    around: Surroundings,
    /// None are repeated if it is zero.
    repeats_one_in: u32,
    state: Arc<Mutex<State>>,
    /// Told whenever a message may have become visible sooner than it was, and when a queue goes.
    changed: Arc<Notify>,
}

/// By the queues' names.
#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    /// What was handed out once more although it was hidden or deleted.
    repeats: Vec<String>,
    /// From when on a deleted queue's name can be used again.
    reserved: BTreeMap<String, Instant>,
}

/// How long a call waits for messages.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// A short poll.
    No,
    Until(Instant),
    ForEver,
}

impl Sqs {
    /// One without queues.
    pub fn new(around: Surroundings) -> Self {
        Self { around, repeats_one_in: REPEATS_ONE_IN, state: Arc::default(), changed: Arc::default() }
    }

    /// Makes a queue as CloudFormation does of its `properties`; it is used long after, so all of it is seen everywhere.
    ///
    /// # Errors
    /// What is wrong with the name or with a property.
    pub fn make_queue(&self, name: &str, properties: &Value) -> Result<(), Refused> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let properties = properties.as_object().into_iter().flatten();
        let attributes = properties.map(|(name, value)| (name.clone(), text(value))).collect();
        queue::check_name(name)?;
        let queue = Queue::new(Attributes::parse(attributes)?, BTreeMap::new(), &self.around.upstream);
        self.state().queues.insert(name.to_owned(), queue.known_everywhere());
        Ok(())
    }

    /// What is in a queue now, exactly; nothing of one that is not there.
    pub fn depth(&self, name: &str) -> Depth {
        let now = self.now();
        let mut state = self.state();
        let queue = state.queues.get_mut(name).filter(|queue| queue.deleted.is_none());
        queue.map(|queue| queue.depth(now)).unwrap_or_default()
    }

    /// What was handed out once more although it was hidden or deleted.
    pub fn repeats(&self) -> Vec<String> {
        self.state().repeats.clone()
    }

    /// Up to `most` messages, as soon as there is one: what a service that polls for ever has in the end, without the polls
    /// that bring nothing. None where there is no queue.
    pub async fn receive(&self, name: &str, most: usize) -> Option<Vec<Received>> {
        self.poll(name, most, Wait::ForEver, None).await.ok()
    }

    /// Deletes the message of this receipt.
    pub fn delete(&self, name: &str, handle: &str) {
        if let Some(queue) = self.state().queues.get_mut(name) {
            // A handle of a message that is gone already deletes nothing.
            let _done = queue.delete(handle, self.now(), self.chances());
        }
    }

    /// The ARN of the queue `name`.
    pub fn arn(&self, name: &str) -> String {
        let Upstream { region, account, .. } = &self.around.upstream;
        format!("arn:aws:sqs:{region}:{account}:{name}")
    }

    fn url(&self, name: &str) -> String {
        let Upstream { region, account, .. } = &self.around.upstream;
        format!("https://sqs.{region}.amazonaws.com/{account}/{name}")
    }

    fn now(&self) -> Instant {
        self.around.upstream.clock.instant()
    }

    fn chances(&self) -> Chances<'_> {
        Chances { random: &self.around.upstream.random, repeats_one_in: self.repeats_one_in }
    }

    /// The state, without what has gone by now; never held over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.now();
        let mut state = self.state.lock().expect("no thread panics while it holds the state");
        state.queues.retain(|_, queue| queue.deleted.is_none_or(|gone| gone > now));
        state.reserved.retain(|_, free| *free > now);
        state
    }

    /// Waits for messages; `visibility` is the queue's where none is given.
    async fn poll(
        &self,
        name: &str,
        most: usize,
        wait: Wait,
        visibility: Option<Duration>,
    ) -> Result<Vec<Received>, Refused> {
        let clock = self.around.upstream.clock;
        loop {
            let changed = self.changed.notified();
            let (received, next) = self.take(name, most, matches!(wait, Wait::No), visibility)?;
            let now = clock.instant();
            let until = match wait {
                _ if !received.is_empty() => return Ok(received),
                Wait::No => return Ok(received),
                Wait::Until(deadline) if now >= deadline => return Ok(received),
                Wait::Until(deadline) => Some(next.map_or(deadline, |next| next.min(deadline))),
                Wait::ForEver => next,
            };
            let until = async {
                match until {
                    Some(until) => clock.sleep(until - now).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = until => {}
            }
        }
    }

    /// Receives what is visible now, and tells when there may be something else to tell.
    fn take(
        &self,
        name: &str,
        most: usize,
        is_short: bool,
        visibility: Option<Duration>,
    ) -> Result<(Vec<Received>, Option<Instant>), Refused> {
        let now = self.now();
        let mut state = self.state();
        let redrive = state.queues.get(name).and_then(|queue| queue.attributes.redrive.clone());
        // Where the dead-letter queue is gone, messages are received for ever: a guess.
        let redrive = redrive.filter(|redrive| state.queues.contains_key(&redrive.queue));
        let limit = redrive.as_ref().map(|redrive| redrive.receives);
        let queue = state.queues.get_mut(name).ok_or_else(error::no_queue)?;
        let (received, dead) = queue.receive(most, is_short, visibility, limit, now, self.chances());
        let next = queue.next_change(now);
        let repeats = mem::take(&mut queue.repeats);
        state.repeats.extend(repeats);
        if !dead.is_empty()
            && let Some(target) = redrive.and_then(|redrive| state.queues.get_mut(&redrive.queue))
        {
            target.bury(dead, now);
            self.changed.notify_waiters();
        }
        Ok((received, next))
    }
}
