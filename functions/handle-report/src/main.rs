//! HandleReport: the done queue's one consumer. A heartbeat keeps the wait state alive, a request for URLs is answered
//! through the mailbox, and a result is stored before Step Functions is told. A report without the attempt's nonce
//! changes nothing.

mod jobs;
mod signing;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use aws_sdk_sfn::operation::send_task_failure::SendTaskFailureError;
use aws_sdk_sfn::operation::send_task_heartbeat::SendTaskHeartbeatError;
use aws_sdk_sfn::operation::send_task_success::SendTaskSuccessError;
use lambda_runtime::tracing::Instrument;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::message::{FileSize, Finished, News, Order, Progress, Report, SignedUrls};
use mayfly_common::sdk;
use mayfly_common::settings::setting;

use crate::jobs::{Job, Jobs};

/// The longest `cause` of `SendTaskFailure`, in characters.
/// Source: Step Functions API Reference, `SendTaskFailure`.
const CAUSE_LIMIT: usize = 32_768;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings { data_role: setting("DATA_ROLE_ARN")?, region: setting("AWS_REGION")? };
    let config = sdk::config()?;
    let clients = Clients {
        jobs: Jobs::new(&config, setting("JOBS_TABLE")?),
        sfn: aws_sdk_sfn::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        endpoint: config.endpoint_url().map(str::to_owned),
    };
    run(service_fn(|event: LambdaEvent<SqsEvent>| handler(&clients, &settings, event.payload))).await
}

struct Settings {
    data_role: String,
    region: String,
}

struct Clients {
    jobs: Jobs,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    sts: aws_sdk_sts::Client,
    /// The origin of a local cloud.
    endpoint: Option<String>,
}

/// A message that fails comes back by itself; the others of the batch do not.
/// Source: Lambda developer guide, "Implementing partial batch responses".
async fn handler(clients: &Clients, settings: &Settings, event: SqsEvent) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let body = message.body.unwrap_or_default();
        let report: Report = match serde_json::from_str(&body) {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, bytes = body.len(), "report dropped: it cannot be read");
                continue;
            }
        };
        let span = tracing::info_span!("report", job = report.job, attempt = report.attempt);
        if let Err(error) = handle(clients, settings, report).instrument(span).await {
            tracing::error!(error_type = error.name(), %error, "report failed; it will be tried again");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

async fn handle(clients: &Clients, settings: &Settings, report: Report) -> Result<(), Error> {
    let Some(job) = clients.jobs.find(&report).await? else {
        tracing::warn!("report dropped: its nonce is not that of the attempt");
        return Ok(());
    };
    match report.news {
        News::Heartbeat(progress) => note_progress(clients, &job, &report.task_arn, &progress).await,
        News::UrlsWanted { downloads, uploads } => {
            answer(clients, settings, &job, &downloads, &uploads).await
        }
        News::Finished(finished) => finish(clients, &job, &report.task_arn, &finished).await,
    }
}

async fn note_progress(
    clients: &Clients,
    job: &Job,
    task_arn: &str,
    progress: &Progress,
) -> Result<(), Error> {
    clients.jobs.store_progress(job, task_arn, progress).await?;
    match clients.sfn.send_task_heartbeat().task_token(&job.token).send().await {
        Ok(_) => Ok(()),
        Err(error) => match error.as_service_error() {
            Some(SendTaskHeartbeatError::TaskTimedOut(_) | SendTaskHeartbeatError::TaskDoesNotExist(_)) => {
                tracing::info!("heartbeat dropped: the attempt is over");
                Ok(())
            }
            _ => Err(Error::aws("send a heartbeat to the state machine")(error)),
        },
    }
}

async fn answer(
    clients: &Clients,
    settings: &Settings,
    job: &Job,
    downloads: &[String],
    uploads: &[FileSize],
) -> Result<(), Error> {
    let order = Order::Urls(SignedUrls {
        attempt: job.attempt,
        nonce: job.nonce.clone(),
        downloads: signing::downloads(clients, settings, &job.task, downloads).await?,
        uploads: signing::uploads(clients, settings, &job.task, uploads).await?,
    });
    let body =
        serde_json::to_string(&order).map_err(|error| Error::internal("could not write the order", error))?;
    match clients.sqs.send_message().queue_url(&job.mailbox).message_body(body).send().await {
        Ok(_) => {
            tracing::info!(downloads = downloads.len(), uploads = uploads.len(), "urls sent");
            Ok(())
        }
        Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {
            tracing::info!("urls dropped: the job is being torn down");
            Ok(())
        }
        Err(error) => Err(Error::aws("put the URLs in the job's mailbox")(error)),
    }
}

/// The result is stored first: from then on a time-out, a lost heartbeat or a crash of this function loses nothing.
async fn finish(clients: &Clients, job: &Job, task_arn: &str, finished: &Finished) -> Result<(), Error> {
    clients.jobs.store_result(job, task_arn, finished).await?;
    let told = match &finished.failure {
        None => tell_success(&clients.sfn, &job.token).await?,
        Some(failure) => {
            let cause: String = failure.message.chars().take(CAUSE_LIMIT).collect();
            tell_failure(&clients.sfn, &job.token, failure.class.name(), cause).await?
        }
    };
    tracing::info!(told, failure = finished.failure.as_ref().map(|f| f.class.name()), "result stored");
    Ok(())
}

/// Whether Step Functions was still waiting.
async fn tell_success(sfn: &aws_sdk_sfn::Client, token: &str) -> Result<bool, Error> {
    match sfn.send_task_success().task_token(token).output("{}").send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(SendTaskSuccessError::TaskTimedOut(_) | SendTaskSuccessError::TaskDoesNotExist(_)) => {
                Ok(false)
            }
            _ => Err(Error::aws("tell the state machine of a success")(error)),
        },
    }
}

/// Whether Step Functions was still waiting.
async fn tell_failure(
    sfn: &aws_sdk_sfn::Client,
    token: &str,
    error: &str,
    cause: String,
) -> Result<bool, Error> {
    match sfn.send_task_failure().task_token(token).error(error).cause(cause).send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(SendTaskFailureError::TaskTimedOut(_) | SendTaskFailureError::TaskDoesNotExist(_)) => {
                Ok(false)
            }
            _ => Err(Error::aws("tell the state machine of a failure")(error)),
        },
    }
}
