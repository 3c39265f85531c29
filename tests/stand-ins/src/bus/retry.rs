//! How often and how long something is tried again.

use std::time::Duration;

use local_aws::clock::Clock;
use local_aws::random::Random;
use local_aws::upstream::Upstream;
use tokio::time::Instant;

/// What EventBridge and Scheduler do where a target has no retry policy: up to 185 times within 24 hours (EventBridge user
/// guide, "How EventBridge retries delivering events"; Scheduler API Reference, `RetryPolicy`).
const ATTEMPTS: i32 = 185;
const AGE: i32 = 24 * 60 * 60;

/// The pauses: exponential with jitter, says the same page and no more; from a second to Lambda's five minutes is a guess.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// The tries of one delivery.
#[derive(Debug)]
pub(super) struct Retry {
    clock: Clock,
    random: Random,
    deadline: Instant,
    left: Option<i32>,
    pause: Duration,
}

impl Retry {
    /// As a retry policy says.
    pub fn of_events(upstream: &Upstream, attempts: Option<i32>, age: Option<i32>) -> Self {
        let age = Duration::from_secs(age.unwrap_or(AGE).try_into().unwrap_or_default());
        Self { left: Some(attempts.unwrap_or(ATTEMPTS)), ..Self::within(upstream, age) }
    }

    /// As often as is possible within `age`.
    pub fn within(upstream: &Upstream, age: Duration) -> Self {
        let clock = upstream.clock;
        let deadline = clock.instant() + clock.scale.real(age);
        Self { clock, random: upstream.random.clone(), deadline, left: None, pause: FIRST }
    }

    /// Waits for the next try; false where there is none.
    pub async fn again(&mut self) -> bool {
        let pause = self.pause / 2 + (self.pause / 2).mul_f64(self.random.value());
        let is_late = self.clock.instant() + self.clock.scale.real(pause) > self.deadline;
        if is_late || self.left.is_some_and(|left| left <= 0) {
            return false;
        }
        self.left = self.left.map(|left| left - 1);
        self.pause = (self.pause * 2).min(LONGEST);
        self.clock.sleep(pause).await;
        true
    }
}
