//! The worker's settings, from its environment.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use nix::unistd::geteuid;
use url::Url;

/// The user and the group that a worker which is root runs the command as. An image need not have an entry for them.
const COMMAND_UID: u32 = 10001;
/// Where a container sees its own control group.
const CGROUP: &str = "/sys/fs/cgroup";

/// The container's environment, as register-task and Fargate set it.
#[derive(Debug)]
pub struct Settings {
    /// `MAYFLY_JOB`: the job's id.
    pub job: String,
    /// `MAYFLY_MAILBOX_URL`: where orders arrive.
    pub mailbox_url: String,
    /// `MAYFLY_DONE_QUEUE_URL`: where reports go.
    pub done_queue_url: String,
    /// `MAYFLY_QUEUE_ENDPOINTS`: the names by which SQS may be called, one after the other, where the container has IPv6 alone.
    pub queue_endpoints: Vec<Url>,
    /// `ECS_CONTAINER_METADATA_URI_V4`: the metadata endpoint of this container.
    pub metadata_url: Url,
    /// `MAYFLY_ENDPOINT_URL`: set on a local cloud only, whose origin may be talked to in plain http.
    pub endpoint: Option<Url>,
    /// `MAYFLY_S3_ENDPOINT_URL`: the same of its S3, where that is at another.
    pub s3_endpoint: Option<Url>,
    /// `MAYFLY_CGROUP`: the folder of this container's control group. Set on a local cloud only, which plays the kernel.
    pub cgroup: PathBuf,
    /// The user and the group that the command runs as; none where the worker is not root, and it runs as the worker's
    /// own.
    pub runs_as: Option<u32>,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// Names the variable that is missing or malformed.
    pub fn from_env() -> anyhow::Result<Self> {
        Ok(Self {
            job: text("MAYFLY_JOB")?,
            mailbox_url: text("MAYFLY_MAILBOX_URL")?,
            done_queue_url: text("MAYFLY_DONE_QUEUE_URL")?,
            queue_endpoints: urls("MAYFLY_QUEUE_ENDPOINTS")?,
            metadata_url: url("ECS_CONTAINER_METADATA_URI_V4")?,
            endpoint: local_url("MAYFLY_ENDPOINT_URL")?,
            s3_endpoint: local_url("MAYFLY_S3_ENDPOINT_URL")?,
            cgroup: env::var_os("MAYFLY_CGROUP").unwrap_or_else(|| CGROUP.into()).into(),
            runs_as: geteuid().is_root().then_some(COMMAND_UID),
        })
    }
}

fn text(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("the environment variable {name}"))
}

/// Those between commas; none where the variable is not set.
fn urls(name: &str) -> anyhow::Result<Vec<Url>> {
    let list = env::var(name).unwrap_or_default();
    let urls = list.split(',').filter(|url| !url.is_empty()).map(Url::parse);
    urls.collect::<Result<_, _>>().with_context(|| format!("the environment variable {name}"))
}

/// One that a local cloud alone sets.
fn local_url(name: &str) -> anyhow::Result<Option<Url>> {
    env::var_os(name).map(|_| url(name)).transpose()
}

fn url(name: &str) -> anyhow::Result<Url> {
    text(name)?.parse().with_context(|| format!("the environment variable {name}"))
}
