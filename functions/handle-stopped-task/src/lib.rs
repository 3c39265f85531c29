//! HandleStoppedTask: what no container can report itself: its task was stopped, never started, or found no place. ECS
//! says so on the event bus, and it goes through the done queue like a report, a minute late, so that a report of the
//! container's own that is on its way comes first.

mod classify;
mod event;

use aws_sdk_ecs::types::{Service, ServiceField};
use mayfly_ecs::pairs;
use mayfly_jobs::{Jobs, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Step};
use mayfly_model::class::Class;
use mayfly_model::message::{News, Report};
use mayfly_model::names::Names;
use mayfly_model::tags::Claim;
use serde::Serialize;

use crate::event::Event;

/// The step.
pub struct HandleStoppedTask {
    jobs: Jobs,
    ecs: aws_sdk_ecs::Client,
    sqs: aws_sdk_sqs::Client,
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
            sqs: aws_sdk_sqs::Client::new(environment.sdk()),
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
        let (Some(cluster), Some(name)) = (event.cluster(), event.service()) else {
            return ignored("it is not about a service");
        };
        if !name.starts_with(&format!("{}-", self.stack)) || event.is_own_stop() {
            return ignored("it is another's, or a stop of Mayfly's own");
        }
        let Some((service, job)) = self.find_service(cluster, name).await? else {
            return ignored("its service is not this stack's, or gone");
        };
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
    /// The service of that name in the cluster, and the job that it belongs to. A job's own cluster may be gone by now.
    async fn find_service(&self, cluster: &str, name: &str) -> Result<Option<(Service, String)>, Error> {
        let describe =
            self.ecs.describe_services().cluster(cluster).services(name).include(ServiceField::Tags);
        let described = match describe.send().await {
            Ok(described) => described,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::aws("describe the job's service")(error)),
        };
        let Some(service) = described.services.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        let job = Claim::read(&self.stack, pairs(service.tags())).map(|claim| claim.job.to_owned());
        Ok(job.map(|job| (service, job)))
    }

    async fn send(&self, report: &Report) -> Result<(), Error> {
        let body =
            serde_json::to_string(report).map_err(|error| Error::internal("write the report", error))?;
        let send = self.sqs.send_message().queue_url(&self.done_queue_url).message_body(body);
        let sent = send.delay_seconds(self.grace).send().await;
        sent.map(drop).map_err(Error::aws("put the loss into the done queue"))
    }
}
