//! The plan: the job document with all defaults in, and the names, tags and limits that every later step uses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{Capacity, Task};
use crate::tags::Tags;
use crate::turn::Turn;

/// What plan-job hands to the rest of the state machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The job's id: the execution's name.
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
    pub network: PlannedNetwork,
    /// The container with defaults.
    pub container: PlannedContainer,
    /// The capacity.
    pub capacity: Capacity,
    /// What the state machine begins with.
    pub first_turn: Turn,
    /// The work.
    pub task: Task,
    /// The longest one attempt may take, in seconds.
    pub timeout_seconds: u64,
    /// The longest silence of the container, its start included, in seconds.
    pub heartbeat_seconds: u64,
    /// How often the job may be tried.
    pub attempts: u32,
    /// The name of the teardown execution that this job calls.
    pub teardown_name: String,
}

/// The network that the service's tasks join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedNetwork {
    /// The cluster's ARN.
    pub cluster: String,
    /// Subnet ids.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public address.
    pub assign_public_ip: bool,
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
