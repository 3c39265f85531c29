//! What can go wrong in EC2, made to happen to the resources of one job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::nat_failure::NatFailure;
use crate::tags::Tags;

/// The tag that says whose resource it is.
const JOB: &str = "mayfly:job";
/// The rules under this name are for every resource.
const EVERY_JOB: &str = "*";

/// What happens to the resources that are made from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No call sees a new resource yet (EC2 developer guide, "Eventual consistency"): who names it is told that it does
    /// not exist, and who lists does not find it.
    Unseen {
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

    /// The faults of a resource with these tags.
    pub(crate) fn of(&self, tags: &Tags) -> Vec<Fault> {
        let rules = self.rules();
        let jobs = [Some(EVERY_JOB), tags.0.get(JOB).map(String::as_str)];
        jobs.into_iter().flatten().filter_map(|job| rules.get(job)).flatten().copied().collect()
    }

    /// How long a new resource with these tags is not seen, in the cloud's time.
    pub(crate) fn unseen(&self, tags: &Tags) -> Duration {
        let seconds = |fault| if let Fault::Unseen { seconds } = fault { Some(seconds) } else { None };
        let seconds = self.of(tags).into_iter().filter_map(seconds).max();
        Duration::from_secs(seconds.unwrap_or_default().into())
    }

    /// Why a new NAT gateway with these tags fails, and after how much of the cloud's time.
    pub(crate) fn nat_failure(&self, tags: &Tags) -> Option<(NatFailure, Duration)> {
        self.of(tags).into_iter().find_map(|fault| match fault {
            Fault::NatFails { failure, after_seconds } => {
                Some((failure, Duration::from_secs(after_seconds.into())))
            }
            Fault::Unseen { .. } => None,
        })
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Fault>>> {
        self.0.lock().expect("nobody panics while holding the rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
