//! What an interpreter needs of the world outside: the machines' definitions, functions, and buses.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use serde_json::Value;

use crate::language::failure::Failure;

/// A state machine as it was deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// `arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`.
    pub arn: String,
    /// The text of its definition.
    pub definition: String,
    /// The role that its executions act as.
    pub role: String,
    /// Changes with each update; a machine that was never updated has none.
    pub revision: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: f64,
    /// Its tags, for conditions of policies.
    pub tags: BTreeMap<String, String>,
}

impl Source {
    /// The last part of the ARN.
    pub fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or_default()
    }
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// The payload, JSON.
    pub payload: String,
    /// Whether the function threw; the payload then says what.
    pub threw: bool,
    /// The version that ran.
    pub version: String,
}

/// Everything that the interpreter needs of others. MiniStack is the real one; tests script their own.
pub trait World: Send + Sync + 'static {
    /// The least real time that a task has for its work, unless its own time-out is shorter: functions do not run
    /// faster with the clock, and a busy machine would fail them.
    const WORK_TIME: Duration = Duration::ZERO;

    /// The machine of this ARN, as deployed now.
    fn machine(&self, arn: &str) -> impl Future<Output = anyhow::Result<Option<Source>>> + Send;

    /// The ARNs of all machines.
    fn machines(&self) -> impl Future<Output = anyhow::Result<Vec<String>>> + Send;

    /// Invokes a function as `role`. The failure is that of the Invoke call, named as in a machine (`Lambda.…`).
    fn invoke(
        &self,
        role: &str,
        function: &str,
        payload: &Value,
    ) -> impl Future<Output = Result<Invoked, Failure>> + Send;

    /// Puts the entries of one `events:putEvents` task on their bus as `role`; gives PutEvents' answer.
    fn put_events(
        &self,
        role: &str,
        entries: &[Value],
    ) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Puts a "Step Functions Execution Status Change" on the default bus.
    fn announce(&self, execution_arn: &str, detail: Value);
}
