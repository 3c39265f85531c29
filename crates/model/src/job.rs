//! The job document: what a person writes, and what is refused in it before anything is created.

mod check;
mod folders;
mod limits;
mod service;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::turn::Provider;

pub use check::check_size;
pub use folders::{FOLDER_LIMIT, Pattern};
pub use limits::Limits;
pub use service::{HealthCheck, LoadBalancer, Port, Protocol, Service, Tls};
pub use text::read;

/// The largest job document, in bytes of JSON.
pub const DOCUMENT_LIMIT: usize = 32 * 1024;

/// The input of `StartExecution`. What is absent takes the stack's default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobDocument {
    /// Where the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What runs, and how large it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Which of Fargate's capacities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What is to be done; `task` in the document, which has either this or a service.
    #[serde(default, rename = "task", skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// What is to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The longest one attempt may take, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<u32>,
    /// How often the job may be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How long to wait for a full quota, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_minutes: Option<u32>,
    /// Who submits the job; the value of the tag `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Further tags for everything that the job creates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The document's `network`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// Which kind of network.
    pub mode: NetworkMode,
    /// Of mode `existing`: subnet ids, all of one VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<String>>,
    /// Of mode `existing`: security group ids of the same VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// Of mode `existing`: whether the container gets a public address, without which it needs a NAT or endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign_public_ip: Option<bool>,
    /// Of mode `private`: how the container reaches what is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Of mode `private`: the TCP ports that the container may call; 443 alone where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_ports: Option<Vec<u16>>,
}

/// The kinds of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkMode {
    /// The stack's own public subnets; the container has a public address and nothing may call it.
    Public,
    /// Subnets that are there already, from which the container reaches ECR, CloudWatch Logs, SQS and S3.
    Existing,
    /// A network of the job's own: the container has no public address and nothing may call it.
    Private,
}

/// How a container in a private subnet reaches what is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Egress {
    /// Through a NAT gateway with an address of its own.
    Nat,
    /// To AWS's services alone, through VPC endpoints: nothing leads to the internet.
    Endpoints,
    /// By IPv6 alone, through an egress-only internet gateway, which nothing is billed for.
    Ipv6,
}

/// What `container.workingDirectory` calls the image's own working directory.
pub const IMAGES: &str = "image";

/// The document's `container`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// The image's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// CPU units; 1024 are one virtual CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Memory in MiB.
    #[serde(default, rename = "memoryMiB", skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Disk in GiB; the image's layers use some of it.
    #[serde(default, rename = "storageGiB", skip_serializing_if = "Option::is_none")]
    pub storage_gib: Option<u32>,
    /// Variables of the command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Variables whose values ECS reads from Secrets Manager or Parameter Store, by ARN.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The processor that it runs on; the stack's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Who the command runs as: `USER` or `USER:GROUP`, each a number, or a name that the image knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the command begins: an absolute path in the image, or [`IMAGES`]; in the job's folder where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Whether nothing but the job's folder and `/tmp` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// How long the command, or a service's container, may take to end by itself when it is told to, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// Limits of its processes that are not Fargate's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// The ARN of the Secrets Manager secret with the user and the password at a private registry.
    /// Source: ECS developer guide, "Using non-AWS container images in Amazon ECS".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_credentials: Option<String>,
}

/// The processors that Fargate has, by the names of ECS's `cpuArchitecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are ECS's own names")]
pub enum Architecture {
    #[serde(rename = "X86_64")]
    X86_64,
    #[serde(rename = "ARM64")]
    Arm64,
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::X86_64, Self::Arm64];
        all.into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| format!("{name:?} is no processor of Fargate's"))
    }
}

impl Architecture {
    /// What ECS calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "X86_64",
            Self::Arm64 => "ARM64",
        }
    }
}

/// A limit of a container's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ulimit {
    /// Of what.
    pub name: UlimitName,
    /// What a process has.
    pub soft_limit: u32,
    /// What it may raise that to.
    pub hard_limit: u32,
}

