//! A container that has namespaces of its own: users, mounts, processes, host name, IPC, and a network where it is called.
//! Source: namespaces(7), user_namespaces(7), pid_namespaces(7).
//!
//! Three processes make it, each this program anew. The first, outside, makes the namespaces and waits; it keeps the door of the
//! container's network. The second is the first process inside: it makes the file tree ([`root`]), becomes the container's user,
//! and then is its init process, or its program. The third is for a command that is run inside later.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, sethostname, setresgid, setresuid, setsid};

use super::chore;
use super::init::{self, exit_code};
use super::network;
use super::plan::{News, Plan};
use super::root;
use super::users::{self, User};

/// What a program's first argument is where it is to be the first of these. The soft and the hard limit of open files follow, and
/// the path of the network's door where there is to be one. Standard input is the socket for [`News`] and the [`Plan`].
pub(super) const ENCLOSE: &str = "be-container";

/// The same for the second.
const BEGIN: &str = "be-first-in-container";

/// The same for a command inside; the id of the container's first process and its uid, gid and groups follow, then the command.
pub(super) const INSIDE: &str = "run-in-container";
const INSIDE_BEGIN: &str = "be-run-in-container";

/// What containers have, and what users there are in them.
const NAMESPACES: [CloneFlags; 5] = [
    CloneFlags::CLONE_NEWUSER,
    CloneFlags::CLONE_NEWNS,
    CloneFlags::CLONE_NEWPID,
    CloneFlags::CLONE_NEWUTS,
    CloneFlags::CLONE_NEWIPC,
];

/// What a program has that cannot be run, as shells have it.
const NOT_RUN: u8 = 126;

/// Does what the first argument asks for, if it is one of these.
pub(super) fn run(role: &str, arguments: impl Iterator<Item = OsString>) -> Option<anyhow::Result<u8>> {
    let arguments: Vec<_> = arguments.collect();
    Some(match role {
        ENCLOSE => enclose(&arguments),
        BEGIN => begin(),
        INSIDE => run_inside(&arguments),
        INSIDE_BEGIN => begin_inside(&arguments),
        chore::DO => chore::run(),
        _ => return None,
    })
}

fn socket() -> anyhow::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    socket.context("standard input is no socket")
}

fn enclose(arguments: &[OsString]) -> anyhow::Result<u8> {
    let mut socket = socket()?;
    let (child, door) = match start(arguments, &mut socket) {
        Ok(started) => started,
        Err(error) => {
            News::Failed(format!("{error:#}")).tell(&mut socket)?;
            return Ok(NOT_RUN);
        }
    };
    drop(socket);
    watch(child, door)
}

fn start(
    arguments: &[OsString],
    socket: &mut UnixStream,
) -> anyhow::Result<(std::process::Child, Option<UnixListener>)> {
    let [soft, hard, door @ ..] = arguments else { bail!("no limits are given") };
    let limit = |text: &OsString| text.to_string_lossy().parse::<u64>().context("a limit is no number");
    limit_open_files(limit(soft)?, limit(hard)?)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut namespaces = NAMESPACES.into_iter().collect::<CloneFlags>();
    if !door.is_empty() {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    unshare(namespaces).context("the kernel of this machine gives a container no namespaces of its own")?;
    News::Unshared.tell(socket)?;
    // Which users there are may be said only from outside.
    socket.read_exact(&mut [0]).context("nobody says which users there are")?;
    let door = door.first().map(|door| network::open(Path::new(door))).transpose()?;
    // A namespace of processes is that of the children.
    let child = Command::new("/proc/self/exe")
        .arg(BEGIN)
        .stdin(Stdio::from(socket.as_fd().try_clone_to_owned()?))
        .spawn()
        .context("cannot begin a namespace of processes")?;
    News::First(child.id().try_into()?).tell(socket)?;
    Ok((child, door))
}

/// Only who has rights outside may have more than there are.
fn limit_open_files(soft: u64, hard: u64) -> anyhow::Result<()> {
    if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
        return Ok(());
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(most), hard.min(most)).context("cannot limit the open files")
}

/// Waits for the end of the container, and lets callers in.
fn watch(mut child: std::process::Child, door: Option<UnixListener>) -> anyhow::Result<u8> {
    if let Some(door) = door {
        // The one thread that there may be: it waits for the child, which no thread of this process can.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(async {
            tokio::spawn(network::keep(door));
            let mut ends = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
            loop {
                if let Some(status) = child.try_wait()? {
                    return Ok(exit_code(status));
                }
                ends.recv().await;
            }
        });
    }
    Ok(exit_code(child.wait()?))
}

fn begin() -> anyhow::Result<u8> {
    let mut socket = socket()?;
    let mut plan = Plan::read(&mut socket)?;
    match prepare(&mut plan) {
        Ok(program) => {
            // The one outside may still have something to say.
            News::Ready.tell(&mut socket)?;
            drop(socket);
            become_program(&plan, program)
        }
        Err(error) => {
            News::Failed(format!("{error:#}")).tell(&mut socket)?;
            Ok(NOT_RUN)
        }
    }
}

