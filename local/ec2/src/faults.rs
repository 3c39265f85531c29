//! What can go wrong in EC2, made to happen to the resources of one job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::nat_failure::NatFailure;
use crate::tags::Tags;

/// The rules under this name are for every resource.
const EVERY_JOB: &str = "*";

/// What happens to the resources that are made, changed or deleted from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// No call sees a new resource yet, or a change of one (EC2 developer guide, "Eventual consistency"): who names it is
    /// told that it does not exist, who lists does not find it, and who needs the change is told that it is not so. What
    /// a call itself would make a second time is there all the same.
    Unseen {
        /// How long, in the cloud's time.
        seconds: u32,
    },
    /// What is deleted is still listed (the same page); who names it is told that it does not exist.
    Lingers {
        /// How long, in the cloud's time.
        seconds: u32,
    },
    /// The network interface of a task stays in use after the task is STOPPED, as seen for minutes
    /// (opensearch-project/opensearch-migrations#2913, alchemy-run/alchemy#1125).
    InterfaceLingers {
        /// How long, in the cloud's time.
        seconds: u32,
    },
    /// NAT gateways fail, whatever they were made of.
    NatFails {
        /// The reason that they give.
        failure: NatFailure,
        /// When, in the cloud's time since they were made.
        after_seconds: u32,
    },
}

/// The faults in force. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<HashMap<String, Vec<Fault>>>>);

impl Faults {
    /// Puts a fault in force for the resources with the tag `mayfly:job` of this value; `*` is for all there are, also
    /// for those without a job.
    pub fn add(&self, job: &str, fault: Fault) {
        self.rules().entry(job.to_owned()).or_default().push(fault);
    }

    /// For how much of the cloud's time the network interface of a task of `job` stays after the task is STOPPED.
    pub fn interface_lingers(&self, job: Option<&str>) -> Duration {
        longest(&self.of(job), |fault| match fault {
            Fault::InterfaceLingers { seconds } => Some(seconds),
            _ => None,
        })
    }

    /// How long a new resource with these tags, or a change of one, is not seen, in the cloud's time.
    pub(crate) fn unseen(&self, tags: &Tags) -> Duration {
        longest(&self.of(tags.job()), |fault| match fault {
            Fault::Unseen { seconds } => Some(seconds),
            _ => None,
        })
    }

    /// How long a deleted resource with these tags is listed, in the cloud's time.
    pub(crate) fn lingers(&self, tags: &Tags) -> Duration {
        longest(&self.of(tags.job()), |fault| match fault {
            Fault::Lingers { seconds } => Some(seconds),
            _ => None,
        })
    }

    /// Why a new NAT gateway with these tags fails, and after how much of the cloud's time.
    pub(crate) fn nat_failure(&self, tags: &Tags) -> Option<(NatFailure, Duration)> {
        self.of(tags.job()).into_iter().find_map(|fault| match fault {
            Fault::NatFails { failure, after_seconds } => {
                Some((failure, Duration::from_secs(after_seconds.into())))
            }
            _ => None,
        })
    }

    /// The faults of what is the job's, or nobody's.
    fn of(&self, job: Option<&str>) -> Vec<Fault> {
        let rules = self.rules();
        let jobs = [Some(EVERY_JOB), job];
        jobs.into_iter().flatten().filter_map(|job| rules.get(job)).flatten().copied().collect()
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Fault>>> {
        self.0.lock().expect("nobody panics while holding the rules")
    }
}

fn longest(faults: &[Fault], seconds: impl Fn(Fault) -> Option<u32>) -> Duration {
    let longest = faults.iter().copied().filter_map(seconds).max();
    Duration::from_secs(longest.unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::JOB;

    #[test]
    fn a_fault_is_for_one_job_or_for_every_resource() {
        let faults = Faults::default();
        let of = |job: &str| Tags([(JOB.to_owned(), job.to_owned())].into());
        faults.add("a", Fault::Unseen { seconds: 5 });
        let unseen = |tags| faults.unseen(&tags).as_secs();
        assert_eq!((unseen(of("a")), unseen(of("b")), unseen(Tags::default())), (5, 0, 0));
        faults.add("*", Fault::Unseen { seconds: 3 });
        assert_eq!((unseen(of("a")), unseen(of("b")), unseen(Tags::default())), (5, 3, 3));
    }
}
