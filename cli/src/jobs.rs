//! A job as Step Functions describes it.

use anyhow::Result;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::primitives::DateTime;
use jiff::Timestamp;
use mayfly_model::names::{is_derived, job_id};
use serde_json::Value;

use crate::stack::{Stack, aws};

/// What is known of a job's execution.
pub struct Job {
    /// The status, in Step Functions' own word.
    pub status: String,
    /// When it started.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// The error it ended with: a class, or an error of Step Functions.
    pub error: Option<String>,
    /// Who it runs for, if the document says so.
    pub user: Option<String>,
    /// Whether it is a service.
    pub is_service: bool,
}

impl Job {
    /// How long it has run so far, or ran, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ended.unwrap_or_else(Timestamp::now).duration_since(self.started).as_secs_f64()
    }
}

/// The name of the execution that is `job`. A person may also call it by the id that stands in its outcome and tags.
///
/// # Errors
/// Where `job` can only be such an id and no execution has it.
pub async fn name(stack: &Stack, job: String) -> Result<String> {
    if !is_derived(&job) {
        return Ok(job);
    }
    // The latest first. Source: Step Functions API Reference, ListExecutions.
    let list = stack.states.list_executions().state_machine_arn(&stack.run_job);
    let mut listed = list.into_paginator().items().send();
    while let Some(execution) = listed.next().await {
        let name = execution.map_err(aws("list the jobs"))?.name;
        if job_id(&name) == job {
            return Ok(name);
        }
    }
    Err(stack.no_such_job(&job))
}

/// Describes the job whose execution is called `job`.
///
/// # Errors
/// Also where there is no such job.
pub async fn describe(stack: &Stack, job: &str) -> Result<Job> {
    let described = stack.states.describe_execution().execution_arn(stack.execution(job)).send().await;
    let described = described.map_err(|error| {
        if error.as_service_error().is_some_and(DescribeExecutionError::is_execution_does_not_exist) {
            return stack.no_such_job(job);
        }
        aws(&format!("look at the job `{job}`"))(error)
    })?;
    let document: Option<Value> = described.input.and_then(|input| serde_json::from_str(&input).ok());
    // A document that was refused may have anything here.
    let user = document.as_ref().and_then(|document| document.get("user")?.as_str());
    Ok(Job {
        status: described.status.as_str().to_owned(),
        started: timestamp(&described.start_date),
        ended: described.stop_date.as_ref().map(timestamp),
        error: described.error,
        user: user.map(ToOwned::to_owned),
        is_service: document.is_some_and(|document| document.get("service").is_some()),
    })
}

/// Step Functions tells milliseconds, as a floating-point number of seconds.
fn timestamp(date: &DateTime) -> Timestamp {
    let milliseconds = date.to_millis().unwrap_or_default();
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}
