//! Commands: small real programs.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Phase, Progress};
use mayfly_worker::command::{self, Ended, Place};
use mayfly_worker::log::Log;
use mayfly_worker::program::{self, Places};
use mayfly_worker::stop::{Stop, StopRequest, StopSignal};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::cloud::is_alive;

/// A folder, and what stops and follows the command that runs in it.
struct Stage {
    folder: TempDir,
    progress: Arc<watch::Sender<Progress>>,
    request: StopRequest,
    timeout: Duration,
}

impl Stage {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            progress: Arc::new(watch::Sender::new(Progress {
                phase: Phase::Running,
                percent: None,
                line: None,
            })),
            request: StopRequest::default(),
            timeout: Duration::from_mins(1),
        }
    }

    async fn run(&self, argv: &[&str]) -> Result<Ended, Failure> {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let stop = StopSignal::new(self.request.signal(), Instant::now(), self.timeout);
        let folder = self.folder.path();
        let log = Log::start(io::sink(), env::temp_dir()).unwrap();
        let path = env::var("PATH").unwrap();
        let places = Places { path: &path, image: folder, work: folder, inputs: &[] };
        let program = program::find(&argv[0], places)?;
        let place = Place {
            directory: folder,
            work: folder,
            temporary: folder,
            user: None,
            launcher: Path::new(env!("CARGO_BIN_EXE_mayfly-worker")),
            stop_timeout: Duration::from_secs(20),
            cgroup: folder,
            free,
            subreaper: None,
            log: &log,
        };
        command::run(&program, &argv, place, self.progress.clone(), &stop).await
    }

    async fn shell(&self, script: &str) -> Result<Ended, Failure> {
        self.run(&["sh", "-c", script]).await
    }

    /// Waits for the line `line` of output.
    async fn printed(&self, line: &str) {
        self.progress.subscribe().wait_for(|progress| progress.line.as_deref() == Some(line)).await.unwrap();
    }
}

async fn verdict(script: &str) -> Result<(), Failure> {
    Stage::new().shell(script).await.unwrap().verdict("sh")
}

#[tokio::test]
async fn a_command_runs_in_its_folder_with_a_home_and_no_input() {
    let stage = Stage::new();
    let ended = stage.shell("pwd; cat; echo warning >&2; echo $HOME; echo said >/dev/stdout").await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let folder = stage.folder.path().display();
    let expected = format!("{folder}\nwarning\n{folder}\nsaid\n");
    assert_eq!(ended.output, expected);
}

#[tokio::test]
async fn no_shell_parses_the_arguments() {
    let ended = Stage::new().run(&["echo", "$HOME", "`id`", "a;b"]).await.unwrap();
    assert_eq!(ended.output, "$HOME `id` a;b\n");
}

#[tokio::test]
async fn a_code_and_a_signal_are_told_with_the_output() {
    let failure = verdict("echo no such codec; exit 7").await.unwrap_err();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (Class::CommandFailed, "the command `sh` ended with code 7")
    );
    assert_eq!(failure.output.as_deref(), Some("no such codec\n"));
    let failure = verdict("kill -SEGV $$").await.unwrap_err();
    assert_eq!(failure.message, "the command `sh` was killed by SIGSEGV");
}

/// The command plays the disk: it writes what is left of it into the file `free`, and finds `seen` when somebody has looked.
fn free(folder: &Path) -> Option<u64> {
    let free = fs::read_to_string(folder.join("free")).ok()?.trim().parse().ok()?;
    fs::write(folder.join("seen"), "").unwrap();
    Some(free)
}

#[tokio::test]
async fn a_disk_that_was_full_while_the_command_ran_is_told_with_its_exit_code() {
    let hides_it = "echo 0 >free; until [ -e seen ]; do sleep 0.01; done; rm free; exit 3";
    for (script, end) in [
        (hides_it, "ended with code 3"),
        ("echo 0 >free; exit 1", "ended with code 1"),
        ("echo 0 >free; kill -BUS $$", "was killed by SIGBUS"),
    ] {
        let failure = verdict(script).await.unwrap_err();
        let expected =
            format!("the command `sh` {end}, and the disk was full while it ran; raise container.storageGiB");
        assert_eq!((failure.class, failure.message), (Class::DiskFull, expected));
    }
    verdict("echo 0 >free").await.expect("a command that gets by has succeeded");
}

