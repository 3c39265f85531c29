//! How a job went: what it came to, and the starts, launches and tasks on the way there.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, NetworkInterface};
use aws_sdk_ecs::types::{DesiredStatus, Task};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use local_ecs::Rule;
use mayfly_model::class::Class;
use mayfly_model::names::Names;
use mayfly_model::outcome::{JobFailure, JobResult, Outcome, Status};
use serde_json::Value;

use crate::support::history::states_entered;
use crate::support::world::{self, STACK, World, job_arn, repository, until};

/// A job that has ended.
pub struct Course {
    pub outcome: Outcome,
    /// What the machine did, in order.
    pub events: Vec<HistoryEvent>,
    /// All tasks that ECS has started for it, in order.
    pub tasks: Vec<Task>,
}

/// Runs a job that has these faults.
pub async fn run(
    world: &World,
    job: &str,
    document: &Value,
    faults: impl IntoIterator<Item = Rule>,
) -> Result<Course> {
    world.cloud().ecs_faults().add(job, faults);
    world.start_job(job, document).await?;
    of(world, job).await
}

/// A job of events/, and what goes wrong with it.
pub struct Sample {
    document: Value,
    faults: Vec<Rule>,
}

/// Reads a job of events/, with the faults beside it where there are any.
pub fn sample(file: &str) -> Result<Sample> {
    let faults = Path::new(file).with_extension("faults.json").display().to_string();
    let has_faults = repository().join("events").join(&faults).exists();
    let faults = if has_faults { serde_json::from_value(world::sample(&faults)?)? } else { Vec::new() };
    Ok(Sample { document: world::sample(file)?, faults })
}

impl Sample {
    /// Starts it, with the stack's own network in its placeholders.
    pub async fn start(self, world: &World, job: &str) -> Result<()> {
        let document = world.cloud().fill_in(&self.document.to_string(), STACK).await?;
        world.cloud().ecs_faults().add(job, self.faults);
        world.start_job(job, &serde_json::from_str(&document)?).await?;
        Ok(())
    }

    /// Runs it to its end.
    pub async fn run(self, world: &World, job: &str) -> Result<Course> {
        self.start(world, job).await?;
        of(world, job).await
    }
}

/// Waits for the end of a job, and makes sure of what all jobs have in common.
pub async fn of(world: &World, job: &str) -> Result<Course> {
    let arn = job_arn(job);
    let execution = world.ended(&arn).await?;
    let outcome = world::outcome(&execution)?;
    assert_eq!(outcome.job, job);
    let failure = outcome.end.failure().map(|failure| failure.error.name());
    let (status, ended_as) = match failure {
        None => (Status::Succeeded, ExecutionStatus::Succeeded),
        Some(_) => (Status::Failed, ExecutionStatus::Failed),
    };
    assert_eq!((outcome.end.status(), execution.status()), (status, &ended_as), "{outcome:#?}");
    assert_eq!(
        (outcome.end.result().is_some(), execution.error()),
        (failure.is_none(), failure),
        "{outcome:#?}"
    );
    assert_eq!(outcome.receipt.residual, []);
    assert_eq!(outcome.receipt.deleted, outcome.receipt.created);
    world.nothing_left(job).await?;

    Ok(Course { outcome, events: world.history(&arn).await?, tasks: tasks(world, job).await? })
}

/// The tasks that ECS has started for a job so far, in order, as long as their cluster is there.
pub async fn tasks(world: &World, job: &str) -> Result<Vec<Task>> {
    let names = Names::new(STACK, job);
    let mut tasks = Vec::new();
    for cluster in [world.cluster().await?, names.cluster()] {
        for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let list = world.ecs.list_tasks().cluster(&cluster).family(names.family());
            let arns = match list.desired_status(desired).send().await {
                Ok(listed) => listed.task_arns,
                // Most jobs have no cluster of their own.
                Err(error)
                    if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) =>
                {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if arns.as_ref().is_some_and(|arns| !arns.is_empty()) {
                let described = world.ecs.describe_tasks().cluster(&cluster).set_tasks(arns).send().await?;
                tasks.extend(described.tasks.unwrap_or_default());
            }
        }
    }
    tasks.sort_by_key(|task| task.created_at().map(|time| time.as_nanos()));
    Ok(tasks)
}

/// The network interface of the job's first task, while the task lives.
pub async fn interface(world: &World, job: &str) -> Result<NetworkInterface> {
    let id = until("the task's network interface", || async {
        let tasks = tasks(world, job).await?;
        let details = tasks.iter().flat_map(Task::attachments).flat_map(|attachment| attachment.details());
        let mut ids = details.filter(|detail| detail.name() == Some("networkInterfaceId"));
        Ok(ids.find_map(|detail| detail.value().map(str::to_owned)))
    })
    .await?;
    let by_id = Filter::builder().name("network-interface-id").values(&id).build();
    let found = world.ec2.describe_network_interfaces().filters(by_id).send().await?.network_interfaces;
    found.unwrap_or_default().pop().with_context(|| format!("{id} is gone"))
}

impl Course {
    /// How often an order went out, and how many services there were.
    pub fn starts_and_launches(&self) -> (usize, usize) {
        let entered = |state| states_entered(&self.events).filter(|name| *name == state).count();
        (entered("DispatchJob"), entered("CreateService"))
    }

    /// Whether the machine has waited for anything until it lost patience.
    pub fn has_waited_in_vain(&self) -> bool {
        self.events.iter().any(|event| event.task_timed_out_event_details().is_some())
    }

    /// The result of a job that has succeeded.
    pub fn result(&self) -> Result<&JobResult> {
        self.outcome.end.result().with_context(|| format!("{:#?}", self.outcome))
    }

    /// The failure of a job that has failed with `class` in this attempt.
    pub fn failure(&self, class: Class, attempt: Option<u32>) -> Result<&JobFailure> {
        let failure = self.outcome.end.failure().with_context(|| format!("{:#?}", self.outcome))?;
        assert_eq!((failure.error, failure.attempt), (class, attempt), "{failure:#?}");
        Ok(failure)
    }

    /// Makes sure that every service began when the tasks of the one before had stopped.
    pub fn assert_one_service_at_a_time(&self) {
        let services: BTreeSet<_> = self.tasks.iter().filter_map(Task::group).collect();
        assert_eq!(services.len(), self.starts_and_launches().1, "every service has had a task");
        for pair in self.tasks.windows(2) {
            let [before, after] = pair else { continue };
            if before.group() != after.group() {
                let earlier = self.tasks.iter().filter(|task| task.created_at() < after.created_at());
                let stopped: Vec<_> = earlier.map(Task::stopped_at).collect();
                assert!(
                    stopped.iter().all(|at| at.is_some() && *at <= after.created_at()),
                    "{:#?}",
                    self.tasks
                );
            }
        }
    }
}
