//! Finds the teardown of a job that was cut off: no Catch of its machine runs then, and a rule starts tear-down
//! instead.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use jiff::{Timestamp, ToSpan};
use mayfly_model::names::job_id;
use serde_json::Value;
use tokio::time::Instant;

use crate::stack::{Stack, aws};

/// How long after the job's end its teardown may start. EventBridge delivers within seconds as a rule, but promises
/// no time.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(1);

/// Waits for the teardown of `job` that started when the job had ended, at `since`; returns its execution's ARN.
///
/// The execution that the rule starts has a random name, so it is known by its input.
pub async fn find(stack: &Stack, job: &str, since: Timestamp) -> Result<Option<String>> {
    let ago = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE.saturating_sub(ago);
    let mut others = HashSet::new();
    loop {
        if let Some(found) = look(stack, job, since, &mut others).await? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(
    stack: &Stack,
    job: &str,
    since: Timestamp,
    others: &mut HashSet<String>,
) -> Result<Option<String>> {
    // A second to spare, for clocks of the rule and of the job's end that do not agree to the millisecond.
    let since = (since - 1.second()).as_millisecond();
    // The latest first. Source: Step Functions API Reference, ListExecutions.
    let mut listed =
        stack.states.list_executions().state_machine_arn(&stack.tear_down).into_paginator().items().send();
    while let Some(execution) = listed.next().await {
        let execution = execution.map_err(aws("list the teardowns"))?;
        if execution.start_date.to_millis().is_ok_and(|start| start < since) {
            break;
        }
        if others.contains(&execution.execution_arn) {
            continue;
        }
        let described =
            stack.states.describe_execution().execution_arn(&execution.execution_arn).send().await;
        let input = match described {
            Ok(described) => described.input,
            // Eventually consistent: the next look will know it. Source: the same, DescribeExecution.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeExecutionError::is_execution_does_not_exist) =>
            {
                continue;
            }
            Err(error) => return Err(aws("look at a teardown")(error)),
        };
        let input = input.and_then(|input| serde_json::from_str(&input).ok());
        if input.is_some_and(|input| is_about(&input, job)) {
            return Ok(Some(execution.execution_arn));
        }
        others.insert(execution.execution_arn);
    }
    Ok(None)
}

/// Whether `input`, that of a teardown, is about `job`.
fn is_about(input: &Value, job: &str) -> bool {
    input["job"].as_str().is_some_and(|name| job_id(name) == job_id(job))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_teardown_is_known_by_the_job_in_its_input() {
        assert!(is_about(&json!({ "job": "a", "caller": "sweep-expired" }), "a"));
        assert!(!is_about(&json!({ "job": "ab" }), "a"));
        // By its execution's name or by its id.
        assert!(is_about(&json!({ "job": job_id("v1.2") }), "v1.2"));
        assert!(is_about(&json!({ "job": "v1.2" }), "v1.2"));
        // Each job's own teardown is called by `run-job`, which is the name of a job as well.
        assert!(!is_about(&json!({ "job": "a", "caller": "run-job" }), "run-job"));
    }
}
