//! Scaled time. A local cloud has two factors: one for all that the cloud itself does or waits for, and one for a job's
//! work, which no clock makes faster: from a container's first report on, its time-out and its heartbeat, and what it has
//! between SIGTERM and SIGKILL.

use std::str::FromStr;
use std::time::Duration;

const NOT_POSITIVE: &str = "is not a positive number";

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

    /// Sleeps for `cloud`, a duration in the cloud's time.
    pub async fn sleep(self, cloud: Duration) {
        tokio::time::sleep(self.real(cloud)).await;
    }
}

impl FromStr for TimeScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().and_then(Self::checked).ok_or_else(|| format!("`{text}` {NOT_POSITIVE}"))
    }
}
