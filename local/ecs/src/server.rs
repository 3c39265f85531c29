//! Requests in and answers out: AWS JSON 1.1, <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::server::Service;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::limits::Group;
use crate::{Ecs, clusters, creation, definitions, services, tags, tasks};

/// What every `X-Amz-Target` of ECS starts with.
const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

#[async_trait]
impl Service for Ecs {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (status, body) = match answer(self, &request).await {
            Ok(body) => (200, body),
            Err(error) => (400, json!({ "__type": error.code, "message": error.message })),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amzn-requestid", self.upstream.random.uuid().to_string())
            .body(body.to_string().into())
            .expect("the headers are valid")
    }

    /// Kills all containers of all tasks.
    async fn stop(&self) {
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
    }
}

async fn answer(ecs: &Ecs, request: &Request<Bytes>) -> Result<Value> {
    let target =
        request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.strip_prefix(TARGET).ok_or_else(|| unknown(target))?;
    let mut caller = String::new();
    let outcome = call(ecs, action, request, &mut caller).await;
    let code = outcome.as_ref().map_or_else(|error| error.code, |_| "OK");
    ecs.calls.record(&format!("ecs:{action}"), &caller, &named(request.body()), code);
    outcome
}

async fn call(ecs: &Ecs, action: &str, request: &Request<Bytes>, name: &mut String) -> Result<Value> {
    let caller = &ecs.guard.authenticate("ecs", request).await?;
    name.clone_from(&caller.arn);
    if let Some(group) = group(action) {
        ecs.limits.take(group, ecs.upstream.clock.instant())?;
    }
    let body = request.body();
    match action {
        "CreateCluster" => clusters::create(ecs, caller, parse(body)?).await,
        "CreateService" => creation::create(ecs, caller, parse(body)?).await,
        "DeleteCluster" => clusters::delete(ecs, caller, parse(body)?).await,
        "DeleteService" => services::delete(ecs, caller, parse(body)?).await,
        "DeleteTaskDefinitions" => definitions::delete(ecs, caller, parse(body)?).await,
        "DeregisterTaskDefinition" => definitions::deregister(ecs, caller, parse(body)?).await,
        "DescribeClusters" => clusters::describe(ecs, caller, parse(body)?).await,
        "DescribeServices" => services::describe(ecs, caller, parse(body)?).await,
        "DescribeTaskDefinition" => definitions::describe(ecs, caller, parse(body)?).await,
        "DescribeTasks" => tasks::describe(ecs, caller, parse(body)?).await,
        "ListClusters" => clusters::list(ecs, caller, parse(body)?).await,
        "ListServices" => services::list(ecs, caller, parse(body)?).await,
        "ListTagsForResource" => tags::list(ecs, caller, parse(body)?).await,
        "ListTaskDefinitionFamilies" => definitions::families(ecs, caller, parse(body)?).await,
        "ListTaskDefinitions" => definitions::list(ecs, caller, parse(body)?).await,
        "ListTasks" => tasks::list(ecs, caller, parse(body)?).await,
        "RegisterTaskDefinition" => definitions::register(ecs, caller, parse(body)?).await,
        "StopTask" => tasks::stop(ecs, caller, parse(body)?).await,
        _ => Err(unknown(action)),
    }
}

/// Which bucket an action draws from; the throttling page has none for `ListTagsForResource`.
fn group(action: &str) -> Option<Group> {
    Some(match action {
        "CreateService" | "DeleteService" => Group::ServiceModify,
        "DescribeServices" | "ListServices" => Group::ServiceRead,
        "DeleteTaskDefinitions" => Group::DefinitionDelete,
        "DeregisterTaskDefinition" | "RegisterTaskDefinition" => Group::DefinitionModify,
        "DescribeTaskDefinition" | "ListTaskDefinitionFamilies" | "ListTaskDefinitions" => {
            Group::DefinitionRead
        }
        "CreateCluster" | "DeleteCluster" => Group::ClusterModify,
        "DescribeClusters" | "ListClusters" => Group::ClusterRead,
        "DescribeTasks" | "ListTasks" => Group::TaskRead,
        "StopTask" => Group::TaskModify,
        _ => return None,
    })
}

fn unknown(action: &str) -> ApiError {
    ApiError::new("UnknownOperationException", format!("the local ECS has no action {action:?}"))
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        ApiError::client(format!(
            "the local ECS does not take this request: at {}: {}",
            error.path(),
            error.inner()
        ))
    })
}

/// What a request is about, for the log of calls.
fn named(body: &Bytes) -> String {
    const FIELDS: [&str; 12] = [
        "serviceName",
        "service",
        "services",
        "task",
        "tasks",
        "family",
        "taskDefinition",
        "taskDefinitions",
        "resourceArn",
        "clusterName",
        "clusters",
        "cluster",
    ];
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match FIELDS.iter().find_map(|field| body.get(field)) {
        Some(Value::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => "*".to_owned(),
    }
}
