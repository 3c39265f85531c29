//! Token buckets, the way AWS limits how often an API is called.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::TimeScale;

/// How many calls a bucket lets pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At once, when the bucket is full.
    pub burst: f64,
    /// The tokens that come back in one second of the cloud.
    pub refill: f64,
}

/// An account's buckets, one for each `K`; each starts full.
#[derive(Debug)]
pub struct Buckets<K> {
    scale: TimeScale,
    /// The tokens that were left, and when.
    levels: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Full buckets, refilled in the time of `scale`.
    pub fn new(scale: TimeScale) -> Self {
        Self { scale, levels: Mutex::default() }
    }

    /// Takes a token of the bucket `key` at `now`; false when there is none.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the buckets.
    pub fn take(&self, key: K, rate: Rate, now: Instant) -> bool {
        let mut levels = self.levels.lock().expect("nobody panics while holding the buckets");
        let (tokens, last) = levels.entry(key).or_insert((rate.burst, now));
        let second = self.scale.real(Duration::from_secs(1)).as_secs_f64();
        let seconds = now.saturating_duration_since(*last).as_secs_f64() / second;
        *tokens = (*tokens + seconds * rate.refill).min(rate.burst);
        *last = now;
        let passes = *tokens >= 1.0;
        if passes {
            *tokens -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_bucket_empties_and_refills_in_the_clouds_time() {
        let clock = Clock::new(TimeScale::new(0.01), TimeScale::REAL);
        let buckets = Buckets::new(clock.scale);
        let (start, rate) = (clock.instant(), Rate { burst: 5.0, refill: 1.0 });
        let second = start + Duration::from_millis(10);
        for _ in 0..5 {
            assert!(buckets.take("a", rate, start));
        }
        assert!(!buckets.take("a", rate, start));
        assert!(buckets.take("b", rate, start), "another key has its own bucket");
        assert!(buckets.take("a", rate, second), "a second has passed");
        assert!(!buckets.take("a", rate, second));
    }
}
