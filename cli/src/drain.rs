//! `mayfly drain`: empties the stack before it is deleted, since a NAT gateway that nobody tears down any more bills
//! for ever.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use jiff::{SignedDuration, Timestamp};
use mayfly_model::names::job_id;
use serde::Deserialize;
use serde_json::json;

use crate::follow::stop_execution;
use crate::outcome;
use crate::stack::{Stack, aws};
use crate::view::{Tone, View};

/// Between two looks, also those at what is left: AWS's lists may be behind for that long.
const PAUSE: Duration = Duration::from_secs(5);
/// How often everything that is found is torn down.
const ROUNDS: u32 = 3;
/// How long after a job's end its teardown may not have started, or a function of it may still create something.
const LATELY: SignedDuration = SignedDuration::from_mins(2);

/// What the sweeper has found.
#[derive(Deserialize)]
struct Seen {
    /// The ids of the jobs that have resources.
    found: BTreeSet<String>,
    /// What is of the stack and of no job, in words.
    strays: BTreeSet<String>,
}

/// Waits for the jobs that run, or stops them, tears down whatever any job has left, and succeeds when two looks in a row
/// have found nothing.
pub async fn drain(stack: &Stack, view: &mut View, may_stop: bool) -> Result<ExitCode> {
    let (mut rounds, mut proofs) = (0, 0);
    let mut jobs = ended_lately(stack).await?;
    loop {
        jobs.extend(end_jobs(stack, view, may_stop).await?);
        wait_for_teardowns(stack, view).await?;
        let Seen { found, strays } = look(stack).await?;
        if !strays.is_empty() {
            let strays = strays.into_iter().collect::<Vec<_>>().join("\n  ");
            view.line(
                Tone::Bad,
                &format!("this is of the stack and of no job; delete it by hand:\n  {strays}"),
            )?;
            return Ok(ExitCode::FAILURE);
        }
        jobs.extend(found);
        if !jobs.is_empty() {
            (rounds, proofs) = (rounds + 1, 0);
            if rounds > ROUNDS {
                view.line(
                    Tone::Bad,
                    &format!("after {ROUNDS} teardowns there still is something of {}", list(&jobs)),
                )?;
                return Ok(ExitCode::FAILURE);
            }
            tear_down(stack, view, std::mem::take(&mut jobs)).await?;
            continue;
        }
        proofs += 1;
        if proofs == 2 {
            view.line(
                Tone::Good,
                &format!("no job is running on stack {}, and nothing of any is left", stack.name),
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns when no job runs any more, with the ids of those that did.
async fn end_jobs(stack: &Stack, view: &mut View, may_stop: bool) -> Result<BTreeSet<String>> {
    let (mut ended, mut told) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let running = executions(stack, &stack.run_job, ExecutionStatus::Running).await?;
        if running.is_empty() {
            return Ok(ended);
        }
        let names: BTreeSet<_> = running.iter().map(|execution| execution.name.clone()).collect();
        if names != told {
            let doing = if may_stop { "stopping" } else { "waiting for the end of" };
            view.line(Tone::Plain, &format!("{doing} {}", list(&names)))?;
            told = names;
        }
        ended.extend(told.iter().map(|name| job_id(name)));
        if may_stop {
            for execution in &running {
                stop_execution(stack, &execution.execution_arn).await?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn wait_for_teardowns(stack: &Stack, view: &mut View) -> Result<()> {
    let mut is_told = false;
    loop {
        let running = executions(stack, &stack.tear_down, ExecutionStatus::Running).await?.len();
        if running == 0 {
            return Ok(());
        }
        if !std::mem::replace(&mut is_told, true) {
            view.line(Tone::Plain, &format!("waiting for the end of {running} teardowns"))?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tears down what these jobs have left, side by side.
async fn tear_down(stack: &Stack, view: &mut View, jobs: BTreeSet<String>) -> Result<()> {
    let mut started = Vec::new();
    for job in jobs {
        view.line(Tone::Plain, &format!("tearing down what job {job} has left"))?;
        let start = stack.states.start_execution().state_machine_arn(&stack.tear_down);
        let start = start.input(json!({ "job": job, "caller": "drain" }).to_string()).send().await;
        started.push((job, start.map_err(aws("start a teardown"))?.execution_arn));
    }
    wait_for_teardowns(stack, view).await?;
    for (job, arn) in started {
        let described = stack.states.describe_execution().execution_arn(arn).send().await;
        let described = described.map_err(aws("look at a teardown"))?;
        if described.status == ExecutionStatus::Succeeded {
            continue;
        }
        view.line(
            Tone::Bad,
            &format!("the teardown of job {job} has ended as {}", described.status.as_str()),
        )?;
        let receipt = described.cause.as_deref().and_then(outcome::receipt_in);
        for left in receipt.into_iter().flat_map(|receipt| receipt.residual) {
            view.line(Tone::Bad, &format!("  {left}"))?;
        }
    }
    Ok(())
}

/// The ids of the jobs that were cut off a moment ago.
async fn ended_lately(stack: &Stack) -> Result<BTreeSet<String>> {
    let since = (Timestamp::now() - LATELY).as_second();
    let mut lately = BTreeSet::new();
    for status in [ExecutionStatus::Aborted, ExecutionStatus::Failed, ExecutionStatus::TimedOut] {
        let mut ended = executions(stack, &stack.run_job, status).await?;
        ended.retain(|execution| execution.stop_date.is_some_and(|date| date.secs() >= since));
        lately.extend(ended.into_iter().map(|execution| job_id(&execution.name)));
    }
    Ok(lately)
}

async fn executions(stack: &Stack, machine: &str, status: ExecutionStatus) -> Result<Vec<ExecutionListItem>> {
    let list = stack.states.list_executions().state_machine_arn(machine).status_filter(status);
    let listed = list.into_paginator().items().send();
    listed.collect::<Result<Vec<_>, _>>().await.map_err(aws("list the executions"))
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// By the sweeper's own search, which goes by the resources' tags.
async fn look(stack: &Stack) -> Result<Seen> {
    let payload = Blob::new(json!({ "lookOnly": true }).to_string());
    let invoke = stack.lambda.invoke().function_name(&stack.sweeper).payload(payload);
    let invoked = invoke.send().await.map_err(aws("look for what jobs have left"))?;
    let answer = invoked.payload.unwrap_or_else(|| Blob::new("")).into_inner();
    if invoked.function_error.is_some() {
        bail!("could not look everywhere for what jobs have left: {}", String::from_utf8_lossy(&answer));
    }
    serde_json::from_slice(&answer)
        .context("the stack's sweeper is of another version: deploy this one's template.yaml")
}
