//! The job's id is the execution's name, so submitting the same name twice is safe.

use std::sync::Arc;

use anyhow::Result;
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;

use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::world::{World, job_arn, machine, name_in};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("the_same_name_twice_is_one_job", twice)]
}

async fn twice(world: Arc<World>, job: String) -> Result<()> {
    let (document, other) = (command(&["true"]), command(&["false"]));
    let run_job = machine("run-job");

    let first = world.start_job(&job, &document).await?;
    assert_eq!(first, job_arn(&job));
    assert_eq!(world.start_job(&job, &document).await?, first, "the running job is the answer");
    let refused = world.try_start(&run_job, &job, &other).await.unwrap_err();
    assert!(refused.is_execution_already_exists(), "another document: {refused:?}");

    let execution = world.ended(&first).await?;
    assert_eq!(execution.status(), &ExecutionStatus::Succeeded);
    let refused = world.try_start(&run_job, &job, &document).await.unwrap_err();
    assert!(refused.is_execution_already_exists(), "after the end: {refused:?}");

    let jobs = world.executions(&run_job).await?;
    assert_eq!(jobs.iter().filter(|(arn, _)| name_in(arn) == job).count(), 1);
    let creations = world.calls(&job).into_iter().filter(|call| call.action == "ecs:CreateService");
    assert_eq!(creations.count(), 1, "one service for both");
    let starts = world.container_log(&job).await?;
    assert_eq!(starts.iter().filter(|line| line.contains("assignment taken on")).count(), 1, "it ran once");
    world.nothing_left(&job).await
}
