//! Scaled time: one factor for every wait, time-out and delay of the local cloud.

use std::time::Duration;

/// How many real seconds one second of the cloud lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeScale(f64);

impl TimeScale {
    /// `factor` is in real seconds per second of the cloud: 1 is real time, 0.1 is ten times faster.
    ///
    /// # Panics
    /// If the factor is not a positive number.
    pub fn new(factor: f64) -> Self {
        assert!(factor.is_finite() && factor > 0.0, "time scale must be a positive number, not {factor}");
        Self(factor)
    }

    /// The real duration of `cloud`, a duration in the cloud's time.
    pub fn real(self, cloud: Duration) -> Duration {
        cloud.mul_f64(self.0)
    }

    /// Sleeps for `cloud`, a duration in the cloud's time.
    pub async fn sleep(self, cloud: Duration) {
        tokio::time::sleep(self.real(cloud)).await;
    }
}
