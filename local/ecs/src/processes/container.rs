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

use super::begun::Begun;
use super::images::Image;
use super::level::Level;
use super::memory::{self, Memory};
use super::namespace::{Namespace, send};
use super::plan::{Bind, Plan};
use super::{chore, enclosure, init, network, output};
use crate::logs::LogStream;
use crate::runtime::{Container, Launch, Mount};

/// Where a container with a file tree of its own has its control group, as on Fargate.
const CONTROL_GROUP: &str = "/sys/fs/cgroup";

/// The variable that tells a container's programs that they cannot become any other user; on Fargate there is none.
const ONE_USER: &str = "MAYFLY_ONE_USER";

/// How long the last output may take to be delivered when the process has ended, in real time.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running container: a process and everything that it has started.
#[derive(Debug)]
pub(super) struct ProcessContainer {
    /// Its end is the container's.
    child: Mutex<Child>,
    kind: Kind,
    namespace: Namespace,
    memory: Memory,
    output: TaskTracker,
    inside: Option<Inside>,
    /// Whether its first process is no more, so that another one may have its id.
    is_gone: AtomicBool,
    exit_code: OnceCell<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With this first process, and the kernel ends all others with it.
    Enclosed { first: Pid },
    /// A process as any other, below an init process.
    Bare { init: Pid },
}

/// What containers are made with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub init: &'a Path,
    pub level: Level,
    pub clock: Clock,
    /// The folder of the container's task.
    pub task: &'a Path,
}

impl ProcessContainer {
    /// Starts the program of `image` in its own folder below that of its task; its output goes to `output.log` and to the log
    /// stream.
    pub async fn start(tools: Tools<'_>, image: &Image, launch: Launch) -> anyhow::Result<Self> {
        let folder = &tools.task.join(&launch.container);
        let arguments = image.arguments(launch.entry_point.as_deref(), launch.command.as_deref());
        ensure!(!arguments.is_empty(), "no command specified");
        fs::create_dir_all(files(folder)).await?;
        fs::create_dir_all(control_group(folder)).await?;
        for mount in &launch.mounts {
            fs::create_dir_all(volumes(tools.task).join(&mount.volume)).await?;
        }
        let file = fs::File::create(folder.join("output.log")).await?;
        if tools.level.has_files() {
            Self::enclosed(tools, image, arguments, folder, file, launch).await
        } else {
            Self::bare(tools, image, arguments, folder, file, launch).await
        }
    }

    /// With a file tree of its own.
    async fn enclosed(
        tools: Tools<'_>,
        image: &Image,
        arguments: Vec<String>,
        folder: &Path,
        file: fs::File,
        launch: Launch,
    ) -> anyhow::Result<Self> {
        let mut environment = image.environment();
        environment.insert(memory::VARIABLE.to_owned(), CONTROL_GROUP.to_owned());
        if tools.level == Level::OneUser {
            environment.insert(ONE_USER.to_owned(), "1".to_owned());
        }
        environment.extend(launch.environment);
        let host_name = environment.get("HOSTNAME").map_or("localhost", String::as_str).to_owned();
        image.lay_out(&files(folder)).await?;
        let mut binds = image.binds();
        binds.extend(etc(folder, &host_name).await?);
        binds.push(Bind { from: control_group(folder), to: CONTROL_GROUP.into(), is_read_only: true });
        binds.extend(launch.mounts.iter().map(|mount| Bind {
            from: volumes(tools.task).join(&mount.volume),
            to: mount.path.clone().into(),
            is_read_only: mount.is_read_only,
        }));
        let plan = Plan {
            image: image.tree.clone(),
            written: files(folder),
            work: folder.join("work"),
            root: folder.join("root"),
            binds,
            links: image.links(),
            is_read_only: launch.is_read_only,
            host_name,
            working_dir: image.working_dir.clone(),
            user: launch.user.unwrap_or_else(|| image.user.clone()),
            has_users: tools.level == Level::Users,
            environment,
            arguments,
            has_init: launch.has_init,
        };
        let door = launch.is_called.then(|| door(folder));
        let begun = Begun::begin(tools.init, tools.level, &plan, launch.open_files, door.as_deref()).await?;
        let Begun { child, first } = begun;
        let outside = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        // An init process is not the container's own.
        let namespace = Namespace { init: if launch.has_init { first } else { Pid::from_raw(outside) } };
        let inside = door.map(|door| Inside {
            init: tools.init.to_owned(),
            door,
            role: vec![
                enclosure::INSIDE.to_owned(),
                first.to_string(),
                if plan.has_users { plan.user } else { String::new() },
                plan.working_dir.display().to_string(),
            ],
            working_dir: folder.to_owned(),
            environment: plan.environment,
        });
        let logs = (file, launch.logs, tools.clock);
        let memory = (launch.memory, control_group(folder));
        Self::watched(child, Kind::Enclosed { first }, namespace, inside, memory, logs).await
    }

