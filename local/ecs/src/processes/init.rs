//! The init process of a container: this program, started anew for each of them.
//!
//! It starts the container's own process, passes SIGTERM on to it, and ends with its exit code as soon as nothing of the
//! container is left. On AWS the kernel ends what is left, since all of it shares a PID namespace: pid_namespaces(7).
//! Source: ECS API Reference, `LinuxParameters`, `initProcessEnabled`.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::Path;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};

use anyhow::Context as _;
use mayfly_worker::descendants::Subreaper;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, setsid};
use tokio::process::Command;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

use super::namespace::send;
use super::{enclosure, network};

/// What a program's first argument is where it is to be an init process; the container's arguments follow.
pub(crate) const ARGUMENT: &str = "be-init-of";

/// The same for a container that is called: the path of its network's door comes before its arguments. What standard input
/// is, a socket, is told [`READY`] or why there is no network.
pub(crate) const CALLED: &str = "be-init-behind-door";

/// What is told when the network of a container is there.
pub(crate) const READY: &str = "ready";

/// What the first argument is where a command is to run in the network of a container; the init process's id and the
/// command follow.
pub(crate) const INSIDE: &str = "run-in-network-of";

/// Tells an init process to kill all of its container. The kernel sends it when the local cloud ends, however that ends.
pub(crate) const KILL_ALL: Signal = Signal::SIGUSR1;

/// The exit code of a program that does not exist, as shells have it.
const NO_PROGRAM: u8 = 127;

/// Is the init process of a container, where this program's arguments ask for one. A `main` calls it before all else.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let exit_code = match arguments.next()?.to_str()? {
        ARGUMENT => supervise(&arguments.collect::<Vec<_>>(), None),
        CALLED => supervise_behind_door(arguments),
        INSIDE => run_inside(arguments),
        role => enclosure::run(role, arguments)?,
    };
    let exit_code = exit_code.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        NO_PROGRAM
    });
    Some(ExitCode::from(exit_code))
}

fn supervise_behind_door(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<u8> {
    let parent = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let mut parent = parent.context("standard input is no socket")?;
    let door = network::create(Path::new(&arguments.next().context("no door specified")?));
    match &door {
        Ok(_) => parent.write_all(READY.as_bytes())?,
        Err(error) => write!(parent, "{error:#}")?,
    }
    parent.shutdown(Shutdown::Both)?;
    supervise(&arguments.collect::<Vec<_>>(), Some(door?))
}

/// Becomes a command in the network of a container.
fn run_inside(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<u8> {
    let process = arguments.next().context("no process specified")?;
    network::enter(&process.to_string_lossy())?;
    let program = arguments.next().context("no command specified")?;
    let error = std::process::Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

fn supervise(arguments: &[OsString], door: Option<UnixListener>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(door) = door {
            tokio::spawn(network::keep(door));
        }
        let (program, arguments) = arguments.split_first().context("no command specified")?;
        // Nothing that the terminal of a local cloud sends is for a container.
        setsid()?;
        // setpriv, of util-linux, because Rust cannot say without `unsafe` that the process ends with this one.
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        run_to_the_end(command).await
    })
}

/// As the first process of a PID namespace, which needs nobody to end what is left.
pub(super) fn supervise_first(command: std::process::Command) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_to_the_end(command.into()))
}

async fn run_to_the_end(mut command: Command) -> anyhow::Result<u8> {
    let (mut told_to_end, mut told_to_kill) =
        (signal(SignalKind::terminate())?, signal(SignalKind::user_defined1())?);
    prctl::set_pdeathsig(KILL_ALL)?;
    let subreaper = Subreaper::begin()?;
    let spawned = command.stdin(Stdio::null()).spawn();
    let mut child =
        spawned.with_context(|| format!("cannot run {}", command.as_std().get_program().display()))?;
    let first = child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw);
    let exit_code = {
        let mut burials = pin!(subreaper.bury(first));
        loop {
            select! {
                biased;
                status = child.wait() => break exit_code(status?),
                _ = told_to_end.recv() => {
                    let _ = first.map(|process| send(process, Signal::SIGTERM));
                }
                _ = told_to_kill.recv() => break exit_code(ExitStatus::from_raw(Signal::SIGKILL as i32)),
                never = &mut burials => match never {},
            }
        }
    };
    subreaper.end_all().await;
    Ok(exit_code)
}

/// 128 plus the signal's number for a process that died of a signal, as Docker reports it.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
