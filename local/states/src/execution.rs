//! One execution: its status, and its history as GetExecutionHistory has it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use local_aws::clock::Clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::language::definition::Definition;
use crate::language::failure::Failure;
use crate::language::fault::RUNTIME;
use crate::world::Source;

/// The most events of a history, after which the execution fails (Service quotas, "Maximum execution history size").
const MAX_EVENTS: usize = 25_000;
/// Above this many bytes an event on the bus leaves data out
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>: 248 KiB, escaped).
const MAX_ANNOUNCED: usize = 248 * 1024;

/// A machine as adopted: where it comes from and what it means.
#[derive(Debug)]
pub struct Machine {
    /// As deployed.
    pub source: Source,
    /// As parsed.
    pub definition: Definition,
}

/// The statuses of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names say all")]
pub enum Status {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
}

impl Status {
    /// As in `ExecutionTimedOut`, the type of the history's last event.
    fn event(self) -> &'static str {
        match self {
            Self::Running => "Started",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Aborted => "Aborted",
        }
    }

    /// Whether RedriveExecution could take the execution up again, and why not (recorded).
    fn redrive(self) -> (&'static str, Option<String>) {
        let not = |status| Some(format!("Execution is {status} and cannot be redriven"));
        match self {
            Self::Running => ("NOT_REDRIVABLE", not("RUNNING")),
            Self::Succeeded => ("NOT_REDRIVABLE", not("SUCCEEDED")),
            Self::Failed | Self::TimedOut | Self::Aborted => ("REDRIVABLE", None),
        }
    }
}

/// How an execution ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Which end it is.
    pub status: Status,
    /// The output of a success.
    pub output: Option<String>,
    /// The error of any other end.
    pub error: Option<String>,
    /// Its explanation.
    pub cause: Option<String>,
}

/// One event of a history.
#[derive(Clone, Debug)]
pub struct Event {
    id: u64,
    previous: u64,
    time: Timestamp,
    kind: String,
    details: Option<(&'static str, Value)>,
}

impl Event {
    /// The event as the API shows it.
    pub fn view(&self, with_data: bool) -> Value {
        let mut view = json!({
            "timestamp": epoch_seconds(self.time),
            "type": self.kind,
            "id": self.id,
            "previousEventId": self.previous,
        });
        if let Some((name, details)) = &self.details {
            let mut details = details.clone();
            if let Some(fields) = details.as_object_mut().filter(|_| !with_data) {
                fields.retain(|name, _| !matches!(name.as_str(), "input" | "output" | "parameters"));
            }
            view[*name] = details;
        }
        view
    }
}

/// One run of a machine.
#[derive(Debug)]
pub struct Execution {
    /// `arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME`.
    pub arn: String,
    /// The last part of the ARN.
    pub name: String,
    /// The machine as it was at the start.
    pub machine: Arc<Machine>,
    /// The input, as it was sent.
    pub input: String,
    /// When it began.
    pub started: Timestamp,
    /// Cancelled when the execution has ended, whatever the end.
    pub ended: CancellationToken,
    clock: Clock,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    stopped: Option<Timestamp>,
    ending: Ending,
    events: Vec<Event>,
    /// The state that each branch is in, by the branch's path: the indices of the branches on the way to it.
    active: BTreeMap<Vec<usize>, &'static str>,
}

impl Execution {
    /// A new execution, with its first event.
    pub fn new(machine: Arc<Machine>, arn: String, name: String, input: String, clock: Clock) -> Self {
        let running = Ending { status: Status::Running, output: None, error: None, cause: None };
        let record = Record { stopped: None, ending: running, events: Vec::new(), active: BTreeMap::new() };
        let started = clock.now();
        let execution = Self {
            arn,
            name,
            machine,
            input,
            started,
            ended: CancellationToken::new(),
            clock,
            record: Mutex::new(record),
        };
        let details = json!({
            "input": execution.input,
            "inputDetails": { "truncated": false },
            "roleArn": execution.machine.source.role,
        });
        let first = Some(("executionStartedEventDetails", details));
        execution.lock().add(0, started, "ExecutionStarted".into(), first);
        execution
    }

    /// The status now.
    pub fn status(&self) -> Status {
        self.lock().ending.status
    }

    /// How it ended, and when; nothing while it runs.
    pub fn ending(&self) -> Option<(Ending, Timestamp)> {
        let record = self.lock();
        record.stopped.map(|stopped| (record.ending.clone(), stopped))
    }

