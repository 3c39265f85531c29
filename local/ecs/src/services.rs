//! Services: the calls, and what they show. What a service then does is the scheduler's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use local_aws::auth::Caller;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clusters::Cluster;
use crate::definitions::Revision;
use crate::error::{ApiError, Result};
use crate::pages::page;
use crate::requests::Tag;
use crate::requests::{
    CreateService, DeleteService, DescribeServices, Include, ListServices, PropagateTags, SchedulingStrategy,
    StrategyItem, Switch,
};
use crate::tags;
use crate::tasks::Task;
use crate::{Ecs, State, scheduler, seconds, short_name};

/// The platform version that LATEST stands for: Developer Guide, "Fargate platform versions for Amazon ECS".
pub(crate) const PLATFORM_VERSION: &str = "1.4.0";

/// How many events a service keeps: API Reference, `Service$events`.
const MAX_EVENTS: usize = 100;

/// An INACTIVE service can be described for a while, and then is unknown: API Reference, `DeleteService`. AWS
/// gives no number.
const INACTIVE: Duration = Duration::from_hours(1);

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    pub arn: String,
    pub cluster_arn: String,
    pub status: Status,
    /// The request that made it.
    pub request: CreateService,
    pub definition: Arc<Revision>,
    pub strategy: Vec<StrategyItem>,
    pub desired: u32,
    pub deployment: Deployment,
    /// Whether the number of tasks is as desired, and was announced to be.
    pub steady: bool,
    /// Tasks in a row that have failed to start, for the throttle of the scheduler.
    pub failures: u32,
    /// No task is started before this time.
    pub retry_at: Instant,
    pub events: VecDeque<Value>,
    pub created_at: Timestamp,
    pub created_by: String,
}

/// Where a service is in its life: API Reference, `Service$status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Draining,
    Inactive,
}

/// The one deployment of a service, which cannot be updated here.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// `ecs-svc/…`, which is also what the tasks were `startedBy`.
    pub id: String,
    pub rollout: Rollout,
    /// Whether a task of it has been RUNNING.
    pub has_run: bool,
    pub failed_tasks: u32,
    pub updated_at: Timestamp,
}

/// API Reference, `Deployment$rolloutState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

impl Rollout {
    /// The state and its reason, in the words of the API.
    fn texts(self, id: &str) -> (&'static str, String) {
        match self {
            Self::InProgress => ("IN_PROGRESS", format!("ECS deployment {id} in progress.")),
            Self::Completed => ("COMPLETED", format!("ECS deployment {id} completed.")),
            Self::Failed => ("FAILED", "ECS deployment circuit breaker: tasks failed to start.".to_owned()),
        }
    }
}

impl Deployment {
    pub fn reason(&self) -> String {
        self.rollout.texts(&self.id).1
    }
}

impl Service {
    pub fn name(&self) -> &str {
        &self.request.service_name
    }

    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    pub fn is_live(&self) -> bool {
        self.status != Status::Inactive
    }

    /// "When a service is deleted, the tags are deleted as well": API Reference, `CreateService$tags`. At once, here.
    pub fn tags(&self) -> &[Tag] {
        if self.is_active() { &self.request.tags } else { &[] }
    }

    /// The service's own tags and what else its tasks get: Developer Guide, "Tag Amazon ECS resources".
    pub fn task_tags(&self, cluster: &str) -> Vec<Tag> {
        let mut tags = match self.request.propagate_tags {
            Some(PropagateTags::Service) => self.request.tags.clone(),
            Some(PropagateTags::TaskDefinition) => self.definition.request.tags.clone(),
            Some(PropagateTags::None) | None => Vec::new(),
        };
        if self.request.enable_ecs_managed_tags {
            tags.push(Tag::new("aws:ecs:clusterName", cluster));
            tags.push(Tag::new("aws:ecs:serviceName", self.name()));
        }
        tags
    }

    /// The job that the service is for.
    pub fn job(&self) -> Option<&str> {
        tags::job(&self.request.tags)
    }

    /// Adds an event in the words of the console: "(service NAME) …".
    pub fn announce(&mut self, ecs: &Ecs, what: &str) {
        self.events.push_front(json!({
            "id": ecs.upstream.random.uuid().to_string(),
            "createdAt": seconds(ecs.now()),
            "message": format!("(service {}) {what}", self.name()),
        }));
        self.events.truncate(MAX_EVENTS);
    }

