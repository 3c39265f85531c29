//! What is wrong with the functions, or with the services that they call, for a part of the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use jiff::SignedDuration;
use local_aws::clock::Clock;
use serde_json::Value;
use tokio::time::Instant;

use crate::circumstance::Circumstance;

/// The circumstances, and since when they count. Clones share that.
#[derive(Clone, Debug)]
pub struct Phases {
    circumstances: Arc<Vec<Circumstance>>,
    clock: Clock,
    begun: Arc<OnceLock<Instant>>,
    is_over: Arc<AtomicBool>,
}

impl Phases {
    /// What these circumstances make of functions and services, once it begins.
    pub fn new(circumstances: &[Circumstance], clock: Clock) -> Self {
        let circumstances = Arc::new(circumstances.to_vec());
        Self { circumstances, clock, begun: Arc::default(), is_over: Arc::default() }
    }

    /// The job begins now.
    pub fn begin(&self) {
        self.begun.get_or_init(|| self.clock.instant());
    }

    /// Nothing is wrong from now on, but for the clocks.
    pub fn lift(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether `service` fails now.
    pub fn is_out(&self, service: &str) -> bool {
        self.is_now(|circumstance, passed| match circumstance {
            Circumstance::Outage { service: out, after, lasts } => {
                let after = Duration::from_secs(*after);
                out == service && passed >= after && passed < after + Duration::from_secs(*lasts)
            }
            _ => false,
        })
    }

    /// What `function` answers if it is of an older version now, in place of this.
    pub fn aged(&self, function: &str, answer: String) -> String {
        let is_old = |circumstance: &Circumstance, passed: Duration| match circumstance {
            Circumstance::Older(until) => passed < Duration::from_secs(*until),
            _ => false,
        };
        if function != "find-leftovers" || !self.is_now(is_old) {
            return answer;
        }
        let mut answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        if let Some(fields) = answer.as_object_mut() {
            fields.remove("empty");
        }
        answer.to_string()
    }

    /// The functions' clock.
    pub fn clock(&self) -> impl TimeSource + use<> {
        let ahead = self.circumstances.iter().find_map(|circumstance| match circumstance {
            Circumstance::Clocks(milliseconds) => Some(SignedDuration::from_millis((*milliseconds).into())),
            _ => None,
        });
        Skewed { clock: self.clock, ahead: ahead.unwrap_or_default() }
    }

    fn is_now(&self, is_it: impl Fn(&Circumstance, Duration) -> bool) -> bool {
        let Some(begun) = self.begun.get().filter(|_| !self.is_over.load(Ordering::Relaxed)) else {
            return false;
        };
        let passed = self.clock.instant() - *begun;
        self.circumstances.iter().any(|circumstance| is_it(circumstance, passed))
    }
}

/// A clock that is wrong.
#[derive(Debug)]
struct Skewed {
    clock: Clock,
    ahead: SignedDuration,
}

impl TimeSource for Skewed {
    fn now(&self) -> SystemTime {
        (self.clock.now() + self.ahead).into()
    }
}
