//! Whoever pulls the plug in the middle of a job finds an empty account after one sweep: the execution is stopped, the
//! worker killed, or whatever runs the functions.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use serde_json::{Value, json};

use crate::support::course::{self, sample};
use crate::support::harness::Harness;
use crate::support::processes::{Process, kill};
use crate::support::sweep::{Turn, sweep, turn};
use crate::support::world::{World, job_arn, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_in_turn(
            "an_execution_that_is_stopped_leaves_nothing_after_a_sweep",
            turn,
            execution_stopped,
        ),
        harness.trial_in_turn("a_worker_that_is_killed_leaves_nothing_after_a_sweep", turn, worker_killed),
        harness.trial_in_new_account(
            "functions_that_are_killed_lose_no_job_and_leave_nothing",
            functions_killed,
        ),
    ]
}

/// A job that is at work until somebody ends it, and the beginning of its command's line among the processes.
fn endless(job: &str) -> (Value, String) {
    let script = format!(": {job}; sleep 600");
    let document =
        json!({ "capacity": "on-demand", "attempts": 1, "task": { "command": ["sh", "-c", script] } });
    (document, format!("sh -c {script}"))
}

async fn execution_stopped(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    let (document, line) = endless(&job);
    let arn = world.start_job(&job, &document).await?;
    at_work(&line).await?;
    world.stop_execution(&arn).await?;
    sweep(&world).await?;
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

async fn worker_killed(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    let (document, line) = endless(&job);
    world.start_job(&job, &document).await?;
    let worker = at_work(&line).await?.parent().context("a worker that has started its command")?;
    kill(&[worker]).await?;
    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert!(failure.message.contains("code 137 and without a report"), "{}", failure.message);
    sweep(&world).await?;
    world.nothing_left(&job).await
}

/// Three times: while there are calls of AWS under way, while the container is at work, and in the teardown.
async fn functions_killed(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.ipv6.json")?.start(&world, &job).await?;
    let arn = job_arn(&job);
    for state in ["CreateService", "DispatchJob", "TearDown"] {
        ensure!(world.entered(&arn, state).await?, "the job has ended before {state}");
        kill(&functions(&world)?).await?;
    }
    let course = course::of(&world, &job).await?;
    assert_eq!(course.result()?.attempt, 1, "{:#?}", course.outcome);
    sweep(&world).await?;
    world.last_look().await
}

/// A job's command, as soon as it runs.
async fn at_work(line: &str) -> Result<Process> {
    until(line, || async { Ok(Process::all()?.find(|process| process.command_line().starts_with(line))) })
        .await
}

/// All functions that have been started in the account, whether they are called now or not.
fn functions(world: &World) -> Result<Vec<Process>> {
    let origin = &world.cloud().upstream().ministack;
    let is_function = |process: &Process| {
        process.variable("AWS_LAMBDA_FUNCTION_NAME").is_some()
            && process.variable("AWS_ENDPOINT_URL").as_ref() == Some(origin)
    };
    Ok(Process::all()?.filter(is_function).collect())
}
