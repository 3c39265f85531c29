//! What can go wrong in Elastic Load Balancing, made to happen to the resources of one job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tags::Tags;

/// The rules under this name are for every resource.
const EVERY_JOB: &str = "*";

/// What happens to the resources that are made or deleted from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// No call sees a new load balancer, target group or listener yet (hashicorp/terraform-provider-aws#15214,
    /// kubernetes-sigs/aws-load-balancer-controller#1472). What a call itself would make a second time is there all the
    /// same.
    Unseen {
        /// How long, in the cloud's time.
        seconds: u32,
    },
    /// A load balancer is `provisioning` longer.
    Provisions {
        /// How long in all, in the cloud's time.
        seconds: u32,
    },
    /// The interfaces of a deleted load balancer stay longer than others.
    InterfacesLinger {
        /// How much longer, in the cloud's time.
        seconds: u32,
    },
}

/// The faults in force. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<HashMap<String, Vec<Fault>>>>);

impl Faults {
    /// Puts a fault in force for the resources with the tag `mayfly:job` of this value; `*` is for all there are.
    pub fn add(&self, job: &str, fault: Fault) {
        self.rules().entry(job.to_owned()).or_default().push(fault);
    }

    /// How long a new resource with these tags is not seen.
    pub(crate) fn unseen(&self, tags: &Tags) -> Duration {
        self.longest(tags, |fault| if let Fault::Unseen { seconds } = fault { Some(seconds) } else { None })
            .unwrap_or_default()
    }

    /// How long a load balancer with these tags is `provisioning`, if not as long as others.
    pub(crate) fn provisions(&self, tags: &Tags) -> Option<Duration> {
        self.longest(
            tags,
            |fault| if let Fault::Provisions { seconds } = fault { Some(seconds) } else { None },
        )
    }

    /// How much longer than others the interfaces of a load balancer with these tags stay.
    pub(crate) fn interfaces_linger(&self, tags: &Tags) -> Duration {
        let longest = self.longest(tags, |fault| {
            if let Fault::InterfacesLinger { seconds } = fault { Some(seconds) } else { None }
        });
        longest.unwrap_or_default()
    }

    /// Of the faults of what is the job's, or nobody's.
    fn longest(&self, tags: &Tags, seconds: impl Fn(Fault) -> Option<u32>) -> Option<Duration> {
        let rules = self.rules();
        let jobs = [Some(EVERY_JOB), tags.job()];
        let faults = jobs.into_iter().flatten().filter_map(|job| rules.get(job)).flatten();
        faults.copied().filter_map(seconds).max().map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Fault>>> {
        self.0.lock().expect("nobody panics while holding the rules")
    }
}
