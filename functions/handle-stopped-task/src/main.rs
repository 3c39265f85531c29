//! HandleStoppedTask: what no container can report itself: its task was stopped, never started, or found no place. ECS
//! says so on the event bus, and it goes through the done queue like a report, a minute late, so that a report of the
//! container's own that is on its way comes first.

mod classify;
mod event;

use std::time::Duration;

use aws_sdk_ecs::types::{Service, ServiceField};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_jobs::Record;
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::class::Class;
use mayfly_model::message::{News, Report};
use mayfly_model::names::Names;
use mayfly_model::record;
use mayfly_model::tags;
use mayfly_model::turn::Turn;
use serde::Serialize;

use crate::event::Event;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings {
        stack: setting("STACK_NAME")?,
        table: setting("JOBS_TABLE")?,
        done_queue_url: setting("DONE_QUEUE_URL")?,
        grace: Duration::from_secs(setting("REPORT_GRACE_SECONDS")?),
    };
    let config = sdk::config()?;
    let clients = Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        ecs: aws_sdk_ecs::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
    };
    run(service_fn(|event: LambdaEvent<Event>| handler(&clients, &settings, event.payload))).await
}

struct Settings {
    stack: String,
    table: String,
    done_queue_url: String,
    /// How much later than the event the job hears of it.
    grace: Duration,
}

struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    ecs: aws_sdk_ecs::Client,
    sqs: aws_sdk_sqs::Client,
}

/// What has become of the event.
#[derive(Debug, Serialize)]
struct Handled {
    /// The class that was reported; none where the event says nothing new of any job.
    reported: Option<&'static str>,
}

#[tracing::instrument(skip_all, fields(event = event.id), err(level = "warn"))]
async fn handler(clients: &Clients, settings: &Settings, event: Event) -> Result<Handled, Error> {
    let ignored = |why: &str| {
        tracing::info!(why, "event ignored");
        Ok(Handled { reported: None })
    };
    let (Some(cluster), Some(name)) = (event.cluster(), event.service()) else {
        return ignored("it is not about a service");
    };
    if !name.starts_with(&format!("{}-", settings.stack)) || event.is_own_stop() {
        return ignored("it is another's, or a stop of Mayfly's own");
    }
    let Some((service, job)) = find_service(clients, settings, cluster, name).await? else {
        return ignored("its service is not this stack's, or gone");
    };
    let Some(loss) = classify::classify(&event, &service) else {
        return ignored("it is no failure");
    };
    let (turn, nonce, at_work) = match look_up(clients, settings, &job).await? {
        Known::Nothing => return Err(not_dispatched()),
        Known::Finished => return ignored("the job is finished"),
        Known::GoingOn { turn, nonce, at_work } => (turn, nonce, at_work),
    };
    let has_reported = at_work.as_deref() == event.task_arn();
    let loss = if has_reported { loss } else { classify::before_work(&event.body, loss) };
    let names = Names::new(&settings.stack, &job);
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
    let report =
        Report { job, turn, nonce, task_arn: event.task_arn().map(str::to_owned), news: News::Lost(loss) };
    send(clients, settings, &report).await?;
    Ok(Handled { reported: Some(class.name()) })
}

/// The service is there before its first order; Lambda tries an event again after a minute.
/// Source: Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation".
fn not_dispatched() -> Error {
    Error::Unavailable {
        doing: "could not tell the job of its loss".into(),
        detail: "nothing has been dispatched to this service yet".into(),
    }
}

/// The service of that name in the cluster, and the job that it belongs to. A job's own cluster may be gone by now.
async fn find_service(
    clients: &Clients,
    settings: &Settings,
    cluster: &str,
    name: &str,
) -> Result<Option<(Service, String)>, Error> {
    let describe =
        clients.ecs.describe_services().cluster(cluster).services(name).include(ServiceField::Tags);
    let described = match describe.send().await {
        Ok(described) => described,
        Err(error) if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::aws("describe the job's service")(error)),
    };
    let service = described.services.unwrap_or_default().into_iter().next();
    Ok(service.and_then(|service| {
        let tag = |key| service.tags().iter().find(|tag| tag.key() == Some(key))?.value().map(str::to_owned);
        let is_own = tag(tags::STACK).as_ref() == Some(&settings.stack);
        let job = tag(tags::JOB).filter(|_| is_own)?;
        Some((service, job))
    }))
}

/// What the table knows of a job that has a service.
enum Known {
    /// Its first order has not been written down yet.
    Nothing,
    /// It has a result.
    Finished,
    /// It is being worked at.
    GoingOn {
        turn: Turn,
        nonce: String,
        /// The task that has reported for this start.
        at_work: Option<String>,
    },
}

async fn look_up(clients: &Clients, settings: &Settings, job: &str) -> Result<Known, Error> {
    Ok(match Record::get(&clients.dynamodb, &settings.table, job).await? {
        None => Known::Nothing,
        Some(record) if record.find_text(record::RESULT).is_some() => Known::Finished,
        Some(record) => {
            let at_work = record.find_text(record::TASK_ARN).map(str::to_owned);
            Known::GoingOn {
                turn: record.json(record::TURN)?,
                nonce: record.text(record::NONCE)?.to_owned(),
                at_work,
            }
        }
    })
}

async fn send(clients: &Clients, settings: &Settings, report: &Report) -> Result<(), Error> {
    let body = serde_json::to_string(report)
        .map_err(|error| Error::internal("could not write the report", error))?;
    clients
        .sqs
        .send_message()
        .queue_url(&settings.done_queue_url)
        .message_body(body)
        .delay_seconds(i32::try_from(settings.grace.as_secs()).unwrap_or(i32::MAX))
        .send()
        .await
        .map_err(Error::aws("put the loss into the done queue"))?;
    Ok(())
}
