//! The API's rate limits: one token bucket per group of actions.

use std::time::Instant;

use local_aws::{
    clock::TimeScale,
    limits::{Buckets, Rate},
};

use crate::error::{Error, Result};

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
        Err(Error::new("ThrottlingException", "Rate exceeded"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_is_a_throttling_exception() {
        let (limits, now) = (Limits::new(TimeScale::new(1.0)), Instant::now());
        for _ in 0..5 {
            limits.take(Group::DefinitionDelete, now).unwrap();
        }
        assert_eq!(limits.take(Group::DefinitionDelete, now).unwrap_err().code, "ThrottlingException");
        limits.take(Group::DefinitionModify, now).expect("another group has its own bucket");
    }
}