    /// The history so far, oldest event first.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Adds an event that follows `previous`; gives its id.
    ///
    /// # Errors
    /// When only the last event, the failure of the execution, still has room.
    pub fn push(
        &self,
        previous: u64,
        kind: impl Into<String>,
        details: Option<(&'static str, Value)>,
    ) -> Result<u64, Failure> {
        let mut record = self.lock();
        if record.events.len() + 1 >= MAX_EVENTS {
            let cause = format!("The execution reached the maximum number of history events ({MAX_EVENTS}).");
            return Err(Failure::new(RUNTIME, cause));
        }
        Ok(record.add(previous, self.clock.now(), kind.into(), details))
    }

    /// Notes which state the branch at `path` is in.
    pub fn enter(&self, path: &[usize], kind: &'static str) {
        self.lock().active.insert(path.to_vec(), kind);
    }

    /// Notes that the branch at `path` is between states or over.
    pub fn leave(&self, path: &[usize]) {
        self.lock().active.remove(path);
    }

    /// Ends whatever the branches of the Parallel at `path` were doing, after the event `failure` in branch `failed`.
    /// One `…StateAborted` for the state of each branch, that of the failed branch first, each of them following the
    /// failure (recorded for a Parallel of one branch and for the iterations of a Map). Only Task, Wait and Parallel have
    /// that event (API reference, HistoryEvent).
    pub fn abort_branches(&self, path: &[usize], failed: usize, failure: u64) -> Result<(), Failure> {
        let mut aborted: Vec<_> = {
            let mut record = self.lock();
            let within = |branch: &Vec<usize>| branch.len() > path.len() && branch.starts_with(path);
            let active = std::mem::take(&mut record.active);
            let (aborted, kept) = active.into_iter().partition(|(branch, _)| within(branch));
            record.active = kept;
            Vec::from_iter::<BTreeMap<_, _>>(aborted)
        };
        // Innermost states end before the Parallel round them.
        aborted.sort_by_key(|(branch, _)| {
            let index = branch[path.len()];
            (index != failed, index, std::cmp::Reverse(branch.len()))
        });
        for (_, kind) in aborted.into_iter().filter(|(_, kind)| matches!(*kind, "Task" | "Wait" | "Parallel"))
        {
            self.push(failure, format!("{kind}StateAborted"), None)?;
        }
        Ok(())
    }

    /// Ends the execution after the event `previous` (nothing means the latest), unless it has already ended; says
    /// whether it did.
    pub fn end(&self, ending: Ending, previous: Option<u64>) -> bool {
        let mut record = self.lock();
        if record.stopped.is_some() {
            return false;
        }
        let details = match ending.status {
            Status::Succeeded => json!({ "output": ending.output, "outputDetails": { "truncated": false } }),
            _ => without_nulls(json!({ "error": ending.error, "cause": ending.cause })),
        };
        let name = match ending.status {
            Status::Succeeded => "executionSucceededEventDetails",
            Status::TimedOut => "executionTimedOutEventDetails",
            Status::Aborted => "executionAbortedEventDetails",
            Status::Running | Status::Failed => "executionFailedEventDetails",
        };
        let previous = previous.unwrap_or_else(|| record.events.last().map_or(0, |event| event.id));
        let now = self.clock.now();
        record.add(previous, now, format!("Execution{}", ending.status.event()), Some((name, details)));
        record.stopped = Some(now);
        record.ending = ending;
        drop(record);
        self.ended.cancel();
        true
    }

    /// What DescribeExecution answers.
    pub fn view(&self) -> Value {
        let ending = self.ending();
        let status = self.status();
        let (end, stopped) = ending.unzip();
        let (redrive_status, redrive_status_reason) = status.redrive();
        let mut view = json!({
            "executionArn": self.arn,
            "stateMachineArn": self.machine.source.arn,
            "name": self.name,
            "status": status,
            "startDate": epoch_seconds(self.started),
            "stopDate": stopped.map(epoch_seconds),
            "input": self.input,
            "inputDetails": { "included": true },
            "redriveCount": 0,
            "redriveStatus": redrive_status,
            "redriveStatusReason": redrive_status_reason,
        });
        if let Some(end) = end {
            if end.output.is_some() {
                view["outputDetails"] = json!({ "included": true });
            }
            view["output"] = end.output.into();
            view["error"] = end.error.into();
            view["cause"] = end.cause.into();
        }
        without_nulls(view)
    }

    /// The detail of the event "Step Functions Execution Status Change"; every field is always there (recorded).
    pub fn announcement(&self) -> Value {
        let (end, stopped) = self.ending().unzip();
        let status = end.as_ref().map_or(Status::Running, |end| end.status);
        let (redrive_status, redrive_status_reason) = status.redrive();
        let output = end.as_ref().and_then(|end| end.output.clone());
        let size = |text: &str| Value::from(text).to_string().len();
        let output_size = output.as_deref().map_or(0, size);
        let input_included = size(&self.input) + output_size <= MAX_ANNOUNCED;
        let output_included = output_size <= MAX_ANNOUNCED;
        json!({
            "executionArn": self.arn,
            "stateMachineArn": self.machine.source.arn,
            "stateMachineVersionArn": null,
            "stateMachineAliasArn": null,
            "name": self.name,
            "status": status,
            "startDate": self.started.as_millisecond(),
            "stopDate": stopped.map(Timestamp::as_millisecond),
            "input": input_included.then_some(&self.input),
            "inputDetails": { "included": input_included },
            "redriveCount": 0,
            "redriveDate": null,
            "redriveStatus": redrive_status,
            "redriveStatusReason": redrive_status_reason,
            "outputDetails": output.as_ref().map(|_| json!({ "included": output_included })),
            "output": output.filter(|_| output_included),
            "error": end.as_ref().and_then(|end| end.error.clone()),
            "cause": end.as_ref().and_then(|end| end.cause.clone()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("no thread panics while it holds a record")
    }
}

impl Record {
    /// Nothing is added once the execution has ended: what is still in flight has no more say.
    fn add(
        &mut self,
        previous: u64,
        time: Timestamp,
        kind: String,
        details: Option<(&'static str, Value)>,
    ) -> u64 {
        let id = self.events.len() as u64 + 1;
        if self.stopped.is_none() {
            self.events.push(Event { id, previous, time, kind, details });
        }
        id
    }
}

/// Timestamps of the JSON protocol: seconds since 1970, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
pub fn epoch_seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

/// `object` without the fields that are null.
pub fn without_nulls(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
