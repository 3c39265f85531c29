//! The processes that stand for a container: their environment, their output, their end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::clock::Clock;
use local_aws::reach::{Connection, Reachable, Transport};
use mayfly_worker::tree;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::fs;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::images::Image;
use super::memory::{self, Memory};
use super::namespace::{Namespace, send};
use super::{init, network, output};
use crate::runtime::{Container, Launch, Mount};

/// The `PATH` of an image that sets none, as Docker has it.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the last output may take to be delivered when the process has ended, in real time.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running process and everything that it has started.
#[derive(Debug)]
pub(super) struct ProcessContainer {
    child: Mutex<Child>,
    namespace: Namespace,
    memory: Memory,
    output: TaskTracker,
    inside: Option<Inside>,
    /// Whether the init process is no more, so that another one may have its id.
    is_gone: AtomicBool,
    exit_code: OnceCell<i32>,
}

impl ProcessContainer {
    /// Starts the program of `image` in its own folder below that of its task, below the init process that the program `init`
    /// is; its output goes to `output.log` and to the log stream.
    pub async fn start(
        init: &Path,
        image: &Image,
        task: &Path,
        launch: Launch,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let folder = &task.join(&launch.container);
        let mut arguments = image.arguments(launch.entry_point.as_deref(), launch.command.as_deref());
        ensure!(!arguments.is_empty(), "no command specified");
        fs::create_dir_all(files(folder)).await?;
        for mount in &launch.mounts {
            fs::create_dir_all(volumes(task).join(&mount.volume)).await?;
        }
        let file = fs::File::create(folder.join("output.log")).await?;
        let path = image.path.iter().map(String::as_str).chain([SYSTEM_PATH]).collect::<Vec<_>>().join(":");
        let group = control_group(folder).display().to_string();
        let mut environment =
            BTreeMap::from([("PATH".to_owned(), path), (memory::VARIABLE.to_owned(), group)]);
        environment.extend(launch.environment);
        for text in arguments.iter_mut().chain(environment.values_mut()) {
            *text = outside(text, &launch.mounts, &volumes(task));
        }
        let mut command = Command::new(init);
        command.env_clear().envs(&environment).current_dir(files(folder));
        let inside = launch.is_called.then(|| Inside {
            init: init.to_owned(),
            door: door(folder),
            files: files(folder),
            environment,
        });
        let network = inside.as_ref().map(|inside| inside.ask_for_network(&mut command)).transpose()?;
        if network.is_none() {
            command.arg(init::ARGUMENT).stdin(Stdio::null());
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", init.display()))?;
        drop(command);
        if let Some(network) = network {
            await_network(network).await?;
        }
        let id = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        let namespace = Namespace { init: Pid::from_raw(id) };
        let memory = Memory::watch(namespace, launch.memory, control_group(folder)).await?;
        let tracker = TaskTracker::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            output::follow(&tracker, stdout, stderr, file, launch.logs, clock);
        }
        tracker.close();
        Ok(Self {
            child: Mutex::new(child),
            namespace,
            memory,
            output: tracker,
            inside,
            is_gone: AtomicBool::new(false),
            exit_code: OnceCell::new(),
        })
    }

    async fn wait(&self) -> i32 {
        let ended = self.child.lock().await.wait().await;
        self.is_gone.store(true, Ordering::Relaxed);
        let exit_code = match ended {
            Ok(status) => exit_code(status),
            Err(error) => {
                tracing::error!(%error, "process could not be waited for");
                255
            }
        };
        if timeout(LAST_WORDS, self.output.wait()).await.is_err() {
            tracing::warn!(init = %self.namespace.init, "output of an ended task is still held open");
        }
        exit_code
    }

    /// Sends the init process a signal, unless that has ended.
    fn tell(&self, signal: Signal) {
        if !self.is_gone.load(Ordering::Relaxed) {
            send(self.namespace.init, signal);
        }
    }
}

/// The way into a container that has a network of its own.
#[derive(Debug)]
struct Inside {
    /// The program that its init process is.
    init: PathBuf,
    door: PathBuf,
    files: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Inside {
    /// Has the init process make the network. What it says about it is read from the socket.
    fn ask_for_network(&self, init: &mut Command) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        theirs.set_nonblocking(false)?;
        init.arg(init::CALLED).arg(&self.door).stdin(OwnedFd::from(theirs));
        Ok(ours)
    }
}

