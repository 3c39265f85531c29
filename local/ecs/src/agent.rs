//! What a task finds at its link-local addresses on AWS: its metadata (version 4) and the credentials of its
//! role, the latter under a name that only the task is told.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::environment::{CREDENTIALS, METADATA};
use crate::tasks::Task;
use crate::{Ecs, iso};

/// Answers the tasks of an [`Ecs`].
#[derive(Clone, Debug)]
pub struct Agent(pub(crate) Ecs);

#[async_trait]
impl Service for Agent {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        let (status, body) = if let Some(id) = path.strip_prefix(CREDENTIALS) {
            self.credentials(id).await
        } else if let Some(id) = path.strip_prefix(METADATA) {
            match id.strip_suffix("/task") {
                // `${ECS_CONTAINER_METADATA_URI_V4}/task`
                Some(id) => self.describe(id, |task, _| task.metadata()),
                // `${ECS_CONTAINER_METADATA_URI_V4}`
                None => self.describe(id, Task::container_metadata),
            }
        } else {
            (StatusCode::NOT_FOUND, json!("unknown path"))
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .expect("the header is valid")
    }
}

impl Agent {
    fn describe(&self, runtime_id: &str, how: fn(&Task, usize) -> Value) -> (StatusCode, Value) {
        let state = self.0.state();
        let asking = state.tasks.values().find_map(|task| {
            let mut containers = task.containers.iter();
            Some((task, containers.position(|one| one.runtime_id.as_deref() == Some(runtime_id))?))
        });
        match asking {
            Some((task, container)) => (StatusCode::OK, how(task, container)),
            None => (StatusCode::NOT_FOUND, json!("unknown container")),
        }
    }

    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`: Developer Guide, "Amazon ECS task IAM role".
    async fn credentials(&self, id: &str) -> (StatusCode, Value) {
        let found = self.0.state().tasks.values().find(|task| task.credentials_id == id).and_then(|task| {
            let role = task.definition.request.task_role_arn.clone()?;
            Some((role, task.id().to_owned()))
        });
        let Some((role, session)) = found else {
            let body = json!({ "code": "InvalidIdInRequest", "message": "unknown id" });
            return (StatusCode::NOT_FOUND, body);
        };
        match self.0.upstream.role_credentials(&role, &session).await {
            Ok(keys) => {
                let expiration = keys.expiry().and_then(|expiry| Timestamp::try_from(expiry).ok());
                let body = json!({
                    "RoleArn": role,
                    "AccessKeyId": keys.access_key_id(),
                    "SecretAccessKey": keys.secret_access_key(),
                    "Token": keys.session_token(),
                    "Expiration": expiration.map(|time| format!("{time:.0}")),
                });
                (StatusCode::OK, body)
            }
            Err(error) => {
                tracing::warn!(role, error = format!("{error:#}"), "role of a task could not be assumed");
                let body = json!({ "code": "InternalServerError", "message": "no credentials" });
                (StatusCode::INTERNAL_SERVER_ERROR, body)
            }
        }
    }
}

/// Developer Guide, "Amazon ECS task metadata endpoint version 4 for tasks on Fargate". What only a container
/// engine has (image and engine ids, labels, statistics) is left out.
impl Task {
    fn metadata(&self) -> Value {
        let request = &self.definition.request;
        let vcpus = request.cpu.as_ref().and_then(|cpu| cpu.parse::<f64>().ok()).map(|cpu| cpu / 1024.0);
        let memory = request.memory.as_ref().and_then(|memory| memory.parse::<u32>().ok());
        json!({
            "Cluster": self.cluster_arn,
            "TaskARN": self.arn,
            "Family": request.family,
            "Revision": self.definition.number.to_string(),
            "DesiredStatus": self.desired_status(),
            "KnownStatus": self.last_status.name(),
            "Limits": { "CPU": vcpus, "Memory": memory },
            "PullStartedAt": self.times.pull_started_at.map(iso),
            "PullStoppedAt": self.times.pull_stopped_at.map(iso),
            "AvailabilityZone": self.interface.as_ref().map(|interface| &interface.availability_zone),
            "LaunchType": "FARGATE",
            "Containers": (0..self.containers.len()).map(|one| self.container_metadata(one)).collect::<Vec<_>>(),
            "FaultInjectionEnabled": false,
        })
    }

    fn container_metadata(&self, index: usize) -> Value {
        let (definition, container) =
            (&self.definition.request.container_definitions[index], &self.containers[index]);
        let networks = self.interface.iter().map(|interface| {
            let mut network =
                json!({ "NetworkMode": "awsvpc", "AttachmentIndex": 0, "MACAddress": interface.mac });
            let addresses = [("IPv4Addresses", &interface.private_ip), ("IPv6Addresses", &interface.ipv6)];
            for (name, address) in addresses {
                if let Some(address) = address {
                    network[name] = json!([address]);
                }
            }
            network
        });
        let mut metadata = json!({
            "DockerId": container.runtime_id,
            "Name": definition.name,
            "DockerName": definition.name,
            "Image": definition.image,
            "DesiredStatus": self.desired_status(),
            "KnownStatus": container.status.name(),
            "CreatedAt": self.times.pull_stopped_at.map(iso),
            "StartedAt": container.started_at.map(iso),
            "Type": "NORMAL",
            "ContainerARN": self.container_arn(container),
            "Networks": networks.collect::<Vec<_>>(),
        });
        if let Some(log) = &definition.log_configuration {
            metadata["LogDriver"] = json!(log.log_driver);
            metadata["LogOptions"] = json!(log.options);
        }
        metadata
    }
}
