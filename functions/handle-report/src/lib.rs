//! HandleReport: the done queue's one consumer. A heartbeat keeps the wait state alive, a request for URLs is answered
//! through the mailbox, and a result or a loss is stored before Step Functions is told. A report without the job's
//! nonce changes nothing.

mod bounds;
mod parts;
mod signing;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sfn::operation::send_task_failure::SendTaskFailureError;
use aws_sdk_sfn::operation::send_task_heartbeat::SendTaskHeartbeatError;
use aws_sdk_sfn::operation::send_task_success::SendTaskSuccessError;
use futures_util::future::join_all;
use mayfly_jobs::{DataRole, Jobs, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, SdkConfig, Step};
use mayfly_model::class::Class;
use mayfly_model::job::Capacity;
use mayfly_model::message::{Failure, FileSize, Finished, Loss, News, Order, Progress, Report, SignedUrls};
use mayfly_model::parts::PartsWanted;
use mayfly_model::record::Stored;
use mayfly_model::shown::shown;
use mayfly_sqs::repeats::hidden_for;
use tracing::Instrument;

use crate::bounds::bounded;
use crate::parts::Beginner;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<HandleReport>();

/// The step.
pub struct HandleReport {
    jobs: Jobs,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    data_role: DataRole,
    sdk: SdkConfig,
    clock: Clock,
    done_queue_url: String,
}

impl Step for HandleReport {
    type Input = SqsEvent;
    type Output = SqsBatchResponse;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            sfn: aws_sdk_sfn::Client::new(environment.sdk()),
            sqs: aws_sdk_sqs::Client::new(environment.sdk()),
            data_role: DataRole::new(environment, "handle-report")?,
            sdk: environment.sdk().clone(),
            clock: environment.clock(),
            done_queue_url: environment.setting("DONE_QUEUE_URL")?,
        })
    }

    /// A message that fails comes back by itself; the others of the batch do not, and do not wait for it either.
    /// Source: Lambda developer guide, "Implementing partial batch responses".
    async fn run(&self, event: SqsEvent) -> Result<SqsBatchResponse, Error> {
        let handled = join_all(event.records.into_iter().map(|message| self.handle_message(message))).await;
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = handled.into_iter().flatten().collect();
        Ok(response)
    }
}

impl HandleReport {
    /// The failure, where the message is to come back.
    async fn handle_message(&self, message: SqsMessage) -> Option<BatchItemFailure> {
        let body = message.body.as_deref().unwrap_or_default();
        let report: Report = match serde_json::from_str(body) {
            Ok(report) => report,
            // What cannot be read today cannot be read tomorrow either.
            Err(error) => {
                tracing::error!(%error, bytes = body.len(), "report dropped: it cannot be read");
                return None;
            }
        };
        let span = tracing::info_span!("report", job = shown(&report.job), start = report.turn.start);
        let handling = async {
            let error = self.handle(report).await.err()?;
            tracing::error!(error_type = error.name(), %error, "report failed; it will be tried again");
            self.hide(&message).await;
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.clone().unwrap_or_default();
            Some(failure)
        };
        handling.instrument(span).await
    }

    /// Lets the message come back sooner than the queue's time-out for one whose handler has died.
    /// Source: SQS API Reference, `ChangeMessageVisibility`.
    async fn hide(&self, message: &SqsMessage) {
        let receives = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        let hidden = hidden_for(receives.unwrap_or(1)).as_secs();
        let change = self.sqs.change_message_visibility().queue_url(&self.done_queue_url);
        let change = change.set_receipt_handle(message.receipt_handle.clone());
        if let Err(error) = change.visibility_timeout(i32::try_from(hidden).unwrap_or(i32::MAX)).send().await
        {
            let error = Error::aws("hide the report for less long")(error);
            tracing::warn!(%error, "report comes back late");
        }
    }

