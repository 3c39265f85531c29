//! Requests in and answers out: AWS JSON 1.0, each call authenticated, authorized and logged.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::Config;
use crate::callback::Signal;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::execution::{Execution, epoch_seconds, without_nulls};
use crate::language::failure::Failure;
use crate::language::fault::PAYLOAD_LIMIT;
use crate::requests::{Call, ListStateMachines};
use crate::world::{Source, World};

/// The longest error and cause, in characters (API reference, SendTaskFailure and StopExecution).
const MAX_ERROR: usize = 256;
const MAX_CAUSE: usize = 32_768;
/// Pages hold 100 results, at most 1,000 (API reference, `maxResults`).
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// The Step Functions of one Region and account. Clones share one state.
#[derive(Debug)]
pub struct StepFunctions<W> {
    /// What runs the machines.
    pub engine: Arc<Engine<W>>,
    guard: Guard,
    calls: CallLog,
}

impl<W> Clone for StepFunctions<W> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), guard: self.guard.clone(), calls: self.calls.clone() }
    }
}

/// What is known of a call for the log, however far it came.
struct Trace {
    action: String,
    caller: String,
    resource: String,
}

#[async_trait]
impl<W: World> Service for StepFunctions<W> {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let mut trace = Trace { action: String::new(), caller: String::new(), resource: "*".into() };
        let answer = self.call(request, &mut trace).await;
        let outcome = answer.as_ref().map_or_else(|error| error.code, |_| "OK");
        self.calls.record(&format!("states:{}", trace.action), &trace.caller, &trace.resource, outcome);
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amzn-RequestId", self.engine.random.uuid().to_string());
        let response = match answer {
            Ok(answer) => response.body(Bytes::from(answer.to_string())),
            Err(ApiError { code, message }) => {
                let body = json!({ "__type": format!("com.amazonaws.sfn#{code}"), "message": message });
                response
                    .status(StatusCode::BAD_REQUEST)
                    .header("x-amzn-errortype", code)
                    .body(Bytes::from(body.to_string()))
            }
        };
        response.expect("the parts of the response are well formed")
    }

    async fn stop(&self) {
        self.engine.abandon();
    }
}

impl<W: World> StepFunctions<W> {
    /// A Step Functions without executions.
    pub fn new(config: Config<W>) -> Self {
        let Config { upstream, guard, calls, world } = config;
        let engine = Engine::new(world, guard.clone(), upstream.clock, upstream.random);
        Self { engine, guard, calls }
    }

    async fn call(&self, request: Request<Bytes>, trace: &mut Trace) -> Result<Value, ApiError> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let target = target.unwrap_or_default();
        target.strip_prefix("AWSStepFunctions.").unwrap_or(target).clone_into(&mut trace.action);
        let caller = self.guard.authenticate("states", &request).await?;
        trace.caller.clone_from(&caller.arn);
        let call = Call::parse(&trace.action, request.body())?;
        trace.resource = call.resource(&self.engine.tokens);

