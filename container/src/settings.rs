//! The worker's settings, from its environment.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use mayfly_model::job::IMAGES;
use nix::unistd::geteuid;
use url::Url;

/// The user and the group that a worker which is root runs the command as where it is told of no other. An image need not have
/// an entry for them.
const COMMAND_USER: &str = "10001:10001";
/// How long a command may take to end when its container is told to stop, by itself: work that does not end at once is not
/// waited for while AWS takes the container away.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
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
    /// `MAYFLY_USER`: the user that the command runs as, as [`crate::user::User::find`] takes one; none where the worker is not
    /// root, or where `MAYFLY_ONE_USER` says that there is no other. A local cloud alone says so, where the kernel has no
    /// more for it.
    pub user: Option<String>,
    /// `MAYFLY_FOLDER`: where each start has a folder of its own.
    pub folder: PathBuf,
    /// `MAYFLY_WORKING_DIRECTORY`: where the command begins.
    pub directory: Directory,
    /// `MAYFLY_STOP_TIMEOUT`: how long the command may take to end when the container is told to stop.
    pub stop_timeout: Duration,
}

/// Where a command begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// In the job's folder, where its files are.
    Files,
    /// In the image's own working directory.
    Image,
    /// In this folder of the image's.
    Of(PathBuf),
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
            user: (geteuid().is_root() && env::var_os("MAYFLY_ONE_USER").is_none())
                .then(|| env::var("MAYFLY_USER").unwrap_or_else(|_| COMMAND_USER.to_owned())),
            folder: text("MAYFLY_FOLDER")?.into(),
            directory: match env::var_os("MAYFLY_WORKING_DIRECTORY") {
                None => Directory::Files,
                Some(directory) if directory == IMAGES => Directory::Image,
                Some(directory) => Directory::Of(directory.into()),
            },
            stop_timeout: match env::var("MAYFLY_STOP_TIMEOUT") {
                Err(_) => STOP_TIMEOUT,
                Ok(seconds) => seconds
                    .parse()
                    .map(Duration::from_secs)
                    .context("the environment variable MAYFLY_STOP_TIMEOUT")?,
            },
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
