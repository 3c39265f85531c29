//! The worker moves a file in and out, and so does boto3's CRT client, by connections that are as slow as S3's.

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
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::bucket::{BUCKET, Bucket, speed};
use crate::cloud::{Cloud, Event};
use crate::median;
use crate::process::memory;

/// The size of the file.
pub const GIGABYTES: u64 = 2;
const BYTES: u64 = GIGABYTES << 30;
/// How often each side moves it.
const TURNS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);
/// What the file is called in the bucket, and in the working directory.
const FILE: &str = "in";
/// Where the worker's output goes.
pub const OUTPUT: &str = "out";
/// By how much the server must be able to do more than its clients ask for, or all come out alike.
const ROOM: f64 = 3.0;

/// One file in and out, in bytes per second.
#[derive(Clone, Copy)]
struct Moved {
    down: f64,
    up: f64,
}

pub async fn table(programs: &Path, tools: &Path) -> Result<()> {
    let bucket = Arc::new(Bucket::start().await?);
    bucket.fill(FILE, BYTES).await?;
    let (down, up) = bucket.ceiling(FILE, BYTES).await.context("the server's ceiling")?;
    let ceiling = Moved { down, up };
    let (mut ours, mut theirs, mut peaks) = (Vec::new(), Vec::new(), (0.0_f64, 0.0_f64));
    for _ in 0..TURNS {
        let (moved, peak) = worker(&programs.join("mayfly-worker"), &bucket).await.context("the worker")?;
        ours.push(moved);
        peaks.0 = peaks.0.max(peak);
        let (moved, peak) = crt(&tools.join("python"), &bucket).await.context("boto3's CRT client")?;
        theirs.push(moved);
        peaks.1 = peaks.1.max(peak);
    }
    println!("{:<12}{:>13}{:>13}{:>9}{:>13}", "", "worker", "CRT", "ratio", "server");
    let mut counts = true;
    for (name, of) in [("download", (|moved| moved.down) as fn(Moved) -> f64), ("upload", |moved| moved.up)] {
        let middle = |all: &[Moved]| {
            median(all.iter().map(|moved| Duration::from_secs_f64(of(*moved) / 1e9)).collect()).as_secs_f64()
                * 1e9
        };
        let (ours, theirs, most) = (middle(&ours), middle(&theirs), of(ceiling));
        counts &= most >= ROOM * ours.max(theirs);
        let [ours_mb, theirs_mb, most_mb] = [ours, theirs, most].map(|speed| speed / 1e6);
        println!(
            "{name:<12}{ours_mb:>8.0} MB/s{theirs_mb:>8.0} MB/s{:>8.2}x{most_mb:>8.0} MB/s",
            ours / theirs
        );
    }
    println!("{:<12}{:>10.1} MB{:>10.1} MB", "peak", peaks.0, peaks.1);
    println!("\nmedian speed and largest peak of {TURNS} turns each; goal: 0.90x, peak 64 MB");
    if !counts {
        println!(
            "This run does not count: the server's own ceiling on this machine is below {ROOM} times what its clients \
             ask for, so they wait for it and not for their connections."
        );
    }
    Ok(())
}

/// One job that takes the file and gives it back; then the worker's peak.
async fn worker(program: &Path, bucket: &Arc<Bucket>) -> Result<(Moved, f64)> {
    let get = bucket.get(FILE)?;
    let mut cloud = Cloud::start(None, None, Some(order(get)), Some(bucket.clone())).await?;
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
        .env("MAYFLY_MAILBOX_URL", format!("{}/123456789012/mailbox", cloud.url))
        .env("MAYFLY_DONE_QUEUE_URL", format!("{}/123456789012/done", cloud.url))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().context("its output")?;
    let report = timeout(PATIENCE, async {
        loop {
            if let Event::Finished(report) = cloud.events.recv().await.context("the server has ended")? {
                return Ok::<_, anyhow::Error>(report);
            }
        }
    });
    let News::Finished(finished) = report.await??.news else { bail!("the report is no result") };
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
    let down = speed(BYTES, time("assignment taken on", "input downloaded")?);
    let up = speed(BYTES, time("command ended", "output uploaded")?);
    Ok((Moved { down, up }, peak))
}

async fn crt(python: &Path, bucket: &Bucket) -> Result<(Moved, f64)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(FILE);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/transfer.py");
    let mut command = Command::new(python);
    command.arg(script).args([&bucket.origin, "us-east-1", BUCKET, FILE, "out-crt"]).arg(&file);
    command.env("AWS_ACCESS_KEY_ID", "AKIABENCH").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env("AWS_EC2_METADATA_DISABLED", "true").kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("a number: {name}"));
    let of = |seconds: f64| speed(BYTES, Duration::from_secs_f64(seconds));
    Ok((Moved { down: of(number("down")?), up: of(number("up")?) }, number("peak")?))
}

fn order(url: String) -> Order {
    Order::Run(Assignment {
        job: "bench".into(),
        turn: Turn::first(Provider::OnDemand),
        nonce: "nonce".into(),
        command: vec!["true".into()],
        inputs: vec![Download { file: FILE.into(), url }],
        input_folders: Vec::new(),
        outputs: vec![FILE.into()],
        optional_outputs: Vec::new(),
        lists_outputs: false,
        timeout_seconds: 600,
        report_every_seconds: 10,
    })
}
