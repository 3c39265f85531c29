//! The events that ECS puts on the bus, as far as they matter here.
//! Source: ECS developer guide, "Amazon ECS events" (ecs_cwe_events).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// An event of the source `aws.ecs`.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The event's own id.
    pub id: String,
    /// When it was sent.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// The ARNs that it is about.
    #[serde(default)]
    resources: Vec<String>,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}

/// What it says.
#[derive(Debug, Deserialize)]
#[serde(tag = "detail-type", content = "detail")]
pub enum Body {
    /// A task has changed its state.
    #[serde(rename = "ECS Task State Change")]
    Task(TaskChange),
    /// A service could not do something.
    #[serde(rename = "ECS Service Action")]
    Service(Action),
    /// A deployment has succeeded or failed.
    #[serde(rename = "ECS Deployment State Change")]
    Deployment(Action),
}

/// Detail of a task's change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskChange {
    /// The cluster's ARN.
    pub cluster_arn: String,
    /// The task's ARN.
    pub task_arn: String,
    /// `service:NAME` for a task of a service.
    pub group: String,
    /// Its state.
    pub last_status: String,
    /// Why it stopped, in a word.
    pub stop_code: String,
    /// The same in words.
    pub stopped_reason: String,
    /// When it stopped.
    pub stopped_at: Option<Timestamp>,
    /// Which of the task's events is the newer.
    pub version: u64,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Its network interface, as soon as it has one.
    pub attachments: Vec<Attachment>,
}

impl TaskChange {
    /// What the task's network interface has in its detail `name`.
    /// Source: ECS API Reference, `Attachment`: details of an `ElasticNetworkInterface`.
    pub fn interface_detail(&self, name: &str) -> Option<&str> {
        let mut details = self.attachments.iter().flat_map(|attachment| &attachment.details);
        details
            .find(|detail| detail.get("name").is_some_and(|given| given == name))?
            .get("value")
            .map(String::as_str)
    }
}

/// What is attached to the task.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// A `name` and a `value` each.
    details: Vec<BTreeMap<String, String>>,
}

/// A container of the task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name in the task definition.
    pub name: String,
    /// Absent where it never ran.
    pub exit_code: Option<i32>,
    /// What ECS says of its end.
    pub reason: String,
}

/// Detail of a service's or a deployment's event.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    /// What has happened.
    pub event_name: String,
    /// Why.
    pub reason: String,
}

impl Event {
    /// The name of the service that it is about.
    pub fn service(&self) -> Option<&str> {
        match &self.body {
            Body::Task(task) => task.group.strip_prefix("service:"),
            Body::Service(_) | Body::Deployment(_) => self.service_arn()?.rsplit('/').next(),
        }
    }

    /// The cluster that the service is in, by its ARN or its name. A deployment's event has it in the service's ARN only.
    pub fn cluster(&self) -> Option<&str> {
        match &self.body {
            Body::Task(task) => Some(&task.cluster_arn),
            Body::Service(_) | Body::Deployment(_) => self.service_arn()?.rsplit('/').nth(1),
        }
    }

    fn service_arn(&self) -> Option<&str> {
        self.resources.iter().map(String::as_str).find(|arn| arn.contains(":service/"))
    }

    /// The task that it is about.
    pub fn task_arn(&self) -> Option<&str> {
        match &self.body {
            Body::Task(task) => Some(&task.task_arn),
            Body::Service(_) | Body::Deployment(_) => None,
        }
    }

    /// Whether Mayfly has stopped the task itself, by deleting the service. When AWS retires the machine below a task,
    /// only the reason is another one.
    /// Source: ECS developer guide, "Task retirement and maintenance for AWS Fargate on Amazon ECS".
    pub fn is_own_stop(&self) -> bool {
        let Body::Task(task) = &self.body else { return false };
        task.stop_code == "ServiceSchedulerInitiated"
            && task.stopped_reason.contains("Scaling activity initiated by")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_event_tells_the_service_and_its_cluster() {
        let event = |kind: &str, resource: &str, detail: Value| {
            let event = json!({ "id": "1", "detail-type": kind, "resources": [resource], "detail": detail });
            serde_json::from_value::<Event>(event).unwrap()
        };
        let service = "arn:aws:ecs:eu-west-1:111122223333:service/mayfly-job/mayfly-job-1";
        let task = "arn:aws:ecs:eu-west-1:111122223333:task/mayfly-job/0123456789abcdef";
        let change = json!({ "clusterArn": "mayfly-job", "group": "service:mayfly-job-1", "taskArn": task });
        for event in [
            event("ECS Task State Change", task, change),
            event("ECS Service Action", service, json!({ "clusterArn": "mayfly-job" })),
            event("ECS Deployment State Change", service, json!({})),
        ] {
            assert_eq!((event.cluster(), event.service()), (Some("mayfly-job"), Some("mayfly-job-1")));
        }
    }
}