/// Makes all of the container but its program; where that is.
fn prepare(plan: &mut Plan) -> anyhow::Result<Option<PathBuf>> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    setsid()?;
    umask(Mode::from_bits_truncate(0o022));
    sethostname(&plan.host_name)?;
    root::enter(plan)?;
    let Some(name) = plan.arguments.first() else { return Ok(None) };
    let user = users::find(Path::new("/"), &plan.user)?;
    env::set_current_dir(&plan.working_dir).with_context(|| {
        format!("chdir to cwd ({:?}) set in config.json failed", plan.working_dir.display())
    })?;
    plan.environment.entry("HOME".to_owned()).or_insert_with(|| user.home.clone());
    let path = plan.environment.get("PATH").map_or("", String::as_str);
    // An init process looks for it itself, and says in its log what it did not find.
    let program = if plan.has_init { PathBuf::from(name) } else { look_up(name, path)? };
    if plan.has_users {
        become_user(&user)?;
    }
    // Whoever becomes another loses it: PR_SET_PDEATHSIG(2const).
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    Ok(Some(program))
}

fn become_user(user: &User) -> anyhow::Result<()> {
    let groups: Vec<_> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgroups(&groups)
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .with_context(|| format!("cannot become the user {}:{}", user.uid, user.gid))
}

/// Where a program is, as the container's `PATH` has it; the words are those of runc.
fn look_up(name: &str, path: &str) -> anyhow::Result<PathBuf> {
    let runs = |file: &Path| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let file = Path::new(name);
        return match file.metadata() {
            Ok(_) if runs(file) => Ok(file.to_owned()),
            Ok(_) => bail!("exec: {name:?}: permission denied: unknown"),
            Err(_) => bail!("exec: {name:?}: stat {name}: no such file or directory: unknown"),
        };
    }
    let mut found = path.split(':').map(|folder| Path::new(folder).join(name)).filter(|file| runs(file));
    found.next().with_context(|| format!("exec: {name:?}: executable file not found in $PATH: unknown"))
}

fn become_program(plan: &Plan, program: Option<PathBuf>) -> anyhow::Result<u8> {
    let Some(program) = program else { return Ok(0) };
    let mut command = Command::new(&program);
    command.args(&plan.arguments[1..]).env_clear().envs(&plan.environment).stdin(Stdio::null());
    if plan.has_init {
        return init::supervise_first(command);
    }
    // What the kernel does not know is a script to the C library, as it never is to a container engine; and an emulator that this
    // machine may have is none that AWS has.
    let error = if is_for_this_processor(&program)? {
        command.arg0(&plan.arguments[0]).exec()
    } else {
        Errno::ENOEXEC.into()
    };
    eprintln!("exec {}: {error}", program.display());
    Ok(1)
}

/// By its beginning: elf(5), `e_machine`, or an interpreter's line.
fn is_for_this_processor(program: &Path) -> io::Result<bool> {
    const OWN: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut beginning = Vec::new();
    // Who may run it need not be let to read it.
    let Ok(file) = fs::File::open(program) else { return Ok(true) };
    file.take(20).read_to_end(&mut beginning)?;
    let machine = [beginning.get(18), beginning.get(19)].map(|byte| byte.copied().unwrap_or_default());
    Ok(beginning.starts_with(b"#!")
        || beginning.starts_with(b"\x7fELF") && u16::from_le_bytes(machine) == OWN)
}

/// A command in the namespaces of a container, whose first process is called `process` outside; the command is told what it
/// may know by this process's own variables.
fn run_inside(arguments: &[OsString]) -> anyhow::Result<u8> {
    let process = arguments.first().context("no process specified")?.to_string_lossy().into_owned();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    for (kind, flag) in [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("pid", CloneFlags::CLONE_NEWPID),
    ] {
        enter(&process, kind, flag)?;
    }
    let status: ExitStatus = Command::new("/proc/self/exe")
        .arg(INSIDE_BEGIN)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .context("cannot begin a command in the container")?;
    Ok(exit_code(status))
}

fn enter(process: &str, kind: &str, flag: CloneFlags) -> anyhow::Result<()> {
    let path = format!("/proc/{process}/ns/{kind}");
    let namespace = fs::File::open(&path).with_context(|| format!("cannot open {path}"))?;
    setns(namespace, flag).with_context(|| format!("cannot enter {path}"))
}

fn begin_inside(arguments: &[OsString]) -> anyhow::Result<u8> {
    let [process, user, working_dir, name, rest @ ..] = arguments else { bail!("no command specified") };
    enter(&process.to_string_lossy(), "mnt", CloneFlags::CLONE_NEWNS)?;
    env::set_current_dir(working_dir)?;
    let name = name.to_string_lossy();
    let path = env::var("PATH").unwrap_or_default();
    let program = look_up(&name, &path)?;
    if let Some(user) = user.to_str().filter(|user| !user.is_empty()) {
        become_user(&users::find(Path::new("/"), user)?)?;
    }
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let error = Command::new(&program).arg0(&*name).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
