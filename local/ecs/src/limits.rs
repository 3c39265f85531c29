//! The API's rate limits: one token bucket per group of actions, refilled in the cloud's time.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use local_aws::clock::TimeScale;

use crate::error::{Error, Result};

/// A group of actions that share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    ClusterRead,
    DefinitionDelete,
    DefinitionModify,
    DefinitionRead,
    ServiceModify,
    ServiceRead,
    TaskModify,
    TaskRead,
}

impl Group {
    /// Burst, and refill per second: API Reference, "Request throttling for the Amazon ECS API".
    fn limits(self) -> (f64, f64) {
        match self {
            Self::ClusterRead | Self::DefinitionRead => (50.0, 20.0),
            Self::DefinitionDelete => (5.0, 1.0),
            Self::DefinitionModify => (20.0, 1.0),
            Self::ServiceModify => (50.0, 5.0),
            Self::ServiceRead | Self::TaskRead => (100.0, 20.0),
            Self::TaskModify => (100.0, 40.0),
        }
    }
}

/// The account's buckets; each starts full.
#[derive(Debug)]
pub(crate) struct Limits {
    scale: TimeScale,
    buckets: Mutex<HashMap<Group, (f64, Instant)>>,
}

impl Limits {
    pub fn new(scale: TimeScale) -> Self {
        Self { scale, buckets: Mutex::default() }
    }

    /// Takes a token of `group`'s bucket at `now`, or answers as ECS does when there is none.
    pub fn take(&self, group: Group, now: Instant) -> Result<()> {
        let (burst, refill) = group.limits();
        let mut buckets = self.buckets.lock().expect("nobody panics while holding the buckets");
        let (tokens, last) = buckets.entry(group).or_insert((burst, now));
        let second = self.scale.real(Duration::from_secs(1)).as_secs_f64();
        let seconds = now.saturating_duration_since(*last).as_secs_f64() / second;
        *tokens = (*tokens + seconds * refill).min(burst);
        *last = now;
        if *tokens < 1.0 {
            return Err(Error::new("ThrottlingException", "Rate exceeded"));
        }
        *tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_in_the_clouds_time() {
        let limits = Limits::new(TimeScale::new(0.01));
        let start = Instant::now();
        for _ in 0..5 {
            limits.take(Group::DefinitionDelete, start).unwrap();
        }
        assert_eq!(limits.take(Group::DefinitionDelete, start).unwrap_err().code, "ThrottlingException");
        limits.take(Group::DefinitionModify, start).expect("another group has its own bucket");
        limits.take(Group::DefinitionDelete, start + Duration::from_millis(10)).expect("a second has passed");
        limits.take(Group::DefinitionDelete, start + Duration::from_millis(10)).unwrap_err();
    }
}