async fn await_network(mut network: UnixStream) -> anyhow::Result<()> {
    let mut told = String::new();
    network.read_to_string(&mut told).await?;
    ensure!(!told.is_empty(), "the container's init process has ended");
    ensure!(told == init::READY, told);
    Ok(())
}

impl Reachable for ProcessContainer {
    fn connect(&self, transport: Transport, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        async move {
            let inside = self.inside.as_ref().ok_or(io::ErrorKind::Unsupported)?;
            let stream = network::connect(&inside.door, transport, port).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        }
        .boxed()
    }
}

impl Container for ProcessContainer {
    /// The init process leaves nothing behind.
    fn exit_code(&self) -> BoxFuture<'_, i32> {
        async { *self.exit_code.get_or_init(|| self.wait()).await }.boxed()
    }

    /// To the init process, as Docker signals PID 1.
    fn terminate(&self) {
        self.tell(Signal::SIGTERM);
    }

    fn kill(&self) {
        self.tell(init::KILL_ALL);
    }

    fn freeze(&self) {
        self.namespace.signal(Signal::SIGSTOP);
    }

    fn is_out_of_memory(&self) -> bool {
        self.memory.is_exhausted()
    }

    fn run<'a>(&'a self, command: &'a [String]) -> BoxFuture<'a, io::Result<i32>> {
        async move {
            let inside = self.inside.as_ref().ok_or(io::ErrorKind::Unsupported)?;
            let status = Command::new(&inside.init)
                .arg(init::INSIDE)
                .arg(self.namespace.init.to_string())
                .args(command)
                .env_clear()
                .envs(&inside.environment)
                .current_dir(&inside.files)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .status();
            Ok(exit_code(status.await?))
        }
        .boxed()
    }
}

impl Drop for ProcessContainer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The container's working directory.
fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

/// What the containers of a task share; no container has that name.
fn volumes(task: &Path) -> PathBuf {
    task.join(".volumes")
}

/// What a path in a volume is outside: nothing is mounted where a container would have it.
fn outside(text: &str, mounts: &[Mount], volumes: &Path) -> String {
    let inside = mounts.iter().filter_map(|mount| Some((mount, text.strip_prefix(&mount.path)?)));
    let inside = inside.filter(|(_, rest)| rest.is_empty() || rest.starts_with('/'));
    match inside.max_by_key(|(mount, _)| mount.path.len()) {
        Some((mount, rest)) => format!("{}{rest}", volumes.join(&mount.volume).display()),
        None => text.to_owned(),
    }
}

fn door(folder: &Path) -> PathBuf {
    folder.join("door")
}

fn control_group(folder: &Path) -> PathBuf {
    folder.join("cgroup")
}

/// Removes what would be gone with a task's containers: all files but their logs.
pub(super) async fn discard(task: &Path) -> io::Result<()> {
    let mut entries = match fs::read_dir(task).await {
        Ok(entries) => entries,
        Err(error) => return if_there(Err(error)),
    };
    while let Some(entry) = entries.next_entry().await? {
        let folder = entry.path();
        if folder == volumes(task) {
            remove(folder).await?;
            continue;
        }
        remove(files(&folder)).await?;
        remove(control_group(&folder)).await?;
        if_there(fs::remove_file(door(&folder)).await)?;
    }
    Ok(())
}

async fn remove(folder: PathBuf) -> io::Result<()> {
    if_there(spawn_blocking(move || tree::remove(&folder)).await?)
}

fn if_there(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_volume_leads_to_its_folder() {
        let mount = |volume: &str, path: &str| Mount {
            volume: volume.to_owned(),
            path: path.to_owned(),
            is_read_only: false,
        };
        let mounts = [mount("tools", "/.mayfly"), mount("deep", "/.mayfly/deep"), mount("tmp", "/tmp")];
        for (text, found) in [
            ("/.mayfly/worker", "/v/tools/worker"),
            ("/.mayfly", "/v/tools"),
            ("/.mayfly/deep/a", "/v/deep/a"),
            ("/.mayflyer/a", "/.mayflyer/a"),
            ("a /tmp", "a /tmp"),
            ("/tmp/", "/v/tmp/"),
        ] {
            assert_eq!(outside(text, &mounts, Path::new("/v")), found);
        }
    }
}
