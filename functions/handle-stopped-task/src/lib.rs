//! HandleStoppedTask: what no container can report itself: its task was stopped, never started, or found no place. ECS
//! says so on the event bus, and it goes through the done queue like a report, a minute late, so that a report of the
//! container's own that is on its way comes first. A service's containers report nothing: that they cannot stay up is told
//! at once.

mod serving;

use mayfly_ecs::classify;
use mayfly_ecs::event::Event;
use mayfly_ecs::{ServiceOfJob, service_of};
use mayfly_jobs::{Jobs, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_logs::ContainerLog;
use mayfly_model::class::Class;
use mayfly_model::message::{News, Report};
use mayfly_model::names::Names;
use serde::Serialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<HandleStoppedTask>();

/// The step.
pub struct HandleStoppedTask {
    jobs: Jobs,
    ecs: aws_sdk_ecs::Client,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    log: ContainerLog,
    stack: String,
    done_queue_url: String,
    /// How much later than the event the job hears of it, in seconds.
    grace: i32,
}

/// What has become of the event.
#[derive(Debug, Serialize)]
pub struct Handled {
    /// The class that was reported; none where the event says nothing new of any job.
    reported: Option<&'static str>,
}

impl Step for HandleStoppedTask {
    type Input = Event;
    type Output = Handled;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            sfn: aws_sdk_sfn::Client::new(environment.sdk()),
            sqs: aws_sdk_sqs::Client::new(environment.sdk()),
            log: ContainerLog::new(environment)?,
            stack: environment.setting("STACK_NAME")?,
            done_queue_url: environment.setting("DONE_QUEUE_URL")?,
            grace: environment.setting("REPORT_GRACE_SECONDS")?,
        })
    }

    #[tracing::instrument(skip_all, fields(event = event.id), err(level = "warn"))]
    async fn run(&self, event: Event) -> Result<Handled, Error> {
        let ignored = |why: &str| {
            tracing::info!(why, "event ignored");
            Ok(Handled { reported: None })
        };
        let Some(found) = service_of(&self.ecs, &self.stack, &event).await? else {
            return ignored("it is not about a service of this stack's that is there");
        };
        if found.is_service {
            return Ok(Handled { reported: self.serving(&event, &found).await?.map(Class::name) });
        }
        if event.is_own_stop() {
            return ignored("it is a stop of Mayfly's own");
        }
        let ServiceOfJob { service, name, job, .. } = found;
        let Some(loss) = classify::classify(&event, &service) else {
            return ignored("it is no failure");
        };
        let Some(record) = self.jobs.get(&job).await? else { return Err(not_dispatched()) };
        if record.result.is_some() {
            return ignored("the job is finished");
        }
        let Record { turn, nonce, task_arn: at_work, .. } = record;
        let has_reported = at_work.as_deref() == event.task_arn();
        let loss = if has_reported { loss } else { classify::before_work(&event.body, loss) };
        let names = Names::new(&self.stack, &job);
        if (1..turn.launch).any(|launch| names.service(launch) == name) {
            return ignored("it is about an earlier service of the job");
        }
        if names.service(turn.launch) != name {
            return Err(not_dispatched());
        }
        let class = loss.failure.class;
        if class == Class::QuotaExceeded && !loss.given_up && turn.awaits_quota() {
            return ignored("the job waits for that quota already");
        }
        tracing::warn!(job, start = turn.start, class = class.name(), "task lost: {}", loss.failure.message);
        let report = Report {
            job,
            turn,
            nonce,
            task_arn: event.task_arn().map(str::to_owned),
            news: News::Lost(loss),
        };
        self.send(&report).await?;
        Ok(Handled { reported: Some(class.name()) })
    }
}

/// The service is there before its first order; Lambda tries an event again after a minute.
/// Source: Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation".
fn not_dispatched() -> Error {
    Error::unavailable("tell the job of its loss", "nothing has been dispatched to this service yet")
}

impl HandleStoppedTask {
    async fn send(&self, report: &Report) -> Result<(), Error> {
        let body =
            serde_json::to_string(report).map_err(|error| Error::internal("write the report", error))?;
        let send = self.sqs.send_message().queue_url(&self.done_queue_url).message_body(body);
        let sent = send.delay_seconds(self.grace).send().await;
        sent.map(drop).map_err(Error::aws("put the loss into the done queue"))
    }
}
