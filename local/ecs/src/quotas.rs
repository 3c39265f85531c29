//! What the account may have at once in the Region: the quotas that a job can meet.

use crate::State;
use crate::definitions::Revision;
use crate::strategy::SPOT;

/// The account's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Clusters.
    pub clusters: usize,
    /// The vCPUs of all tasks on Fargate: "Fargate On-Demand vCPU resource count", L-3032A538.
    pub on_demand_vcpus: u32,
    /// The vCPUs of all tasks on Fargate Spot: "Fargate Spot vCPU resource count", L-36FBB829.
    pub spot_vcpus: u32,
}

/// What a new account has: General Reference, "Amazon ECS endpoints and quotas" and "AWS Fargate endpoints and quotas".
impl Default for Quotas {
    fn default() -> Self {
        Self { clusters: 10_000, on_demand_vcpus: 6, spot_vcpus: 6 }
    }
}

/// Why a task is not placed, in the words of the service's event: Developer Guide, "Viewing Amazon ECS service event
/// messages". With the apostrophe of the page.
pub(crate) const VCPUS_REACHED: &str =
    "You’ve reached the limit on the number of vCPUs you can run concurrently";

/// CPU units in a vCPU: Developer Guide, "Task size".
const UNITS: u32 = 1024;

impl Quotas {
    /// Why one more task of `definition` cannot be placed on `provider`, if the tasks that there are leave no room. One
    /// counts in whatever cluster it is, until it is STOPPED.
    pub(crate) fn refusal(
        &self,
        state: &State,
        definition: &Revision,
        provider: &str,
    ) -> Option<&'static str> {
        let vcpus = if provider == SPOT { self.spot_vcpus } else { self.on_demand_vcpus };
        let alike =
            state.tasks.values().filter(|task| !task.is_stopped() && task.capacity_provider == provider);
        let used: u32 = alike.map(|task| task.definition.cpu_units()).sum();
        (used + definition.cpu_units() > vcpus.saturating_mul(UNITS)).then_some(VCPUS_REACHED)
    }
}
