//! The real world of the interpreter: MiniStack for machines, functions and buses.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::operation::describe_state_machine::DescribeStateMachineError;
use local_aws::events::{EventBus, Events as _};
use local_aws::upstream::Upstream;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::language::failure::Failure;
use crate::world::{Invoked, Source, World};

/// The session name of the role that a machine acts as.
const SESSION: &str = "StepFunctions";
/// How many functions run at a time. MiniStack is one process of Python: when hundreds wait for it, none is answered in
/// time, and the retries are more.
const INVOCATIONS: usize = 16;

/// MiniStack, and the bus beside it.
#[derive(Clone, Debug)]
pub struct MiniStack {
    upstream: Upstream,
    bus: EventBus,
    invocations: Arc<Semaphore>,
    revisions: Arc<FirstRevisions>,
}

impl MiniStack {
    /// The one that `upstream` leads to; status changes go to `bus`.
    pub fn new(upstream: Upstream, bus: EventBus) -> Self {
        let invocations = Arc::new(Semaphore::new(INVOCATIONS));
        Self { upstream, bus, invocations, revisions: Arc::default() }
    }
}

/// The revision in which each machine was seen first. "The first revision ID when you create the state machine is null"
/// (API reference, DescribeStateMachine; recorded), but MiniStack gives one from the start. A machine that is made again
/// under the same name has another date.
#[derive(Debug, Default)]
struct FirstRevisions(Mutex<HashMap<String, (f64, String)>>);

impl FirstRevisions {
    fn as_on_aws(&self, arn: &str, created: f64, revision: String) -> Option<String> {
        let mut seen = self.0.lock().expect("no thread panics while it holds the revisions");
        let first = seen.entry(arn.to_owned()).or_insert_with(|| (created, revision.clone()));
        if first.0.total_cmp(&created).is_ne() {
            *first = (created, revision.clone());
        }
        (first.1 != revision).then_some(revision)
    }
}

impl World for MiniStack {
    /// MiniStack itself ends a function at its own time-out.
    const WORK_TIME: Duration = Duration::from_mins(1);