/// What Fargate lets a task limit; of all else its own limits hold.
/// Source: ECS developer guide, "Amazon ECS task definition differences for Fargate", `ulimits`, read in November 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UlimitName {
    /// Open files.
    Nofile,
}

/// The document's `capacity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// Fargate Spot: cheaper, and AWS may take it back.
    Spot,
    /// Fargate.
    OnDemand,
    /// Fargate Spot, and Fargate when Spot has been lost twice or has no room.
    SpotThenOnDemand,
}

impl Capacity {
    /// What the job's first service runs on.
    pub fn first_provider(self) -> Provider {
        match self {
            Self::Spot | Self::SpotThenOnDemand => Provider::Spot,
            Self::OnDemand => Provider::OnDemand,
        }
    }
}

/// The work of a job, which its document calls `task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Work {
    /// Files to bring into the working directory.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The argument vector; no shell parses it. Empty: the image's own `ENTRYPOINT` and `CMD`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Files to bring to their places when the command has succeeded.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// `s3://BUCKET/KEY` of the list of all files that were uploaded, whether all came to their places or not: JSON Lines, each a
    /// [`Listed`](crate::message::Listed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_list: Option<String>,
}

/// One input: a file, or all that is below a prefix, see [`Input::is_folder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name in the working directory; a folder's ends with `/`.
    pub file: String,
    /// `s3://BUCKET/KEY`, or an https URL; of a folder `s3://BUCKET/PREFIX/`.
    pub from: String,
}

/// One output: a file, a folder, or what a pattern names of one, see [`Output::pattern`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    /// The name in the working directory; a folder's ends with `/`, a pattern has `*` and `**` in it.
    pub file: String,
    /// `s3://BUCKET/KEY`; of a folder or a pattern `s3://BUCKET/PREFIX/`, below which the files keep their names.
    pub to: String,
    /// Whether the job succeeds without it: the file, or any file of a folder or a pattern.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The object's `Content-Type`; what the key's ending says where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The object's `Cache-Control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// The object's storage class; S3 Standard where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,
    /// The ARN of the KMS key that S3 encrypts the object with; the bucket's default where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// The object's metadata of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The storage classes of S3's general purpose buckets, but for the one that AWS advises against.
/// Source: S3 user guide, "Understanding and managing Amazon S3 storage classes", read in November 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they are S3's own names")]
pub enum StorageClass {
    Standard,
    IntelligentTiering,
    StandardIa,
    OnezoneIa,
    GlacierIr,
    Glacier,
    DeepArchive,
}

impl StorageClass {
    /// What S3 calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::GlacierIr => "GLACIER_IR",
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
        }
    }
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Uri<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
}

impl<'a> S3Uri<'a> {
    /// Parses `s3://BUCKET/KEY`; none where S3 can have no such object.
    pub fn parse(uri: &'a str) -> Option<Self> {
        Self::split(uri).filter(|uri| check::is_bucket(uri.bucket) && uri.key.len() <= check::KEY_LIMIT)
    }

    fn split(uri: &'a str) -> Option<Self> {
        let (bucket, key) = uri.strip_prefix("s3://")?.split_once('/')?;
        (!key.is_empty()).then_some(Self { bucket, key })
    }
}

impl JobDocument {
    /// Reads and checks a document's text.
    ///
    /// # Errors
    /// In words, with the field, what was given and what is allowed.
    pub fn parse(document: &str, limits: &Limits) -> Result<Self, String> {
        let document = &read(document)?;
        let size = document.to_string().len();
        if size > DOCUMENT_LIMIT {
            return Err(format!(
                "the job document is {size} bytes long; at most {DOCUMENT_LIMIT} are allowed; \
                 put long lists into an input file"
            ));
        }
        if !document.is_object() {
            return Err(
                "the job document must be a JSON object such as {\"task\": {\"command\": [\"true\"]}}".into(),
            );
        }
        words::refuse_lists(document)?;
        let job: Self = serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            words::explain(&path, &error.into_inner().to_string())
        })?;
        check::check(&job, limits)?;
        Ok(job)
    }
}
