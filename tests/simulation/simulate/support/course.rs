//! How a job went: what it came to, and the starts, launches and tasks on the way there.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ecs::types::{DesiredStatus, Task};
use local_states::execution::{Execution, Status};
use mayfly_model::class::Class;
use mayfly_model::names::Names;
use mayfly_model::outcome::{JobFailure, JobResult, Outcome};
use mayfly_model::record;
use mayfly_model::turn::Turn;
use mayfly_simulation::run::{outcome, teardown};
use serde_json::Value;

use crate::support::history::{history, states_entered};
use crate::support::world::World;

/// An item of the table of jobs.
pub type Item = HashMap<String, AttributeValue>;

/// A job that has ended.
#[derive(Debug)]
pub struct Course {
    /// What it came to.
    pub outcome: Outcome,
    /// The last turn that was dispatched; nothing where none was.
    pub turn: Option<Turn>,
    /// What the machine did, in order.
    pub events: Vec<Value>,
    /// The same of the teardown that it called.
    pub teardown: Vec<Value>,
    /// All tasks that ECS has started for it, in order, as long as their cluster is there.
    pub tasks: Vec<Task>,
}

impl World {
    /// Waits for the end of a job that nobody stops, and makes sure of what all of them have in common: nothing of it is there
    /// when it is over.
    pub async fn course(&self, job: &str) -> Result<Course> {
        let execution = self.run.job(job).context("the job has been started")?;
        let outcome = self.outcome(&execution).await?;
        let failure = outcome.end.failure().map(|failure| failure.error.name().to_owned());
        let ending = execution.ending().context("it has ended")?.0;
        let status = if failure.is_none() { Status::Succeeded } else { Status::Failed };
        assert_eq!((&*outcome.job, ending.status, ending.error), (job, status, failure), "{outcome:#?}");
        assert_eq!(outcome.receipt.residual, []);
        assert_eq!(outcome.receipt.deleted, outcome.receipt.created);
        // A queue that was deleted may be listed for a minute, and another job has its own.
        let mut left = self.run.left().await?;
        left.retain(|what| self.run.is_idle() && !what.starts_with("queue "));
        ensure!(left.is_empty(), "this is left of {job}: {left:#?}");
        let own = teardown(&self.run.account, &self.run.stacks[0], job).context("a teardown of its own")?;
        Ok(Course {
            outcome,
            turn: self.turn(job).await?,
            events: history(&execution),
            teardown: history(&own),
            tasks: self.tasks(job).await?,
        })
    }

    /// Waits for the document that the execution ends with.
    pub async fn outcome(&self, execution: &Execution) -> Result<Outcome> {
        ensure!(self.run.ended(execution).await, "{} goes on and on", execution.name);
        outcome(execution).with_context(|| format!("this is no outcome: {:?}", execution.ending()))
    }

    /// What the table has of a job.
    pub async fn record(&self, job: &str) -> Result<Option<Item>> {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.run.account.root());
        let get = dynamodb.get_item().table_name(self.run.stacks[0].id("JobsTable"));
        let get = get.key(record::JOB, AttributeValue::S(job.to_owned()));
        Ok(get.consistent_read(true).send().await?.item)
    }

    /// The turn that was dispatched last.
    pub async fn turn(&self, job: &str) -> Result<Option<Turn>> {
        let record = self.record(job).await?;
        let turn = record.as_ref().and_then(|record| record.get(record::TURN)?.as_s().ok());
        Ok(turn.map(|turn| serde_json::from_str(turn)).transpose()?)
    }

    /// The tasks that ECS has started for a job so far, in order, as long as their cluster is there.
    pub async fn tasks(&self, job: &str) -> Result<Vec<Task>> {
        let ecs = aws_sdk_ecs::Client::new(&self.run.account.root());
        let stack = &self.run.stacks[0];
        let names = Names::new(&stack.name, job);
        let mut tasks = Vec::new();
        for cluster in [stack.arn("Cluster").to_owned(), names.cluster()] {
            for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
                let list = ecs.list_tasks().cluster(&cluster).family(names.family());
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
                    let described = ecs.describe_tasks().cluster(&cluster).set_tasks(arns).send().await?;
                    tasks.extend(described.tasks.unwrap_or_default());
                }
            }
        }
        tasks.sort_by_key(|task| task.created_at().map(|time| time.as_nanos()));
        Ok(tasks)
    }
}

impl Course {
    /// How often an order went out, and how many services there were.
    pub fn starts_and_launches(&self) -> (usize, usize) {
        let entered = |state| states_entered(&self.events).filter(|name| *name == state).count();
        (entered("DispatchJob"), entered("CreateService"))
    }

    /// Whether the machine has waited for anything until it lost patience.
    pub fn has_waited_in_vain(&self) -> bool {
        self.events.iter().any(|event| event.get("taskTimedOutEventDetails").is_some())
    }

    /// The last turn that was dispatched.
    pub fn turn(&self) -> Result<Turn> {
        self.turn.context("nothing was dispatched")
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

    /// What the tasks ran on, in order.
    pub fn providers(&self) -> Vec<&str> {
        self.tasks.iter().filter_map(Task::capacity_provider_name).collect()
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
