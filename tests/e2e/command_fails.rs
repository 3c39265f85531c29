//! A job that fails says why, and is torn down all the same.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use mayfly_model::outcome::{JobFailure, Status};
use serde_json::{Value, json};

use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::world::{self, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_command_that_fails_fails_the_job", a_command_that_fails),
        harness.trial("a_program_that_is_not_there_fails_the_job", a_program_that_is_not_there),
        harness.trial("an_output_that_was_not_made_fails_the_job", an_output_that_was_not_made),
    ]
}

async fn a_command_that_fails(world: Arc<World>, job: String) -> Result<()> {
    let failure = fail(&world, &job, &world::sample("run-job.command-fails.json")?).await?;
    assert_eq!(failure.error, Class::CommandFailed);
    let code = failure.exit_code.context("the command's exit code")?;
    assert!(code > 0, "{code}");
    assert_eq!(failure.message, format!("the command `ffmpeg` ended with code {code}"));
    assert_eq!(failure.attempt, Some(1), "a job's own failure is not tried again");
    let output = failure.output.context("the end of the command's output")?;
    assert!(
        output.contains("Error parsing filterchain 'no_such_filter=640'") && output.len() <= 4096,
        "{output}"
    );
    assert!(failure.task_arn.is_some(), "the task that it ran in");
    Ok(())
}

async fn a_program_that_is_not_there(world: Arc<World>, job: String) -> Result<()> {
    let failure = fail(&world, &job, &command(&["no-such-program", "-x"])).await?;
    assert_eq!((failure.error, failure.exit_code), (Class::CommandFailed, None));
    let told = "the image has no program `no-such-program` in any folder of its PATH, which is ";
    assert!(failure.message.starts_with(told), "{}", failure.message);
    Ok(())
}

async fn an_output_that_was_not_made(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "task": {
        "command": ["touch", "other.txt"],
        "outputs": [{ "file": "out.txt", "to": format!("s3://mayfly-data/{job}/out.txt") }]
    } });
    let failure = fail(&world, &job, &document).await?;
    assert_eq!((failure.error, failure.exit_code), (Class::UploadFailed, Some(0)));
    let start = "the command succeeded, but its output out.txt is not usable: ";
    assert!(failure.message.starts_with(start), "{}", failure.message);
    assert!(failure.message.contains("other.txt"), "it tells what there is: {}", failure.message);
    Ok(())
}

/// Runs a job that fails, and makes sure of all that every failure has in common.
async fn fail(world: &World, job: &str, document: &Value) -> Result<JobFailure> {
    let execution = world.run_job(job, document).await?;
    assert_eq!(execution.status(), &ExecutionStatus::Failed);
    let outcome = world::outcome(&execution)?;
    assert_eq!((outcome.job.as_str(), outcome.end.status()), (job, Status::Failed));
    assert_eq!((outcome.end.result(), &outcome.receipt.residual), (None, &vec![]));
    assert_eq!(outcome.receipt.deleted, outcome.receipt.created);
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    let failure = outcome.end.failure().cloned().context("a failure has a reason")?;
    assert_eq!(execution.error(), Some(failure.error.name()), "the execution's error is the class");
    world.nothing_left(job).await?;
    // The rule on the job's end does not know that the job has torn itself down; its own teardown finds nothing.
    world.torn_down_by_rule(job).await?;
    world.nothing_left(job).await?;
    Ok(failure)
}
