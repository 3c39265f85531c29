//! A log of every call that the stand-ins answered, so that a failed test can show what happened.

use std::sync::{Arc, Mutex};

use crate::clock::Clock;

/// One answered call.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Call {
    /// When it was answered, RFC 3339 UTC.
    pub time: String,
    /// `service:Action`, as IAM spells it.
    pub action: String,
    /// The principal's ARN; empty where nobody could be recognised.
    pub caller: String,
    /// What the call named: an ARN, an id, or `*`.
    pub resource: String,
    /// `OK`, or the error's code.
    pub outcome: String,
}

/// The calls so far, oldest first. Clones share one log.
#[derive(Clone, Debug)]
pub struct CallLog {
    clock: Clock,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl CallLog {
    /// An empty log.
    pub fn new(clock: Clock) -> Self {
        Self { clock, calls: Arc::default() }
    }

    /// Adds a call that has just been answered.
    pub fn record(&self, action: &str, caller: &str, resource: &str, outcome: &str) {
        let call = Call {
            time: self.clock.now().to_string(),
            action: action.to_owned(),
            caller: caller.to_owned(),
            resource: resource.to_owned(),
            outcome: outcome.to_owned(),
        };
        tracing::debug!(action, caller, resource, outcome, "call answered");
        self.calls.lock().expect("no thread panics while it holds the log").push(call);
    }

    /// A copy of the log as it is now.
    pub fn snapshot(&self) -> Vec<Call> {
        self.calls.lock().expect("no thread panics while it holds the log").clone()
    }
}
