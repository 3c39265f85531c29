//! The worker moves a file in and out, and so does curl.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mayfly_model::message::{Assignment, Download, News, Order};
use mayfly_model::turn::{Provider, Turn};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cloud::{Cloud, Event};
use crate::median;
use crate::process::memory;

/// The size of the file in MiB.
pub const MEGABYTES: usize = 1024;
/// How often each side moves it.
const TURNS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);

/// One file in and out.
struct Moved {
    down: Duration,
    up: Duration,
}

pub async fn table(programs: &Path) -> Result<()> {
    let (mut ours, mut curls, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..TURNS {
        let (moved, memory) = worker(&programs.join("mayfly-worker")).await.context("the worker")?;
        ours.push(moved);
        peak = peak.max(memory);
        curls.push(curl().await.context("curl")?);
    }
    println!("{:<16}{:>14}{:>14}{:>9}", "", "worker", "curl", "ratio");
    let line = |name: &str, time: fn(&Moved) -> Duration| {
        let speed = |all: &[Moved]| {
            let seconds = median(all.iter().map(time).collect()).as_secs_f64();
            f64::from(u32::try_from(MEGABYTES).unwrap_or(u32::MAX)) / seconds
        };
        let (ours, curls) = (speed(&ours), speed(&curls));
        println!("{name:<16}{ours:>8.0} MiB/s{curls:>8.0} MiB/s{:>8.2}x", ours / curls);
    };
    line("download", |moved| moved.down);
    line("upload", |moved| moved.up);
    println!("{:<16}{peak:>11.1} MB", "peak");
    println!("\nmedian speed and largest peak of {TURNS} turns each; goal: peak 50 MB");
    Ok(())
}

/// One job that takes the file and gives it back; then the worker's peak.
async fn worker(program: &Path) -> Result<(Moved, f64)> {
    let mut cloud = Cloud::start(None, None, |url| Some(order(url))).await?;
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
        .env("ECS_CONTAINER_METADATA_URI_V4", format!("{}/metadata", cloud.url))
        .env("MAYFLY_JOB", "bench")
        .env("MAYFLY_MAILBOX_URL", format!("{}/123456789012/mailbox", cloud.url))
        .env("MAYFLY_DONE_QUEUE_URL", format!("{}/123456789012/done", cloud.url))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let moved = moved(&mut cloud).await?;
    let Event::Finished(report) = next(&mut cloud).await? else { bail!("the worker does not finish") };
    let News::Finished(finished) = report.news else { bail!("the report is no result") };
    ensure!(finished.failure.is_none(), "the job failed: {:?}", finished.failure);
    let peak = memory(&child, "VmHWM")?;
    child.kill().await?;
    Ok((moved, peak))
}

async fn curl() -> Result<Moved> {
    let mut cloud = Cloud::start(None, None, |_| None).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("in");
    let (get, form) = (format!("{}/bucket/in", cloud.url), format!("file=@{}", file.display()));
    let post = format!("{}/bucket", cloud.url);
    for arguments in
        [vec!["--output", file.to_str().context("a folder's name")?, &get], vec!["--form", &form, &post]]
    {
        let status =
            Command::new("curl").args(["--silent", "--show-error", "--fail"]).args(arguments).status();
        ensure!(status.await.context("curl is not installed")?.success(), "curl failed");
    }
    moved(&mut cloud).await
}

async fn moved(cloud: &mut Cloud) -> Result<Moved> {
    let mut times = Vec::new();
    while times.len() < 2 {
        match next(cloud).await? {
            Event::Moved(time) => times.push(time),
            other => bail!("{other:?} was not expected"),
        }
    }
    Ok(Moved { down: times[0], up: times[1] })
}

async fn next(cloud: &mut Cloud) -> Result<Event> {
    timeout(PATIENCE, cloud.events.recv()).await?.context("the server has ended")
}

fn order(url: &str) -> Order {
    Order::Run(Assignment {
        job: "bench".into(),
        turn: Turn::first(Provider::OnDemand),
        nonce: "nonce".into(),
        command: vec!["true".into()],
        inputs: vec![Download { file: "in".into(), url: format!("{url}/bucket/in") }],
        input_folders: Vec::new(),
        outputs: vec!["in".into()],
        optional_outputs: Vec::new(),
        lists_outputs: false,
        timeout_seconds: 600,
        report_every_seconds: 10,
    })
}
