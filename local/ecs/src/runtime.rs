//! What runs the containers of tasks, and what ECS asks of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;

use futures_util::future::BoxFuture;
use local_aws::reach::Reachable;

use crate::logs::LogStream;
use crate::secrets::Credentials;

/// Runs containers. [`crate::Processes`] does it with processes of this machine; what plays them in this process has the
/// same to keep to: each container of a task is started at most once, and has its end only once.
pub trait Runtime: Debug + Send + Sync {
    /// Gets an image from its registry.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn pull<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<(), NoImage>>;

    /// Starts a container, which runs when this returns.
    ///
    /// # Errors
    /// Why it cannot be started, in the words that follow `CannotStartContainerError:`.
    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>>;

    /// Removes what would be gone with the task's containers, if it ever had any: all of their files but their output.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    fn remove<'a>(&'a self, task: &'a str) -> BoxFuture<'a, io::Result<()>>;
}

/// An image that is to be pulled.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its reference.
    pub image: String,
    /// The processor that it is to run on, as OCI calls it: `amd64` or `arm64`.
    pub architecture: &'static str,
    /// By what its registry knows who asks; for everybody where there is nothing.
    pub credentials: Option<Credentials>,
}

/// Why there is no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoImage {
    /// The registry does not know it.
    NotFound,
    /// It is not for this caller.
    Denied,
    /// The registry's limit is met; what it says.
    Limited(String),
    /// It is for other processors alone.
    OtherPlatform,
    /// The registry does not answer, for this reason.
    Unreachable(String),
    /// It is broken, or this machine cannot keep it.
    Broken(String),
}

/// What a container is made of.
#[derive(Debug)]
pub struct Launch {
    /// The task's id.
    pub task: String,
    /// The container's name in it.
    pub container: String,
    /// The image's reference, which has been pulled for this processor.
    pub image: String,
    /// As OCI calls it.
    pub architecture: &'static str,
    /// What the definition has in place of the image's `ENTRYPOINT`.
    pub entry_point: Option<Vec<String>>,
    /// What it has in place of the image's `CMD`.
    pub command: Option<Vec<String>>,
    /// All variables but those of the image itself, over which these win. Where the metadata of the task and the credentials
    /// of its role are is among them.
    pub environment: BTreeMap<String, String>,
    /// Where it has volumes of its task, which are empty when the task begins, and which all its containers share.
    pub mounts: Vec<Mount>,
    /// Who its first process is, in place of the image's `USER`: a user or its id, and a group or its id after a colon.
    pub user: Option<String>,
    /// Whether nothing outside its volumes can be written.
    pub is_read_only: bool,
    /// How many files each of its processes may have open: the soft and the hard limit.
    pub open_files: Option<(u64, u64)>,
    /// Whether its first process is an init process, with the program below it.
    pub has_init: bool,
    /// How many bytes its processes may hold together. As soon as they hold more, the largest is killed, but for the first
    /// process, which goes last, and all goes with it.
    pub memory: u64,
    /// Whether others call it: then it has a network of its own, which [`Reachable::connect`] leads into.
    pub is_called: bool,
    /// Where the lines of its output go.
    pub logs: Option<LogStream>,
}

/// A volume and where a container has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name in its task.
    pub volume: String,
    /// An absolute path in the container.
    pub path: String,
    /// Whether the container cannot write there.
    pub is_read_only: bool,
}

/// A container that has been started. When it is dropped it is killed.
pub trait Container: Reachable {
    /// Waits for its end, which is that of its first process, however it has come to it: gives the exit code, 128 and a
    /// signal's number for a process that died of one. Nothing of it runs any more then, and its output is where it goes.
    /// Whoever stops waiting can begin again, and is told the same.
    fn exit_code(&self) -> BoxFuture<'_, i32>;

    /// SIGTERM to its first process. Nothing, when it has ended.
    fn terminate(&self);

    /// SIGKILL to all of its processes. Nothing, when it has ended.
    fn kill(&self);

    /// SIGSTOP to all of its processes: it lives on, but nothing in it moves any more, and SIGKILL alone ends it.
    fn freeze(&self);

    /// Whether all of it was killed for want of memory.
    fn is_out_of_memory(&self) -> bool;

    /// Runs a command inside a container that is called, beside its first process, and gives its exit code. Whoever stops
    /// waiting kills it.
    fn run<'a>(&'a self, command: &'a [String]) -> BoxFuture<'a, io::Result<i32>>;
}