#[tokio::test]
async fn words_about_a_full_device_are_no_full_disk() {
    for script in [
        "echo 'inotify_add_watch(/work/src): No space left on device' >&2; exit 1",
        "echo 100000000 >free; dd if=/dev/zero of=/dev/full bs=1k count=1",
    ] {
        let failure = verdict(script).await.unwrap_err();
        assert_eq!(failure.class, Class::CommandFailed, "{}", failure.message);
        assert!(failure.output.unwrap().contains("No space left on device"));
    }
}

#[tokio::test]
async fn a_command_that_the_kernel_kills_for_want_of_memory_is_told_so() {
    let kill = "echo oom_kill 1 >memory.events; kill -KILL $$";
    assert_eq!(verdict(kill).await.unwrap_err().class, Class::OutOfMemory);
    // What it had to say of itself may be misleading.
    let part = "echo oom_kill 1 >memory.events; echo No space left on device; exit 1";
    assert_eq!(verdict(part).await.unwrap_err().class, Class::OutOfMemory);
}

#[tokio::test]
async fn the_kernel_would_rather_kill_the_command_than_the_worker() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_ne!(own, "1000\n");
    let script = "until grep -q 1000 /proc/self/oom_score_adj; do :; done; cat /proc/self/oom_score_adj";
    assert_eq!(Stage::new().shell(script).await.unwrap().output, "1000\n");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_told_in_a_sentence() {
    let stage = Stage::new();
    let failure = stage.run(&["no-such-program"]).await.unwrap_err();
    assert_eq!(failure.class, Class::CommandFailed);
    assert!(failure.message.contains("no program `no-such-program` in any folder"), "{}", failure.message);
    let script = stage.folder.path().join("script.sh");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let failure = stage.run(&["./script.sh"]).await.unwrap_err();
    assert!(failure.message.contains("script.sh in the image is no program"), "{}", failure.message);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let failure = stage.run(&["./script.sh"]).await.unwrap_err();
    assert!(failure.message.contains("the interpreter that it names"), "{}", failure.message);
}

#[tokio::test]
async fn progress_is_seen_while_the_command_runs() {
    let stage = Stage::new();
    let script = "printf 'Duration: 00:00:10.00, start\\n'; printf 'time=00:00:02.50\\r'; read -r _ < go";
    nix::unistd::mkfifo(&stage.folder.path().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let watcher = async {
        stage.printed("time=00:00:02.50").await;
        assert_eq!(stage.progress.borrow().percent, Some(25.0));
        tokio::fs::write(stage.folder.path().join("go"), "\n").await.unwrap();
    };
    let (ended, ()) = tokio::join!(stage.shell(script), watcher);
    assert_eq!(ended.unwrap().status.code(), Some(0));
}

#[tokio::test]
async fn what_the_command_leaves_running_ends_with_it() {
    let stage = Stage::new();
    let ended = stage.shell("sleep 1000 & echo $!").await.unwrap();
    let killed = async {
        while is_alive(ended.output.trim()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), killed).await.expect("the process is killed");
}

#[tokio::test]
async fn a_stopped_command_may_clean_up() {
    let stage = Stage::new();
    let stopping = async {
        stage.printed("ready").await;
        stage.request.make(Stop::Interrupted);
        stage.request.make(Stop::Superseded);
    };
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let (failure, ()) = tokio::join!(stage.shell(script), stopping);
    let failure = failure.unwrap_err();
    assert_eq!(failure.class, Class::SpotInterrupted);
    assert!(
        failure.message.starts_with("the container was told to stop while the command ran"),
        "{}",
        failure.message
    );
    assert!(failure.output.unwrap().ends_with("bye\n"));
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_stopped() {
    let stage = Stage { timeout: Duration::from_millis(200), ..Stage::new() };
    let failure = stage.shell("sleep 1000").await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
}

#[tokio::test]
async fn endless_output_is_bounded() {
    let ended = Stage::new().shell("head -c 20000000 /dev/zero; echo; seq 1000").await.unwrap();
    assert!(ended.output.ends_with("999\n1000\n"));
    assert!(ended.output.len() <= 4096);
}
