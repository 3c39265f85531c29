//! The API's rate limits: one token bucket per group of actions.

use local_aws::clock::TimeScale;
use local_aws::limits::{Buckets, Rate};
use tokio::time::Instant;

use crate::error::{ApiError, Result};

/// A group of actions that share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    ClusterModify,
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
    /// API Reference, "Request throttling for the Amazon ECS API".
    fn rate(self) -> Rate {
        let (burst, refill) = match self {
            Self::ClusterRead | Self::DefinitionRead => (50.0, 20.0),
            Self::DefinitionDelete => (5.0, 1.0),
            Self::ClusterModify | Self::DefinitionModify => (20.0, 1.0),
            Self::ServiceModify => (50.0, 5.0),
            Self::ServiceRead | Self::TaskRead => (100.0, 20.0),
            Self::TaskModify => (100.0, 40.0),
        };
        Rate { burst, refill }
    }
}

/// The account's buckets.
#[derive(Debug)]
pub(crate) struct Limits(Buckets<Group>);

impl Limits {
    pub fn new(scale: TimeScale) -> Self {
        Self(Buckets::new(scale))
    }

    /// Takes a token of `group`'s bucket at `now`, or answers as ECS does when there is none.
    pub fn take(&self, group: Group, now: Instant) -> Result<()> {
        if self.0.take(group, group.rate(), now) {
            return Ok(());
        }
        Err(ApiError::new("ThrottlingException", "Rate exceeded"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use local_aws::clock::Clock;

    use super::*;

    /// How many calls pass at once, and how many more in each of the next hundred seconds on average.
    fn measured(group: Group) -> (usize, usize) {
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        let (limits, start) = (Limits::new(clock.scale), clock.instant());
        let passing = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..1000).take_while(|_| limits.take(group, now).is_ok()).count()
        };
        (passing(0), (1..=100).map(passing).sum::<usize>() / 100)
    }

    #[test]
    fn every_group_has_the_documented_bucket() {
        for (group, burst, refill) in [
            (Group::ClusterModify, 20, 1),
            (Group::ClusterRead, 50, 20),
            (Group::DefinitionDelete, 5, 1),
            (Group::DefinitionModify, 20, 1),
            (Group::DefinitionRead, 50, 20),
            (Group::ServiceModify, 50, 5),
            (Group::ServiceRead, 100, 20),
            (Group::TaskModify, 100, 40),
            (Group::TaskRead, 100, 20),
        ] {
            assert_eq!(measured(group), (burst, refill), "{group:?}");
        }
    }

    #[test]
    fn an_empty_bucket_is_a_throttling_exception() {
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        let (limits, now) = (Limits::new(clock.scale), clock.instant());
        for _ in 0..5 {
            limits.take(Group::DefinitionDelete, now).unwrap();
        }
        assert_eq!(limits.take(Group::DefinitionDelete, now).unwrap_err().code, "ThrottlingException");
        limits.take(Group::DefinitionModify, now).expect("another group has its own bucket");
    }
}
