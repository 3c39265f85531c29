//! What a job has in the account, and which states of it count as gone.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// The kinds of resource that a job can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// An ECS service.
    Service,
    /// An ECS task.
    Task,
    /// An ECS cluster of the job's own.
    Cluster,
    /// A network interface: a task's, or one in the job's own VPC.
    NetworkInterface,
    /// A revision of an ECS task definition.
    TaskDefinition,
    /// An SQS queue.
    Queue,
    /// A VPC.
    Vpc,
    /// A subnet.
    Subnet,
    /// An internet gateway.
    InternetGateway,
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway,
    /// An Elastic IP address.
    Address,
    /// A NAT gateway.
    NatGateway,
    /// A route table.
    RouteTable,
    /// A VPC endpoint.
    VpcEndpoint,
    /// A network load balancer, with its listeners.
    LoadBalancer,
    /// A target group of a load balancer.
    TargetGroup,
    /// A security group.
    SecurityGroup,
    /// An upload in parts.
    Upload,
    /// Whatever a teardown that could not say what it found may have left.
    Unproven,
}

/// What is said of a resource whose kind has no states.
pub const EXISTS: &str = "EXISTS";

/// What is said of an upload that was completed or aborted.
pub const ENDED: &str = "ENDED";

/// What is said of a resource whose state was not told.
pub const UNKNOWN: &str = "UNKNOWN";

impl Kind {
    /// Whether a resource of this kind that is in `state` costs nothing, holds nothing up and vanishes by itself.
    pub fn is_gone(self, state: &str) -> bool {
        match self {
            // A service is described for a while after it has drained.
            // Source: ECS API Reference, Service, `status`.
            // So is a cluster that was deleted.
            // Source: ECS API Reference, `Cluster`, `status`.
            Self::Service | Self::Cluster => state == "INACTIVE",
            // Both are described for about an hour, cannot be removed, and count against no quota. The address and the
            // interface of one that failed are looked for by themselves.
            // Source: VPC user guide, "NAT gateway creation fails" and "Amazon VPC quotas".
            Self::NatGateway => matches!(state, "deleted" | "failed"),
            // Source: EC2 API Reference, `VpcEndpoint`, `State`; its case varies.
            Self::VpcEndpoint => state.eq_ignore_ascii_case("deleted"),
            // A stopped task is described for about an hour; its interface was deleted in DEPROVISIONING.
            // Source: ECS developer guide, "Task lifecycle".
            Self::Task => matches!(state, "STOPPED" | "DELETED"),
            // Deletion has been accepted; the revision goes when nothing refers to it any more.
            // Source: ECS API Reference, `DeleteTaskDefinitions`.
            Self::TaskDefinition => state == "DELETE_IN_PROGRESS",
            // Find-leftovers says so of a queue whose deletion SQS has accepted.
            Self::Queue => state == "DELETED",
            // Find-leftovers says so of an upload that S3 does not know any more.
            Self::Upload => state == ENDED,
            // Not described any more once deleted.
            Self::NetworkInterface
            | Self::Vpc
            | Self::Subnet
            | Self::InternetGateway
            | Self::EgressOnlyInternetGateway
            | Self::Address
            | Self::RouteTable
            | Self::LoadBalancer
            | Self::TargetGroup
            | Self::SecurityGroup
            | Self::Unproven => false,
        }
    }
}

/// One resource of a job, as AWS described it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its ARN, or its id or URL where AWS knows it by that.
    pub id: String,
    /// Its state in AWS's words; for kinds without states, [`EXISTS`].
    pub state: String,
    /// Of what AWS itself has put into the job's VPC, the name that it has there, so that a person who reads of it in
    /// `residual` understands whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Resource {
    /// A resource of the job's own.
    pub fn new(kind: Kind, id: impl Into<String>, state: impl Into<String>) -> Self {
        Self { kind, id: id.into(), state: state.into(), owner: None }
    }

    /// Whether it costs nothing, holds nothing up and vanishes by itself.
    pub fn is_gone(&self) -> bool {
        self.kind.is_gone(&self.state)
    }
}

