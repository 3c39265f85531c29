//! The plan: the job document with all defaults in, and the names, tags and limits that every later step uses.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::job::{Capacity, Work};
use crate::tags::Tags;
use crate::turn::Turn;

/// What plan-job hands to the rest of the state machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The job's id, which is made of the execution's name.
    pub job: String,
    /// The execution's ARN.
    pub execution: String,
    /// When everything of the job is overdue, RFC 3339 UTC.
    pub expiry: String,
    /// The tags of everything that is created.
    pub tags: Tags,
    /// The mailbox's name, which nobody can guess, so that only this job's container reads its mail.
    pub mailbox_name: String,
    /// The mailbox's URL.
    pub mailbox_url: String,
    /// The task definition's family.
    pub family: String,
    /// What the names of the container's log streams begin with.
    pub log_prefix: String,
    /// Where the container runs.
    #[serde(flatten)]
    pub network: PlannedNetwork,
    /// Until when a full quota is waited for, RFC 3339 UTC.
    pub queue_until: String,
    /// The container with defaults.
    pub container: PlannedContainer,
    /// The capacity.
    pub capacity: Capacity,
    /// What the state machine begins with.
    pub first_turn: Turn,
    /// The work.
    #[serde(rename = "task")]
    pub work: Work,
    /// The longest one attempt may take, in seconds.
    pub timeout_seconds: u64,
    /// The longest silence of the container, its start included, in seconds.
    pub heartbeat_seconds: u64,
    /// How often the job may be tried.
    pub attempts: u32,
    /// The name of the teardown execution that this job calls.
    pub teardown_name: String,
}

impl Plan {
    /// Whether the job still waits `now` where a quota is full.
    pub fn waits_for_quotas(&self, now: Timestamp) -> bool {
        self.queue_time_left(now).is_positive()
    }

    /// How much longer the job waits, from `now` on, where a quota is full.
    pub fn queue_time_left(&self, now: Timestamp) -> SignedDuration {
        let left = self.queue_until.parse().map(|until: Timestamp| until.duration_since(now));
        left.unwrap_or_default()
    }

    /// A client token for the one thing `what` of this run of the job; the mailbox's random part is this run's alone.
    /// EC2 takes 64 characters, ECS 36.
    /// Source: EC2 API Reference, `CreateNatGateway`, `ClientToken`; ECS API Reference, `CreateService`, `clientToken`.
    pub fn client_token(&self, what: impl Display) -> String {
        let secret = self.mailbox_name.rsplit('-').next().unwrap_or_default();
        format!("{secret}-{what}")
    }
}

/// Where a job's container runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PlannedNetwork {
    /// In a network that is there.
    #[serde(rename = "network")]
    Joined(JoinedNetwork),
    /// In one that is made for the job alone.
    #[serde(rename = "privateNetwork")]
    Private(PrivateNetwork),
}

/// The network that the service's tasks join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinedNetwork {
    /// The cluster's ARN.
    pub cluster: String,
    /// Subnet ids.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public address.
    pub assign_public_ip: bool,
}

/// A network that exists only for the job: a public subnet, which holds the NAT gateway, and a private one in each of two
/// Availability Zones, one of which holds the container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateNetwork {
    /// The VPC's addresses. All jobs have the same ones, since their VPCs never meet.
    pub vpc_cidr: String,
    /// The public subnet's.
    pub public_cidr: String,
    /// The first private subnet's.
    pub private_cidr: String,
    /// The second's. A plan that was made before there was one is read for as long as its job lives.
    #[serde(default)]
    pub second_private_cidr: String,
    /// The Availability Zone of the public subnet and the first private one, because traffic between two costs.
    pub availability_zone: String,
    /// The second private subnet's.
    #[serde(default)]
    pub second_availability_zone: String,
    /// The TCP ports that the container may call.
    pub egress_ports: Vec<u16>,
}

/// The container with all defaults in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedContainer {
    /// The image's reference.
    pub image: String,
    /// CPU units.
    pub cpu: u32,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// Disk in GiB where it is more than Fargate's 20.
    #[serde(default, rename = "storageGiB", skip_serializing_if = "Option::is_none")]
    pub storage_gib: Option<u32>,
    /// Variables of the command.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Variables whose values ECS reads, by ARN.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}
