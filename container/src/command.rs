//! Runs the job's command: as another user, with its own variables and a limit of time, and tells how it ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::future::pending;
use std::io;
use std::os::unix::fs::fchown;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Phase, Progress};
use mayfly_model::shown::shown;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::select;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::descendants::Subreaper;
use crate::disk::DiskWatch;
use crate::environment::of_command;
use crate::launch::{self, Obstacle};
use crate::log::Log;
use crate::oom::OomWatch;
use crate::output::{Piece, Splitter, Tail};
use crate::program::PATH;
use crate::progress::Meter;
use crate::stop::StopSignal;
use crate::user::{USERS, User};

/// What is still in the pipe when the command has ended arrives in this time; a process that could not be killed may hold
/// it open for ever.
const DRAIN: Duration = Duration::from_secs(2);
const CHUNK: usize = 16 * 1024;

/// The variable that names the job's folder.
const FILES: &str = "MAYFLY_FILES";

/// Root's home, which other users may not enter. The container's first process is root, so `HOME` is this where the image sets
/// no other.
const ROOTS_HOME: &str = "/root";

/// The name of the command's user, unless the image's `/etc/passwd` has another for its number.
const USER_NAME: &str = "mayfly";

/// Where a command runs, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Where it begins.
    pub directory: &'a Path,
    /// The job's folder.
    pub work: &'a Path,
    /// Its folder for temporary files, where the environment names none.
    pub temporary: &'a Path,
    /// Its user; none: the worker's own.
    pub user: Option<&'a User>,
    /// The worker's program, which becomes the command's.
    pub launcher: &'a Path,
    /// How long it may take to end when the container is told to stop.
    pub stop_timeout: Duration,
    /// The folder of the container's control group.
    pub cgroup: &'a Path,
    /// How many bytes of disk are left for files in a folder.
    pub free: fn(&Path) -> Option<u64>,
    /// Who ends what the command leaves behind; none where this process has children of its own, whose end that would be
    /// too. Then only the command's process group ends with it.
    pub subreaper: Option<Subreaper>,
    /// Where what it prints goes; a log that is slow holds up the command, not the worker.
    pub log: &'a Log,
}

/// How the command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that killed it.
    pub status: ExitStatus,
    /// The last 4 KB of what it printed.
    pub output: String,
    out_of_memory: bool,
    disk_full: bool,
}

/// Runs `program` with the arguments `argv` at its `place`, without a shell, and passes its output on to the log. `progress`
/// follows it. At `stop` the command is asked to end, and then killed. Whatever it has started ends with it.
pub async fn run(
    program: &Path,
    argv: &[String],
    place: Place<'_>,
    progress: Arc<watch::Sender<Progress>>,
    stop: &StopSignal,
) -> Result<Ended, Failure> {
    let (oom, disk) = (OomWatch::begin(place.cgroup), DiskWatch::begin());
    let look = || (place.free)(place.work);
    let (mut child, printed) = spawn(program, argv, place).await?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    prefer_to_kill(group);
    let observer =
        Arc::new(Mutex::new(Observer { progress, tail: Tail::default(), meter: Meter::default() }));
    let has_ended = CancellationToken::new();
    let pump = pump(printed, place.log.clone(), observer.clone(), has_ended.clone());
    let mut pump = AbortOnDropHandle::new(tokio::spawn(pump));

    let burials = async {
        match place.subreaper {
            Some(subreaper) => subreaper.bury(group).await,
            None => pending().await,
        }
    };
    let (status, stopped) = select! {
        status = child.wait() => (status, None),
        reason = stop.stopped() => (end(&mut child, group, reason.grace(place.stop_timeout)).await, Some(reason)),
        never = burials => match never {},
        never = disk.watch(look) => match never {},
    };
    disk.note(look());
    signal(group, Signal::SIGKILL);
    if let Some(subreaper) = place.subreaper {
        subreaper.end_all().await;
    }
    has_ended.cancel();
    if timeout(DRAIN, &mut pump).await.is_err() {
        warn!("output not read to its end in time");
    }

    let output = observer.lock().unwrap_or_else(PoisonError::into_inner).tail.text();
    if let Some(reason) = stopped {
        return Err(Failure { output: Some(output), ..stop.failure(reason, Phase::Running) });
    }
    let status = status.map_err(|error| could_not_start(&argv[0], &error))?;
    Ok(Ended { status, output, out_of_memory: oom.rose(), disk_full: disk.was_full() })
}

impl Ended {
    /// A command that did not end with code 0 has failed.
    pub fn verdict(self, program: &str) -> Result<(), Failure> {
        if self.status.success() {
            return Ok(());
        }
        let program = shown(program);
        let end = match (self.status.signal(), self.status.code()) {
            (Some(number), _) => {
                let name = Signal::try_from(number).map(|signal| signal.to_string());
                format!("was killed by {}", name.unwrap_or_else(|_| format!("signal {number}")))
            }
            (None, code) => format!("ended with code {}", code.unwrap_or_default()),
        };
        // A program whose own child was killed ends with a code.
        let (class, message) = if self.out_of_memory {
            let message = format!(
                "the kernel killed the command `{program}`, or a part of it, for want of memory; \
                 raise container.memoryMiB"
            );
            (Class::OutOfMemory, message)
        } else if self.disk_full {
            let message = format!(
                "the command `{program}` {end}, and the disk was full while it ran; raise container.storageGiB"
            );
            (Class::DiskFull, message)
        } else {
            (Class::CommandFailed, format!("the command `{program}` {end}"))
        };
        Err(Failure { class, message, output: Some(self.output) })
    }
}

