//! `mayfly` tells a job's outcome by its exit code and its output.

use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::cli::mayfly;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::world::{World, job_arn, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("mayfly_run_ends_with_0_and_the_outcome", succeeds),
        harness.trial("mayfly_run_of_a_command_that_fails_ends_with_1", fails),
        harness.trial("mayfly_follow_ends_with_the_commands_exit_code", follows),
        harness.trial("mayfly_extend_puts_off_the_end_of_a_service_and_stop_ends_it", extends),
    ]
}

async fn succeeds(world: Arc<World>, job: String) -> Result<()> {
    let ran = mayfly(&world, &["run", "events/run-job.json", "--name", &job, "--json"]).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.error);
    let printed: Value =
        serde_json::from_str(&ran.output).context("standard output is JSON and nothing else")?;
    let execution = world.states.describe_execution().execution_arn(job_arn(&job)).send().await?;
    assert_eq!(printed, serde_json::from_str::<Value>(execution.output().context("an output")?)?);
    assert_eq!((&printed["status"], &printed["receipt"]["residual"]), (&json!("SUCCEEDED"), &json!([])));
    assert!(ran.error.contains("DispatchJob") && ran.error.contains("SUCCEEDED after "), "{}", ran.error);
    world.nothing_left(&job).await
}

async fn fails(world: Arc<World>, job: String) -> Result<()> {
    let ran = mayfly(&world, &["run", "events/run-job.command-fails.json", "--name", &job, "--json"]).await?;
    let printed: Value =
        serde_json::from_str(&ran.output).context("standard output is JSON and nothing else")?;
    assert_eq!(printed["error"], "CommandFailed");
    // ffmpeg's own code is beyond 125, where a shell's own begin.
    assert!(printed["exitCode"].as_i64().is_some_and(|code| code > 125), "{printed:#}");
    assert_eq!(ran.code, Some(1), "{}", ran.error);
    assert!(ran.error.contains("no_such_filter"), "the container's log is shown: {}", ran.error);
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

async fn follows(world: Arc<World>, job: String) -> Result<()> {
    world.run_job(&job, &command(&["sh", "-c", "exit 3"])).await?;
    let ran = mayfly(&world, &["follow", &job]).await?;
    assert_eq!(ran.code, Some(3), "{}", ran.error);
    let lines = [
        "failure  CommandFailed: the command `sh` ended with code 3",
        "receipt  created 5, deleted 5, nothing is left",
    ];
    for line in lines {
        assert!(ran.output.lines().any(|printed| printed == line), "{line}\n\nis not in\n\n{}", ran.output);
    }
    world.torn_down_by_rule(&job).await?;

    let ran = mayfly(&world, &["follow", "no-such-job"]).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.output);
    assert!(ran.error.contains("no-such-job"), "{}", ran.error);
    world.nothing_left(&job).await
}

async fn extends(world: Arc<World>, job: String) -> Result<()> {
    let service = json!({
        "container": { "image": "public.ecr.aws/docker/library/python:3", "cpu": 256, "memoryMiB": 512 },
        "service": { "ports": [{ "port": 8080 }], "allowFrom": ["127.0.0.1/32"], "ttlMinutes": 60,
                     "command": ["python3", "-m", "http.server", "8080"] },
    });
    world.start_job(&job, &service).await?;
    let ready = async || {
        until("a service that can be called", async || {
            Ok(listed(&world, &job).await?.filter(|row| row["url"].is_string()))
        })
        .await
    };
    let end =
        |row: &Value| -> Result<Timestamp> { Ok(row["end"].as_str().context("it has an end")?.parse()?) };
    let first = ready().await?;
    assert_eq!(first["now"], "can be called");

    let ran = mayfly(&world, &["extend", &job, "--minutes", "60"]).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.error);
    let second = ready().await?;
    assert_eq!(end(&second)?.duration_since(end(&first)?), SignedDuration::from_hours(1));
    let told = format!("job {job} can be called until {}\n", second["end"].as_str().unwrap_or_default());
    assert_eq!(ran.output, told);

    let ran = mayfly(&world, &["extend", &job, "--minutes", "10080"]).await?;
    assert_eq!((ran.code, ran.output.as_str()), (Some(1), ""));
    assert!(ran.error.contains("7 days in all"), "{}", ran.error);
    assert_eq!(end(&ready().await?)?, end(&second)?);

    let ran = mayfly(&world, &["stop", &job, "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.error);
    let ran = mayfly(&world, &["extend", &job, "--minutes", "60"]).await?;
    assert_eq!(ran.code, Some(1), "what has ended is extended no more: {}", ran.output);
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

/// The job's row in `mayfly ls`, where it has one.
async fn listed(world: &World, job: &str) -> Result<Option<Value>> {
    let ran = mayfly(world, &["ls", "--json", "--limit", "100"]).await?;
    let rows: Vec<Value> = serde_json::from_str(&ran.output).with_context(|| ran.error)?;
    Ok(rows.into_iter().find(|row| row["job"] == job))
}
