//! What a Task state does: one try at a service integration, its time-outs and its events.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::callback::{Callback, Signal};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::execution::{Execution, Status, without_nulls};
use crate::language::definition::{Task, Work};
use crate::language::failure::{Failure, Timeout};
use crate::language::fault::{Fault, RUNTIME};
use crate::language::resource::Resource;
use crate::run::{Cursor, Run, Visit, check_size, rfc3339};
use crate::world::{Invoked, World};

impl<W: World> Run<W> {
    /// Makes one try at a Task state.
    pub(crate) async fn task(
        &self,
        task: &Task,
        work: &Work,
        visit: &Visit<'_, '_>,
        cursor: &mut Cursor,
    ) -> Result<Value, Failure> {
        let resource = task.resource;
        let machine = &self.execution.machine.source.arn;
        let mut callback = (resource == Resource::InvokeForToken).then(|| self.engine.tokens.open(machine));
        let context = self.context(visit, callback.as_ref().map(Callback::token));
        let input = visit.input(&context)?;
        let data = visit.data(&input, &context);
        let parameters = visit.parameters(work.parameters.as_ref(), data)?;
        let limit = |seconds: &Option<_>, field| {
            seconds.as_ref().map(|seconds| visit.timeout(seconds, field, data)).transpose()
        };
        let timeout: Option<Duration> = limit(&task.timeout, "TimeoutSecondsPath")?;
        let heartbeat: Option<Duration> = limit(&task.heartbeat, "HeartbeatSecondsPath")?;
        // "HeartbeatSeconds … must be … smaller than the number of seconds specified in TimeoutSeconds."
        if let (Some(timeout), Some(heartbeat)) = (timeout, heartbeat)
            && heartbeat >= timeout
        {
            let message =
                format!("The heartbeat of {heartbeat:?} is not smaller than the time-out of {timeout:?}");
            return Err(visit.place(Fault::runtime(message)));
        }

        let scheduled = json!({
            "region": self.execution.arn.split(':').nth(3),
            "parameters": parameters.to_string(),
            "timeoutInSeconds": timeout.map(|timeout| timeout.as_secs()),
            "heartbeatInSeconds": heartbeat.map(|heartbeat| heartbeat.as_secs()),
        });
        self.push_task(resource, cursor, "Scheduled", scheduled)?;
        self.push_task(resource, cursor, "Started", json!({}))?;
        let outcome = match (callback.as_mut(), timeout) {
            (Some(callback), _) => {
                self.wait_for_token(&parameters, callback, timeout, heartbeat, cursor).await
            }
            // A heartbeat is for those who hold a token: without one it has no effect ("Task state fields").
            (None, None) => self.call(resource, &parameters, cursor).await,
            (None, Some(limit)) => {
                let call = self.call(resource, &parameters, cursor);
                tokio::time::timeout(self.real_limit(resource, limit), call)
                    .await
                    .unwrap_or_else(|_| Err(Failure::timed_out(Timeout::Total)))
            }
        };
        let outcome = outcome.and_then(|result| {
            let text = result.to_string();
            check_size(&text, resource.names()[0])?;
            Ok((result, text))
        });
        match outcome {
            Ok((result, text)) => {
                self.push_task(resource, cursor, "Succeeded", output_details(&text))?;
                visit.result(result, work, &context)
            }
            Err(failure) => {
                let kind = if failure.timeout.is_some() { "TimedOut" } else { "Failed" };
                let details = json!({ "error": failure.error, "cause": failure.cause });
                self.push_task(resource, cursor, kind, details)?;
                Err(failure)
            }
        }
    }

    /// A wait for others is as fast as the clock; work is not.
    fn real_limit(&self, resource: Resource, limit: Duration) -> Duration {
        let scaled = self.engine.clock.scale.real(limit);
        match resource {
            Resource::StartExecutionSync => scaled,
            _ => scaled.max(limit.min(W::WORK_TIME)),
        }
    }

    /// Adds `TaskKIND` with its details, which always name the resource.
    fn push_task(
        &self,
        resource: Resource,
        cursor: &mut Cursor,
        kind: &str,
        details: Value,
    ) -> Result<(), Failure> {
        let [resource_type, resource] = resource.names();
        let mut details = without_nulls(details);
        details["resourceType"] = resource_type.into();
        details["resource"] = resource.into();
        let name = match kind {
            "Scheduled" => "taskScheduledEventDetails",
            "Started" => "taskStartedEventDetails",
            "Submitted" => "taskSubmittedEventDetails",
            "Succeeded" => "taskSucceededEventDetails",
            "TimedOut" => "taskTimedOutEventDetails",
            _ => "taskFailedEventDetails",
        };
        self.push(cursor, format!("Task{kind}"), Some((name, details)))
    }

