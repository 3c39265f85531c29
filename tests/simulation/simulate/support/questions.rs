//! What a behaviour asks of the account beside how a job went, and what it does there as a person or as the schedule would.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use local_states::execution::{Execution, Status};
use mayfly_simulation::lambda::{Function, Ran};
use serde_json::Value;

use crate::support::world::World;

/// How long after an execution's end a teardown of the rule has ended, where nothing is slow.
const RULE: Duration = Duration::from_mins(5);

impl World {
    /// Lets so much time pass.
    pub async fn pass(&self, time: Duration) {
        self.run.account.upstream.clock.sleep(time).await;
    }

    /// The function that comes from this folder of functions/.
    pub fn function(&self, folder: &str) -> Result<&Function> {
        let mut functions = self.run.stacks[0].functions.iter();
        functions.find(|function| function.folder == folder).with_context(|| format!("no function {folder}"))
    }

    /// What the function answers, or what it fails with.
    pub async fn invoke(&self, folder: &str, payload: &Value) -> Result<Result<Value, Value>> {
        let ran = self.run.account.lambda.invoke(&self.function(folder)?.arn, &payload.to_string()).await;
        Ok(match ran.map_err(|error| anyhow!("{folder} was not run: {error:?}"))? {
            Ran::Answered(answer) => Ok(serde_json::from_str(&answer)?),
            Ran::Threw(thrown) => Err(serde_json::from_str(&thrown)?),
        })
    }

    /// How many lines of the functions' logs have these words.
    pub fn said(&self, words: &str) -> usize {
        self.run.said.lines().iter().filter(|line| line.contains(words)).count()
    }

    /// One sweep, as the schedule starts it.
    pub async fn sweep(&self) -> Result<Value> {
        let event = serde_json::from_str(include_str!("../../../../events/sweep-expired.json"))?;
        self.invoke("sweep-expired", &event).await?.map_err(|error| anyhow!("the sweep failed: {error:#}"))
    }

    /// The teardowns of a job, the newest first, each with who has called it.
    pub fn teardowns(&self, job: &str) -> Vec<(String, Arc<Execution>)> {
        let all = self.run.account.step_functions.engine.executions(self.run.stacks[0].arn(TEAR_DOWN));
        let of_job = |execution: Arc<Execution>| {
            let input: Value = serde_json::from_str(&execution.input).unwrap_or_default();
            let caller = input["caller"].as_str().unwrap_or_default().to_owned();
            (input["job"] == job).then_some((caller, execution))
        };
        all.into_iter().filter_map(of_job).collect()
    }

    /// Waits for the end of the teardown that the rule on the job's end has started, and gives how it ended.
    pub async fn torn_down_by_rule(&self, job: &str) -> Result<Status> {
        self.until(&format!("the rule's teardown of {job}"), async || {
            let mut teardowns = self.teardowns(job).into_iter();
            Ok(teardowns.find_map(|(caller, teardown)| {
                let status = teardown.status();
                (caller == "job-ended-rule" && status != Status::Running).then_some(status)
            }))
        })
        .await
    }

    /// Makes sure that nothing is there any more when the teardowns of the rule, too, have ended.
    pub async fn nothing_left(&self) -> Result<()> {
        self.pass(RULE).await;
        let left = self.run.left().await?;
        ensure!(left.is_empty(), "this is left: {left:#?}");
        Ok(())
    }
}

const TEAR_DOWN: &str = "TearDownStateMachine";
