//! ConcludeJob: the document the job ends with: result or failure, and the receipt. A result that came late counts.

mod late;

use aws_sdk_dynamodb::Client;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::class::Class;
use mayfly_model::ending::Ending;
use mayfly_model::inventory::{Kind, Receipt, Resource};
use mayfly_model::names::deserialize_job_id;
use mayfly_model::outcome::{CAUSE_LIMIT, JobFailure, JobResult, Outcome, Status, message_of};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let table: String = setting("JOBS_TABLE")?;
    let dynamodb = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&dynamodb, &table, event.payload))).await
}

/// The state machine's data when all is over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(deserialize_with = "deserialize_job_id")]
    job: String,
    /// What plan-job has made, unless it refused the job.
    planned: Option<Planned>,
    /// Whether reports may still be waited for.
    await_reports: bool,
    /// How the last attempt ended, if the job came that far.
    ending: Option<Ending>,
    /// What was caught on the way to an ending.
    failure: Option<Caught>,
    /// What tear-down proved, if it ran and succeeded.
    tear_down: Option<TearDown>,
    /// What was caught where tear-down did not succeed.
    tear_down_failure: Option<Caught>,
}

#[derive(Debug, Deserialize)]
struct Planned {
    plan: Plan,
}

#[derive(Debug, Deserialize)]
struct TearDown {
    receipt: Receipt,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Caught {
    error: String,
    /// States.Timeout may come without one.
    cause: Option<String>,
}

#[derive(Debug, Serialize)]
struct Conclusion {
    status: Status,
    /// The execution's output, where the job succeeded.
    outcome: Outcome,
    /// The execution's error, where it failed.
    error: &'static str,
    /// The execution's cause, where it failed: the outcome as JSON.
    cause: String,
}

#[tracing::instrument(skip_all, fields(job = input.job), err(level = "warn"))]
async fn handler(dynamodb: &Client, table: &str, input: Input) -> Result<Conclusion, Error> {
    let receipt = receipt(&input);
    let is_reported = input.ending.as_ref().is_some_and(|ending| ending.reported);
    let planned = input.planned.filter(|_| !is_reported);
    let late = match &planned {
        Some(Planned { plan }) => late::result(dynamodb, table, plan, input.await_reports).await?,
        None => None,
    };
    let (result, failure) = match (late, planned) {
        // It counts more than what the state machine has come to.
        (Some(stored), Some(Planned { plan })) => match JobResult::from_stored(stored, &plan.task) {
            Ok(result) => (Some(result), None),
            Err(failure) => (None, Some(failure)),
        },
        _ => match (input.ending, input.failure) {
            (Some(ending), _) => (ending.result, ending.failure),
            (None, Some(caught)) => (None, Some(explain(&caught))),
            (None, None) => (None, Some(unexplained())),
        },
    };
    let status = if failure.is_none() { Status::Succeeded } else { Status::Failed };
    let error = failure.as_ref().map_or("", |failure| failure.error.name());
    let outcome = Outcome { job: input.job, status, result, failure, receipt };
    tracing::info!(status = ?status, error, residual = outcome.receipt.residual.len(), "job concluded");
    Ok(Conclusion { status, error, cause: cause(&outcome)?, outcome })
}

/// Where tear-down failed, its own failure carries the receipt; where it did not even say that, nothing is proven.
fn receipt(input: &Input) -> Receipt {
    match (&input.tear_down, &input.tear_down_failure) {
        (Some(tear_down), _) => tear_down.receipt.clone(),
        (None, Some(caught)) => {
            let receipt = caught.cause.as_deref().and_then(receipt_in);
            receipt.unwrap_or_else(|| unproven(&input.job, &caught.error))
        }
        // Only a job that was refused by plan-job ends without a teardown.
        (None, None) => Receipt::default(),
    }
}

/// The cause of a failed nested execution is the JSON of its description, whose own `Cause` is the receipt.
/// Source: Step Functions developer guide, "Start a new AWS Step Functions execution" (`.sync:2`).
fn receipt_in(cause: &str) -> Option<Receipt> {
    let execution: Value = serde_json::from_str(cause).ok()?;
    serde_json::from_str(execution.get("Cause")?.as_str()?).ok()
}

fn unproven(job: &str, error: &str) -> Receipt {
    let unproven = Resource { kind: Kind::Unproven, id: job.to_owned(), state: error.to_owned() };
    Receipt { residual: vec![unproven], ..Receipt::default() }
}

fn explain(caught: &Caught) -> JobFailure {
    let message = message_of(caught.cause.as_deref().unwrap_or("no cause was given"));
    match Class::from_name(&caught.error) {
        Some(class) => failure(class, message),
        None => failure(Class::Internal, format!("{}: {message}", caught.error)),
    }
}

fn unexplained() -> JobFailure {
    failure(
        Class::Internal,
        "the state machine ended without an ending or a failure; report this as a bug".into(),
    )
}

fn failure(error: Class, message: String) -> JobFailure {
    JobFailure { error, message, attempt: None, exit_code: None, task_arn: None, output: None }
}

/// The outcome as JSON, shortened where it must be: of the output its end is kept, of the lists their beginning.
fn cause(outcome: &Outcome) -> Result<String, Error> {
    let json = |outcome: &Outcome| {
        serde_json::to_string(outcome).map_err(|error| Error::internal("could not write the outcome", error))
    };
    let mut cause = json(outcome)?;
    if cause.len() > CAUSE_LIMIT {
        let mut shorter = outcome.clone();
        if let Some(failure) = &mut shorter.failure {
            failure.message = failure.message.chars().take(2_000).collect();
            failure.output = failure.output.take().map(|output| {
                let start = output.char_indices().nth_back(999).map_or(0, |(start, _)| start);
                output[start..].to_owned()
            });
        }
        shorter.receipt = shorter.receipt.shortened();
        cause = json(&shorter)?;
    }
    Ok(cause)
}
