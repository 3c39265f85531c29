//! What runs the containers of tasks, and what ECS asks of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;

use futures_util::future::BoxFuture;
use local_aws::reach::Reachable;

use crate::logs::LogStream;

/// Runs containers. [`crate::Processes`] does it with processes of this machine; what plays them in this process has the
/// same to keep to: a container of a task is started at most once, and has its end only once.
pub trait Runtime: Debug + Send + Sync {
    /// Whether the registry has the image of this reference, which is then pulled.
    fn has(&self, image: &str) -> bool;

    /// Starts a container, which runs when this returns.
    ///
    /// # Errors
    /// Why it cannot be started, in the words that follow `CannotStartContainerError:`.
    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>>;

    /// Removes what would be gone with the task's container, if it ever had one: all of its files but its output.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    fn remove<'a>(&'a self, task: &'a str) -> BoxFuture<'a, io::Result<()>>;
}

/// What a container is made of.
#[derive(Debug)]
pub struct Launch {
    /// The task's id.
    pub task: String,
    /// The image's reference, which the runtime has said it has.
    pub image: String,
    /// What the definition has in place of the image's `ENTRYPOINT`.
    pub entry_point: Option<Vec<String>>,
    /// What it has in place of the image's `CMD`.
    pub command: Option<Vec<String>>,
    /// All variables but those of the image itself, over which these win. Where the metadata of the task and the credentials
    /// of its role are is among them.
    pub environment: BTreeMap<String, String>,
    /// How many bytes its processes may hold together. As soon as they hold more, the largest is killed, but for the first
    /// process, which goes last, and all goes with it.
    pub memory: u64,
    /// Whether others call it: then it has a network of its own, which [`Reachable::connect`] leads into.
    pub is_called: bool,
    /// Where the lines of its output go.
    pub logs: Option<LogStream>,
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
