//! The process that stands for a container: its environment, its output, its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mayfly_worker::tree;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::fs;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::images::Image;
use crate::logs::{self, LogStream};
use crate::memory::{self, Memory};
use crate::processes::{Processes, send};
use crate::{Ecs, agent, init};

/// The `PATH` of an image that sets none, as Docker has it.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the last output may take to be delivered when the process has ended, in real time.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A variable and its value.
pub(crate) type Environment = BTreeMap<String, OsString>;

impl Ecs {
    /// The whole environment of a task's process; nothing is inherited.
    pub fn environment(&self, task: &str, image: &Image, secrets: Environment, folder: &Path) -> Environment {
        let mut environment = Environment::new();
        let mut set = |name: &str, value: OsString| environment.insert(name.to_owned(), value);
        let path = image.path.iter().map(String::as_str).chain([SYSTEM_PATH]).collect::<Vec<_>>().join(":");
        set("PATH", path.into());
        set(memory::VARIABLE, control_group(folder).into());

        let state = self.state();
        let Some(task) = state.tasks.get(task) else { return environment };
        // Developer Guide, "Amazon ECS environment variables". The older metadata endpoint, version 3, is not
        // served.
        set("AWS_DEFAULT_REGION", self.upstream.region.clone().into());
        set("AWS_REGION", self.upstream.region.clone().into());
        set("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE".into());
        if let Some(id) = &task.runtime_id {
            set("ECS_CONTAINER_METADATA_URI_V4", format!("{}{}/{id}", self.agent, agent::METADATA).into());
        }
        // On AWS it is the relative URI, of the link-local address 169.254.170.2, which cannot be served
        // here.
        if task.definition.request.task_role_arn.is_some() {
            let uri = format!("{}{}/{}", self.agent, agent::CREDENTIALS, task.credentials_id);
            set("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.into());
        }
        if let Some(interface) = &task.interface {
            set("HOSTNAME", host_name(&interface.private_ip, &self.upstream.region).into());
        }
        // What makes the cloud a local one, and no image can name by chance.
        set("MAYFLY_ENDPOINT_URL", self.upstream.ministack.clone().into());

        for variable in &task.definition.request.container_definitions[0].environment {
            set(&variable.name, variable.value.clone().into());
        }
        environment.extend(secrets);
        environment
    }
}

/// A running process and everything that it has started.
#[derive(Debug)]
pub(crate) struct Container {
    child: Child,
    processes: Processes,
    memory: Memory,
    output: TaskTracker,
    exit_code: Option<i32>,
}

impl Container {
    /// Starts a program in its own folder, below the init process that the program `init` is; its output goes to
    /// `output.log` and to `logs`. All its processes together may hold `memory` bytes.
    pub async fn start(
        init: &Path,
        arguments: &[String],
        environment: Environment,
        folder: &Path,
        logs: Option<LogStream>,
        memory: u64,
    ) -> anyhow::Result<Self> {
        ensure!(!arguments.is_empty(), "no command specified");
        fs::create_dir_all(files(folder)).await?;
        let file = fs::File::create(folder.join("output.log")).await?;
        let mut child = Command::new(init)
            .arg(init::ARGUMENT)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(files(folder))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", init.display()))?;
        let id = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        let processes = Processes { init: Pid::from_raw(id) };
        let memory = Memory::watch(processes, memory, control_group(folder)).await?;
        let output = TaskTracker::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            logs::follow(&output, stdout, stderr, file, logs);
        }
        output.close();
        Ok(Self { child, processes, memory, output, exit_code: None })
    }

    /// Waits for the container to end by itself; its init process then leaves nothing behind.
    pub async fn exit_code(&mut self) -> i32 {
        if let Some(exit_code) = self.exit_code {
            return exit_code;
        }
        let exit_code = match self.child.wait().await {
            Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            Err(error) => {
                tracing::error!(%error, "process could not be waited for");
                255
            }
        };
        if timeout(LAST_WORDS, self.output.wait()).await.is_err() {
            tracing::warn!(init = %self.processes.init, "output of an ended task is still held open");
        }
        self.exit_code = Some(exit_code);
        exit_code
    }

    /// SIGTERM to the init process, as Docker signals PID 1, and SIGKILL to all after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> i32 {
        self.tell(Signal::SIGTERM);
        if let Ok(exit_code) = timeout(grace, self.exit_code()).await {
            return exit_code;
        }
        self.kill();
        self.exit_code().await
    }

    /// All of its processes.
    pub fn processes(&self) -> Processes {
        self.processes
    }

    /// Whether it was killed for want of memory, all of it.
    pub fn is_out_of_memory(&self) -> bool {
        self.memory.is_exhausted()
    }

    /// SIGKILL to all of its processes.
    pub fn kill(&self) {
        self.tell(init::KILL_ALL);
    }

    /// Sends the init process a signal, unless that has ended.
    fn tell(&self, signal: Signal) {
        if self.child.id().is_some() {
            send(self.processes.init, signal);
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The name that the VPC's resolver has for an address: VPC User Guide, "Amazon DNS server".
fn host_name(address: &str, region: &str) -> String {
    let domain = if region == "us-east-1" { "ec2.internal" } else { &format!("{region}.compute.internal") };
    format!("ip-{}.{domain}", address.replace('.', "-"))
}

/// The container's working directory.
fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

fn control_group(folder: &Path) -> PathBuf {
    folder.join("cgroup")
}

/// Removes what would be gone with a container: all files but the log.
pub(crate) async fn discard_files(folder: &Path) -> io::Result<()> {
    for folder in [files(folder), control_group(folder)] {
        match spawn_blocking(move || tree::remove(&folder)).await? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
