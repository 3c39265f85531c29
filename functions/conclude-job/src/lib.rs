//! ConcludeJob: the document the job ends with: result or failure, and the receipt. A result that came late counts.

mod late;

use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::class::Class;
use mayfly_model::ending::Ending;
use mayfly_model::inventory::{Kind, Receipt, Resource};
use mayfly_model::names::deserialize_job_id;
use mayfly_model::outcome::{End, JobFailure, Outcome, Status, cause, message_of};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many outputs a shortened failure names: with the longest names and keys that a document has room for, 32 KB for a hundred,
/// less than a third of a `Cause`.
const DELIVERED_LIMIT: usize = 10;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<ConcludeJob>();

/// The step.
pub struct ConcludeJob {
    jobs: Jobs,
}

/// The state machine's data when all is over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    #[serde(deserialize_with = "deserialize_job_id")]
    job: String,
    /// What plan-job has made, unless it refused the job.
    planned: Option<Planned>,
    /// Whether reports may still be waited for.
    await_reports: bool,
    /// How the last start ended, if the job came that far.
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

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Conclusion {
    status: Status,
    /// The execution's output, where the job succeeded.
    outcome: Outcome,
    /// The execution's error, where it failed.
    error: &'static str,
    /// The execution's cause, where it failed: the outcome as JSON.
    cause: String,
}

impl Step for ConcludeJob {
    type Input = Input;
    type Output = Conclusion;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { jobs: Jobs::new(environment)? })
    }

    #[tracing::instrument(skip_all, fields(job = input.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Conclusion, Error> {
        let receipt = receipt(&input);
        let is_reported = input.ending.as_ref().is_some_and(|ending| ending.reported);
        let planned = input.planned.filter(|_| !is_reported);
        let late = match &planned {
            Some(Planned { plan }) => late::result(&self.jobs, plan, input.await_reports).await?,
            None => None,
        };
        let end = match (late, planned, input.ending, input.failure) {
            // It counts more than what the state machine has come to.
            (Some(stored), Some(Planned { plan }), ..) => End::of(stored, plan.outputs()),
            (_, _, Some(ending), _) => ending.end,
            (_, _, None, Some(caught)) => End::Failed(explain(&caught)),
            (_, _, None, None) => End::Failed(unexplained()),
        };
        let outcome = Outcome { job: input.job, end, receipt };
        let status = outcome.end.status();
        let error = outcome.end.failure().map_or("", |failure| failure.error.name());
        tracing::info!(?status, error, residual = outcome.receipt.residual.len(), "job concluded");
        let cause =
            cause(&outcome, shortened).map_err(|error| Error::internal("write the outcome", error))?;
        Ok(Conclusion { status, outcome, error, cause })
    }
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
    let unproven = Resource::new(Kind::Unproven, job, error);
    Receipt { residual: vec![unproven], ..Receipt::default() }
}

fn explain(caught: &Caught) -> JobFailure {
    let message = message_of(caught.cause.as_deref().unwrap_or("no cause was given"));
    match Class::from_name(&caught.error) {
        Some(class) => JobFailure::of_job(class, message),
        None => JobFailure::of_job(Class::Internal, format!("{}: {message}", caught.error)),
    }
}

fn unexplained() -> JobFailure {
    JobFailure::of_job(
        Class::Internal,
        "the state machine ended without an ending or a failure; report this as a bug".into(),
    )
}

/// Of the output its end is kept, of the lists their beginning.
fn shortened(outcome: &Outcome) -> Outcome {
    let mut shorter = outcome.clone();
    if let End::Failed(failure) = &mut shorter.end {
        failure.message = failure.message.chars().take(2_000).collect();
        failure.output = failure.output.take().map(|output| {
            let start = output.char_indices().nth_back(999).map_or(0, |(start, _)| start);
            output[start..].to_owned()
        });
        // Their number says how many there are; the list of outputs, where a job asks for one, names them.
        failure.outputs.truncate(DELIVERED_LIMIT);
        failure.outputs.iter_mut().for_each(|delivered| {
            delivered.more = delivered.files.filter(|files| *files > 0);
            delivered.first.clear();
        });
    }
    shorter.receipt = shorter.receipt.shortened();
    shorter
}
