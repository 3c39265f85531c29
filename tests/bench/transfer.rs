//! The worker moves files in and out, and so does boto3's CRT client, by connections that are as slow as S3's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use mayfly_model::message::{Assignment, Download, News, Order};
use mayfly_model::turn::{Provider, Turn};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::select;
use tokio::time::timeout;

use crate::bucket::{BUCKET, Bucket, speed};
use crate::cloud::{Cloud, Event};
use crate::median;
use crate::process::memory;

/// What is moved.
struct Load {
    /// In words.
    name: &'static str,
    /// How many files it is; of more than one a folder.
    files: u64,
    /// The size of each.
    bytes: u64,
    /// How much of the CRT client's speed the worker is to have at least.
    goal: f64,
}

const LOADS: [Load; 2] = [
    Load { name: "1 file of 2 GiB", files: 1, bytes: 2 << 30, goal: 0.9 },
    Load { name: "10,000 files of 4 KB", files: 10_000, bytes: 4096, goal: 1.0 },
];

/// How often each side moves it.
const TURNS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);
/// What the file is called in the bucket, and in the working directory.
const FILE: &str = "in";
/// Where the worker's output goes.
pub const OUTPUT: &str = "out";
/// What a folder is called there, and the prefixes that it comes from and goes to.
pub const FOLDER: &str = "files/";
pub const INPUTS: &str = "many/";
pub const OUTPUTS: &str = "many-out/";
/// By how much the server must be able to do more than its clients ask for, or all come out alike.
const ROOM: f64 = 3.0;

/// A load in and out, in bytes per second.
#[derive(Clone, Copy)]
struct Moved {
    down: f64,
    up: f64,
}

impl Load {
    fn is_folder(&self) -> bool {
        self.files > 1
    }

    /// What the files' keys and names have after those of all.
    fn suffixes(&self) -> impl Iterator<Item = String> {
        let is_folder = self.is_folder();
        (0..self.files).map(move |number| if is_folder { format!("{number:05}") } else { String::new() })
    }

    /// What the files' keys begin with.
    fn key(&self) -> &'static str {
        if self.is_folder() { INPUTS } else { FILE }
    }

    fn speed(&self, time: Duration) -> f64 {
        speed(self.files * self.bytes, time)
    }
}

pub async fn table(programs: &Path, tools: &Path) -> Result<()> {
    let bucket = Arc::new(Bucket::start().await?);
    for load in &LOADS {
        bucket.fill(load.suffixes().map(|suffix| format!("{}{suffix}", load.key())), load.bytes).await?;
        let (mut ours, mut theirs, mut peaks) = (Vec::new(), Vec::new(), (0.0_f64, 0.0_f64));
        for _ in 0..TURNS {
            let program = programs.join("mayfly-worker");
            let (moved, peak) = worker(&program, &bucket, load).await.context("the worker")?;
            ours.push(moved);
            peaks.0 = peaks.0.max(peak);
            let python = tools.join("python");
            let (moved, peak) = crt(&python, &bucket, load).await.context("boto3's CRT client")?;
            theirs.push(moved);
            peaks.1 = peaks.1.max(peak);
        }
        let ceiling = ceiling(&bucket, load).await.context("the server's ceiling")?;
        print(load, (&ours, &theirs), ceiling, peaks);
    }
    Ok(())
}

/// What the server can do without a limit for each connection; unknown of small files, of which one is one request.
async fn ceiling(bucket: &Bucket, load: &Load) -> Result<Option<Moved>> {
    if load.is_folder() {
        return Ok(None);
    }
    let (down, up) = bucket.ceiling(load.key(), load.bytes).await?;
    Ok(Some(Moved { down, up }))
}

fn print(load: &Load, (ours, theirs): (&[Moved], &[Moved]), ceiling: Option<Moved>, peaks: (f64, f64)) {
    println!("{:<22}{:>13}{:>13}{:>9}{:>13}", load.name, "worker", "CRT", "ratio", "server");
    let mut counts = true;
    for (name, of) in [("download", (|moved| moved.down) as fn(Moved) -> f64), ("upload", |moved| moved.up)] {
        let middle = |all: &[Moved]| {
            let times = all.iter().map(|moved| Duration::from_secs_f64(of(*moved) / 1e9)).collect();
            median(times).as_secs_f64() * 1e9
        };
        let (ours, theirs) = (middle(ours), middle(theirs));
        let server = ceiling.map(of);
        counts &= server.is_none_or(|most| most >= ROOM * ours.max(theirs));
        let server = server.map_or_else(String::new, |most| format!("{:.0} MB/s", most / 1e6));
        let (ours_mb, theirs_mb, ratio) = (ours / 1e6, theirs / 1e6, ours / theirs);
        println!("{name:<22}{ours_mb:>8.1} MB/s{theirs_mb:>8.1} MB/s{ratio:>8.2}x{server:>13}");
    }
    println!("{:<22}{:>10.1} MB{:>10.1} MB", "peak", peaks.0, peaks.1);
    println!("\nmedian speed and largest peak of {TURNS} turns each; goal: {:.2}x, peak 64 MB", load.goal);
    if !counts {
        println!(
            "This run does not count: the server's own ceiling on this machine is below {ROOM} times what its clients \
             ask for, so they wait for it and not for their connections."
        );
    }
    println!();
}