    async fn call(
        &self,
        resource: Resource,
        parameters: &Value,
        cursor: &mut Cursor,
    ) -> Result<Value, Failure> {
        match resource {
            Resource::Invoke | Resource::InvokeForToken => self.invoke(parameters).await,
            Resource::StartExecution => Ok(self.started(&*self.start_child(parameters).await?)),
            Resource::StartExecutionSync => self.run_child(parameters, cursor).await,
            Resource::StopExecution => self.stop_other(parameters).await,
            Resource::DescribeExecution => self.describe_other(parameters).await,
            Resource::PutEvents => self.put_events(parameters).await,
        }
    }

    /// Invokes a function, then waits for its token to come back, whatever the function returned. A function that
    /// throws fails the task at once. From the first heartbeat on both time-outs pass at the speed of work.
    async fn wait_for_token(
        &self,
        parameters: &Value,
        callback: &mut Callback,
        timeout: Option<Duration>,
        heartbeat: Option<Duration>,
        cursor: &mut Cursor,
    ) -> Result<Value, Failure> {
        let clock = self.engine.clock;
        let (began, scale, work_scale) = (clock.instant(), clock.scale, clock.work_scale);
        let mut total = pin!(sleep(scale.real(timeout.unwrap_or_default())));
        let mut silence = pin!(sleep(scale.real(heartbeat.unwrap_or_default())));
        let mut invocation = pin!(self.invoke(parameters));
        let (mut submitted, mut at_work) = (false, false);
        loop {
            tokio::select! {
                biased;
                signal = callback.signal() => match signal {
                    Signal::Done(outcome) => return outcome,
                    // A heartbeat leaves no event and does not touch the total time-out (API reference,
                    // SendTaskHeartbeat), but for what is left on it to pass at the speed of work.
                    Signal::Heartbeat => {
                        let now = clock.instant();
                        if !std::mem::replace(&mut at_work, true) {
                            let passed = scale.cloud(now - began);
                            let left = timeout.unwrap_or_default().saturating_sub(passed);
                            total.as_mut().reset(now + work_scale.real(left));
                        }
                        silence.as_mut().reset(now + work_scale.real(heartbeat.unwrap_or_default()));
                    }
                },
                returned = &mut invocation, if !submitted => {
                    let details = output_details(&returned?.to_string());
                    self.push_task(Resource::InvokeForToken, cursor, "Submitted", details)?;
                    submitted = true;
                }
                () = &mut total, if timeout.is_some() => return Err(Failure::timed_out(Timeout::Total)),
                () = &mut silence, if heartbeat.is_some() => return Err(Failure::timed_out(Timeout::Heartbeat)),
            }
        }
    }

    async fn invoke(&self, parameters: &Value) -> Result<Value, Failure> {
        let function = text(parameters, "FunctionName")?;
        let payload = parameters.get("Payload").cloned().unwrap_or_else(|| json!({}));
        let invoked = self.engine.world.invoke(self.role(), function, &payload).await?;
        if invoked.threw {
            return Err(thrown(&invoked.payload));
        }
        let Invoked { payload, version, .. } = invoked;
        Ok(self.with_metadata(
            json!({
                "ExecutedVersion": version,
                "Payload": serde_json::from_str::<Value>(&payload).unwrap_or(Value::Null),
                "StatusCode": 200,
            }),
            "application/json",
            payload.len(),
        ))
    }

