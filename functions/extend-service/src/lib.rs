//! ExtendService: puts the end of a service off. The record has the end, and the state machine measures anew as soon as its
//! token comes back, or at the end that was.

use jiff::{SignedDuration, Timestamp};
use mayfly_jobs::{Jobs, ServiceRecord};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::names::deserialize_job_id;
use mayfly_model::service::{LONGEST, Ready};
use serde::Deserialize;

/// How often a service is extended. Each time is 13 events of the history, and at most 49 where every try of both states
/// fails but the last: 500 are 6,500 of a history's 25,000 events, at most 24,500.
/// Source: Step Functions developer guide, "Service quotas", maximum execution history size.
const EXTENSIONS_LIMIT: u32 = 500;

/// How often the end is put off anew because others put it off at the same time.
const TRIES: usize = 5;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<ExtendService>();

/// The step.
pub struct ExtendService {
    jobs: Jobs,
    sfn: aws_sdk_sfn::Client,
    stack: String,
    clock: Clock,
}

/// What a person asks for.
#[derive(Debug, Deserialize)]
pub struct Input {
    #[serde(deserialize_with = "deserialize_job_id")]
    job: String,
    /// How much longer, in minutes.
    minutes: u32,
}

impl Step for ExtendService {
    type Input = Input;
    type Output = Ready;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            sfn: aws_sdk_sfn::Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// Says until when the service can be called now.
    #[tracing::instrument(skip_all, fields(job = input.job, minutes = input.minutes), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Ready, Error> {
        let Self { jobs, stack, clock, .. } = self;
        for _ in 0..TRIES {
            let known = jobs.service(&input.job).await?;
            let known = known.ok_or_else(|| refused(&input.job, "is not a service that can be called"))?;
            let end = later(&known, input.minutes, clock.now())?;
            self.check_execution(&known).await?;
            self.check_wait(&known).await?;
            if jobs.extend_service(&known, end).await? {
                self.tell(&known).await?;
                let mut extended = known;
                extended.end = Some(end);
                let ready = extended.ready(stack);
                tracing::info!(%end, "service extended");
                return ready.ok_or_else(|| Error::internal("extend the service", "its record is not whole"));
            }
        }
        Err(Error::unavailable("extend the service", "others keep changing it"))
    }
}

fn refused(job: &str, why: &str) -> Error {
    Error::InvalidJob(format!("job {job} {why}"))
}

/// The end that the service is to have.
fn later(known: &ServiceRecord, minutes: u32, now: Timestamp) -> Result<Timestamp, Error> {
    let (Some(begun), Some(end)) = (known.begun, known.end) else {
        return Err(refused(&known.job, "is not ready yet; extend it when it is"));
    };
    if known.is_ending || known.failure.is_some() || end <= now {
        return Err(refused(&known.job, "is ending, and cannot be extended any more"));
    }
    if known.extensions >= EXTENSIONS_LIMIT {
        return Err(refused(
            &known.job,
            &format!("has been extended {EXTENSIONS_LIMIT} times, and cannot be any more"),
        ));
    }
    let most = (begun + LONGEST).duration_since(end).as_mins();
    if minutes == 0 || i64::from(minutes) > most {
        return Err(Error::InvalidJob(format!(
            "minutes: given {minutes}; allowed: 1 to {most}, since a service lasts 7 days in all and job {} was ready at \
             {begun}",
            known.job
        )));
    }
    Ok(end + SignedDuration::from_mins(minutes.into()))
}

impl ExtendService {
    /// A service whose execution was stopped has a record that nobody has ended.
    async fn check_execution(&self, known: &ServiceRecord) -> Result<(), Error> {
        let described = self.sfn.describe_execution().set_execution_arn(known.execution.clone()).send().await;
        let status = match described {
            Ok(described) if described.status.as_str() == "RUNNING" => return Ok(()),
            Ok(described) => described.status.as_str().to_owned(),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) => {
                "its execution is not known any more".to_owned()
            }
            Err(error) => return Err(Error::aws("look at the service's execution")(error)),
        };
        Err(refused(&known.job, &format!("has ended: {status}")))
    }

    /// An execution that runs may be at its teardown, after a failure that no record has. It does not wait then, nor for a
    /// moment after each extension. A heartbeat asks, and changes nothing where a state has no `HeartbeatSeconds`.
    /// Source: Step Functions API Reference, `SendTaskHeartbeat`.
    async fn check_wait(&self, known: &ServiceRecord) -> Result<(), Error> {
        let Some(token) = &known.token else { return Ok(()) };
        match self.sfn.send_task_heartbeat().task_token(token).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_task_timed_out() || e.is_invalid_token() || e.is_task_does_not_exist() => {
                    let why = "is not waited for: it is ending, or was extended a moment ago; look again in a minute";
                    Err(refused(&known.job, why))
                }
                _ => Err(Error::aws("ask whether the service is waited for")(error)),
            },
        }
    }

    /// Where the state machine does not wait, or not with this token any more, it measures anew by itself.
    async fn tell(&self, known: &ServiceRecord) -> Result<(), Error> {
        let Some(token) = &known.token else { return Ok(()) };
        match self.sfn.send_task_success().task_token(token).output("{}").send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_task_timed_out() || e.is_invalid_token() || e.is_task_does_not_exist() => {
                    Ok(())
                }
                _ => Err(Error::aws("tell the state machine of the service's new end")(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_extended_so_often_and_no_more() {
        let now = Timestamp::UNIX_EPOCH;
        let later = |extensions| {
            let mut known = ServiceRecord::new("a");
            known.begun = Some(now);
            known.end = Some(now + SignedDuration::from_mins(5));
            known.extensions = extensions;
            later(&known, 1, now).map_err(|error| error.to_string())
        };
        assert_eq!(later(EXTENSIONS_LIMIT - 1), Ok(now + SignedDuration::from_mins(6)));
        let refusal = "job a has been extended 500 times, and cannot be any more".to_owned();
        assert_eq!(later(EXTENSIONS_LIMIT), Err(refusal));
    }
}
