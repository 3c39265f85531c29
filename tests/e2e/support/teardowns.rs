//! The teardowns of a job, whoever calls them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use crate::support::world::{World, machine, until};

/// What is known of all teardowns.
#[derive(Default)]
pub struct Teardowns {
    /// The inputs of those seen so far, by ARN: they never change.
    inputs: Mutex<HashMap<String, Value>>,
    /// In the names of those that tests start, so that a job can be torn down again.
    counter: AtomicU32,
}

/// One execution of tear-down.
#[derive(Clone, Debug)]
pub struct Teardown {
    pub arn: String,
    pub caller: String,
    pub status: ExecutionStatus,
}

impl World {
    /// Tears a job down as a person does, and waits for the success.
    pub async fn tear_down(&self, job: &str) -> Result<()> {
        let arn = self.start_teardown(job).await?;
        let status = self.ended(&arn).await?.status;
        ensure!(status == ExecutionStatus::Succeeded, "the teardown of {job} has ended as {status:?}");
        Ok(())
    }

    /// Starts an execution of tear-down as a person does.
    pub async fn start_teardown(&self, job: &str) -> Result<String> {
        let name = format!("{job}-{}", self.known_teardowns.counter.fetch_add(1, Ordering::Relaxed));
        Ok(self.try_start(&machine("tear-down"), &name, &json!({ "job": job })).await?)
    }

    /// All teardowns of a job, the newest first.
    pub async fn teardowns(&self, job: &str) -> Result<Vec<Teardown>> {
        let mut teardowns = Vec::new();
        for (arn, status) in self.executions(&machine("tear-down")).await? {
            let input = self.teardown_input(&arn).await?;
            if input["job"] == job {
                let caller = input["caller"].as_str().unwrap_or_default().to_owned();
                teardowns.push(Teardown { arn, caller, status });
            }
        }
        Ok(teardowns)
    }

    /// Waits until the teardown that the rule on the job's end has started has succeeded.
    pub async fn torn_down_by_rule(&self, job: &str) -> Result<()> {
        let teardown = until(&format!("the rule's teardown of {job}"), || async {
            let mut teardowns = self.teardowns(job).await?.into_iter();
            Ok(teardowns.find(|t| t.caller == "job-ended-rule" && t.status != ExecutionStatus::Running))
        })
        .await?;
        ensure!(teardown.status == ExecutionStatus::Succeeded, "the rule's teardown of {job} has failed");
        Ok(())
    }

    async fn teardown_input(&self, arn: &str) -> Result<Value> {
        let known =
            || self.known_teardowns.inputs.lock().expect("no thread panics while it holds the inputs");
        if let Some(input) = known().get(arn) {
            return Ok(input.clone());
        }
        let execution = self.states.describe_execution().execution_arn(arn).send().await?;
        let input: Value = serde_json::from_str(execution.input().unwrap_or("null"))?;
        known().insert(arn.to_owned(), input.clone());
        Ok(input)
    }
}