        let mut context = Context::new();
        if trace.resource.contains(":stateMachine:")
            && let Ok(source) = self.engine.source(&trace.resource).await
        {
            context.extend(
                source.tags.into_iter().map(|(key, tag)| (format!("aws:ResourceTag/{key}"), vec![tag])),
            );
        }
        let action = format!("states:{}", trace.action);
        self.guard.authorize(&caller, &action, &trace.resource, &context).await?;
        self.perform(call).await
    }

    async fn perform(&self, call: Call) -> Result<Value, ApiError> {
        let engine = &self.engine;
        match call {
            Call::StartExecution(call) => {
                let (name, input) = (call.name.as_deref(), call.input.as_deref());
                let execution = engine.start(&call.state_machine_arn, name, input).await?;
                Ok(json!({ "executionArn": execution.arn, "startDate": epoch_seconds(execution.started) }))
            }
            Call::StopExecution(call) => {
                check_reason(call.error.as_deref(), call.cause.as_deref())?;
                let execution = engine.execution(&call.execution_arn)?;
                Ok(json!({ "stopDate": epoch_seconds(engine.stop(&execution, call.error, call.cause)) }))
            }
            Call::DescribeExecution(call) => Ok(engine.execution(&call.execution_arn)?.view()),
            Call::DescribeStateMachineForExecution(call) => {
                let execution = engine.execution(&call.execution_arn)?;
                let source = &execution.machine.source;
                let mut view = machine_view(source);
                view["updateDate"] = source.created.into();
                if let Some(fields) = view.as_object_mut() {
                    fields.retain(|name, _| !matches!(name.as_str(), "status" | "type" | "creationDate"));
                }
                Ok(view)
            }
            Call::GetExecutionHistory(call) => {
                let mut events = engine.execution(&call.execution_arn)?.events();
                if call.reverse_order {
                    events.reverse();
                }
                let (page, next) = page(events, call.max_results, call.next_token.as_deref())?;
                let with_data = call.include_execution_data.unwrap_or(true);
                let events: Vec<_> = page.iter().map(|event| event.view(with_data)).collect();
                Ok(without_nulls(json!({ "events": events, "nextToken": next })))
            }
            Call::ListExecutions(call) => {
                engine.source(&call.state_machine_arn).await?;
                let mut list = engine.executions(&call.state_machine_arn);
                list.retain(|execution| call.status_filter.is_none_or(|wanted| execution.status() == wanted));
                let (page, next) = page(list, call.max_results, call.next_token.as_deref())?;
                let list: Vec<_> = page.iter().map(|execution| listed(execution)).collect();
                Ok(without_nulls(json!({ "executions": list, "nextToken": next })))
            }
            Call::DescribeStateMachine(call) => {
                Ok(machine_view(&engine.source(&call.state_machine_arn).await?))
            }
            Call::ListStateMachines(call) => self.list_machines(&call).await,
            Call::SendTaskSuccess(call) => {
                let invalid =
                    |reason: &str| ApiError::new("InvalidOutput", format!("Invalid Output: '{reason}'"));
                if call.output.len() > PAYLOAD_LIMIT {
                    return Err(invalid(&format!("it has more than {PAYLOAD_LIMIT} bytes")));
                }
                let output =
                    serde_json::from_str(&call.output).map_err(|error| invalid(&error.to_string()))?;
                self.signal(&call.task_token, Signal::Done(Ok(output)))
            }
            Call::SendTaskFailure(call) => {
                check_reason(call.error.as_deref(), call.cause.as_deref())?;
                let failure = Failure { error: call.error, cause: call.cause, timeout: None };
                self.signal(&call.task_token, Signal::Done(Err(failure)))
            }
            Call::SendTaskHeartbeat(call) => self.signal(&call.task_token, Signal::Heartbeat),
        }
    }

    async fn list_machines(&self, call: &ListStateMachines) -> Result<Value, ApiError> {
        let (arns, next) =
            page(self.engine.machine_arns().await?, call.max_results, call.next_token.as_deref())?;
        let mut machines = Vec::with_capacity(arns.len());
        for arn in arns {
            let source = self.engine.source(&arn).await?;
            machines.push(json!({
                "stateMachineArn": source.arn,
                "name": source.name(),
                "type": "STANDARD",
                "creationDate": source.created,
            }));
        }
        Ok(without_nulls(json!({ "stateMachines": machines, "nextToken": next })))
    }

    fn signal(&self, token: &str, signal: Signal) -> Result<Value, ApiError> {
        self.engine.tokens.send(token, signal)?;
        Ok(json!({}))
    }
}

fn check_reason(error: Option<&str>, cause: Option<&str>) -> Result<(), ApiError> {
    for (name, text, limit) in [("error", error, MAX_ERROR), ("cause", cause, MAX_CAUSE)] {
        if text.is_some_and(|text| text.chars().count() > limit) {
            let message =
                format!("Value at '{name}' failed to satisfy constraint: at most {limit} characters");
            return Err(ApiError::new("ValidationException", message));
        }
    }
    Ok(())
}

/// One page of `all`, and the token of the next. A token is the number of results before it.
fn page<T>(
    all: Vec<T>,
    max: Option<usize>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    // "A value of 0 uses the default."
    let size = max.filter(|max| *max > 0).unwrap_or(PAGE);
    if size > MAX_PAGE {
        let message = format!("Value at 'maxResults' failed to satisfy constraint: at most {MAX_PAGE}");
        return Err(ApiError::new("ValidationException", message));
    }
    let start = match token {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::new("InvalidToken", format!("Invalid Token: 'Invalid token: {token}'")))?,
    };
    let next = (start + size < all.len()).then(|| (start + size).to_string());
    Ok((all.into_iter().skip(start).take(size).collect(), next))
}

fn machine_view(source: &Source) -> Value {
    without_nulls(json!({
        "stateMachineArn": source.arn,
        "name": source.name(),
        "status": "ACTIVE",
        "definition": source.definition,
        "roleArn": source.role,
        "type": "STANDARD",
        "creationDate": source.created,
        "loggingConfiguration": { "level": "OFF", "includeExecutionData": false },
        "tracingConfiguration": { "enabled": false },
        "revisionId": source.revision,
    }))
}

fn listed(execution: &Execution) -> Value {
    let (_, stopped) = execution.ending().unzip();
    without_nulls(json!({
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine.source.arn,
        "name": execution.name,
        "status": execution.status(),
        "startDate": epoch_seconds(execution.started),
        "stopDate": stopped.map(epoch_seconds),
        "redriveCount": 0,
    }))
}
