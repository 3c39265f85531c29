//! StopExecution: ends the job's execution where it still runs, since it would go on creating, and says which job it is.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::ExecutionStatus;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::names::{check_execution_name, is_derived, job_id, new_job_id};
use serde::{Deserialize, Serialize};

/// The rule of the stack that starts a teardown when a job's execution has ended.
const JOB_ENDED_RULE: &str = "job-ended-rule";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<StopExecution>();

/// The step.
pub struct StopExecution {
    sfn: Client,
    /// The ARN of run-job.
    run_job: String,
    /// The ARN of an execution of run-job, up to its name.
    run_job_executions: String,
}

/// The input of tear-down.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// The job's id, or the name of its execution.
    #[serde(default)]
    job: String,
    /// Who has started the teardown.
    caller: Option<String>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Stopped {
    /// The job's id.
    job: String,
}

impl Step for StopExecution {
    type Input = Input;
    type Output = Stopped;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            sfn: Client::new(environment.sdk()),
            run_job: environment.setting("RUN_JOB_MACHINE_ARN")?,
            run_job_executions: environment.setting("RUN_JOB_EXECUTION_PREFIX")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Stopped, Error> {
        let Self { sfn, run_job, run_job_executions } = self;
        check_execution_name(&input.job).map_err(Error::InvalidJob)?;
        if input.caller.as_deref() == Some(JOB_ENDED_RULE) {
            // The rule tells the name of an execution. One that looks like another job's id has been refused, and what bears
            // that id is the other job's.
            let job = new_job_id(&input.job).map_err(Error::InvalidJob)?;
            return Ok(Stopped { job });
        }
        let job = job_id(&input.job);
        let executions = if is_derived(&input.job) {
            running(sfn, run_job, &job).await?
        } else {
            vec![format!("{}:{}", run_job_executions, input.job)]
        };
        for execution in executions {
            stop(sfn, execution).await?;
        }
        Ok(Stopped { job })
    }
}

/// The executions that run and are the job: an id that was derived does not tell their names.
async fn running(sfn: &Client, run_job: &str, job: &str) -> Result<Vec<String>, Error> {
    let list = sfn.list_executions().state_machine_arn(run_job);
    let mut pages = list.status_filter(ExecutionStatus::Running).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(execution) = pages.next().await {
        let execution = execution.map_err(Error::aws("list the jobs that run"))?;
        if job_id(&execution.name) == job {
            found.push(execution.execution_arn);
        }
    }
    Ok(found)
}

/// One that has ended, or that Step Functions has forgotten, needs no stop.
async fn stop(sfn: &Client, execution: String) -> Result<(), Error> {
    let stop = sfn.stop_execution().execution_arn(execution);
    match stop.error("TornDown").cause("a teardown of this job was started").send().await {
        Ok(_) => tracing::info!("execution stopped"),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) => {}
        Err(error) => return Err(Error::aws("stop the job's execution")(error)),
    }
    Ok(())
}
