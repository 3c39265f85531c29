//! Numbers, not a test: how long a job with a private network waits for its container, and for whom.
//!
//! One job runs on a local cloud in real time, whose network and task take as long as others have seen on AWS. The time
//! until its container is RUNNING is put beside that which AWS takes for the slowest part of the network and for the task,
//! one after the other, which nobody can shorten.

mod path;
mod seen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use local_aws::clock::{Clock, TimeScale};
use local_cloud::{ACCOUNT, Cloud, Options, REGION};
use mayfly_model::job::Egress;
use serde_json::json;
use tokio::time::timeout;

use crate::path::Span;
use crate::seen::Clients;

const STACK: &str = "mayfly";
const JOB: &str = "critical-path";
/// The most that Mayfly may add: a tenth of what AWS takes, or these seconds, if they are more. Where AWS takes little, a
/// tenth would be less than a dozen calls in a row.
const GOAL: (f64, f64) = (1.10, 3.0);
/// Several times what a run takes.
const PATIENCE: Duration = Duration::from_mins(20);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let egress = egress(&std::env::args().nth(1).unwrap_or_default())?;
    eprintln!("Starting the local cloud and deploying template.yaml ...");
    let cloud = Cloud::start(Options {
        tools: folder("MAYFLY_TOOLS")?,
        programs: folder("MAYFLY_PROGRAMS")?,
        clock: Clock::new(TimeScale::REAL, TimeScale::REAL),
        ec2_quotas: local_ec2::Quotas::default(),
        ecs_quotas: local_ecs::Quotas::default(),
        elb_quotas: local_elb::Quotas::default(),
    })
    .await?;
    let is_met = tokio::select! {
        measured = timeout(PATIENCE, measure(&cloud, egress)) => {
            measured.with_context(|| format!("not done after {} s", PATIENCE.as_secs())).flatten()
        }
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    cloud.stop().await?;
    Ok(if is_met? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The document's word for how the job reaches what is outside.
fn egress(word: &str) -> Result<Egress> {
    serde_json::from_value(json!(word)).with_context(|| {
        format!("EGRESS is `{word}`; use `make critical-path EGRESS=nat`, endpoints or ipv6")
    })
}

/// What AWS takes its time for besides the task, and where the stand-in has its time from.
fn slowest(egress: Egress) -> (&'static str, &'static str) {
    match egress {
        Egress::Nat => {
            ("NAT gateway pending", "84 to 118 s for a NAT gateway, drawn from logs of terraform apply")
        }
        Egress::Endpoints => (
            "slowest interface endpoint pending",
            "those of an interface endpoint are a guess of a minute or two",
        ),
        Egress::Ipv6 => (
            "block of IPv6 addresses associating",
            "those of a block of IPv6 addresses are a guess of seconds",
        ),
    }
}

/// Runs the job and tells how it went; returns whether the goal is met.
async fn measure(cloud: &Cloud, egress: Egress) -> Result<bool> {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cloud.deploy(repository, STACK, &[]).await?;
    println!("\nOne job with a private network, in real time; with its teardown it takes minutes.");
    let clients = Clients::of(cloud);
    let document = json!({
        "network": { "mode": "private", "egress": egress },
        "capacity": "on-demand",
        "task": { "command": ["ffmpeg", "-version"] },
    });
    let machine = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{STACK}-run-job");
    let start =
        clients.states.start_execution().state_machine_arn(machine).name(JOB).input(document.to_string());
    let execution = start.send().await?.execution_arn;

    let delays = tokio::select! {
        delays = clients.delays(egress) => delays?,
        ended = clients.ended(&execution) => {
            anyhow::bail!("the job has ended before its container was seen: {}", ended?.cause().unwrap_or_default())
        }
    };
    let ended = clients.ended(&execution).await?;
    ensure!(
        *ended.status() == ExecutionStatus::Succeeded,
        "the job has failed: {}",
        ended.cause().unwrap_or_default()
    );
    let left = cloud.leftovers(JOB).await?;
    ensure!(left.is_empty(), "left behind: {left:?}");

    let history = clients.history(&execution).await?;
    let began = history.first().context("the execution has no history")?.timestamp.as_secs_f64();
    let running = delays.task.to - began;
    tell_path(&path::to_container(&history, delays.task.to)?, &[delays.network, delays.task]);
    let ended = ended.stop_date().context("the execution has no end")?.as_secs_f64() - began;
    println!(
        "\nRUNNING {running:.1} s after StartExecution; used, torn down and proven empty after {ended:.1} s."
    );

    let [network, task] = [delays.network, delays.task].map(Span::seconds);
    let (what, source) = slowest(egress);
    let (chain, (factor, seconds)) = (network + task, GOAL);
    let ratio = running / chain;
    println!(
        "AWS's own delays, one after the other: {what} {network:.1} s, task created to RUNNING {task:.1} s, together \
         {chain:.1} s.\nRatio {ratio:.3}, {:.1} s more.\n",
        running - chain
    );
    println!(
        "The delays are a local cloud's: {source}; a task's 24 s are a sample event's in the ECS developer guide.\n\
         Nothing here was measured on AWS, and how long AWS's own calls take is left out."
    );
    let is_met = ratio <= factor || running - chain <= seconds;
    let verdict = if is_met { "met" } else { "missed" };
    println!("The goal, a ratio of {factor:.2} or {seconds:.0} s more, is {verdict}.");
    Ok(is_met)
}

/// Where the time went that passed before the container was RUNNING.
fn tell_path(steps: &[path::Step], delays: &[Span]) {
    println!(
        "\n{:<28}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "critical path", "until", "took", "AWS", "waiting", "calls"
    );
    let mut sums = [0.0; 4];
    for step in steps {
        let times = step.times(delays);
        sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
        let [until, ..] = sums;
        let tries = if step.tries > 1 { format!("  {} tries", step.tries) } else { String::new() };
        println!("{}{tries}", line(&step.name, &format!("{until:.1} s"), times));
    }
    println!("{}", line("", "", sums));
    println!(
        "\nAWS: that of the network which takes longest was pending, or Fargate was starting the task. The rest is Mayfly's. Waiting: between \
         two looks or tries.\nCalls: Lambda functions, with the AWS calls they make, and the state machine between them."
    );
}

fn line(name: &str, until: &str, times: [f64; 4]) -> String {
    let [took, aws, waiting, calls] =
        times.map(|time| if time < 0.05 { "-".to_owned() } else { format!("{time:.1} s") });
    format!("{name:<28}{until:>9}{took:>9}{aws:>9}{waiting:>9}{calls:>9}")
}

fn folder(variable: &str) -> Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; use `make critical-path`"))
}