    async fn start_child(&self, parameters: &Value) -> Result<Arc<Execution>, Failure> {
        let machine = text(parameters, "StateMachineArn")?;
        let name = parameters.get("Name").map(|_| text(parameters, "Name")).transpose()?;
        let input = match parameters.get("Input") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(json) => Some(json.to_string()),
        };
        let engine = &self.engine;
        engine
            .authorize_role(self.role(), "states:StartExecution", machine)
            .await
            .map_err(|error| self.optimized_error(error))?;
        engine.start(machine, name, input.as_deref()).await.map_err(|error| self.optimized_error(error))
    }

    /// Runs a nested execution to its end, which is this task's end; stops it if this task ends first
    /// (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html>).
    async fn run_child(&self, parameters: &Value, cursor: &mut Cursor) -> Result<Value, Failure> {
        let child = self.start_child(parameters).await?;
        let engine = Arc::clone(&self.engine);
        let _guard = StopWithParent { engine, child: Arc::clone(&child), role: self.role().to_owned() };
        let details = output_details(&self.started(&child).to_string());
        self.push_task(Resource::StartExecutionSync, cursor, "Submitted", details)?;
        child.ended.cancelled().await;
        self.engine
            .authorize_role(self.role(), "states:DescribeExecution", &child.arn)
            .await
            .map_err(|error| self.optimized_error(error))?;
        let (view, status) = (child.view(), child.status());
        // `sync:2` gives input and output as JSON; the cause of a failure has them as text (recorded for `sync`).
        let succeeded = status == Status::Succeeded;
        let payload = |name: &str| match view[name].as_str().map(serde_json::from_str::<Value>) {
            Some(Ok(json)) if succeeded => json,
            _ => view[name].clone(),
        };
        let ended = without_nulls(json!({
            "Cause": view["cause"],
            "Error": view["error"],
            "ExecutionArn": child.arn,
            "Input": payload("input"),
            "InputDetails": { "Included": true },
            "Name": child.name,
            "Output": payload("output"),
            "OutputDetails": succeeded.then(|| json!({ "Included": true })),
            "RedriveCount": view["redriveCount"],
            "RedriveStatus": view["redriveStatus"],
            "RedriveStatusReason": view["redriveStatusReason"],
            "StartDate": child.started.as_millisecond(),
            "StateMachineArn": child.machine.source.arn,
            "Status": status,
            "StopDate": child.ending().map(|(_, stopped)| stopped.as_millisecond()),
        }));
        if succeeded { Ok(ended) } else { Err(Failure::new("States.TaskFailed", ended.to_string())) }
    }

    async fn stop_other(&self, parameters: &Value) -> Result<Value, Failure> {
        let other = self.other(parameters, "states:StopExecution").await?;
        let reason =
            |name| parameters.get(name).map(|_| text(parameters, name).map(str::to_owned)).transpose();
        let stopped = self.engine.stop(&other, reason("Error")?, reason("Cause")?);
        Ok(json!({ "StopDate": rfc3339(stopped) }))
    }

    async fn describe_other(&self, parameters: &Value) -> Result<Value, Failure> {
        let other = self.other(parameters, "states:DescribeExecution").await?;
        let mut view = pascal_case(other.view());
        view["StartDate"] = rfc3339(other.started).into();
        if let Some((_, stopped)) = other.ending() {
            view["StopDate"] = rfc3339(stopped).into();
        }
        Ok(view)
    }

    /// The execution that an SDK integration names, if the role may do `action` on it.
    async fn other(&self, parameters: &Value, action: &str) -> Result<Arc<Execution>, Failure> {
        let arn = text(parameters, "ExecutionArn")?;
        self.engine.authorize_role(self.role(), action, arn).await.map_err(|error| self.sdk_error(&error))?;
        self.engine.execution(arn).map_err(|error| self.sdk_error(&error))
    }

    /// "The execution ARN and the state machine ARN are automatically appended to the Resources field of each
    /// PutEventsRequestEntry", and a refused entry fails the task
    /// (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html>).
    async fn put_events(&self, parameters: &Value) -> Result<Value, Failure> {
        let mut entries = parameters["Entries"]
            .as_array()
            .cloned()
            .ok_or_else(|| wrong_type(parameters, "Entries", "an ARRAY"))?;
        for entry in &mut entries {
            let fields =
                entry.as_object_mut().ok_or_else(|| wrong_type(parameters, "Entries", "of OBJECTs"))?;
            if let Some(detail) = fields.get_mut("Detail").filter(|detail| !detail.is_string()) {
                *detail = detail.to_string().into();
            }
            let resources = fields.entry("Resources").or_insert_with(|| json!([]));
            if let Some(resources) = resources.as_array_mut() {
                resources
                    .extend([&self.execution.arn, &self.execution.machine.source.arn].map(|arn| json!(arn)));
            }
        }
        let answer = self.engine.world.put_events(self.role(), &entries).await?;
        if answer["FailedEntryCount"].as_u64().is_some_and(|count| count > 0) {
            return Err(Failure::new("EventBridge.FailedEntry", answer.to_string()));
        }
        let length = answer.to_string().len();
        Ok(self.with_metadata(answer, "application/x-amz-json-1.1", length))
    }

    /// What StartExecution answers in an optimized integration; dates are milliseconds since 1970.
    fn started(&self, child: &Execution) -> Value {
        let answer = json!({ "ExecutionArn": child.arn, "StartDate": child.started.as_millisecond() });
        let length = answer.to_string().len();
        self.with_metadata(answer, "application/x-amz-json-1.0", length)
    }

    /// An answer with what optimized integrations say of the HTTP call (recorded).
    fn with_metadata(&self, mut answer: Value, content_type: &str, length: usize) -> Value {
        let request_id = self.engine.random.uuid().to_string();
        let headers = [
            ("x-amzn-RequestId", request_id.clone()),
            ("Content-Length", length.to_string()),
            ("Content-Type", content_type.into()),
        ];
        answer["SdkHttpMetadata"] = json!({
            "AllHttpHeaders": headers.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect::<Map<_, _>>(),
            "HttpHeaders": headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>(),
            "HttpStatusCode": 200,
        });
        answer["SdkResponseMetadata"] = json!({ "RequestId": request_id });
        answer
    }

    /// An API error in an optimized integration, `StepFunctions.…Exception` (recorded). What the service does not model
    /// is `AWSStepFunctionsException`, as in the SDK for Java 1 that these integrations use.
    fn optimized_error(&self, error: ApiError) -> Failure {
        let name = if is_modelled(&error) { error.exception() } else { "AWSStepFunctionsException".into() };
        let request_id = self.engine.random.uuid();
        let ApiError { code, message } = error;
        let cause = format!(
            "{message} (Service: AWSStepFunctions; Status Code: 400; Error Code: {code}; Request ID: {request_id}; \
             Proxy: null)"
        );
        Failure::new(format!("StepFunctions.{name}"), cause)
    }

    /// An API error in an SDK integration, `Sfn.…Exception` (recorded); what the service does not model is `SfnException`, as in
    /// the SDK for Java 2 (<https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html>).
    fn sdk_error(&self, error: &ApiError) -> Failure {
        let name = if is_modelled(error) { error.exception() } else { "SfnException".into() };
        let request_id = self.engine.random.uuid();
        let cause = format!(
            "{} (Service: Sfn, Status Code: 400, Request ID: {request_id}) (SDK Attempt Count: 1)",
            error.message
        );
        Failure::new(format!("Sfn.{name}"), cause)
    }

    fn role(&self) -> &str {
        &self.execution.machine.source.role
    }
}

