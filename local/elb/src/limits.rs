//! How often calls may be made (Elastic Load Balancing user guide, "Request throttling for the ELB API").

use local_aws::clock::TimeScale;
use local_aws::limits::{Buckets, Rate};
use tokio::time::Instant;

use crate::error::ApiError;

/// The page's own example: "the token bucket size for non-mutating API actions is 40 tokens", and "the bucket refill rate
/// is 10 tokens per second". All `Describe` calls share it.
const NON_MUTATING: Rate = Rate { burst: 40.0, refill: 10.0 };
/// A guess: the part of the page with the other numbers could not be read. A fourth of those that only read.
const MUTATING: Rate = Rate { burst: 10.0, refill: 3.0 };

/// The account's two buckets, by whether a call changes something.
#[derive(Debug)]
pub struct Limits(Buckets<bool>);

impl Limits {
    pub fn new(scale: TimeScale) -> Self {
        Self(Buckets::new(scale))
    }

    /// Takes a token for a call at `now`.
    pub fn take(&self, action: &str, now: Instant) -> Result<(), ApiError> {
        let mutates = !action.starts_with("Describe");
        if self.0.take(mutates, if mutates { MUTATING } else { NON_MUTATING }, now) {
            return Ok(());
        }
        // "you get the ThrottlingException error code and a Rate exceeded error message" (the same page).
        Err(ApiError::new("ThrottlingException", "Rate exceeded"))
    }
}

#[cfg(test)]
mod tests {
    use local_aws::clock::Clock;

    use super::*;

    #[test]
    fn what_reads_and_what_changes_take_from_two_buckets() {
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        let (limits, start) = (Limits::new(clock.scale), clock.instant());
        let passing = |actions: [&str; 2], second: u64| {
            let now = start + std::time::Duration::from_secs(second);
            (0..1000).take_while(|turn| limits.take(actions[turn % 2], now).is_ok()).count()
        };
        let reads = ["DescribeTags", "DescribeTargetHealth"];
        let changes = ["CreateTargetGroup", "DeleteTargetGroup"];
        assert_eq!((passing(reads, 0), passing(changes, 0)), (40, 10));
        assert_eq!((passing(reads, 1), passing(changes, 1)), (10, 3));
        let error = limits.take("DescribeTags", start + std::time::Duration::from_secs(1)).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), ("ThrottlingException", "Rate exceeded"));
    }
}