    fn document<'a>(&self, tasks: impl Iterator<Item = &'a Task> + Clone) -> Value {
        let running = tasks.clone().filter(|task| task.is_running()).count();
        let pending = tasks.filter(|task| task.is_pending()).count();
        let (rollout, reason) = self.deployment.rollout.texts(&self.deployment.id);
        let deployment = json!({
            "id": self.deployment.id,
            "status": "PRIMARY",
            "taskDefinition": self.definition.arn,
            "desiredCount": self.desired,
            "pendingCount": pending,
            "runningCount": running,
            "failedTasks": self.deployment.failed_tasks,
            "createdAt": seconds(self.created_at),
            "updatedAt": seconds(self.deployment.updated_at),
            "platformVersion": PLATFORM_VERSION,
            "platformFamily": "Linux",
            "networkConfiguration": self.request.network_configuration,
            "rolloutState": rollout,
            "rolloutStateReason": reason,
            "capacityProviderStrategy": self.strategy,
        });
        let mut document = json!({
            "serviceArn": self.arn,
            "serviceName": self.name(),
            "clusterArn": self.cluster_arn,
            "loadBalancers": self.request.load_balancers,
            "serviceRegistries": [],
            "status": match self.status {
                Status::Active => "ACTIVE",
                Status::Draining => "DRAINING",
                Status::Inactive => "INACTIVE",
            },
            "desiredCount": self.desired,
            "runningCount": running,
            "pendingCount": pending,
            "platformVersion": self.request.platform_version.as_deref().unwrap_or("LATEST"),
            "platformFamily": "Linux",
            "taskDefinition": self.definition.arn,
            "deploymentConfiguration": self.request.deployment_configuration.clone().unwrap_or_default(),
            "events": self.events,
            "createdAt": seconds(self.created_at),
            "placementConstraints": [],
            "placementStrategy": [],
            "networkConfiguration": self.request.network_configuration,
            "schedulingStrategy": SchedulingStrategy::Replica,
            "capacityProviderStrategy": self.strategy,
            "deploymentController": { "type": "ECS" },
            "createdBy": self.created_by,
            "enableECSManagedTags": self.request.enable_ecs_managed_tags,
            "propagateTags": self.request.propagate_tags.unwrap_or(PropagateTags::None),
            "enableExecuteCommand": false,
            // New services have it on: API Reference, `CreateService$availabilityZoneRebalancing`.
            "availabilityZoneRebalancing": self.request.availability_zone_rebalancing.unwrap_or(Switch::Enabled),
        });
        if let Some(seconds) = self.request.health_check_grace_period_seconds {
            document["healthCheckGracePeriodSeconds"] = json!(seconds);
        }
        // A service that is deleted has no deployment any more.
        document["deployments"] = if self.is_live() { json!([deployment]) } else { json!([]) };
        document
    }
}

impl State {
    /// A service as the API shows it. Tags are shown where they are asked for, and right after the creation.
    pub fn service_document(&self, arn: &str, with_tags: bool) -> Value {
        let service = &self.services[arn];
        let mut document = service.document(self.tasks_of(arn));
        if with_tags {
            document["tags"] = json!(service.tags());
        }
        document
    }

    /// The tasks of a service, whatever their status.
    pub fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Task> + Clone {
        self.tasks.values().filter(move |task| task.service_arn == service)
    }
}

/// `DeleteService`: DRAINING until no task runs any more.
pub(crate) async fn delete(ecs: &Ecs, caller: &Caller, request: DeleteService) -> Result<Value> {
    let arn = authorized(ecs, caller, "DeleteService", request.cluster.as_deref(), &request.service).await?;
    let mut state = ecs.state();
    let service =
        state.services.get_mut(&arn).filter(|s| s.is_live()).ok_or_else(ApiError::service_not_found)?;
    // `DeleteService`: scaled to zero first, or `force`.
    if service.desired > 0 && !request.force {
        return Err(ApiError::invalid_parameter("The service cannot be stopped while it is scaled above 0."));
    }
    if ecs.faults.are_deployments_active(service.job()) {
        // The code and the words that hashicorp/terraform-provider-aws, `resourceServiceDelete`, tries again after.
        return Err(ApiError::invalid_parameter(
            "The service cannot be stopped while deployments are active.",
        ));
    }
    service.status = Status::Draining;
    service.desired = 0;
    scheduler::reconcile(ecs, &mut state, &arn);
    Ok(json!({ "service": state.service_document(&arn, false) }))
}

/// Forgets a service that has been INACTIVE for long, unless its name is in use again.
pub(crate) async fn forget(ecs: Ecs, arn: String) {
    ecs.upstream.clock.sleep(INACTIVE).await;
    let mut state = ecs.state();
    if state.services.get(&arn).is_some_and(|service| !service.is_live()) {
        state.services.remove(&arn);
    }
}

/// `DescribeServices`; an unknown service is a failure inside a successful answer.
pub(crate) async fn describe(ecs: &Ecs, caller: &Caller, request: DescribeServices) -> Result<Value> {
    // `DescribeServices$services`.
    if !(1..=10).contains(&request.services.len()) {
        return Err(ApiError::invalid_parameter("services must have 1 to 10 members"));
    }
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for reference in &request.services {
        let arn = authorized(ecs, caller, "DescribeServices", request.cluster.as_deref(), reference).await?;
        let state = ecs.state();
        if state.services.contains_key(&arn) {
            services.push(state.service_document(&arn, request.include.contains(&Include::Tags)));
        } else {
            failures.push(json!({ "arn": arn, "reason": "MISSING" }));
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

/// `ListServices`: a service that is deleted is not in it any more, even while it drains (`DeleteService`).
pub(crate) async fn list(ecs: &Ecs, caller: &Caller, request: ListServices) -> Result<Value> {
    let cluster = ecs.cluster(request.cluster.as_deref()).await?;
    ecs.allow(caller, "ListServices", "*", &cluster.arn, &[]).await?;
    let state = ecs.state();
    let listed = state.services.values().filter(|s| s.cluster_arn == cluster.arn && s.is_active());
    let arns = listed.map(|service| service.arn.clone()).collect();
    page("serviceArns", arns, request.next_token.as_deref(), request.max_results, 10)
}

/// The ARN of the service that a request names, if the caller may do `action` on it.
async fn authorized(
    ecs: &Ecs,
    caller: &Caller,
    action: &str,
    cluster: Option<&str>,
    reference: &str,
) -> Result<String> {
    let cluster = ecs.cluster(cluster).await?;
    let arn = service_arn(ecs, &cluster, short_name(reference));
    let tags = ecs.state().services.get(&arn).map(|service| service.tags().to_vec()).unwrap_or_default();
    ecs.allow(caller, action, &arn, &cluster.arn, &tags).await?;
    Ok(arn)
}

pub(crate) fn service_arn(ecs: &Ecs, cluster: &Cluster, name: &str) -> String {
    ecs.arn(&format!("service/{}/{name}", cluster.name))
}