/// One job that takes the load and gives it back; then the worker's peak.
async fn worker(program: &Path, bucket: &Arc<Bucket>, load: &Load) -> Result<(Moved, f64)> {
    let order = order(bucket, load)?;
    let mut cloud = Cloud::start(None, None, Some(order), Some(bucket.clone())).await?;
    let folder = tempfile::tempdir()?;
    // As in the image, where the command's user may enter the folder.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let mut child = Command::new(program)
        .current_dir(&folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/credentials", cloud.url))
        .env("MAYFLY_ENDPOINT_URL", &cloud.url)
        .env("MAYFLY_S3_ENDPOINT_URL", &bucket.origin)
        .env("ECS_CONTAINER_METADATA_URI_V4", format!("{}/metadata", cloud.url))
        .env("MAYFLY_JOB", "bench")
        .env("MAYFLY_FOLDER", folder.path())
        .env("MAYFLY_MAILBOX_URL", format!("{}/123456789012/mailbox", cloud.url))
        .env("MAYFLY_DONE_QUEUE_URL", format!("{}/123456789012/done", cloud.url))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdout = child.stdout.take().context("its output")?;
    let finished = timeout(PATIENCE, async {
        loop {
            select! {
                event = cloud.events.recv() => match event {
                    Some(Event::Finished(report)) => return Some(report),
                    Some(_) => {}
                    None => return None,
                },
                _ = child.wait() => return None,
            }
        }
    });
    let Some(report) = finished.await.ok().flatten() else {
        // It may have ended by itself.
        child.kill().await.ok();
        let mut said = String::new();
        stdout.read_to_string(&mut said).await?;
        bail!("it has not finished its job, and said:\n{said}");
    };
    let News::Finished(finished) = report.news else { bail!("the report is no result") };
    ensure!(finished.failure.is_none(), "the job failed: {:?}", finished.failure);
    let peak = memory(&child, "VmHWM")?;
    child.kill().await?;
    let mut lines = BufReader::new(stdout).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        let at = line["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        said.extend(at.zip(line["message"].as_str().map(str::to_owned)));
    }
    let at = |what: &str| {
        let found = said.iter().find(|(_, message)| message == what).map(|(at, _)| *at);
        found.with_context(|| format!("the worker has not said: {what}"))
    };
    let time =
        |from: &str, to: &str| Ok::<_, anyhow::Error>(Duration::try_from(at(to)?.duration_since(at(from)?))?);
    let down = load.speed(time("assignment taken on", "input downloaded")?);
    let up = load.speed(time("command ended", "output uploaded")?);
    Ok((Moved { down, up }, peak))
}

async fn crt(python: &Path, bucket: &Bucket, load: &Load) -> Result<(Moved, f64)> {
    let folder = tempfile::tempdir()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/transfer.py");
    let mut command = Command::new(python);
    command.arg(script).args([&bucket.origin, "us-east-1", BUCKET, load.key(), "out-crt/"]);
    command.arg(folder.path().join(FILE)).args(load.suffixes());
    command.env("AWS_ACCESS_KEY_ID", "AKIABENCH").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env("AWS_EC2_METADATA_DISABLED", "true").kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("a number: {name}"));
    let of = |seconds: f64| load.speed(Duration::from_secs_f64(seconds));
    Ok((Moved { down: of(number("down")?), up: of(number("up")?) }, number("peak")?))
}

fn order(bucket: &Bucket, load: &Load) -> Result<Order> {
    let url = || Ok::<_, anyhow::Error>(Download { file: FILE.into(), url: bucket.get(FILE)? });
    Ok(Order::Run(Assignment {
        job: "bench".into(),
        turn: Turn::first(Provider::OnDemand),
        nonce: "nonce".into(),
        command: vec!["true".into()],
        inputs: if load.is_folder() { Vec::new() } else { vec![url()?] },
        input_folders: if load.is_folder() { vec![FOLDER.into()] } else { Vec::new() },
        outputs: vec![if load.is_folder() { FOLDER } else { FILE }.into()],
        optional_outputs: Vec::new(),
        lists_outputs: false,
        timeout_seconds: 600,
        report_every_seconds: 10,
    }))
}
