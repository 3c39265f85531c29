//! Cold starts over TLS: functions, and the same steps in Python with boto3; on a whole processor, and with the share of one
//! that Lambda gives to little memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cloud::{Cloud, Event, QUEUES};
use crate::process::{Share, command, memory};
use crate::tls::Certificate;
use crate::{median, milliseconds};

/// How often each side starts; with a share of a processor Python takes seconds each time.
const TURNS: usize = 21;
const PYTHONS_TURNS_WITH_A_SHARE: usize = 5;
const PATIENCE: Duration = Duration::from_mins(1);
pub const FUNCTIONS: [&str; 3] = ["create-queue", "dispatch-job", "register-task"];

/// The memory of a function and the thousandths of a processor that come with it: 1,769 MB have a whole one.
/// Source: Lambda developer guide, "Configure Lambda function memory".
const MEMORIES: [(u32, u64); 5] = [(128, 72), (256, 145), (512, 289), (1024, 579), (1769, 1000)];

/// What a job with a private network calls, and how long AWS takes for each of its own calls in there, by guess.
const CALLS: f64 = 60.0;
const CALLS_IN_A_ROW: f64 = 10.0;
const AWS_SECONDS: f64 = 0.2;
/// US dollars for a second of a gigabyte, x86, the initialisation included.
/// Source: "AWS Lambda pricing", us-east-1, November 2026.
const PRICE: f64 = 0.000_016_666_7;

/// One cold start.
struct Start {
    time: Duration,
    idle: f64,
}

/// The two sides of a comparison.
struct Sides<'a> {
    programs: &'a Path,
    tools: &'a Path,
    certificate: Certificate,
}

pub async fn table(programs: &Path, tools: &Path, functions: &[String]) -> Result<()> {
    let sides = Sides { programs, tools, certificate: Certificate::new()? };
    let (least, thousandths) = MEMORIES[0];
    let share = Share::new(thousandths);
    println!(
        "{:<16}{:>11}{:>16}{:>8}{:>13}{:>16}{:>8}{:>10}{:>15}",
        "function",
        "start",
        "Python + boto3",
        "ratio",
        format!("at {least} MB"),
        "Python + boto3",
        "ratio",
        "idle",
        "Python's idle"
    );
    for function in functions {
        let (ours, python) = sides.compare(function, None, TURNS).await?;
        let with_a_share = match &share {
            Ok(share) => {
                let (ours, python) = sides.compare(function, Some(share), PYTHONS_TURNS_WITH_A_SHARE).await?;
                ratio(&ours, &python)
            }
            Err(_) => String::new(),
        };
        println!(
            "{function:<16}{}  {with_a_share:<35}{:>7.1} MB{:>12.1} MB",
            ratio(&ours, &python),
            most_idle(&ours),
            most_idle(&python)
        );
    }
    println!(
        "\nmedian start and largest idle memory of {TURNS} turns each; goals: 10 ms and 30x, idle 20 MB, and"
    );
    println!("70 ms with the {}% of a processor that come with {least} MB", percent(thousandths));
    match share {
        Ok(share) => drop(share),
        Err(error) => {
            println!("\nNothing at {least} MB: this kernel gives out no shares of a processor: {error:#}");
            return Ok(());
        }
    }
    sides.memories(&functions[0]).await
}

