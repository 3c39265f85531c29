//! What a test that has failed shows of its jobs: histories, logs and calls.

use std::fmt::Write;

use anyhow::Result;
use aws_sdk_sfn::types::HistoryEvent;

use crate::support::world::{World, machine, name_in};

/// Of a test with many jobs the newest are shown.
const JOBS: usize = 2;
/// The longest cause that is shown, in characters.
const CAUSE: usize = 600;

/// All there is to know about the jobs whose names begin with `prefix`.
pub async fn about(world: &World, prefix: &str) -> String {
    let mut text = String::new();
    match world.executions(&machine("run-job")).await {
        Ok(jobs) => {
            let of_test = jobs.iter().map(|(arn, _)| arn).filter(|arn| name_in(arn).starts_with(prefix));
            for arn in of_test.take(JOBS) {
                let told = job(world, arn).await;
                text += &told.unwrap_or_else(|error| format!("--- {arn}\n{error:#}\n"));
            }
        }
        Err(error) => _ = write!(text, "the executions cannot be listed: {error:#}"),
    }
    text
}

async fn job(world: &World, arn: &str) -> Result<String> {
    let job = name_in(arn);
    let mut text = history(world, "job", arn).await?;
    for teardown in world.teardowns(job).await? {
        text += &history(world, &format!("teardown called by {:?}", teardown.caller), &teardown.arn).await?;
    }
    section(&mut text, "container's log", world.container_log(job).await?);
    let of_job = format!("\"job\":\"{job}\"");
    let functions = world.log("functions", "").await?.into_iter().filter(|line| line.contains(&of_job));
    section(&mut text, "functions' logs", functions);
    let calls = world.calls(job).into_iter().map(|call| {
        let caller = call.caller.rsplit(':').next().unwrap_or_default().to_owned();
        format!("{} {:<30} {:<40} {caller}", call.time, call.action, call.outcome)
    });
    section(&mut text, "calls of Step Functions, ECS and EC2", calls);
    Ok(text)
}

async fn history(world: &World, what: &str, arn: &str) -> Result<String> {
    let execution = world.states.describe_execution().execution_arn(arn).send().await?;
    let mut text = String::new();
    let title = format!("{what} {}: {:?}", name_in(arn), execution.status());
    section(&mut text, &title, world.history(arn).await?.iter().map(line));
    Ok(text)
}

fn section(text: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    _ = writeln!(text, "--- {title}");
    lines.into_iter().for_each(|line| _ = writeln!(text, "{line}"));
}

/// One event: when, which, of which state, and why.
fn line(event: &HistoryEvent) -> String {
    let entered = event.state_entered_event_details().map(|details| details.name());
    let exited = event.state_exited_event_details().map(|details| details.name());
    let (error, cause) = reason(event);
    let cause: String = cause.unwrap_or_default().chars().take(CAUSE).collect();
    let seconds = event.timestamp().as_secs_f64();
    format!(
        "{:>4} {seconds:.3} {:<28} {} {} {cause}",
        event.id(),
        event.r#type().as_str(),
        entered.or(exited).unwrap_or_default(),
        error.unwrap_or_default(),
    )
}

fn reason(event: &HistoryEvent) -> (Option<&str>, Option<&str>) {
    if let Some(failed) = event.task_failed_event_details() {
        (failed.error(), failed.cause())
    } else if let Some(late) = event.task_timed_out_event_details() {
        (late.error(), late.cause())
    } else if let Some(failed) = event.execution_failed_event_details() {
        (failed.error(), failed.cause())
    } else if let Some(aborted) = event.execution_aborted_event_details() {
        (aborted.error(), aborted.cause())
    } else {
        (None, None)
    }
}
