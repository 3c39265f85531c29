//! The events that ECS puts on the bus, as far as they matter here.
//! Source: ECS developer guide, "Amazon ECS events" (ecs_cwe_events).

use serde::Deserialize;

/// An event of the source `aws.ecs`.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The event's own id.
    pub id: String,
    /// The ARNs that it is about.
    #[serde(default)]
    resources: Vec<String>,
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
    pub task_arn: String,
    /// `service:NAME` for a task of a service.
    pub group: String,
    pub last_status: String,
    pub stop_code: String,
    pub stopped_reason: String,
    pub containers: Vec<Container>,
}

/// A container of the task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Absent where it never ran.
    pub exit_code: Option<i32>,
    pub reason: String,
}

/// Detail of a service's or a deployment's event.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    pub event_name: String,
    pub reason: String,
}

impl Event {
    /// The name of the service that it is about.
    pub fn service(&self) -> Option<&str> {
        match &self.body {
            Body::Task(task) => task.group.strip_prefix("service:"),
            Body::Service(_) | Body::Deployment(_) => self
                .resources
                .iter()
                .find_map(|arn| arn.contains(":service/").then(|| arn.rsplit('/').next())?),
        }
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
