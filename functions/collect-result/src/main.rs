//! CollectResult: how a start ended and what comes next. A result in the `Jobs` table counts before whatever the wait
//! state said.

mod next;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::attempt::{Ending, Next};
use mayfly_common::error::{Class, Error};
use mayfly_common::message::Failure;
use mayfly_common::outcome::{JobFailure, JobResult, message_of};
use mayfly_common::plan::Plan;
use mayfly_common::record::{self, Stored};
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use mayfly_common::turn::{Provider, Turn};
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    turn: Turn,
    /// What the wait state ended with: nothing of interest where the token came back, else an error.
    dispatch: Dispatch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dispatch {
    error: Option<String>,
    cause: Option<String>,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job, start = input.turn.start), err(level = "warn"))]
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
        .filter(|item| {
            // An earlier run of the same job id had another mailbox.
            let mailbox = item.get(record::MAILBOX).and_then(|value| value.as_s().ok());
            mailbox == Some(&input.plan.mailbox_url)
        })
        .map(Record);
    let ending =
        match record.as_ref().map(|record| record.json::<Stored>(record::RESULT)).transpose()?.flatten() {
            Some(stored) => finished(&input.plan, stored),
            None => unfinished(&input, record.as_ref())?,
        };
    tracing::info!(next = ?ending.next, failure = ending.failure.as_ref().map(|f| f.error.name()), "result collected");
    Ok(ending)
}

/// The job's item in the table.
struct Record(HashMap<String, AttributeValue>);

impl Record {
    fn text(&self, name: &str) -> Option<&String> {
        self.0.get(name)?.as_s().ok()
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        self.text(name)
            .map(|text| serde_json::from_str(text))
            .transpose()
            .map_err(|error| Error::internal(format!("could not read the record's {name}"), error))
    }

    /// Whether the record's attributes of a start are those of this one: a start that could not be dispatched wrote
    /// none.
    fn is_at(&self, turn: Turn) -> bool {
        self.0.get(record::START).and_then(|value| value.as_n().ok()) == Some(&turn.start.to_string())
    }
}

/// The container has said how it ended, in this start or an earlier one.
fn finished(plan: &Plan, stored: Stored) -> Ending {
    let (result, failure) = match JobResult::from_stored(stored, &plan.task) {
        Ok(result) => (Some(result), None),
        Err(failure) => (None, Some(failure)),
    };
    Ending { next: Next::Conclude, turn: None, reported: true, result, failure }
}

/// No result arrived: what ECS said of the task counts before the error of the wait state.
fn unfinished(input: &Input, record: Option<&Record>) -> Result<Ending, Error> {
    let record = record.filter(|record| record.is_at(input.turn));
    let task_arn = record.and_then(|record| record.text(record::TASK_ARN)).cloned();
    let loss = record.map(|record| record.json::<Failure>(record::LOSS)).transpose()?.flatten();
    // A task was placed after all.
    let loss = loss.filter(|loss| loss.class != Class::NoCapacity || task_arn.is_none());
    let failure = loss.map_or_else(|| silence(input, task_arn.is_some()), |loss| stopped(input.turn, loss));
    let next = next::after(&input.plan, input.turn, failure.class);
    Ok(Ending {
        next: next.map_or(Next::Conclude, |(next, _)| next),
        turn: next.map(|(_, turn)| turn),
        reported: false,
        result: None,
        failure: Some(JobFailure::new(input.turn, failure, None, task_arn)),
    })
}

/// A container that was told to stop cannot know why; on demand it was not Spot.
fn stopped(turn: Turn, loss: Failure) -> Failure {
    if loss.class == Class::SpotInterrupted && turn.provider == Provider::OnDemand {
        let message =
            "the container was stopped from outside: by a person, or by AWS for its own maintenance".into();
        return Failure { class: Class::HeartbeatLost, message, ..loss };
    }
    loss
}

/// The wait state's error is all there is.
fn silence(input: &Input, has_reported: bool) -> Failure {
    let error = input.dispatch.error.as_deref().unwrap_or("no error");
    let cause = input.dispatch.cause.as_deref().unwrap_or("no cause");
    let (class, message) = match error {
        "States.HeartbeatTimeout" if has_reported => (
            Class::HeartbeatLost,
            format!("the container has not reported for {} seconds", input.plan.heartbeat_seconds),
        ),
        // ECS tries as seldom as every 15 minutes, and says nothing in between.
        // Source: ECS developer guide, "Service throttle logic".
        "States.HeartbeatTimeout" if input.turn.awaits_quota => (
            Class::QuotaExceeded,
            "the quota of Fargate's vCPUs is still used up; raise it in the console of Service Quotas, or queueMinutes"
                .into(),
        ),
        "States.HeartbeatTimeout" => (
            Class::StartFailed,
            format!("no container reported for work within {} seconds", input.plan.heartbeat_seconds),
        ),
        "States.Timeout" => (
            Class::TimedOut,
            format!("the attempt took longer than {} (timeoutMinutes)", minutes(input.plan.timeout_seconds)),
        ),
        other => match Class::from_name(other) {
            Some(class) => (class, message_of(cause)),
            None => (
                Class::Internal,
                format!("the wait for the container ended without a result: {error}: {}", message_of(cause)),
            ),
        },
    };
    Failure { class, message, output: None }
}

fn minutes(seconds: u64) -> String {
    match seconds / 60 {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}