    async fn handle(&self, report: Report) -> Result<(), Error> {
        let Some(job) = self.jobs.get(&report.job).await?.filter(|job| job.nonce == report.nonce) else {
            tracing::warn!("report dropped: its nonce is not the job's");
            return Ok(());
        };
        let report = bounded(report, &job);
        // A success of whichever start finishes the job; nothing else of an earlier start matters any more.
        let is_success = matches!(&report.news, News::Finished(finished) if finished.failure.is_none());
        if report.turn.start != job.turn.start && !is_success {
            tracing::info!(now = job.turn.start, "report dropped: another start is going on");
            return Ok(());
        }
        match &report.news {
            News::Heartbeat(progress) => self.note_progress(&job, &report, progress).await,
            News::UrlsWanted { downloads, uploads } => self.answer(&job, downloads, uploads).await,
            News::PageWanted { folder, after } => self.list(&job, folder, after.as_deref()).await,
            News::PartsWanted(wanted) => self.answer_parts(&job, wanted).await,
            News::Finished(Finished { failure: Some(failure), .. }) if failure.class.is_retryable() => {
                self.lose(&job, &report, &Loss { failure: failure.clone(), given_up: false }).await
            }
            News::Finished(finished) => self.finish(&job, &report, finished).await,
            News::Lost(loss) => {
                if is_old_news(&job, &report) {
                    tracing::info!(
                        class = loss.failure.class.name(),
                        "loss dropped: the job has got over it"
                    );
                    return Ok(());
                }
                self.lose(&job, &report, loss).await
            }
        }
    }

    async fn note_progress(&self, job: &Record, report: &Report, progress: &Progress) -> Result<(), Error> {
        self.jobs.store_progress(job, report, progress).await?;
        if !is_waited_for(&self.sfn, &job.token).await? {
            tracing::info!("heartbeat dropped: the start is over");
        }
        Ok(())
    }

    async fn answer(&self, job: &Record, downloads: &[String], uploads: &[FileSize]) -> Result<(), Error> {
        let order = Order::Urls(SignedUrls {
            start: job.turn.start,
            downloads: signing::downloads(&self.data_role, job, downloads).await?,
            uploads: signing::uploads(&self.data_role, job, uploads).await?,
        });
        if self.order(job, &order).await? {
            tracing::info!(downloads = downloads.len(), uploads = uploads.len(), "urls sent");
        }
        Ok(())
    }

    async fn list(&self, job: &Record, folder: &str, after: Option<&str>) -> Result<(), Error> {
        let Some(page) = signing::page(&self.data_role, job, folder, after).await? else {
            tracing::warn!(
                folder = shown(folder),
                "question dropped: the job has no such folder among its inputs"
            );
            return Ok(());
        };
        let objects = page.objects.len();
        if self.order(job, &Order::Page(page)).await? {
            tracing::info!(objects, "page sent");
        }
        Ok(())
    }

    async fn answer_parts(&self, job: &Record, wanted: &PartsWanted) -> Result<(), Error> {
        let Self { jobs, data_role: role, sdk, clock, .. } = self;
        let Some(signed) = (Beginner { role, jobs, sdk, clock }).answer(job, wanted).await? else {
            return Ok(());
        };
        let parts = signed.signatures.len();
        if self.order(job, &Order::Parts(signed)).await? {
            tracing::info!(parts, from = wanted.from, "parts sent");
        }
        Ok(())
    }

