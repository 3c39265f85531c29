//! SweepExpired: on a schedule, finds what every other teardown has missed. A job that ended a while ago and still has
//! resources gets a teardown; one past its expiry that still runs is stopped, and the stack's rule does the rest.

mod due;
mod jobs;

use std::collections::BTreeSet;

use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use mayfly_ecs::of_stack;
use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_lambda::search::{SIDE_BY_SIDE, Search};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::names::Names;
use mayfly_model::plan::TEARDOWN;
use mayfly_model::tags::Tagged;
use mayfly_sqs::mailboxes_of_stack;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::due::{Due, Execution};
use crate::jobs::{Found, Job};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<SweepExpired>();

/// The step.
pub struct SweepExpired {
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    jobs: Jobs,
    stack: String,
    cluster: String,
    /// The ARN of an execution of run-job, up to its name.
    run_job_executions: String,
    /// The ARN of tear-down.
    tear_down: String,
    clock: Clock,
}

/// What the schedule sends has nothing of this.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Input {
    /// Only to tell what is found, for whoever is about to delete the stack.
    look_only: bool,
}

/// What was found and done, by job.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Those that have anything, running ones included.
    found: BTreeSet<String>,
    stopped: BTreeSet<String>,
    torn_down: BTreeSet<String>,
    /// What bears the stack's tag and no job's, in words: nobody knows what becomes of it.
    strays: BTreeSet<String>,
}

impl Step for SweepExpired {
    type Input = Input;
    type Output = Swept;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(environment.sdk()),
            sfn: aws_sdk_sfn::Client::new(environment.sdk()),
            sqs: aws_sdk_sqs::Client::new(environment.sdk()),
            jobs: Jobs::new(environment)?,
            stack: environment.setting("STACK_NAME")?,
            cluster: environment.setting("CLUSTER_ARN")?,
            run_job_executions: environment.setting("RUN_JOB_EXECUTION_PREFIX")?,
            tear_down: environment.setting("TEAR_DOWN_MACHINE_ARN")?,
            clock: environment.clock(),
        })
    }

    /// Fails at its end where anything has failed, so that it is seen and Lambda tries again.
    /// Source: Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation".
    async fn run(&self, input: Input) -> Result<Swept, Error> {
        let (seen, swept) = (BTreeSet::new(), Swept::default());
        let mut sweep = Sweep { step: self, look_only: input.look_only, seen, swept, failure: None };
        // What costs most comes first, and is swept before the rest is searched for: time may run out.
        sweep.take(self.networks().await).await;
        sweep.take(mayfly_elb::of_stack::load_balancers(&self.elb).await).await;
        sweep.take(of_stack::services(&self.ecs, &self.cluster).await).await;
        // A service in a job's own cluster needs no search, because the cluster cannot go first.
        // Source: ECS API Reference, `DeleteCluster`.
        sweep.take(of_stack::clusters(&self.ecs, &self.stack).await).await;
        sweep.take(mailboxes_of_stack(&self.sqs, &self.stack).await).await;
        sweep.take(mayfly_elb::of_stack::target_groups(&self.elb).await).await;
        sweep.take(of_stack::task_definitions(&self.ecs, &self.stack).await).await;
        sweep
            .take_found(match self.uploading().await {
                Ok(jobs) => Found { jobs, ..Found::default() },
                Err(error) => Found { failures: vec![error], ..Found::default() },
            })
            .await;
        let Sweep { swept, failure, .. } = sweep;
        let Swept { found, stopped, torn_down, strays } = &swept;
        tracing::info!(found = found.len(), ?stopped, ?torn_down, strays = strays.len(), "jobs swept");
        failure.map_or(Ok(swept), Err)
    }
}

struct Sweep<'a> {
    step: &'a SweepExpired,
    look_only: bool,
    seen: BTreeSet<Job>,
    swept: Swept,
    /// The first one.
    failure: Option<Error>,
}

