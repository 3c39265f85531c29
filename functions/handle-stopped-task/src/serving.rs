//! What the end of a service's container means: ECS puts another in its place, unless too many have ended by themselves.

use mayfly_ecs::ServiceOfJob;
use mayfly_ecs::classify::{exit_code, of_end};
use mayfly_ecs::event::{Body, Event};
use mayfly_jobs::{ServiceRecord, Told};
use mayfly_lambda::error::Error;
use mayfly_model::class::Class;
use mayfly_model::names::Names;
use mayfly_model::outcome::{CAUSE_LIMIT, JobFailure};

use crate::HandleStoppedTask;

impl HandleStoppedTask {
    /// Takes in that a container of a service has stopped; the class of the failure where the service cannot stay up. What
    /// ECS says of a service that has not been ready yet is looked at by check-service.
    pub(crate) async fn serving(&self, event: &Event, found: &ServiceOfJob) -> Result<Option<Class>, Error> {
        let Body::Task(task) = &event.body else { return Ok(None) };
        let ended = of_end(task).filter(|_| !event.is_own_stop());
        let at = task.stopped_at.or(event.time);
        let told = Told {
            job: &found.job,
            expiry: found.expiry.or(at).unwrap_or_default(),
            task_arn: &task.task_arn,
        };
        let stopped = self.jobs.container_stopped(told, at.filter(|_| ended.is_some())).await?;
        // The same event again may find what a first try has written down, and not told.
        let record = match stopped {
            Some(record) => Some(record),
            None => self.jobs.service(&found.job).await?,
        };
        let (Some(record), Some((class, told))) = (record, ended) else { return Ok(None) };
        if !record.containers.cannot_stay_up() || record.is_ending {
            tracing::info!(job = found.job, "container stopped: {told}");
            return Ok(None);
        }
        let names = Names::new(&self.stack, &found.job);
        let failure = JobFailure {
            exit_code: exit_code(task),
            output: self.log.last_lines(&names, &task.task_arn).await?,
            task_arn: Some(task.task_arn.clone()),
            ..JobFailure::of_job(
                class,
                format!("three containers ended within five minutes; the last: {told}"),
            )
        };
        tracing::warn!(job = found.job, class = class.name(), "service failed: {}", failure.message);
        // A first try may have written it down and told nobody.
        self.jobs.fail_service(&found.job, &failure).await?;
        self.end_wait(&record, &failure).await?;
        Ok(Some(class))
    }

    /// Where the state machine does not wait, it finds the failure by itself.
    async fn end_wait(&self, record: &ServiceRecord, failure: &JobFailure) -> Result<(), Error> {
        let Some(token) = &record.token else { return Ok(()) };
        let cause: String = failure.message.chars().take(CAUSE_LIMIT).collect();
        let send = self.sfn.send_task_failure().task_token(token).error(failure.error.name()).cause(cause);
        match send.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_task_timed_out() || e.is_invalid_token() || e.is_task_does_not_exist() => {
                    Ok(())
                }
                _ => Err(Error::aws("tell the state machine that the service cannot stay up")(error)),
            },
        }
    }
}
