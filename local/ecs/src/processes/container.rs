//! The processes that stand for a container: their environment, their output, their end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::clock::Clock;
use mayfly_worker::tree;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::fs;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::images::Image;
use super::memory::{self, Memory};
use super::namespace::{Namespace, send};
use super::{init, output};
use crate::runtime::{Container, Launch};

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
    /// Whether the init process is no more, so that another one may have its id.
    is_gone: AtomicBool,
    exit_code: OnceCell<i32>,
}

impl ProcessContainer {
    /// Starts the program of `image` in its own folder, below the init process that the program `init` is; its output goes to
    /// `output.log` and to the log stream.
    pub async fn start(
        init: &Path,
        image: &Image,
        folder: &Path,
        launch: Launch,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let arguments = image.arguments(launch.entry_point.as_deref(), launch.command.as_deref());
        ensure!(!arguments.is_empty(), "no command specified");
        fs::create_dir_all(files(folder)).await?;
        let file = fs::File::create(folder.join("output.log")).await?;
        let path = image.path.iter().map(String::as_str).chain([SYSTEM_PATH]).collect::<Vec<_>>().join(":");
        let mut child = Command::new(init)
            .arg(init::ARGUMENT)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env(memory::VARIABLE, control_group(folder))
            .envs(launch.environment)
            .current_dir(files(folder))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", init.display()))?;
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
            is_gone: AtomicBool::new(false),
            exit_code: OnceCell::new(),
        })
    }

    async fn wait(&self) -> i32 {
        let ended = self.child.lock().await.wait().await;
        self.is_gone.store(true, Ordering::Relaxed);
        let exit_code = match ended {
            Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
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
}

impl Drop for ProcessContainer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The container's working directory.
fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

fn control_group(folder: &Path) -> PathBuf {
    folder.join("cgroup")
}

/// Removes what would be gone with a container: all files but the log.
pub(super) async fn discard_files(folder: &Path) -> io::Result<()> {
    for folder in [files(folder), control_group(folder)] {
        match spawn_blocking(move || tree::remove(&folder)).await? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