/// The command, and what it prints: both of its streams in one pipe, so that they stay in order.
async fn spawn(program: &Path, argv: &[String], place: Place<'_>) -> Result<(Child, Receiver), Failure> {
    let failure = |error: io::Error| could_not_start(&argv[0], &error);
    let (reader, writer) = io::pipe().map_err(failure)?;
    if let Some(user) = place.user {
        // A command may open /dev/stdout, which only the owner of the pipe may.
        fchown(&writer, Some(user.id), Some(user.group)).map_err(failure)?;
    }
    let (command, said) = launch::command(place.launcher, place.user, program, argv).map_err(failure)?;
    let mut command = Command::from(command);
    command.current_dir(place.directory).env_clear().envs(environment(place)).process_group(0);
    command.stdout(writer.try_clone().map_err(failure)?).stderr(writer);
    let mut child = command.spawn().map_err(failure)?;
    // It holds the other end of what is listened to.
    drop(command);
    // Its process says at once whether it runs.
    let obstacle = spawn_blocking(|| launch::obstacle(said)).await.map_err(io::Error::other).flatten();
    match obstacle.map_err(failure)? {
        None => Ok((child, Receiver::from_owned_fd(reader.into()).map_err(failure)?)),
        Some(obstacle) => {
            let _ = child.wait().await;
            Err(match obstacle {
                Obstacle::Program(number) => failure(io::Error::from_raw_os_error(number)),
                Obstacle::User(number) => {
                    let (error, user) =
                        (io::Error::from_raw_os_error(number), place.user.map(|user| user.id));
                    let message =
                        format!("the command could not run as user {}: {error}", user.unwrap_or_default());
                    Failure { class: Class::Internal, message, output: None }
                }
            })
        }
    }
}

/// The command's own variables, and what a program expects to find beside them.
fn environment(place: Place<'_>) -> BTreeMap<OsString, OsString> {
    let mut environment = of_command();
    let temporary = place.temporary.as_os_str();
    environment.insert(FILES.into(), place.work.into());
    environment.entry("PATH".into()).or_insert_with(|| PATH.into());
    environment.entry("TMPDIR".into()).or_insert_with(|| temporary.to_owned());
    let home = place.user.and_then(|user| user.home.as_deref()).filter(|home| home.is_dir());
    let home = home.map_or(temporary, Path::as_os_str);
    let given = environment.entry("HOME".into()).or_insert_with(|| home.to_owned());
    if place.user.is_some_and(|user| user.id != 0) && given == ROOTS_HOME {
        home.clone_into(given);
    }
    // Programs ask the environment first, and then the table of users, where an image may have nobody of this number.
    let name = match place.user {
        Some(user) => user.name.clone(),
        None => User::find(&geteuid().to_string(), &fs::read_to_string(USERS).unwrap_or_default(), "")
            .ok()
            .and_then(|user| user.name),
    };
    let name = name.unwrap_or_else(|| USER_NAME.to_owned());
    for variable in ["USER", "LOGNAME"] {
        environment.entry(variable.into()).or_insert_with(|| name.clone().into());
    }
    environment
}

/// When memory is short the kernel should kill the command, and leave the worker to report it.
/// Source: proc_pid_oom_score_adj(5); what the command starts inherits it.
fn prefer_to_kill(command: Option<Pid>) {
    // A command that has ended already needs no score.
    let _ = command.map(|pid| fs::write(format!("/proc/{pid}/oom_score_adj"), "1000"));
}

fn could_not_start(program: &str, error: &io::Error) -> Failure {
    let program = shown(program);
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!(
            "the command `{program}` could not be started: the interpreter that it names, or the loader of its libraries, is \
             not in the image"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "the command `{program}` could not be started: it is not executable; \
             a script among the inputs needs its interpreter in front, as in [\"sh\", \"script.sh\"]"
        ),
        _ => format!("the command `{program}` could not be started: {error}"),
    };
    Failure { class: Class::CommandFailed, message, output: None }
}

/// Asks the command to end, and kills it when the time is up.
async fn end(child: &mut Child, group: Option<Pid>, grace: Duration) -> io::Result<ExitStatus> {
    signal(group, Signal::SIGTERM);
    if let Ok(status) = timeout(grace, child.wait()).await {
        return status;
    }
    signal(group, Signal::SIGKILL);
    child.wait().await
}

fn signal(group: Option<Pid>, signal: Signal) {
    // A group that is gone is what is wanted.
    let _ = group.map(|group| killpg(group, signal));
}

/// Follows what the command prints.
struct Observer {
    progress: Arc<watch::Sender<Progress>>,
    tail: Tail,
    meter: Meter,
}

impl Observer {
    fn take(&mut self, piece: &Piece<'_>) {
        self.tail.push(piece);
        let (Piece::Line(line) | Piece::Draft(line)) = piece;
        self.meter.observe(line);
        self.progress.send_replace(self.meter.progress());
    }
}

/// Passes on what is printed, each line as it was last, to `log`, and waits for that as long as the command works.
async fn pump(mut printed: Receiver, log: Log, observer: Arc<Mutex<Observer>>, has_ended: CancellationToken) {
    let mut splitter = Splitter::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        // A pipe that breaks has ended.
        let read = printed.read(&mut chunk).await.unwrap_or(0);
        let mut lines = Vec::new();
        let each = |piece: Piece<'_>| {
            observer.lock().unwrap_or_else(PoisonError::into_inner).take(&piece);
            // What is written over is for the heartbeats.
            if let Piece::Line(line) = piece {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            }
        };
        if read == 0 {
            splitter.finish(each);
        } else {
            splitter.push(&chunk[..read], each);
        }
        log.push(&lines);
        if read == 0 {
            return;
        }
        select! {
            () = log.room() => {}
            () = has_ended.cancelled() => {}
        }
    }
}
