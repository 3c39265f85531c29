//! The one clock of a local cloud. Nothing else in `local/` asks what time it is (`tests/tidy/seams.rs`), so that all of it
//! follows Tokio's clock, also where that is paused and jumps from timer to timer.
//!
//! Time is scaled, by two factors: one for all that the cloud itself does or waits for, and one for a job's work, which no
//! clock makes faster: from a container's first report on, its time-out and its heartbeat, and what it has between SIGTERM
//! and SIGKILL.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use jiff::Timestamp;
use tokio::time::Instant;

const NOT_POSITIVE: &str = "is not a positive number";

/// What time it is, and how fast it passes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// For all that the cloud itself does or waits for.
    pub scale: TimeScale,
    /// For a job's work.
    pub work_scale: TimeScale,
    /// A moment, and what time it was then; without it the time of day is this machine's.
    start: Option<(Instant, Timestamp)>,
}

impl Clock {
    /// This machine's time of day. Tokio's clock does not give it: that one stands still while a laptop sleeps, and the
    /// signatures of every other program would have expired afterwards.
    pub fn new(scale: TimeScale, work_scale: TimeScale) -> Self {
        Self { scale, work_scale, start: None }
    }

    /// The same, but that it is `start` now and that the time of day goes by Tokio's clock from here on.
    #[must_use]
    pub fn starting_at(self, start: Timestamp) -> Self {
        Self { start: Some((self.instant(), start)), ..self }
    }

    /// The time of day.
    pub fn now(self) -> Timestamp {
        match self.start {
            None => Timestamp::now(),
            Some((instant, start)) => start + (self.instant() - instant),
        }
    }

    /// This moment, to measure by.
    #[allow(clippy::unused_self, reason = "who has no clock has no time")]
    pub fn instant(self) -> Instant {
        Instant::now()
    }

    /// Sleeps for `cloud`, a duration in the cloud's time.
    pub async fn sleep(self, cloud: Duration) {
        tokio::time::sleep(self.scale.real(cloud)).await;
    }
}

/// For the SDK: signatures, and the expiry of credentials.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Clock::now(*self).into()
    }
}

/// How many real seconds one second of the cloud lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeScale(f64);

impl TimeScale {
    /// A second lasts a second.
    pub const REAL: Self = Self(1.0);

    /// `factor` is in real seconds per second of the cloud: 1 is real time, 0.1 is ten times faster.
    ///
    /// # Panics
    /// If the factor is not a positive number.
    pub fn new(factor: f64) -> Self {
        Self::checked(factor).unwrap_or_else(|| panic!("{factor} {NOT_POSITIVE}"))
    }

    fn checked(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(factor))
    }

    /// The real duration of `cloud`, a duration in the cloud's time.
    pub fn real(self, cloud: Duration) -> Duration {
        cloud.mul_f64(self.0)
    }

    /// The duration in the cloud's time that `real` is.
    pub fn cloud(self, real: Duration) -> Duration {
        real.div_f64(self.0)
    }
}

impl FromStr for TimeScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().and_then(Self::checked).ok_or_else(|| format!("`{text}` {NOT_POSITIVE}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_was_set_goes_on_by_tokios() {
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let clock = Clock::new(TimeScale::new(0.01), TimeScale::REAL).starting_at(start);
        let before = clock.instant();
        clock.sleep(Duration::from_secs(1)).await;
        let (passed, elapsed) = (clock.now().duration_since(start), clock.instant() - before);
        assert!(passed.as_millis() >= 10, "{passed:?}");
        assert!(passed.unsigned_abs() <= elapsed + Duration::from_secs(1), "{passed:?} of {elapsed:?}");
    }

    #[test]
    fn a_clock_that_was_not_set_has_this_machines_time() {
        let now = Clock::new(TimeScale::REAL, TimeScale::REAL).now();
        assert!(SystemTime::from(now).elapsed().is_ok_and(|passed| passed < Duration::from_mins(1)));
    }
}
