//! What a job has in the account, and which states of it count as gone.

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
    /// An Elastic IP address.
    Address,
    /// A NAT gateway.
    NatGateway,
    /// A route table.
    RouteTable,
    /// A VPC endpoint.
    VpcEndpoint,
    /// A security group.
    SecurityGroup,
    /// Whatever a teardown that could not say what it found may have left.
    Unproven,
}

/// One resource of a job, as AWS described it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its ARN, or its id or URL where AWS knows it by that.
    pub id: String,
    /// Its state in AWS's words; for kinds without states, `EXISTS`.
    pub state: String,
}

impl Resource {
    /// Whether the resource costs nothing, holds nothing up and vanishes by itself.
    pub fn is_gone(&self) -> bool {
        match self.kind {
            // A service is described for a while after it has drained.
            // Source: ECS API Reference, Service, `status`.
            // So is a cluster that was deleted.
            // Source: ECS API Reference, `Cluster`, `status`.
            Kind::Service | Kind::Cluster => self.state == "INACTIVE",
            // Both are described for about an hour, cannot be removed, and count against no quota. The address and the
            // interface of one that failed are looked for by themselves.
            // Source: VPC user guide, "NAT gateway creation fails" and "Amazon VPC quotas".
            Kind::NatGateway => matches!(self.state.as_str(), "deleted" | "failed"),
            // Source: EC2 API Reference, `VpcEndpoint`, `State`; its case varies.
            Kind::VpcEndpoint => self.state.eq_ignore_ascii_case("deleted"),
            // A stopped task is described for about an hour; its interface was deleted in DEPROVISIONING.
            // Source: ECS developer guide, "Task lifecycle".
            Kind::Task => matches!(self.state.as_str(), "STOPPED" | "DELETED"),
            // Deletion has been accepted; the revision goes when nothing refers to it any more.
            // Source: ECS API Reference, `DeleteTaskDefinitions`.
            Kind::TaskDefinition => self.state == "DELETE_IN_PROGRESS",
            // Find-leftovers says so of a queue whose deletion SQS has accepted.
            Kind::Queue => self.state == "DELETED",
            // Not described any more once deleted.
            Kind::NetworkInterface
            | Kind::Vpc
            | Kind::Subnet
            | Kind::InternetGateway
            | Kind::Address
            | Kind::RouteTable
            | Kind::SecurityGroup
            | Kind::Unproven => false,
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

    fn resource(kind: Kind, id: &str, state: &str) -> Resource {
        Resource { kind, id: id.into(), state: state.into() }
    }

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
        ];
        for (kind, state, gone) in table {
            assert_eq!(resource(kind, "x", state).is_gone(), gone, "{kind:?} {state}");
        }
    }

    #[test]
    fn a_receipt_remembers_what_has_vanished() {
        let mut receipt = Receipt::default();
        receipt.update(&[resource(Kind::Queue, "q", "EXISTS"), resource(Kind::Service, "s", "ACTIVE")]);
        assert_eq!(receipt.residual.len(), 2);
        receipt.update(&[resource(Kind::Service, "s", "INACTIVE")]);
        assert_eq!(receipt.created.len(), 2);
        assert_eq!(receipt.deleted, receipt.created);
        assert!(receipt.residual.is_empty());
    }
}
