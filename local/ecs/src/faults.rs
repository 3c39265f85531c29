//! What can go wrong with the tasks of one job, and with the calls about its cluster and service, made to happen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pull;
use crate::quotas::VCPUS_REACHED;
use crate::strategy::SPOT;

/// The rules that are in force, each for one job. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<HashMap<String, Vec<Rule>>>>);

/// A fault and the tasks that it happens to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// How many tasks of the job it happens to, whichever service has started them: the first ones that no earlier rule
    /// has taken. A try to place a task counts as a task. A fault of calls has its own count.
    #[serde(default = "one")]
    pub tasks: u32,
    /// Whether it happens only to tasks on this capacity provider, FARGATE or FARGATE_SPOT.
    #[serde(default)]
    pub capacity_provider: Option<String>,
}

/// What happens to a task or to a call. `after_seconds` are the cloud's seconds since the task was RUNNING.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// There is no capacity for the task, so there is no task.
    NoCapacity,
    /// The account's quota of vCPUs is used up, so there is no task.
    QuotaReached {
        /// How ECS tells of it.
        #[serde(default)]
        event_name: Refusal,
    },
    /// The task stays as it is, PROVISIONING or PENDING, until somebody stops it.
    NeverStarts {
        /// Where it stays.
        stage: Stage,
    },
    /// The registry does not answer in time.
    PullTimesOut,
    /// The registry does not let the image be pulled.
    PullDenied,
    /// AWS takes a Spot task back, after a warning. It happens on FARGATE_SPOT only.
    SpotInterruption {
        /// When the warning comes.
        after_seconds: u32,
        /// How the API calls it.
        #[serde(default)]
        stop_code: SpotStopCode,
    },
    /// The whole container is killed for want of memory.
    OutOfMemory {
        /// When.
        after_seconds: u32,
        /// The exit code that ECS tells; it may tell none.
        #[serde(default = "killed")]
        exit_code: Option<i32>,
    },
    /// The container is killed, and nobody says why.
    Killed {
        /// When.
        after_seconds: u32,
    },
    /// AWS retires the machine below the task.
    Maintenance {
        /// When the task is told to stop.
        after_seconds: u32,
    },
    /// The container lives on, but nothing in it moves any more.
    Silence {
        /// When.
        after_seconds: u32,
    },
    /// `CreateCluster` is refused because the service-linked role does not exist yet, as at the first use of ECS in an
    /// account.
    RoleMissing {
        /// How often.
        times: u32,
    },
    /// `DeleteService` is refused because of the service's deployments.
    DeploymentsActive {
        /// How often.
        times: u32,
    },
}

/// The event of a task that is not placed. For a lack of room it is the first; by which of them ECS tells of a full quota
/// is not documented: Developer Guide, "Amazon ECS service action events".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// The scheduler cannot place a task.
    #[default]
    ServiceTaskPlacementFailure,
    /// It cannot, because of how something is set up.
    ServiceTaskConfigurationFailure,
    /// The service cannot consistently start tasks.
    ServiceTaskStartImpaired,
}

/// How far a task comes that never starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    /// It waits for its network interface.
    Provisioning,
    /// It waits for its image.
    Pending,
}

/// The stop code of a Spot interruption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpotStopCode {
    /// As API Reference, `Task$stopCode`, has it.
    #[default]
    SpotInterruption,
    /// As the sample event of Developer Guide, "Fargate Spot termination notices", has it.
    TerminationNotice,
}

impl Rule {
    /// A rule for the job's first task alone.
    pub fn once(fault: Fault) -> Self {
        Self { fault, tasks: one(), capacity_provider: None }
    }

    /// A rule for all of the job's tasks.
    pub fn always(fault: Fault) -> Self {
        Self { tasks: u32::MAX, ..Self::once(fault) }
    }

    fn hits(&self, provider: &str) -> bool {
        let spot_only = matches!(self.fault, Fault::SpotInterruption { .. });
        self.tasks > 0
            && !matches!(self.fault, Fault::RoleMissing { .. } | Fault::DeploymentsActive { .. })
            && self.capacity_provider.as_deref().is_none_or(|wanted| wanted == provider)
            && (!spot_only || provider == SPOT)
    }
}

impl Faults {
    /// Puts rules in force for the job of this id, after those that it has.
    pub fn add(&self, job: &str, rules: impl IntoIterator<Item = Rule>) {
        self.rules().entry(job.to_owned()).or_default().extend(rules);
    }

    /// What is to happen to the next task of `job`, on `provider`.
    pub(crate) fn take(&self, job: &str, provider: &str) -> Option<Fault> {
        let mut rules = self.rules();
        let rule = rules.get_mut(job)?.iter_mut().find(|rule| rule.hits(provider))?;
        rule.tasks -= 1;
        Some(rule.fault.clone())
    }

    /// Whether this `CreateCluster` for `job` is refused for want of the service-linked role.
    pub(crate) fn is_role_missing(&self, job: Option<&str>) -> bool {
        self.refuses(job, |fault| match fault {
            Fault::RoleMissing { times } => Some(times),
            _ => None,
        })
    }

    /// Whether this `DeleteService` for `job` is refused because of deployments.
    pub(crate) fn are_deployments_active(&self, job: Option<&str>) -> bool {
        self.refuses(job, |fault| match fault {
            Fault::DeploymentsActive { times } => Some(times),
            _ => None,
        })
    }