    /// With this machine's files.
    async fn bare(
        tools: Tools<'_>,
        image: &Image,
        mut arguments: Vec<String>,
        folder: &Path,
        file: fs::File,
        launch: Launch,
    ) -> anyhow::Result<Self> {
        ensure!(image.tree.is_none(), "{}", tools.level);
        let group = control_group(folder).display().to_string();
        let mut environment = image.environment();
        environment.insert(memory::VARIABLE.to_owned(), group);
        environment.insert(ONE_USER.to_owned(), "1".to_owned());
        environment.extend(launch.environment);
        for text in arguments.iter_mut().chain(environment.values_mut()) {
            *text = outside(&image.outside(text), &launch.mounts, &volumes(tools.task));
        }
        let mut command = Command::new(tools.init);
        command.env_clear().envs(&environment).current_dir(files(folder));
        let inside = launch.is_called.then(|| Inside {
            init: tools.init.to_owned(),
            door: door(folder),
            role: Vec::new(),
            working_dir: files(folder),
            environment,
        });
        let network = inside.as_ref().map(|inside| inside.ask_for_network(&mut command)).transpose()?;
        if network.is_none() {
            command.arg(init::ARGUMENT).stdin(Stdio::null());
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot run {}", tools.init.display()))?;
        drop(command);
        if let Some(network) = network {
            await_network(network).await?;
        }
        let id = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        let init = Pid::from_raw(id);
        let inside =
            inside.map(|inside| Inside { role: vec![init::INSIDE.to_owned(), init.to_string()], ..inside });
        let logs = (file, launch.logs, tools.clock);
        let memory = (launch.memory, control_group(folder));
        Self::watched(child, Kind::Bare { init }, Namespace { init }, inside, memory, logs).await
    }

    async fn watched(
        mut child: Child,
        kind: Kind,
        namespace: Namespace,
        inside: Option<Inside>,
        (limit, group): (u64, PathBuf),
        (file, logs, clock): (fs::File, Option<LogStream>, Clock),
    ) -> anyhow::Result<Self> {
        let memory = Memory::watch(namespace, limit, group).await?;
        let tracker = TaskTracker::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            output::follow(&tracker, stdout, stderr, file, logs, clock);
        }
        tracker.close();
        Ok(Self {
            child: Mutex::new(child),
            kind,
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

    /// Sends the first process a signal, unless that has ended.
    fn tell(&self, signal: Signal) {
        let (Kind::Enclosed { first: process } | Kind::Bare { init: process }) = self.kind;
        if !self.is_gone.load(Ordering::Relaxed) {
            send(process, signal);
        }
    }
}

/// The way into a container that has a network of its own.
#[derive(Debug)]
struct Inside {
    /// The program that its init process is.
    init: PathBuf,
    door: PathBuf,
    /// What that program is told where it is to run a command inside; the command follows.
    role: Vec<String>,
    working_dir: PathBuf,
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

    /// To the first process, as Docker signals PID 1; the kernel lets that ignore it by doing nothing.
    fn terminate(&self) {
        self.tell(Signal::SIGTERM);
    }

    fn kill(&self) {
        self.tell(match self.kind {
            Kind::Enclosed { .. } => Signal::SIGKILL,
            Kind::Bare { .. } => init::KILL_ALL,
        });
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
                .args(&inside.role)
                .args(command)
                .env_clear()
                .envs(&inside.environment)
                .current_dir(&inside.working_dir)
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

/// What a container writes outside its volumes; where it has this machine's files, its working directory.
fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

/// What a container engine says about a container in its /etc.
async fn etc(folder: &Path, host_name: &str) -> io::Result<Vec<Bind>> {
    // The network is this machine's, and its resolver too.
    let resolvers = fs::read("/etc/resolv.conf").await.unwrap_or_default();
    let hosts = format!("127.0.0.1 localhost {host_name}\n::1 localhost ip6-localhost ip6-loopback\n");
    let own = folder.join("etc");
    fs::create_dir_all(&own).await?;
    let mut binds = Vec::new();
    for (name, content) in [
        ("hosts", hosts.into_bytes()),
        ("hostname", format!("{host_name}\n").into_bytes()),
        ("resolv.conf", resolvers),
    ] {
        fs::write(own.join(name), content).await?;
        binds.push(Bind { from: own.join(name), to: Path::new("/etc").join(name), is_read_only: false });
    }
    Ok(binds)
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
pub(super) async fn discard(init: &Path, task: &Path) -> io::Result<()> {
    let mut entries = match fs::read_dir(task).await {
        Ok(entries) => entries,
        Err(error) => return if_there(Err(error)),
    };
    while let Some(entry) = entries.next_entry().await? {
        let folder = entry.path();
        if folder == volumes(task) {
            remove(init, folder).await?;
            continue;
        }
        for part in ["work", "root", "etc"].map(|part| folder.join(part)) {
            remove(init, part).await?;
        }
        remove(init, files(&folder)).await?;
        remove(init, control_group(&folder)).await?;
        if_there(fs::remove_file(door(&folder)).await)?;
    }
    Ok(())
}

async fn remove(init: &Path, folder: PathBuf) -> io::Result<()> {
    let init = init.to_owned();
    if_there(spawn_blocking(move || chore::remove(&init, &folder)).await?)
}

/// What is gone already is removed.
pub(super) fn if_there(removed: io::Result<()>) -> io::Result<()> {
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
