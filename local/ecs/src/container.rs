//! The process that stands for a container: its environment, its output, its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use mayfly_common::tree;
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
use crate::{Ecs, agent};

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
        // A container has its own file system; a process gets its own folders instead.
        set("HOME", files(folder).into());
        set("TMPDIR", temporary(folder).into());
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
        // What makes the cloud a local one.
        set("AWS_ENDPOINT_URL", self.upstream.ministack.clone().into());

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
    /// Starts a program in its own folder and session, its output going to `output.log` and to `logs`. All its processes
    /// together may hold `memory` bytes.
    pub async fn start(
        arguments: &[String],
        environment: Environment,
        folder: &Path,
        logs: Option<LogStream>,
        memory: u64,
    ) -> anyhow::Result<Self> {
        let (program, arguments) = arguments.split_first().context("no command specified")?;
        for folder in [files(folder), temporary(folder)] {
            fs::create_dir_all(folder).await?;
        }
        let file = fs::File::create(folder.join("output.log")).await?;
        // Two programs of util-linux that each become the next one, because Rust has neither without `unsafe`: setsid, for
        // a session, by which all processes of the container are known, and setpriv, so that a task does not outlive a
        // local cloud that was killed.
        let mut child = Command::new("/usr/bin/setsid")
            .args(["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(files(folder))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {program:?}"))?;
        let leader = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        let processes = Processes { leader: Pid::from_raw(leader) };
        let memory = Memory::watch(processes, memory, control_group(folder)).await?;
        let output = TaskTracker::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            logs::follow(&output, stdout, stderr, file, logs);
        }
        output.close();
        Ok(Self { child, processes, memory, output, exit_code: None })
    }

    /// Waits for the process to end by itself, and ends what it leaves behind: a container ends with its PID
    /// 1. The code is 128 plus the signal's number for a process that died of a signal, as Docker reports it.
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
        self.kill();
        if timeout(LAST_WORDS, self.output.wait()).await.is_err() {
            tracing::warn!(leader = %self.processes.leader, "output of an ended task is still held open");
        }
        self.exit_code = Some(exit_code);
        exit_code
    }

    /// SIGTERM to the leader alone, as Docker signals PID 1, and SIGKILL to all after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> i32 {
        if self.child.id().is_some() {
            send(self.processes.leader, Signal::SIGTERM);
        }
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
        if self.exit_code.is_none() {
            self.processes.signal(Signal::SIGKILL);
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

/// The container's working directory and home.
fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

fn temporary(folder: &Path) -> PathBuf {
    folder.join("tmp")
}

fn control_group(folder: &Path) -> PathBuf {
    folder.join("cgroup")
}

/// Removes what would be gone with a container: all files but the log.
pub(crate) async fn discard_files(folder: &Path) -> io::Result<()> {
    for folder in [files(folder), temporary(folder), control_group(folder)] {
        match spawn_blocking(move || tree::remove(&folder)).await? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
