//! The plan: the job document with all defaults in, and the names, tags and limits that every later step uses.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::job::{Architecture, Capacity, Egress, Output, Port, Ulimit, Work};
use crate::tags::Tags;
use crate::turn::Turn;

/// Tearing everything down and concluding: the two hours that the state machine gives a teardown, a quarter of an hour in
/// which the conclusion waits for late reports, and as much to spare.
pub const TEARDOWN: SignedDuration = SignedDuration::from_mins(150);

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
    /// What the job is for.
    #[serde(flatten)]
    pub purpose: Purpose,
    /// What a person should know of this plan before it costs or opens anything, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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
    /// The work, unless the job is a service.
    pub fn work(&self) -> Option<&Work> {
        match &self.purpose {
            Purpose::Work(work) => Some(work),
            Purpose::Service(_) => None,
        }
    }

    /// What the work is to make; nothing where the job is a service.
    pub fn outputs(&self) -> &[Output] {
        self.work().map_or(&[], |work| &work.outputs)
    }

    /// The service, where the job is one.
    pub fn service(&self) -> Option<&PlannedService> {
        match &self.purpose {
            Purpose::Work(_) => None,
            Purpose::Service(service) => Some(service),
        }
    }

    /// How the container reaches what is outside, where the job has a network of its own.
    pub fn egress(&self) -> Option<Egress> {
        match &self.network {
            PlannedNetwork::Joined(_) => None,
            PlannedNetwork::Private(network) => Some(network.egress),
        }
    }

    /// The services of AWS that the container calls through interface endpoints, as the end of the endpoint services' names:
    /// Fargate those of images, logs and secrets, the worker SQS.
    /// Source: ECS developer guide, "Amazon ECS interface VPC endpoints (AWS PrivateLink)"; ECR user guide, "Amazon ECR
    /// interface VPC endpoints".
    pub fn interface_endpoints(&self) -> Vec<&'static str> {
        if self.egress() != Some(Egress::Endpoints) {
            return Vec::new();
        }
        let has_secrets_in =
            |service: &str| self.container.secrets.values().any(|arn| arn.split(':').nth(2) == Some(service));
        let optional = [
            ("sqs", self.work().is_some()),
            ("secretsmanager", has_secrets_in("secretsmanager")),
            ("ssm", has_secrets_in("ssm")),
        ];
        let optional = optional.into_iter().filter_map(|(service, is_called)| is_called.then_some(service));
        ["ecr.api", "ecr.dkr", "logs"].into_iter().chain(optional).collect()
    }

    /// The load balancer of its service, where it has one.
    pub fn load_balancer(&self) -> Option<&PlannedLoadBalancer> {
        self.service().and_then(|service| service.load_balancer.as_ref())
    }

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

/// What a job is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Purpose {
    /// Work that a container does, once.
    #[serde(rename = "task")]
    Work(Work),
    /// Containers that others call, until their time is over.
    #[serde(rename = "service")]
    Service(Box<PlannedService>),
}

/// A service with all defaults in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedService {
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Who may call it at which port: in the load balancer's group, where there is one, else in the containers' own.
    pub ingress: Vec<Ingress>,
    /// What runs in place of the image's `ENTRYPOINT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// What it is given in place of the image's `CMD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// How long it may be called, in seconds.
    pub ttl_seconds: u64,
    /// How many containers it has side by side.
    pub count: u32,
    /// ECS's own check, which runs inside each container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_command: Option<Vec<String>>,
    /// What it is called through, where it is not called directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<PlannedLoadBalancer>,
}

/// Who may call a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ingress {
    /// The port.
    #[serde(flatten)]
    pub port: Port,
    /// CIDR blocks of IPv4 or IPv6.
    pub cidrs: Vec<String>,
}

/// A network load balancer of the job's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedLoadBalancer {
    /// Its name.
    pub name: String,
    /// Whether it can be called from the internet.
    pub internet_facing: bool,
    /// What it speaks TLS with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<String>,
    /// One listener and one target group for each port that is called.
    pub targets: Vec<PlannedTargets>,
    /// What the containers' own group admits from the load balancer: the ports that are called, and those at which it asks
    /// after their health.
    pub admitted: Vec<Port>,
    /// Where it is, a subnet in each zone of the containers'; none where that is made for the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// The addresses of the containers' subnets: there it may call, and nowhere else.
    pub target_cidrs: Vec<String>,
}

/// A port of a load balancer, and what is behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTargets {
    /// The target group's name.
    pub name: String,
    /// The port, of the listener and of the containers.
    pub port: u16,
    /// The target group's protocol. Its listener has the same one, or TLS in place of TCP where there is a certificate.
    pub protocol: TargetProtocol,
    /// The TCP port at which containers are asked after their health.
    pub health_port: u16,
    /// What they are asked for with HTTP; without it a connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
}

/// The protocols of a network load balancer's target groups.
/// Source: Elastic Load Balancing API Reference, `CreateTargetGroup`, `Protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetProtocol {
    /// TCP alone.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP alone.
    #[serde(rename = "UDP")]
    Udp,
    /// One port for both.
    #[serde(rename = "TCP_UDP")]
    TcpUdp,
}

impl TargetProtocol {
    /// As Elastic Load Balancing writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
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
    /// The subnets' VPC, where the job makes a security group in it: for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

/// A network that exists only for the job. The container is in a private subnet: with a NAT gateway in one of two, each in an
/// Availability Zone of its own; with endpoints in the only one, since an endpoint costs in each zone; with IPv6 alone in one
/// of two whose addresses AWS chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateNetwork {
    /// How the container reaches what is outside. A plan that was made before there was a choice is read for as long as its
    /// job lives.
    #[serde(default = "nat")]
    pub egress: Egress,
    /// The VPC's addresses. All jobs have the same ones, since their VPCs never meet.
    pub vpc_cidr: String,
    /// Those of the public subnet, where there is one: for a NAT gateway, or for a load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_cidr: Option<String>,
    /// The first private subnet's, unless AWS chooses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_cidr: Option<String>,
    /// The second's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_private_cidr: Option<String>,
    /// The Availability Zone of the public subnet and the first private one, because traffic between two costs.
    pub availability_zone: String,
    /// The second private subnet's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_availability_zone: Option<String>,
    /// The TCP ports that the container may call.
    pub egress_ports: Vec<u16>,
}

fn nat() -> Egress {
    Egress::Nat
}

/// The container with all defaults in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedContainer {
    /// The image's reference.
    pub image: String,
    /// That of the worker, which is brought into the container; none for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_image: Option<String>,
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
    /// The processor.
    pub architecture: Architecture,
    /// Who the command runs as; who that is by itself the worker knows, and for a service's container the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the command begins, as in the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Whether the image's files cannot be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// How long a command or a service's container may take to end, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// Limits of its processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// The ARN of the secret with which ECS pulls the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_credentials: Option<String>,
}
