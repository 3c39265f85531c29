//! Where a job is: which attempt, start and launch is going on (docs/ARCHITECTURE.md has these words).

use serde::{Deserialize, Serialize};

/// The Spot tasks that a job may lose before it fails; with the capacity `spot-then-on-demand` it is on demand long
/// before that.
pub const SPOT_LOSSES_LIMIT: u32 = 5;

/// A start and what led to it. The state machine keeps it; the worker sends it back with every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The attempt, from 1; the document's `attempts` is its bound.
    pub attempt: u32,
    /// The start, from 1: one dispatch of the job to a container, with a token of its own. An attempt whose Spot task was
    /// lost, or whose container never came, has another start.
    pub start: u32,
    /// The launch, from 1: the job's ECS service, which may get several starts.
    pub launch: u32,
    /// What that service runs on.
    pub provider: Provider,
    /// How many starts have been lost to AWS taking Spot capacity back.
    pub losses: u32,
    /// How many containers have never come.
    pub failed_starts: u32,
    /// How much longer than the plan's heartbeat this start's container may be silent, in seconds, because the last
    /// start found the quota of vCPUs used up and ECS goes on trying; 0 where no quota is waited for. It counts for the
    /// whole start: ECS tells of a container that ends, and only one that hangs is noticed so much later.
    #[serde(default)]
    pub queue_seconds: u64,
}

impl Turn {
    /// The first turn of a job.
    pub fn first(provider: Provider) -> Self {
        Self { attempt: 1, start: 1, launch: 1, provider, losses: 0, failed_starts: 0, queue_seconds: 0 }
    }

    /// Whether the last start found the quota of vCPUs used up.
    pub fn awaits_quota(&self) -> bool {
        self.queue_seconds > 0
    }
}

/// An ECS capacity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// Fargate Spot: cheaper, and AWS may take it back.
    #[serde(rename = "FARGATE_SPOT")]
    Spot,
    /// Fargate.
    #[serde(rename = "FARGATE")]
    OnDemand,
}

impl Provider {
    /// Its name in ECS.
    /// Source: ECS API Reference, `CapacityProviderStrategyItem`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spot => "FARGATE_SPOT",
            Self::OnDemand => "FARGATE",
        }
    }
}