    /// Puts an order into the job's mailbox, and tells whether there still is one.
    async fn order(&self, job: &Record, order: &Order) -> Result<bool, Error> {
        let body = serde_json::to_string(order).map_err(|error| Error::internal("write the order", error))?;
        match self.sqs.send_message().queue_url(&job.mailbox).message_body(body).send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let is_missing = error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist());
                let error = Error::aws("put the URLs in the job's mailbox")(error);
                // The right depends on the mailbox's tags: SQS denies it when they are gone with the mailbox, and where it does
                // not see them yet.
                if is_missing || (matches!(error, Error::AccessDenied(_)) && self.is_over(job).await?) {
                    tracing::info!("urls dropped: the job is being torn down");
                    return Ok(false);
                }
                Err(error)
            }
        }
    }

    /// Whether nobody waits for the job's container any more.
    async fn is_over(&self, job: &Record) -> Result<bool, Error> {
        Ok(job.result.is_some() || !is_waited_for(&self.sfn, &job.token).await?)
    }

    /// The result is stored first: from then on a time-out, a lost heartbeat or a crash of this function loses nothing.
    async fn finish(&self, job: &Record, report: &Report, finished: &Finished) -> Result<(), Error> {
        let stored =
            Stored { turn: report.turn, task_arn: report.task_arn.clone(), finished: finished.clone() };
        self.jobs.store_result(job, report, &stored).await?;
        let now = self.read_again(job).await?;
        let class = finished.failure.as_ref().map(|failure| failure.class.name());
        if now.is_concluded {
            tracing::error!(failure = class, "result too late: the job was concluded without it");
            return Ok(());
        }
        let told = match &finished.failure {
            None => tell_success(&self.sfn, &now.token).await?,
            Some(failure) => tell_failure(&self.sfn, &now.token, failure).await?,
        };
        tracing::info!(told, failure = class, "result stored");
        Ok(())
    }

    /// The job as it is now, with the token that the state machine waits for. To be read after a result or a loss was
    /// stored: whoever dispatches or concludes later sees that.
    async fn read_again(&self, job: &Record) -> Result<Record, Error> {
        Ok(self.jobs.get(&job.job).await?.unwrap_or_else(|| job.clone()))
    }

    /// The start is lost, not the job.
    async fn lose(&self, job: &Record, report: &Report, loss: &Loss) -> Result<(), Error> {
        let Loss { failure, given_up } = loss;
        if !self.jobs.store_loss(job, report, loss).await? {
            tracing::info!(class = failure.class.name(), "loss dropped: the start is over");
            return Ok(());
        }
        // ECS goes on looking for room by itself until the start's time is up.
        let is_waiting =
            failure.class == Class::NoCapacity && !given_up && job.capacity != Capacity::SpotThenOnDemand;
        let token = self.read_again(job).await?.token;
        let told = !is_waiting && tell_failure(&self.sfn, &token, failure).await?;
        tracing::warn!(told, class = failure.class.name(), "start lost: {}", failure.message);
        Ok(())
    }
}

/// Whether ECS speaks of a task that is not the one that works at this start, or whose end is known.
fn is_old_news(job: &Record, report: &Report) -> bool {
    match &report.task_arn {
        Some(task) => job.ended_tasks.contains(task) || job.task_arn.as_ref().is_some_and(|now| now != task),
        None => job.task_arn.is_some(),
    }
}

/// Sends a heartbeat, and tells whether Step Functions still waits for the token.
async fn is_waited_for(sfn: &aws_sdk_sfn::Client, token: &str) -> Result<bool, Error> {
    match sfn.send_task_heartbeat().task_token(token).send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(SendTaskHeartbeatError::TaskTimedOut(_) | SendTaskHeartbeatError::TaskDoesNotExist(_)) => {
                Ok(false)
            }
            _ => Err(Error::aws("send a heartbeat to the state machine")(error)),
        },
    }
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
async fn tell_failure(sfn: &aws_sdk_sfn::Client, token: &str, failure: &Failure) -> Result<bool, Error> {
    let telling =
        sfn.send_task_failure().task_token(token).error(failure.class.name()).cause(&failure.message);
    match telling.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(SendTaskFailureError::TaskTimedOut(_) | SendTaskFailureError::TaskDoesNotExist(_)) => {
                Ok(false)
            }
            _ => Err(Error::aws("tell the state machine of a failure")(error)),
        },
    }
}
