//! Cold starts: three functions, and the same steps in Python with boto3.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cloud::{Cloud, Event, QUEUES};
use crate::process::memory;
use crate::{median, milliseconds};

/// How often each side starts.
const TURNS: usize = 21;
const PATIENCE: Duration = Duration::from_secs(30);
const FUNCTIONS: [&str; 3] = ["create-queue", "dispatch-job", "register-task"];

/// One cold start.
struct Start {
    time: Duration,
    idle: f64,
}

pub async fn table(programs: &Path, tools: &Path) -> Result<()> {
    println!(
        "{:<16}{:>12}{:>18}{:>9}{:>12}{:>16}",
        "function", "start", "Python + boto3", "ratio", "idle", "Python's idle"
    );
    for function in FUNCTIONS {
        let payload = payload(function)?;
        let (mut ours, mut python) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(start(Command::new(programs.join(function)), &payload).await.context(function)?);
            let mut step = Command::new(tools.join("python"));
            step.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/step.py")).arg(function);
            python.push(start(step, &payload).await.with_context(|| format!("{function} in Python"))?);
        }
        let time = |starts: &[Start]| milliseconds(median(starts.iter().map(|start| start.time).collect()));
        let idle = |starts: &[Start]| starts.iter().map(|start| start.idle).fold(0.0, f64::max);
        println!(
            "{function:<16}{:>9.1} ms{:>15.1} ms{:>8.1}x{:>9.1} MB{:>13.1} MB",
            time(&ours),
            time(&python),
            time(&python) / time(&ours),
            idle(&ours),
            idle(&python)
        );
    }
    println!("\nmedian start and largest idle memory of {TURNS} turns each; goals: ratio 15x, idle 20 MB");
    Ok(())
}

/// From the start of the process to its first answer; then its memory while it waits for the next invocation.
async fn start(mut program: Command, payload: &Value) -> Result<Start> {
    let mut cloud = Cloud::start(Some(payload.clone()), |_| None).await?;
    let api = cloud.url.trim_start_matches("http://").to_owned();
    program.env_clear().envs(environment(&cloud.url)).env("AWS_LAMBDA_RUNTIME_API", api);
    program.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let began = Instant::now();
    let mut child = program.spawn()?;
    let mut answered = None;
    loop {
        let event = tokio::select! {
            event = timeout(PATIENCE, cloud.events.recv()) => event?.context("the server has ended")?,
            status = child.wait() => bail!("the process has ended by itself: {}", status?),
        };
        match event {
            Event::Answered(at) => answered = Some(at),
            Event::Failed(error) => bail!("the function failed: {error}"),
            Event::Idle => break,
            Event::Moved(_) | Event::Finished(_) => {}
        }
    }
    let answered = answered.context("the function has not answered")?;
    let idle = memory(&child, "VmRSS")?;
    child.kill().await?;
    Ok(Start { time: answered - began, idle })
}

/// What the template and Lambda set.
fn environment(url: &str) -> Vec<(&'static str, String)> {
    let fixed = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_LAMBDA_FUNCTION_NAME", "function"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("STACK_NAME", "mayfly"),
        ("JOBS_TABLE", "jobs"),
        ("DATA_ROLE_ARN", "arn:aws:iam::123456789012:role/data"),
        ("TASK_ROLE_ARN", "arn:aws:iam::123456789012:role/task"),
        ("EXECUTION_ROLE_ARN", "arn:aws:iam::123456789012:role/execution"),
        ("LOG_GROUP", "/mayfly/mayfly/jobs"),
        ("ARCHITECTURE", "X86_64"),
        ("REPORT_EVERY_SECONDS", "10"),
        ("SIGNED_URL_SECONDS", "3600"),
        ("RUST_LOG", "info"),
    ];
    let fixed = fixed.map(|(name, value)| (name, value.to_owned()));
    let places = [
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("DONE_QUEUE_URL", format!("{url}/123456789012/done")),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ];
    fixed.into_iter().chain(places).collect()
}

/// The function's sample, without inputs, for which it would call a service that signs.
fn payload(function: &str) -> Result<Value> {
    let path = format!("{}/../events/{function}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).context(path)?;
    let mut payload: Value = serde_json::from_str(&text.replace("${QUEUES}", QUEUES))?;
    if let Some(inputs) = payload.pointer_mut("/plan/task/inputs") {
        *inputs = json!([]);
    }
    Ok(payload)
}
