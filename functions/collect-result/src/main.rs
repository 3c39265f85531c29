//! CollectResult: how the attempt ended. A result in the `Jobs` table counts before whatever the wait state said.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::attempt::{Ending, Next};
use mayfly_common::error::{Class, Error};
use mayfly_common::message::{Failure, Finished};
use mayfly_common::outcome::{Delivered, JobFailure, JobResult};
use mayfly_common::plan::Plan;
use mayfly_common::record;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use serde::Deserialize;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let table: String = setting("JOBS_TABLE")?;
    let dynamodb = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&dynamodb, &table, event.payload))).await
}

#[derive(Debug, Deserialize)]
struct Input {
    plan: Plan,
    attempt: u32,
    /// What the wait state ended with: nothing of interest where the token came back, else an error.
    dispatch: Dispatch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dispatch {
    error: Option<String>,
    cause: Option<String>,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job, attempt = input.attempt), err(level = "warn"))]
async fn handler(dynamodb: &Client, table: &str, input: Input) -> Result<Ending, Error> {
    let record = dynamodb
        .get_item()
        .table_name(table)
        .key(record::JOB, AttributeValue::S(input.plan.job.clone()))
        .consistent_read(true)
        .send()
        .await
        .map_err(Error::aws("read the job's record"))?
        .item
        // An earlier run of the same job id had another mailbox; an attempt that could not be dispatched wrote nothing.
        .filter(|record| {
            let mailbox = record.get(record::MAILBOX).and_then(|value| value.as_s().ok());
            let attempt = record.get(record::ATTEMPT).and_then(|value| value.as_n().ok());
            mailbox == Some(&input.plan.mailbox_url) && attempt == Some(&input.attempt.to_string())
        })
        .unwrap_or_default();
    let text = |name| record.get(name).and_then(|value: &AttributeValue| value.as_s().ok());
    let task_arn = text(record::TASK_ARN).cloned();
    let ending = match text(record::RESULT) {
        Some(result) => {
            let finished = serde_json::from_str(result)
                .map_err(|error| Error::internal("could not read the stored result", error))?;
            finished_ending(&input, finished, task_arn)
        }
        None => lost_ending(&input, task_arn),
    };
    tracing::info!(next = ?ending.next, "result collected");
    Ok(ending)
}

fn finished_ending(input: &Input, finished: Finished, task_arn: Option<String>) -> Ending {
    if let Some(failure) = finished.failure {
        return failed_ending(input, failure, finished.exit_code, task_arn);
    }
    let outputs = finished.outputs.into_iter().filter_map(|delivered| {
        let output = input.plan.task.outputs.iter().find(|output| output.file == delivered.file)?;
        Some(Delivered { file: delivered.file, to: output.to.clone(), bytes: delivered.bytes })
    });
    Ending {
        next: Next::Conclude,
        result: Some(JobResult {
            exit_code: finished.exit_code.unwrap_or_default(),
            attempt: input.attempt,
            capacity: input.plan.capacity.provider().to_owned(),
            seconds: finished.seconds,
            task_arn: task_arn.unwrap_or_default(),
            outputs: outputs.collect(),
        }),
        failure: None,
    }
}

fn failed_ending(
    input: &Input,
    failure: Failure,
    exit_code: Option<i32>,
    task_arn: Option<String>,
) -> Ending {
    let again = failure.class.is_retryable() && input.attempt < input.plan.attempts;
    Ending {
        next: if again { Next::TryAgain } else { Next::Conclude },
        result: None,
        failure: Some(JobFailure {
            error: failure.class,
            message: failure.message,
            attempt: Some(input.attempt),
            exit_code,
            task_arn,
            output: failure.output,
        }),
    }
}

/// No report arrived: the wait state's error is all there is.
fn lost_ending(input: &Input, task_arn: Option<String>) -> Ending {
    let error = input.dispatch.error.as_deref().unwrap_or_default();
    let cause = input.dispatch.cause.as_deref().unwrap_or_default();
    let (class, message) = match error {
        "States.HeartbeatTimeout" if task_arn.is_none() => (
            Class::StartFailed,
            format!(
                "the container did not report within {} seconds of the job's dispatch; look at the service's events \
                 in the ECS console: the usual reasons are an image that cannot be pulled, or no capacity",
                input.plan.heartbeat_seconds
            ),
        ),
        "States.HeartbeatTimeout" => (
            Class::HeartbeatLost,
            format!(
                "the container has not reported for {} seconds; its log tells what it did last",
                input.plan.heartbeat_seconds
            ),
        ),
        "States.Timeout" => (
            Class::TimedOut,
            format!(
                "the attempt took longer than {} minutes; raise timeoutMinutes, or give the container more cpu",
                input.plan.timeout_seconds / 60
            ),
        ),
        other => Class::from_name(other).map_or_else(
            || {
                (
                    Class::Internal,
                    format!("the wait for the container ended without a result: {error}: {cause}"),
                )
            },
            |class| (class, mayfly_common::outcome::message_of(cause)),
        ),
    };
    failed_ending(input, Failure { class, message, output: None }, None, task_arn)
}
