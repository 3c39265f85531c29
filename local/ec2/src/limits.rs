//! How often each action may be called (EC2 developer guide, "Request throttling for the Amazon EC2 API"). "Each API is
//! evaluated individually": every action has its own bucket.

use local_aws::clock::TimeScale;
use local_aws::limits::{Buckets, Rate};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::parameters::Parameters;

const NON_MUTATING: Rate = Rate { burst: 100.0, refill: 20.0 };
const UNFILTERED_AND_UNPAGINATED: Rate = Rate { burst: 50.0, refill: 10.0 };
const MUTATING: Rate = Rate { burst: 50.0, refill: 5.0 };

/// The actions here that take from a smaller bucket "when requested without specifying either pagination or a filter".
const COSTLY_TO_LIST: [&str; 2] = ["DescribeNetworkInterfaces", "DescribeSecurityGroups"];

/// "Uncategorized actions", which have their own numbers.
const UNCATEGORIZED: [(&str, Rate); 4] = [
    ("CreateNatGateway", Rate { burst: 10.0, refill: 1.0 }),
    ("DeleteNatGateway", Rate { burst: 10.0, refill: 1.0 }),
    ("CreateVpcEndpoint", Rate { burst: 4.0, refill: 0.3 }),
    ("DeleteVpcEndpoints", Rate { burst: 4.0, refill: 0.3 }),
];

/// The account's buckets, by action, and whether a list is unfiltered and unpaginated.
#[derive(Debug)]
pub struct Limits(Buckets<(String, bool)>);

impl Limits {
    pub fn new(scale: TimeScale) -> Self {
        Self(Buckets::new(scale))
    }

    /// Takes a token for a call at `now`.
    pub fn take(&self, action: &str, parameters: &Parameters, now: Instant) -> Result<(), ApiError> {
        let whole = COSTLY_TO_LIST.contains(&action)
            && !["Filter.", "MaxResults", "NextToken"].iter().any(|part| parameters.has(part));
        let rate = match UNCATEGORIZED.iter().find(|(name, _)| *name == action) {
            Some((_, rate)) => *rate,
            None if whole => UNFILTERED_AND_UNPAGINATED,
            None if action.starts_with("Describe") => NON_MUTATING,
            None => MUTATING,
        };
        if self.0.take((action.to_owned(), whole), rate, now) {
            return Ok(());
        }
        Err(ApiError::new("RequestLimitExceeded", "Request limit exceeded."))
    }
}

#[cfg(test)]
mod tests {
    use local_aws::clock::Clock;

    use super::*;

    /// How many calls pass at once, and how many more in each of the next hundred seconds on average.
    fn measured(action: &str, body: &str) -> (u32, f64) {
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        let (limits, start) = (Limits::new(clock.scale), clock.instant());
        let parameters = Parameters::parse(body.as_bytes());
        let passing = |seconds| {
            let now = start + std::time::Duration::from_secs(seconds);
            (0..1000).take_while(|_| limits.take(action, &parameters, now).is_ok()).count()
        };
        let burst = passing(0);
        let refilled = u32::try_from((1..=100).map(passing).sum::<usize>()).expect("few");
        (u32::try_from(burst).expect("few"), (f64::from(refilled) / 10.0).round() / 10.0)
    }

    #[test]
    fn every_action_has_the_documented_bucket() {
        for (action, body, burst, refill) in [
            ("DescribeVpcs", "", 100, 20.0),
            ("DescribeSecurityGroups", "Filter.1.Name=vpc-id", 100, 20.0),
            ("DescribeSecurityGroups", "MaxResults=5", 100, 20.0),
            ("DescribeSecurityGroups", "", 50, 10.0),
            ("DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-1", 50, 10.0),
            ("CreateVpc", "", 50, 5.0),
            ("DeleteSubnet", "", 50, 5.0),
            ("CreateNatGateway", "", 10, 1.0),
            ("DeleteNatGateway", "", 10, 1.0),
            ("CreateVpcEndpoint", "", 4, 0.3),
            ("DeleteVpcEndpoints", "", 4, 0.3),
        ] {
            assert_eq!(measured(action, body), (burst, refill), "{action} {body}");
        }
    }

    #[test]
    fn one_actions_calls_do_not_slow_another_down() {
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        let (limits, now) = (Limits::new(clock.scale), clock.instant());
        let take = |action| limits.take(action, &Parameters::default(), now);
        for _ in 0..50 {
            take("CreateVpc").expect("a token");
        }
        assert_eq!(take("CreateVpc").expect_err("empty").code, "RequestLimitExceeded");
        assert_eq!(take("CreateSubnet"), Ok(()));
    }
}
