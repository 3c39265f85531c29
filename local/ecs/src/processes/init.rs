//! The init process of a container: this program, started anew for each of them.
//!
//! It starts the container's own process, passes SIGTERM on to it, and ends with its exit code as soon as nothing of the
//! container is left. On AWS the kernel ends what is left, since all of it shares a PID namespace: pid_namespaces(7).
//! Source: ECS API Reference, `LinuxParameters`, `initProcessEnabled`.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use mayfly_worker::descendants::Subreaper;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, setsid};
use tokio::process::Command;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

use super::namespace::send;

/// What a program's first argument is where it is to be an init process; the container's arguments follow.
pub(crate) const ARGUMENT: &str = "be-init-of";

/// Tells an init process to kill all of its container. The kernel sends it when the local cloud ends, however that ends.
pub(crate) const KILL_ALL: Signal = Signal::SIGUSR1;

/// The exit code of a program that does not exist, as shells have it.
const NO_PROGRAM: u8 = 127;

/// Is the init process of a container, where this program's arguments ask for one. A `main` calls it before all else.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let arguments: Vec<_> = arguments.collect();
    let exit_code = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(supervise(&arguments)));
    let exit_code = exit_code.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        NO_PROGRAM
    });
    Some(ExitCode::from(exit_code))
}

async fn supervise(arguments: &[OsString]) -> anyhow::Result<u8> {
    let (program, arguments) = arguments.split_first().context("no command specified")?;
    let (mut told_to_end, mut told_to_kill) =
        (signal(SignalKind::terminate())?, signal(SignalKind::user_defined1())?);
    prctl::set_pdeathsig(KILL_ALL)?;
    let subreaper = Subreaper::begin()?;
    // Nothing that the terminal of a local cloud sends is for a container.
    setsid()?;
    // setpriv, of util-linux, because Rust cannot say without `unsafe` that the process ends with this one.
    let mut child = Command::new("/usr/bin/setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
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
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}
