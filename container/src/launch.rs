//! Becomes the command: a process of the worker's program, started with the command's environment, takes the command's user
//! on and then executes its program. The standard library by itself sets no further groups and drops no capabilities.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use caps::{CapSet, Capability};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::user::User;

/// The first argument of such a process.
const ARGUMENT: &str = "launch";

/// What a command that runs as root may do beyond others: with files, and as another user. The worker has more of what Docker
/// gives to a container, so that the command may read neither its memory nor its variables.
/// Source: ptrace(2), "Ptrace access mode checking": capabilities that are a subset; capabilities(7), "Capabilities and execution
/// of programs by root": no more than the bounding set has.
const ROOTS: [Capability; 7] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// Why a command does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// Its user could not be taken on, for this error of the operating system's.
    User(i32),
    /// Its program could not be executed, for this one.
    Program(i32),
}

/// What executes `program` as `user`, or as the worker's own user where there is none, by way of `launcher`, which is the
/// worker's program. What it reads from the command's end is for [`obstacle`].
pub fn command(
    launcher: &Path,
    user: Option<&User>,
    program: &Path,
    argv: &[String],
) -> io::Result<(Command, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(launcher);
    command.arg(ARGUMENT).arg(serde_json::to_string(&user)?).arg(program).args(argv).stdin(writer);
    Ok((command, reader.into()))
}

/// What stood in the command's way, from what its process has said; none where it runs.
pub fn obstacle(said: OwnedFd) -> io::Result<Option<Obstacle>> {
    let mut text = String::new();
    File::from(said).read_to_string(&mut text)?;
    if text.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
}

/// Becomes the command, where the first argument says so; tells the exit code where it could not.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    // Where this is said closes when a program is executed.
    let said = io::stdin().as_fd().try_clone_to_owned();
    let obstacle = launch(arguments);
    if let (Ok(said), Ok(text)) = (said, serde_json::to_string(&obstacle)) {
        // Who does not listen has ended.
        let _ = File::from(said).write_all(text.as_bytes());
    }
    Some(ExitCode::FAILURE)
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> Obstacle {
    let user = arguments.next().and_then(|user| serde_json::from_str::<Option<User>>(user.to_str()?).ok());
    let (Some(user), Some(program), Some(name)) = (user, arguments.next(), arguments.next()) else {
        return Obstacle::Program(nix::errno::Errno::EINVAL as i32);
    };
    if let Some(error) = user.and_then(|user| take_on(&user).err()) {
        return Obstacle::User(error as i32);
    }
    let error = Command::new(program).arg0(name).args(arguments).stdin(Stdio::null()).exec();
    Obstacle::Program(error.raw_os_error().unwrap_or_default())
}

/// This drops the worker's other groups as well, and with root its capabilities.
/// Source: capabilities(7), "Effect of user ID changes on capabilities".
fn take_on(user: &User) -> nix::Result<()> {
    if user.id == 0 {
        let others = caps::all().into_iter().filter(|capability| !ROOTS.contains(capability));
        for capability in others {
            // One that this kernel or this container does not have is not to be dropped.
            if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, capability).map_err(|_| nix::errno::Errno::EPERM)?;
            }
        }
    }
    let (id, group) = (Uid::from_raw(user.id), Gid::from_raw(user.group));
    setgroups(&user.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
    setresgid(group, group, group)?;
    setresuid(id, id, id)
}