/// Stops a nested execution that still runs when its parent's task is dropped: the parent was stopped, a sibling
/// branch failed, or the task timed out. Without `states:StopExecution` the child lives on
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync>).
struct StopWithParent<W: World> {
    engine: Arc<Engine<W>>,
    child: Arc<Execution>,
    role: String,
}

impl<W: World> Drop for StopWithParent<W> {
    fn drop(&mut self) {
        if self.child.ended.is_cancelled() || self.engine.abandoned.is_cancelled() {
            return;
        }
        let (engine, child, role) = (Arc::clone(&self.engine), Arc::clone(&self.child), self.role.clone());
        tokio::spawn(async move {
            match engine.authorize_role(&role, "states:StopExecution", &child.arn).await {
                Ok(()) => {
                    engine.stop(&child, None, None);
                }
                Err(error) => tracing::warn!(%error, child = child.arn, "nested execution lives on"),
            }
        });
    }
}

/// The failure of a function that threw: its errorType is the error, its whole answer the cause (recorded);
/// `Lambda.Unknown` where it gave no type
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>).
fn thrown(payload: &str) -> Failure {
    let error = serde_json::from_str::<Value>(payload).ok();
    match error.as_ref().and_then(|error| error["errorType"].as_str()) {
        Some(name) => Failure::new(name, payload),
        None => Failure::new(
            "Lambda.Unknown",
            format!(
                "The cause could not be determined because Lambda did not return an error type. Returned payload: \
                 {payload}"
            ),
        ),
    }
}

fn output_details(text: &str) -> Value {
    json!({ "output": text, "outputDetails": { "truncated": false } })
}

/// The parameter `name`, which must be a string.
fn text<'a>(parameters: &'a Value, name: &str) -> Result<&'a str, Failure> {
    parameters[name].as_str().ok_or_else(|| wrong_type(parameters, name, "a STRING"))
}

fn wrong_type(parameters: &Value, name: &str, what: &str) -> Failure {
    let cause = format!(
        "The Parameters '{parameters}' could not be used to start the Task: [The value for the field '{name}' must \
         be {what}]"
    );
    Failure::new(RUNTIME, cause)
}

/// Whether the error is one of Step Functions' own and not one of those that all services share.
fn is_modelled(error: &ApiError) -> bool {
    !matches!(error.code, "AccessDeniedException" | "InternalFailure")
}

/// Keys as SDK integrations spell them, with a capital at the start.
fn pascal_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let (first, rest) = name.split_at(name.len().min(1));
                (first.to_ascii_uppercase() + rest, pascal_case(value))
            })
            .collect(),
        other => other,
    }
}