    async fn machine(&self, arn: &str) -> anyhow::Result<Option<Source>> {
        let client = aws_sdk_sfn::Client::new(&self.upstream.root_config());
        let machine = match client.describe_state_machine().state_machine_arn(arn).send().await {
            Ok(machine) => machine,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeStateMachineError::is_state_machine_does_not_exist) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot describe {arn}")),
        };
        let tags = client.list_tags_for_resource().resource_arn(arn).send().await;
        let tags = tags.with_context(|| format!("cannot read the tags of {arn}"))?.tags.unwrap_or_default();
        let created = machine.creation_date.as_secs_f64();
        let revision = machine.revision_id.unwrap_or_default();
        Ok(Some(Source {
            revision: self.revisions.as_on_aws(arn, created, revision),
            arn: machine.state_machine_arn,
            definition: machine.definition,
            role: machine.role_arn,
            created,
            tags: tags
                .into_iter()
                .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
                .collect::<BTreeMap<_, _>>(),
        }))
    }

    async fn machines(&self) -> anyhow::Result<Vec<String>> {
        let client = aws_sdk_sfn::Client::new(&self.upstream.root_config());
        let pages = client.list_state_machines().into_paginator().items().send();
        let machines = pages.collect::<Result<Vec<_>, _>>().await.context("cannot list state machines")?;
        Ok(machines.into_iter().map(|machine| machine.state_machine_arn).collect())
    }

    async fn invoke(&self, role: &str, function: &str, payload: &Value) -> Result<Invoked, Failure> {
        let config = self.upstream.role_config(role, SESSION).await.map_err(|error| {
            Failure::new("Lambda.AWSLambdaException", format!("the role {role} cannot be assumed: {error:#}"))
        })?;
        let _turn = self.invocations.acquire().await;
        // A function may be silent for as long as it runs.
        let config = aws_sdk_lambda::config::Builder::from(&config)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let invoked = aws_sdk_lambda::Client::from_conf(config)
            .invoke()
            .function_name(function)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .map_err(|error| service_failure("Lambda", "AWSLambda", &error))?;
        Ok(Invoked {
            threw: invoked.function_error.is_some(),
            version: invoked.executed_version.unwrap_or_else(|| "$LATEST".into()),
            payload: invoked.payload.map_or_else(
                || "null".into(),
                |payload| String::from_utf8_lossy(payload.as_ref()).into_owned(),
            ),
        })
    }

    async fn put_events(&self, role: &str, entries: &[Value]) -> Result<Value, Failure> {
        let config = self.upstream.role_config(role, SESSION).await.map_err(|error| {
            Failure::new(
                "EventBridge.AmazonEventBridgeException",
                format!("the role {role} cannot be assumed: {error:#}"),
            )
        })?;
        let text = |entry: &Value, name: &str| entry[name].as_str().map(str::to_owned);
        let entries = entries.iter().map(|entry| {
            let resources = entry["Resources"].as_array().into_iter().flatten();
            PutEventsRequestEntry::builder()
                .set_source(text(entry, "Source"))
                .set_detail_type(text(entry, "DetailType"))
                .set_detail(text(entry, "Detail"))
                .set_event_bus_name(text(entry, "EventBusName"))
                .set_resources(Some(resources.filter_map(|arn| arn.as_str().map(str::to_owned)).collect()))
                .build()
        });
        let answer = aws_sdk_eventbridge::Client::new(&config)
            .put_events()
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| service_failure("EventBridge", "AmazonEventBridge", &error))?;
        let entries = answer.entries.unwrap_or_default().into_iter().map(|entry| {
            crate::execution::without_nulls(json!({
                "EventId": entry.event_id,
                "ErrorCode": entry.error_code,
                "ErrorMessage": entry.error_message,
            }))
        });
        Ok(json!({ "Entries": entries.collect::<Vec<_>>(), "FailedEntryCount": answer.failed_entry_count }))
    }

    fn announce(&self, execution_arn: &str, detail: Value) {
        let resources = vec![execution_arn.to_owned()];
        self.bus.put("aws.states", "Step Functions Execution Status Change", resources, detail);
    }
}

/// A failed call of an optimized integration, named as AWS names it: `Lambda.ResourceNotFoundException`;
/// `Lambda.AWSLambdaException` for what all services share ("Common Errors" of the API reference; recorded of SQS as
/// `SQS.AmazonSQSException`); and `Lambda.SdkClientException` where no answer came (recorded of SQS).
fn service_failure<E>(prefix: &str, service: &str, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (Some(service_error), Some(response)) = (error.as_service_error(), error.raw_response()) else {
        return Failure::new(format!("{prefix}.SdkClientException"), DisplayErrorContext(error).to_string());
    };
    let code = service_error.code().unwrap_or("Unknown");
    let shared = !code.ends_with("Exception")
        || matches!(
            code,
            "AccessDeniedException"
                | "ExpiredTokenException"
                | "ThrottlingException"
                | "UnrecognizedClientException"
        );
    let name = if shared { format!("{service}Exception") } else { code.to_owned() };
    let message = service_error.message().unwrap_or_default();
    let status = response.status().as_u16();
    let request_id = response.headers().get("x-amzn-requestid").unwrap_or_default();
    let cause = format!(
        "{message} (Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request_id}; Proxy: \
         null)"
    );
    Failure::new(format!("{prefix}.{name}"), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_revision_only_after_its_first_update() {
        let revisions = FirstRevisions::default();
        let seen = |created, revision: &str| revisions.as_on_aws("arn", created, revision.into());
        assert_eq!(seen(1.0, "a"), None);
        assert_eq!(seen(1.0, "a"), None);
        assert_eq!(seen(1.0, "b").as_deref(), Some("b"));
        assert_eq!(seen(2.0, "c"), None, "made anew");
        assert_eq!(seen(2.0, "d").as_deref(), Some("d"));
    }
}