impl Display for Resource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, id, state, owner } = self;
        match owner {
            Some(owner) => write!(f, "{kind:?} {id} ({state}: {owner})"),
            None => write!(f, "{kind:?} {id} ({state})"),
        }
    }
}

/// How much of a list is told where space is short.
const SHORT_LIST: usize = 20;

/// What was created for a job, and what has become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// All that was ever seen of the job.
    pub created: Vec<Named>,
    /// What is gone of it.
    pub deleted: Vec<Named>,
    /// What is not.
    pub residual: Vec<Resource>,
}

/// A resource by kind and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// Its ARN, id or URL.
    pub id: String,
}

impl Receipt {
    /// Brings the receipt up to date with what is there now.
    pub fn update(&mut self, now: &[Resource]) {
        self.created
            .extend(now.iter().map(|Resource { kind, id, .. }| Named { kind: *kind, id: id.clone() }));
        self.created.sort();
        self.created.dedup();
        self.residual = now.iter().filter(|resource| !resource.is_gone()).cloned().collect();
        self.residual.sort();
        let left = |named: &&Named| !self.residual.iter().any(|r| r.kind == named.kind && r.id == named.id);
        self.deleted = self.created.iter().filter(left).cloned().collect();
    }

    /// The receipt for a `Cause`, where space is short: the beginning of each list.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let Self { mut created, mut deleted, mut residual } = self.clone();
        created.truncate(SHORT_LIST);
        deleted.truncate(SHORT_LIST);
        residual.truncate(SHORT_LIST);
        Self { created, deleted, residual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_states_that_aws_documents_as_final_count_as_gone() {
        let table = [
            (Kind::Service, "ACTIVE", false),
            (Kind::Service, "DRAINING", false),
            (Kind::Service, "INACTIVE", true),
            (Kind::Task, "DEPROVISIONING", false),
            (Kind::Task, "STOPPED", true),
            (Kind::TaskDefinition, "ACTIVE", false),
            (Kind::TaskDefinition, "INACTIVE", false),
            (Kind::TaskDefinition, "DELETE_IN_PROGRESS", true),
            (Kind::Cluster, "ACTIVE", false),
            (Kind::Cluster, "INACTIVE", true),
            (Kind::NatGateway, "available", false),
            (Kind::NatGateway, "deleting", false),
            (Kind::NatGateway, "failed", true),
            (Kind::NatGateway, "deleted", true),
            (Kind::VpcEndpoint, "deleting", false),
            (Kind::VpcEndpoint, "Deleted", true),
            (Kind::Address, "EXISTS", false),
            (Kind::Queue, "EXISTS", false),
            (Kind::Queue, "DELETED", true),
            (Kind::NetworkInterface, "in-use", false),
            (Kind::LoadBalancer, "provisioning", false),
            (Kind::LoadBalancer, "failed", false),
            (Kind::TargetGroup, "EXISTS", false),
            (Kind::Upload, "EXISTS", false),
            (Kind::Upload, ENDED, true),
        ];
        for (kind, state, gone) in table {
            assert_eq!(kind.is_gone(state), gone, "{kind:?} {state}");
        }
    }

    #[test]
    fn a_receipt_remembers_what_has_vanished() {
        let mut receipt = Receipt::default();
        receipt.update(&[
            Resource::new(Kind::Queue, "q", "EXISTS"),
            Resource::new(Kind::Service, "s", "ACTIVE"),
        ]);
        assert_eq!(receipt.residual.len(), 2);
        receipt.update(&[Resource::new(Kind::Service, "s", "INACTIVE")]);
        assert_eq!(receipt.created.len(), 2);
        assert_eq!(receipt.deleted, receipt.created);
        assert!(receipt.residual.is_empty());
    }

    #[test]
    fn what_aws_has_made_is_told_with_its_name() {
        let mut endpoint = Resource::new(Kind::VpcEndpoint, "vpce-1", "available");
        assert_eq!(endpoint.to_string(), "VpcEndpoint vpce-1 (available)");
        endpoint.owner = Some("com.amazonaws.eu-central-1.guardduty-data".into());
        assert_eq!(
            endpoint.to_string(),
            "VpcEndpoint vpce-1 (available: com.amazonaws.eu-central-1.guardduty-data)"
        );
    }
}
