//! Histories as Step Functions writes them, an event per second from the epoch.

use serde_json::{Value, json};

/// The events of one execution so far, which has a single branch.
pub struct History {
    now: usize,
    events: Vec<Value>,
}

impl History {
    /// An execution that has started, `start` seconds after the epoch.
    pub fn new(start: usize) -> Self {
        let mut history = Self { now: start, events: Vec::new() };
        history.add("ExecutionStarted", json!({}));
        history
    }

    pub fn events(&self) -> &[Value] {
        &self.events
    }

    /// A task that does its work.
    pub fn task(&mut self, name: &str) -> &mut Self {
        self.enter(name).schedule("invoke").add("TaskSucceeded", json!({})).exit(name)
    }

    /// The same, after which the machine's data are `output`.
    pub fn task_with_output(&mut self, name: &str, output: &Value) -> &mut Self {
        let details = json!({ "name": name, "output": output.to_string() });
        self.enter(name).schedule("invoke").add("TaskSucceeded", json!({}));
        self.add("TaskStateExited", json!({ "stateExitedEventDetails": details }))
    }

    /// A task that fails once with `error` and then does its work.
    pub fn task_that_retries(&mut self, name: &str, error: &str) -> &mut Self {
        let cause = json!({ "errorType": error, "errorMessage": format!("{error}, in words") }).to_string();
        let details =
            json!({ "resourceType": "lambda", "resource": "invoke", "error": error, "cause": cause });
        self.enter(name).schedule("invoke").add("TaskFailed", json!({ "taskFailedEventDetails": details }));
        self.schedule("invoke").add("TaskSucceeded", json!({}));
        self.exit(name)
    }

    /// A task that waits for the container's callback.
    pub fn wait_for_container(&mut self, name: &str) -> &mut Self {
        self.enter(name).schedule("invoke.waitForTaskToken").add("TaskStarted", json!({}))
    }

    /// The end of that wait.
    pub fn callback_comes(&mut self) -> &mut Self {
        self.callback_of("DispatchJob")
    }

    /// The same of the task called `name`.
    pub fn callback_of(&mut self, name: &str) -> &mut Self {
        self.add("TaskSucceeded", json!({})).exit(name)
    }

    /// The same with the failure `error`, after which the machine decides how to go on.
    pub fn start_is_lost(&mut self, error: &str, next: &str, turn: &Value) -> &mut Self {
        let details =
            json!({ "resourceType": "lambda", "resource": "invoke", "error": error, "cause": "in words" });
        self.add("TaskFailed", json!({ "taskFailedEventDetails": details })).exit("DispatchJob");
        let failure = json!({ "error": error, "message": "in words", "attempt": 1 });
        let ending = json!({ "next": next, "turn": turn, "reported": false, "failure": failure });
        let output = json!({ "job": "my-job", "collected": { "ending": ending } }).to_string();
        self.enter("CollectResult").schedule("invoke").add("TaskSucceeded", json!({}));
        let details = json!({ "name": "CollectResult", "output": output });
        self.add("TaskStateExited", json!({ "stateExitedEventDetails": details }))
    }

    /// A task that runs the execution `arn` to its end, `seconds` later.
    pub fn nested(&mut self, name: &str, arn: &str, seconds: usize) -> &mut Self {
        self.nested_with_input(name, &json!({}), arn, seconds)
    }

    /// The same, where the machine's data are `input`.
    pub fn nested_with_input(&mut self, name: &str, input: &Value, arn: &str, seconds: usize) -> &mut Self {
        let resource = "startExecution.sync:2";
        let output = json!({ "ExecutionArn": arn }).to_string();
        let details = json!({ "resourceType": "states", "resource": resource, "output": output });
        let entered = json!({ "name": name, "input": input.to_string() });
        self.add("TaskStateEntered", json!({ "stateEnteredEventDetails": entered }));
        self.schedule(resource).add("TaskStarted", json!({}));
        self.add("TaskSubmitted", json!({ "taskSubmittedEventDetails": details }));
        self.now += seconds;
        self.add("TaskSucceeded", json!({})).exit(name)
    }

    pub fn succeed(&mut self, output: &str) -> &mut Self {
        self.add("ExecutionSucceeded", json!({ "executionSucceededEventDetails": { "output": output } }))
    }

    pub fn fail(&mut self, error: &str, cause: &str) -> &mut Self {
        let details = json!({ "error": error, "cause": cause });
        self.add("ExecutionFailed", json!({ "executionFailedEventDetails": details }))
    }

    pub fn abort(&mut self, error: &str, cause: &str) -> &mut Self {
        let details = json!({ "error": error, "cause": cause });
        self.add("ExecutionAborted", json!({ "executionAbortedEventDetails": details }))
    }

    fn enter(&mut self, name: &str) -> &mut Self {
        self.add("TaskStateEntered", json!({ "stateEnteredEventDetails": { "name": name } }))
    }

    fn schedule(&mut self, resource: &str) -> &mut Self {
        let details = json!({ "resourceType": "lambda", "resource": resource, "region": "eu-west-1", "parameters": "{}" });
        self.add("TaskScheduled", json!({ "taskScheduledEventDetails": details }))
    }

    fn exit(&mut self, name: &str) -> &mut Self {
        self.add("TaskStateExited", json!({ "stateExitedEventDetails": { "name": name } }))
    }

    fn add(&mut self, kind: &str, mut event: Value) -> &mut Self {
        let previous = self.events.len();
        event["type"] = json!(kind);
        event["id"] = json!(previous + 1);
        event["previousEventId"] = json!(previous);
        event["timestamp"] = json!(self.now);
        self.now += 1;
        self.events.push(event);
        self
    }
}
