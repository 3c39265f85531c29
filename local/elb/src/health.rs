//! The health of a target, and how checks change it.

use serde::Serialize;

use crate::check::HealthCheck;

/// API reference, `TargetHealth`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetHealth {
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl TargetHealth {
    pub fn new(state: &'static str, reason: &'static str, description: &str) -> Self {
        Self { state, reason: Some(reason), description: Some(description.to_owned()) }
    }
}

/// What the checks of a target have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not been looked at.
    Registering,
    /// The first checks are being made; so many have been right one after another.
    Initial { right: u32, wrong: u32 },
    /// So many checks were wrong since the last that was right.
    Healthy { wrong: u32 },
    /// Why, and how many checks were right since the last that was wrong.
    Unhealthy { failure: Failure, right: u32 },
}

/// Why a check has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing answered in time, as when a security group is in the way.
    Timeout,
    /// The connection was refused, or what came was no answer.
    Connection,
    /// The answer had this status.
    Status(u16),
}

impl Health {
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy { .. })
    }

    /// As DescribeTargetHealth has it.
    pub fn describe(&self, is_active: bool) -> TargetHealth {
        match self {
            Self::Healthy { .. } => TargetHealth { state: "healthy", reason: None, description: None },
            Self::Unhealthy { failure, .. } => failure.describe(),
            Self::Initial { .. } if is_active => {
                TargetHealth::new("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
            }
            Self::Initial { .. } | Self::Registering => TargetHealth::new(
                "initial",
                "Elb.RegistrationInProgress",
                "Target registration is in progress",
            ),
        }
    }

    /// What it is after one more check: thresholds count checks of one kind in a row (API reference, `TargetGroup`).
    pub fn after(self, outcome: Result<(), Failure>, check: &HealthCheck) -> Self {
        match (self, outcome) {
            (Self::Registering, outcome) => Self::Initial { right: 0, wrong: 0 }.after(outcome, check),
            (Self::Initial { right, .. }, Ok(())) if right + 1 >= check.healthy => Self::Healthy { wrong: 0 },
            (Self::Initial { right, .. }, Ok(())) => Self::Initial { right: right + 1, wrong: 0 },
            (Self::Initial { wrong, .. }, Err(_)) if wrong + 1 < check.unhealthy => {
                Self::Initial { right: 0, wrong: wrong + 1 }
            }
            (Self::Healthy { wrong }, Err(_)) if wrong + 1 < check.unhealthy => {
                Self::Healthy { wrong: wrong + 1 }
            }
            (Self::Healthy { .. }, Ok(())) => Self::Healthy { wrong: 0 },
            (Self::Unhealthy { right, .. }, Ok(())) if right + 1 >= check.healthy => {
                Self::Healthy { wrong: 0 }
            }
            (Self::Unhealthy { failure, right }, Ok(())) => Self::Unhealthy { failure, right: right + 1 },
            (_, Err(failure)) => Self::Unhealthy { failure, right: 0 },
        }
    }
}

impl Failure {
    fn describe(&self) -> TargetHealth {
        let (reason, description) = match self {
            Self::Timeout => ("Target.Timeout", "Request timed out".to_owned()),
            Self::Connection => ("Target.FailedHealthChecks", "Health checks failed".to_owned()),
            Self::Status(status) => {
                ("Target.ResponseCodeMismatch", format!("Health checks failed with these codes: [{status}]"))
            }
        };
        TargetHealth::new("unhealthy", reason, &description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: HealthCheck = HealthCheck {
        protocol: "TCP",
        port: None,
        path: None,
        interval_seconds: 10,
        timeout_seconds: 5,
        healthy: 3,
        unhealthy: 2,
    };

    /// The states after each check; `+` is right and `-` wrong.
    fn states(checks: &str) -> Vec<&'static str> {
        let mut health = Health::Registering;
        let after = |check| {
            let outcome = if check == '+' { Ok(()) } else { Err(Failure::Timeout) };
            health = health.clone().after(outcome, &CHECK);
            health.describe(true).state
        };
        checks.chars().map(after).collect()
    }

    #[test]
    fn a_target_changes_its_state_after_as_many_checks_in_a_row_as_the_thresholds_say() {
        assert_eq!(states("+++"), ["initial", "initial", "healthy"]);
        assert_eq!(states("++-+"), ["initial"; 4]);
        assert_eq!(states("--"), ["initial", "unhealthy"]);
        assert_eq!(states("+++-+-")[2..], ["healthy"; 4]);
        assert_eq!(states("+++--")[3..], ["healthy", "unhealthy"]);
        assert_eq!(states("--++-+++")[2..], [["unhealthy"; 5].as_slice(), &["healthy"]].concat());
    }
}