impl Sides<'_> {
    async fn compare(
        &self,
        function: &str,
        share: Option<&Share>,
        pythons_turns: usize,
    ) -> Result<(Vec<Start>, Vec<Start>)> {
        let step = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/step.py");
        let ours = [self.programs.join(function).into_os_string()];
        let python = [self.tools.join("python").into(), OsString::from(step), function.into()];
        let (mut our_starts, mut python_starts) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            our_starts.push(self.start(function, &ours, share).await.context(function.to_owned())?);
            if turn >= pythons_turns {
                continue;
            }
            let started = self.start(function, &python, share).await;
            python_starts.push(started.with_context(|| format!("{function} in Python"))?);
        }
        Ok((our_starts, python_starts))
    }

    /// What more memory, and with it more of a processor, would give a job, and cost it.
    async fn memories(&self, function: &str) -> Result<()> {
        println!("\nWhat a function's memory is worth to a job with a private network, by {function}:");
        println!(
            "{CALLS} calls, {CALLS_IN_A_ROW} of them in a row, each a cold start and {AWS_SECONDS} s of AWS's own.\n"
        );
        println!("{:<10}{:>8}{:>11}{:>14}{:>14}", "memory", "share", "start", "in a row", "a job's calls");
        let program = [self.programs.join(function).into_os_string()];
        for (megabytes, thousandths) in MEMORIES {
            let share = Share::new(thousandths)?;
            let mut starts = Vec::new();
            for _ in 0..TURNS {
                starts.push(self.start(function, &program, Some(&share)).await?);
            }
            let seconds = typical(&starts) / 1000.0;
            let gigabytes = f64::from(megabytes) / 1024.0;
            println!(
                "{:<10}{:>7}%{:>8.1} ms{:>12.2} s{:>14}",
                format!("{megabytes} MB"),
                percent(thousandths),
                seconds * 1000.0,
                CALLS_IN_A_ROW * seconds,
                format!("${:.6}", CALLS * (seconds + AWS_SECONDS) * gigabytes * PRICE),
            );
        }
        Ok(())
    }

    /// From the start of the process to its first answer; then its memory while it waits for the next invocation.
    async fn start(&self, function: &str, words: &[OsString], share: Option<&Share>) -> Result<Start> {
        let mut cloud = Cloud::start(Some(&self.certificate), Some(payload(function)?), None, None).await?;
        let api = cloud.url.trim_start_matches("http://").to_owned();
        let mut program = command(words, share);
        program.env_clear().envs(environment(&cloud, self.certificate.root()));
        program.env("AWS_LAMBDA_RUNTIME_API", api);
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
                Event::Finished(_) => {}
            }
        }
        let answered = answered.context("the function has not answered")?;
        let idle = memory(&child, "VmRSS")?;
        child.kill().await?;
        Ok(Start { time: answered - began, idle })
    }
}

fn percent(thousandths: u64) -> String {
    format!("{}.{}", thousandths / 10, thousandths % 10)
}

/// The median in milliseconds.
fn typical(starts: &[Start]) -> f64 {
    milliseconds(median(starts.iter().map(|start| start.time).collect()))
}

fn most_idle(starts: &[Start]) -> f64 {
    starts.iter().map(|start| start.idle).fold(0.0, f64::max)
}

fn ratio(ours: &[Start], python: &[Start]) -> String {
    let (ours, python) = (typical(ours), typical(python));
    format!("{ours:>8.1} ms{python:>13.1} ms{:>7.1}x", python / ours)
}

/// What the template and Lambda set.
fn environment(cloud: &Cloud, root: PathBuf) -> Vec<(&'static str, OsString)> {
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
    let fixed = fixed.map(|(name, value)| (name, value.into()));
    let places = [
        ("AWS_ENDPOINT_URL", cloud.services.clone().into()),
        ("AWS_CA_BUNDLE", root.into_os_string()),
        ("DONE_QUEUE_URL", format!("{}/123456789012/done", cloud.services).into()),
        ("PATH", "/usr/bin:/bin".into()),
    ];
    fixed.into_iter().chain(places).collect()
}

/// The function's sample, whose plan has no inputs, for which it would call a service that signs.
fn payload(function: &str) -> Result<Value> {
    let mut plan = sample("plan.public")?;
    plan["task"]["inputs"] = json!([]);
    let mut payload = sample(function)?;
    payload["plan"] = plan;
    if payload.get("turn").is_some() {
        payload["turn"] = payload["plan"]["firstTurn"].clone();
    }
    Ok(payload)
}

fn sample(name: &str) -> Result<Value> {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).context(path)?;
    Ok(serde_json::from_str(&text.replace("${QUEUES}", QUEUES))?)
}
