//! EndService: how the service has ended, and whether it is made once more: what was to run on Spot and has found no room
//! there may run on demand. From here on nobody extends it.

use mayfly_jobs::{Jobs, ServiceRecord};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::class::Class;
use mayfly_model::ending::{Ending, Next};
use mayfly_model::job::Capacity;
use mayfly_model::outcome::{End, JobFailure, ServiceResult, Success, message_of};
use mayfly_model::plan::Plan;
use mayfly_model::turn::{Provider, Turn};
use serde::Deserialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<EndService>();

/// The step.
pub struct EndService {
    jobs: Jobs,
    stack: String,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
    turn: Turn,
    life: Life,
}

/// What is known of the service's life.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Life {
    /// What check-service has said, where that was the last.
    checked: Checked,
    /// How the last wait ended.
    kept: Kept,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Checked {
    answer: Answer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    failure: Option<JobFailure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Kept {
    error: Option<String>,
    cause: Option<String>,
}

impl Step for EndService {
    type Input = Input;
    type Output = Ending;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { jobs: Jobs::new(environment)?, stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Ending, Error> {
        let Self { jobs, stack } = self;
        let Input { plan, turn, life } = input;
        let record = jobs.service(&plan.job).await?;
        let told = record.as_ref().and_then(|record| record.failure.clone());
        let failure = told.or(life.checked.answer.failure).or_else(|| life.kept.failure());
        let begun = record.filter(|record| record.mailbox.as_ref() == Some(&plan.mailbox_url));
        if let Some(turn) =
            failure.as_ref().and_then(|failure| on_demand(&plan, turn, failure, begun.is_some()))
        {
            jobs.leave_launch(&plan).await?;
            tracing::warn!("no room on Spot: the service is made on demand");
            let end = End::Failed(failure.unwrap_or_else(unexplained));
            return Ok(Ending { next: Next::Relaunch(turn), reported: true, end });
        }
        jobs.end_service(&plan).await?;
        let end = match (failure, begun.and_then(|record| result(&record, turn, stack))) {
            (Some(failure), _) => End::Failed(failure),
            (None, Some(result)) => End::Succeeded(Success::Service(result)),
            (None, None) => End::Failed(unexplained()),
        };
        tracing::info!(failure = end.failure().map(|failure| failure.error.name()), "service ended");
        Ok(Ending { next: Next::Conclude, reported: true, end })
    }
}

/// The turn that comes next where there was no room on Spot, unless the service could be called already: it has a place
/// then, and ECS goes on looking for another.
fn on_demand(plan: &Plan, turn: Turn, failure: &JobFailure, has_begun: bool) -> Option<Turn> {
    let had_no_room = matches!(failure.error, Class::NoCapacity | Class::QuotaExceeded);
    let may = plan.capacity == Capacity::SpotThenOnDemand && turn.provider == Provider::Spot;
    (had_no_room && may && !has_begun).then_some(Turn {
        start: turn.start + 1,
        launch: turn.launch + 1,
        provider: Provider::OnDemand,
        ..turn
    })
}

impl Kept {
    /// What the wait's error comes to; that of a wait which has lasted until the service's end is none.
    fn failure(self) -> Option<JobFailure> {
        let error = self.error.filter(|error| error != "States.Timeout")?;
        let told = message_of(self.cause.as_deref().unwrap_or("no cause was given"));
        let (class, message) = match error.as_str() {
            "ServiceStarting" | "LoadBalancerPending" => {
                let (class, told) = in_the_way(&told);
                (class, format!("the service was not ready within 15 minutes: {told}"))
            }
            other => match Class::from_name(other) {
                Some(class) => (class, told),
                None => (Class::Internal, format!("the wait for the service's end failed: {error}: {told}")),
            },
        };
        Some(JobFailure::of_job(class, message))
    }
}

/// The class that check-service has put in front of why the service is not ready, where it knows one, and the rest.
fn in_the_way(told: &str) -> (Class, &str) {
    let named = told.split_once(": ").and_then(|(name, told)| Some((Class::from_name(name)?, told)));
    named.unwrap_or((Class::StartFailed, told))
}

fn result(record: &ServiceRecord, turn: Turn, stack: &str) -> Option<ServiceResult> {
    let (begun, end) = (record.begun?, record.end?);
    let ready = record.ready(stack)?;
    Some(ServiceResult {
        begun: begun.to_string(),
        end: ready.end,
        seconds: end.duration_since(begun).as_secs_f64(),
        containers: record.containers.started,
        capacity: turn.provider,
        addresses: ready.addresses,
        url: ready.url,
        reason: "its time was over".into(),
    })
}

fn unexplained() -> JobFailure {
    JobFailure::of_job(Class::Internal, "the service ended before it was ready; report this as a bug".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(capacity: Capacity) -> Plan {
        let plan = include_str!("../../../events/plan.public.json");
        Plan { capacity, ..serde_json::from_str(plan).unwrap() }
    }

    #[test]
    fn a_service_that_finds_no_room_on_spot_is_made_on_demand_before_it_was_ready() {
        let spot = Turn::first(Provider::Spot);
        let no_room = JobFailure::of_job(Class::NoCapacity, String::new());
        let either = plan(Capacity::SpotThenOnDemand);
        let next = on_demand(&either, spot, &no_room, false).unwrap();
        assert_eq!((next.launch, next.provider), (2, Provider::OnDemand));
        assert_eq!(on_demand(&either, next, &no_room, false), None);
        assert_eq!(on_demand(&either, spot, &no_room, true), None);
        assert_eq!(on_demand(&plan(Capacity::Spot), spot, &no_room, false), None);
        let failed = JobFailure::of_job(Class::CommandFailed, String::new());
        assert_eq!(on_demand(&either, spot, &failed, false), None);
    }

    #[test]
    fn a_wait_that_has_lasted_to_its_end_is_no_failure() {
        let class = |error: &str| {
            Kept { error: Some(error.into()), cause: None }.failure().map(|failure| failure.error)
        };
        assert_eq!(class("States.Timeout"), None);
        assert_eq!(class("ServiceStarting"), Some(Class::StartFailed));
        assert_eq!(class("LoadBalancerPending"), Some(Class::StartFailed));
        assert_eq!(class("CommandFailed"), Some(Class::CommandFailed));
        assert_eq!(class("Lambda.Unknown"), Some(Class::Internal));
    }

    #[test]
    fn a_service_that_never_had_room_for_all_its_containers_fails_for_that() {
        let failure = |message: &str| {
            let cause = Some(format!(r#"{{"errorType":"ServiceStarting","errorMessage":"{message}"}}"#));
            let failure = Kept { error: Some("ServiceStarting".into()), cause }.failure().unwrap();
            (failure.error, failure.message)
        };
        let late = "the service was not ready within 15 minutes";
        let told = "1 of the service's 2 containers are ready; Fargate placed no container: no room";
        for class in [Class::NoCapacity, Class::QuotaExceeded] {
            assert_eq!(failure(&format!("{}: {told}", class.name())), (class, format!("{late}: {told}")));
        }
        let told = "1 of the service's 2 containers are ready; ECS says: started";
        assert_eq!(failure(told), (Class::StartFailed, format!("{late}: {told}")));
    }
}