    /// Counts down the first of the job's rules that has one of `times` left.
    fn refuses(&self, job: Option<&str>, times: impl Fn(&mut Fault) -> Option<&mut u32>) -> bool {
        let mut rules = self.rules();
        let faults = job.and_then(|job| rules.get_mut(job)).into_iter().flatten().map(|rule| &mut rule.fault);
        let Some(left) = faults.filter_map(times).find(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Rule>>> {
        self.0.lock().expect("nobody panics while holding the rules")
    }
}

impl Fault {
    /// Why no task can be placed, in the words of the service's event: Developer Guide, "Viewing Amazon ECS service event
    /// messages".
    pub(crate) fn of_placement(&self) -> Option<(&'static str, Refusal)> {
        match self {
            Self::NoCapacity => Some((
                "Capacity is unavailable at this time. Please try again later or in a different availability zone",
                Refusal::default(),
            )),
            Self::QuotaReached { event_name } => Some((VCPUS_REACHED, *event_name)),
            _ => None,
        }
    }

    /// Why `image` cannot be pulled.
    pub(crate) fn of_pull(&self, image: &str) -> Option<String> {
        match self {
            Self::PullTimesOut => Some(pull::timed_out(image)),
            Self::PullDenied => Some(pull::denied(image)),
            _ => None,
        }
    }

    /// When it happens to a task that runs, in the cloud's time from RUNNING on.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::NoCapacity
            | Self::QuotaReached { .. }
            | Self::NeverStarts { .. }
            | Self::PullTimesOut
            | Self::PullDenied
            | Self::RoleMissing { .. }
            | Self::DeploymentsActive { .. } => None,
            Self::SpotInterruption { after_seconds, .. }
            | Self::OutOfMemory { after_seconds, .. }
            | Self::Killed { after_seconds }
            | Self::Maintenance { after_seconds }
            | Self::Silence { after_seconds } => Some(Duration::from_secs((*after_seconds).into())),
        }
    }
}

fn one() -> u32 {
    1
}

/// 128 and the number of SIGKILL.
#[allow(clippy::unnecessary_wraps, reason = "it is the default of an optional field")]
fn killed() -> Option<i32> {
    Some(137)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(rules: Value) -> Result<Vec<Rule>, String> {
        serde_json::from_value(rules).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_taken_in_order_each_for_its_tasks() {
        let faults = Faults::default();
        let spot = Rule { tasks: 2, ..Rule::once(Fault::Killed { after_seconds: 1 }) };
        let spot = Rule { capacity_provider: Some("FARGATE_SPOT".into()), ..spot };
        faults.add("job", [spot, Rule::once(Fault::NoCapacity)]);
        assert_eq!(faults.take("other", "FARGATE_SPOT"), None);
        assert_eq!(faults.take("job", "FARGATE"), Some(Fault::NoCapacity));
        for _ in 0..2 {
            assert_eq!(faults.take("job", "FARGATE_SPOT"), Some(Fault::Killed { after_seconds: 1 }));
        }
        assert_eq!(faults.take("job", "FARGATE_SPOT"), None);
    }

    #[test]
    fn a_call_is_refused_as_often_as_its_rules_say() {
        let faults = Faults::default();
        let rule = |times| Rule::once(Fault::RoleMissing { times });
        faults.add("job", [rule(1), Rule::once(Fault::DeploymentsActive { times: 1 }), rule(1)]);
        let refused = [Some("job"), Some("other"), None, Some("job"), Some("job")];
        assert_eq!(refused.map(|job| faults.is_role_missing(job)), [true, false, false, true, false]);
        assert_eq!([(); 2].map(|()| faults.are_deployments_active(Some("job"))), [true, false]);
        faults.add("job", [rule(1)]);
        assert_eq!(faults.take("job", "FARGATE"), None, "it is no fault of a task");
    }

    #[test]
    fn only_a_spot_task_is_interrupted() {
        let faults = Faults::default();
        let fault = Fault::SpotInterruption { after_seconds: 1, stop_code: SpotStopCode::default() };
        faults.add("job", [Rule::once(fault.clone())]);
        assert_eq!(faults.take("job", "FARGATE"), None);
        assert_eq!(faults.take("job", "FARGATE_SPOT"), Some(fault));
    }

    #[test]
    fn rules_are_read_from_json() {
        let rules = read(json!([
            { "fault": "noCapacity", "tasks": 3, "capacityProvider": "FARGATE_SPOT" },
            { "fault": { "neverStarts": { "stage": "PENDING" } } },
            { "fault": { "spotInterruption": { "afterSeconds": 9, "stopCode": "TerminationNotice" } } },
            { "fault": { "outOfMemory": { "afterSeconds": 9 } } },
            { "fault": { "outOfMemory": { "afterSeconds": 9, "exitCode": null } } },
            { "fault": { "quotaReached": { "eventName": "SERVICE_TASK_START_IMPAIRED" } } },
        ]));
        let no_capacity =
            Rule { fault: Fault::NoCapacity, tasks: 3, capacity_provider: Some("FARGATE_SPOT".into()) };
        let others = [
            Fault::NeverStarts { stage: Stage::Pending },
            Fault::SpotInterruption { after_seconds: 9, stop_code: SpotStopCode::TerminationNotice },
            Fault::OutOfMemory { after_seconds: 9, exit_code: Some(137) },
            Fault::OutOfMemory { after_seconds: 9, exit_code: None },
            Fault::QuotaReached { event_name: Refusal::ServiceTaskStartImpaired },
        ];
        let expected = [no_capacity].into_iter().chain(others.map(Rule::once)).collect();
        assert_eq!(rules, Ok(expected));
    }

    #[test]
    fn what_no_rule_has_is_named() {
        for (rule, name) in [
            (json!([{ "fault": "noCapacity", "job": "j" }]), "`job`"),
            (json!([{ "fault": "earthquake" }]), "`earthquake`"),
            (json!([{ "fault": { "killed": { "after": 1, "afterSeconds": 1 } } }]), "`after`"),
        ] {
            let error = read(rule).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