impl Sweep<'_> {
    /// Sweeps what a search has found and no other before it.
    async fn take(&mut self, search: Search<Tagged>) {
        let found = self.step.owners(search);
        self.take_found(found).await;
    }

    async fn take_found(&mut self, Found { jobs, strays, failures }: Found) {
        for error in failures {
            tracing::error!(%error, "search failed");
            self.failure.get_or_insert(error);
        }
        for stray in strays {
            tracing::warn!(stray, "resource passed over");
            self.swept.strays.insert(stray);
        }
        self.swept.found.extend(jobs.iter().map(|job| job.id.clone()));
        if self.look_only {
            return;
        }
        let step = self.step;
        let new: Vec<Job> = jobs.difference(&self.seen).cloned().collect();
        let sweeps: Vec<_> = new.iter().map(async |job| (job, sweep(step, job).await)).collect();
        let mut sweeps = stream::iter(sweeps).buffer_unordered(SIDE_BY_SIDE);
        while let Some((job, done)) = sweeps.next().await {
            match done {
                Ok(Due::Nothing) => {}
                Ok(Due::Stop) => _ = self.swept.stopped.insert(job.id.clone()),
                Ok(Due::TearDown) => _ = self.swept.torn_down.insert(job.id.clone()),
                Err(error) => {
                    tracing::error!(job = job.id, %error, "job not swept");
                    self.failure.get_or_insert(error);
                }
            }
        }
        self.seen.extend(jobs);
    }
}

/// Does what is due, and tells what it was.
async fn sweep(step: &SweepExpired, job: &Job) -> Result<Due, Error> {
    let execution = execution(step, job).await?;
    let due = due::due(execution, job.expiry, step.clock.now());
    match due {
        Due::Nothing => {}
        _ if execution.may_run() && is_put_off(step, job).await? => return Ok(Due::Nothing),
        Due::Stop => stop(step, job).await?,
        Due::TearDown => tear_down(step, job).await?,
    }
    Ok(due)
}

/// Whether a service's end has been put off: tags stay as they were, and the record says until when it lasts.
async fn is_put_off(step: &SweepExpired, job: &Job) -> Result<bool, Error> {
    let end = step.jobs.service(&job.id).await?.and_then(|record| record.end);
    Ok(end.is_some_and(|end| end + TEARDOWN >= step.clock.now()))
}

/// Step Functions forgets an execution 90 days after its end.
/// Source: Step Functions developer guide, "Service quotas", execution history retention time.
async fn execution(step: &SweepExpired, job: &Job) -> Result<Execution, Error> {
    let Some(arn) = &job.execution else { return Ok(Execution::Unnamed) };
    let described = step.sfn.describe_execution().execution_arn(arn).send().await;
    match described {
        Ok(execution) if execution.status == ExecutionStatus::Running => Ok(Execution::Running),
        Ok(execution) => {
            let at = execution.stop_date.and_then(|date| Timestamp::from_second(date.secs()).ok());
            Ok(Execution::Ended(at))
        }
        Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) => {
            Ok(Execution::Unknown)
        }
        Err(error) => Err(Error::aws("describe the job's execution")(error)),
    }
}

async fn stop(step: &SweepExpired, job: &Job) -> Result<(), Error> {
    step.sfn
        .stop_execution()
        .set_execution_arn(job.execution.clone())
        .error("Expired")
        .cause("the job is past its expiry")
        .send()
        .await
        .map_err(Error::aws("stop a job that is past its expiry"))?;
    tracing::warn!(job = job.id, "job stopped: it is past its expiry");
    Ok(())
}

async fn tear_down(step: &SweepExpired, job: &Job) -> Result<(), Error> {
    let started = step
        .sfn
        .start_execution()
        .state_machine_arn(&step.tear_down)
        .name(Names::new(&step.stack, &job.id).sweep(step.clock.now()))
        .input(json!({ "job": job.id, "caller": "sweep-expired" }).to_string())
        .send()
        .await;
    match started {
        Ok(_) => tracing::warn!(job = job.id, "teardown started: the job has ended and left something"),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_already_exists()) => {}
        Err(error) => return Err(Error::aws("start a teardown")(error)),
    }
    Ok(())
}
