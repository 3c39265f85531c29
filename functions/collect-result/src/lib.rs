//! CollectResult: how a start ended and what comes next. A result in the `Jobs` table counts before whatever the state
//! that waited for it has met.

mod next;

use jiff::Timestamp;
use mayfly_jobs::{Jobs, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::class::Class;
use mayfly_model::ending::{Ending, Next};
use mayfly_model::message::Failure;
use mayfly_model::outcome::{End, JobFailure, message_of};
use mayfly_model::plan::Plan;
use mayfly_model::record::Stored;
use mayfly_model::turn::{Provider, Turn};
use serde::Deserialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CollectResult>();

/// The step.
pub struct CollectResult {
    jobs: Jobs,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
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

impl Step for CollectResult {
    type Input = Input;
    type Output = Ending;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { jobs: Jobs::new(environment)?, clock: environment.clock() })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job, start = input.turn.start), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Ending, Error> {
        let ending = match self.jobs.of_run(&input.plan).await? {
            Some(Record { result: Some(stored), .. }) => finished(&input.plan, stored),
            record => unfinished(&input, record, self.clock.now()),
        };
        tracing::info!(next = ?ending.next, failure = ending.end.failure().map(|failure| failure.error.name()), "result collected");
        Ok(ending)
    }
}

/// The container has said how it ended, in this start or an earlier one.
fn finished(plan: &Plan, stored: Stored) -> Ending {
    Ending { next: Next::Conclude, reported: true, end: End::of(stored, plan.outputs()) }
}

/// No result arrived: what ECS said of the task counts before the error of the wait state.
fn unfinished(input: &Input, record: Option<Record>, now: Timestamp) -> Ending {
    // A start that could not be dispatched has left the record at the one before.
    let record = record.filter(|record| record.turn.start == input.turn.start);
    let (task_arn, loss) = record.map_or((None, None), |record| (record.task_arn, record.loss));
    // A task was placed after all.
    let loss = loss.filter(|loss| loss.failure.class != Class::NoCapacity || task_arn.is_none());
    let given_up = loss.as_ref().is_some_and(|loss| loss.given_up);
    let failure =
        loss.map_or_else(|| silence(input, task_arn.is_some()), |loss| stopped(input.turn, loss.failure));
    let next = next::after(&input.plan, input.turn, failure.class, given_up, now);
    let end = End::Failed(JobFailure::of_start(input.turn, failure, None, task_arn));
    Ending { next, reported: false, end }
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
            format!(
                "the container has not reported for {} seconds",
                input.plan.heartbeat_seconds + input.turn.queue_seconds
            ),
        ),
        // ECS tries as seldom as every 27 minutes, and says nothing in between.
        // Source: ECS developer guide, "Service throttle logic".
        "States.HeartbeatTimeout" if input.turn.awaits_quota() => (
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
        // What the dispatch calls a denial, since the container may report one as well.
        "NotVisibleYet" => (Class::AccessDenied, message_of(cause)),
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
