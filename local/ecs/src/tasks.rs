//! Tasks: what they are, the calls, and their events.

use std::sync::Arc;

use jiff::Timestamp;
use local_aws::auth::Caller;
use local_ec2::TaskInterface;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::containers::TaskContainer;
use crate::definitions::Revision;
use crate::error::{ApiError, Result};
use crate::faults::Fault;
use crate::health::Health;
use crate::pages::page;
use crate::requests::{ContainerDefinition, DescribeTasks, DesiredStatus, Include, ListTasks, StopTask, Tag};
use crate::services::PLATFORM_VERSION;
use crate::{Ecs, State, iso, lifecycle, scheduler, seconds, short_name};

/// The states of a task, in their order: Developer Guide, "Amazon ECS task lifecycle".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LastStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl LastStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task stops: API Reference, `Task$stopCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    SpotInterruption,
    TerminationNotice,
}

impl StopCode {
    fn name(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
            Self::TerminationNotice => "TerminationNotice",
        }
    }
}

/// When things happened to a task; names as in the API.
#[derive(Debug, Default)]
#[allow(clippy::struct_field_names, reason = "they are the API's names")]
pub(crate) struct Times {
    pub connectivity_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
}

/// A task of one container or several.
#[derive(Debug)]
pub(crate) struct Task {
    pub arn: String,
    pub cluster_arn: String,
    pub service_arn: String,
    pub definition: Arc<Revision>,
    pub capacity_provider: String,
    pub last_status: LastStatus,
    pub times: Times,
    /// The network interface, from its creation; it stays visible after its deletion.
    pub interface: Option<TaskInterface>,
    pub stop: Option<(StopCode, String)>,
    /// Its containers, in the order of its definition's.
    pub containers: Vec<TaskContainer>,
    /// Whether each of its target groups says that it is healthy; all do when there is none.
    pub is_healthy_target: bool,
    pub tags: Vec<Tag>,
    /// The secret name of the task's credentials.
    pub credentials_id: String,
    /// Fires when somebody wants the task to stop.
    pub stopping: CancellationToken,
    group: String,
    started_by: String,
    /// The id of the network interface's attachment.
    pub attachment_id: String,
    created_at: Timestamp,
    version: u64,
}

impl Task {
    pub fn id(&self) -> &str {
        short_name(&self.arn)
    }

    pub fn is_running(&self) -> bool {
        self.last_status == LastStatus::Running
    }

    /// Whether all checks that it has say that it is healthy.
    pub fn is_passing(&self) -> bool {
        let mut containers = self.definition.request.container_definitions.iter().zip(&self.containers);
        self.is_healthy_target
            && containers.all(|(definition, container)| {
                definition.health_check.is_none() || container.health == Health::Healthy
            })
    }

    /// What the essential containers' is together: API Reference, `Task$healthStatus`.
    fn health(&self) -> Health {
        let containers = self.definition.request.container_definitions.iter().zip(&self.containers);
        let essential = containers.filter(|(definition, _)| definition.essential);
        let found: Vec<_> = essential.map(|(_, container)| container.health).collect();
        [Health::Unhealthy, Health::Unknown]
            .into_iter()
            .find(|health| found.contains(health))
            .unwrap_or(Health::Healthy)
    }

    pub fn is_pending(&self) -> bool {
        self.last_status < LastStatus::Running
    }

    /// Whether its desired status is STOPPED.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub fn is_stopped(&self) -> bool {
        self.last_status == LastStatus::Stopped
    }

    pub fn desired_status(&self) -> &'static str {
        if self.is_stopping() { "STOPPED" } else { "RUNNING" }
    }

    pub fn container_arn(&self, container: &TaskContainer) -> String {
        let (account, rest) = self.arn.split_once(":task/").unwrap_or_default();
        format!("{account}:container/{rest}/{}", container.id)
    }

    /// The network interface: API Reference, `Attachment`.
    fn attachment(&self, kind: &str) -> Value {
        let status = match (&self.interface, self.last_status) {
            (_, LastStatus::Stopped) => "DELETED",
            (None, _) => "PRECREATED",
            (Some(_), LastStatus::Provisioning) => "ATTACHING",
            (Some(_), LastStatus::Deprovisioning) => "DETACHING",
            (Some(_), _) => "ATTACHED",
        };
        let details = self.interface.iter().flat_map(|interface| {
            let known = [
                ("subnetId", Some(&interface.subnet_id)),
                ("networkInterfaceId", Some(&interface.id)),
                ("macAddress", Some(&interface.mac)),
                ("privateIPv4Address", interface.private_ip.as_ref()),
                ("ipv6Address", interface.ipv6.as_ref()),
            ];
            known.into_iter().filter_map(|(name, value)| Some((name, value?)))
        });
        json!({
            "id": self.attachment_id,
            "type": kind,
            "status": status,
            "details": details.map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        })
    }

    fn containers(&self) -> Value {
        let containers = self.definition.request.container_definitions.iter().zip(&self.containers);
        containers.map(|(definition, container)| self.container(definition, container)).collect()
    }

    fn container(&self, definition: &ContainerDefinition, found: &TaskContainer) -> Value {
        let interfaces = self.interface.iter().map(|interface| {
            let mut seen = json!({ "attachmentId": self.attachment_id });
            let addresses = [("privateIpv4Address", &interface.private_ip), ("ipv6Address", &interface.ipv6)];
            for (name, address) in addresses {
                if let Some(address) = address {
                    seen[name] = address.clone().into();
                }
            }
            seen
        });
        let mut container = json!({
            "containerArn": self.container_arn(found),
            "taskArn": self.arn,
            "name": definition.name,
            "image": definition.image,
            "lastStatus": found.status.name(),
            "networkBindings": [],
            "networkInterfaces": interfaces.collect::<Vec<_>>(),
            "healthStatus": found.health.name(),
            "cpu": definition.cpu.to_string(),
        });
        // A container that never started has no exit code: Developer Guide, "Amazon ECS task state change
        // events".
        for (name, value) in [
            ("exitCode", found.exit_code.map(Value::from)),
            ("reason", found.reason.clone().map(Value::from)),
            ("runtimeId", found.runtime_id.clone().map(Value::from)),
        ] {
            if let Some(value) = value {
                container[name] = value;
            }
        }
        container
    }

    /// The task as the API and the events have it, which differ in how they write a time and the attachment's
    /// type.
    fn document(&self, time: fn(Timestamp) -> Value, attachment: &str) -> Map<String, Value> {
        let definition = &self.definition.request;
        let storage =
            json!({ "sizeInGiB": definition.ephemeral_storage.as_ref().map_or(20, |s| s.size_in_gib) });
        let overrides = definition.container_definitions.iter().map(|one| json!({ "name": one.name }));
        let mut document = Map::from_iter(
            [
                ("attachments", json!([self.attachment(attachment)])),
                ("attributes", json!([])),
                ("capacityProviderName", json!(self.capacity_provider)),
                ("clusterArn", json!(self.cluster_arn)),
                ("containers", self.containers()),
                ("cpu", json!(definition.cpu)),
                ("createdAt", time(self.created_at)),
                ("desiredStatus", json!(self.desired_status())),
                ("enableExecuteCommand", json!(false)),
                ("ephemeralStorage", storage),
                ("group", json!(self.group)),
                ("healthStatus", json!(self.health().name())),
                ("lastStatus", json!(self.last_status.name())),
                ("launchType", json!("FARGATE")),
                ("memory", json!(definition.memory)),
                ("overrides", json!({ "containerOverrides": overrides.collect::<Vec<_>>() })),
                ("platformFamily", json!("Linux")),
                ("platformVersion", json!(PLATFORM_VERSION)),
                ("startedBy", json!(self.started_by)),
                ("taskArn", json!(self.arn)),
                ("taskDefinitionArn", json!(self.definition.arn)),
                ("version", json!(self.version)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let times = &self.times;
        let optional = [
            ("availabilityZone", self.interface.as_ref().map(|i| json!(i.availability_zone))),
            ("connectivity", times.connectivity_at.map(|_| json!("CONNECTED"))),
            ("connectivityAt", times.connectivity_at.map(time)),
            ("pullStartedAt", times.pull_started_at.map(time)),
            ("pullStoppedAt", times.pull_stopped_at.map(time)),
            ("startedAt", times.started_at.map(time)),
            ("stoppingAt", times.stopping_at.map(time)),
            ("executionStoppedAt", times.execution_stopped_at.map(time)),
            ("stoppedAt", times.stopped_at.map(time)),
            ("stopCode", self.stop.as_ref().map(|(code, _)| json!(code.name()))),
            ("stoppedReason", self.stop.as_ref().map(|(_, reason)| json!(reason))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                document.insert(name.to_owned(), value);
            }
        }
        document
    }

    fn describe(&self, with_tags: bool) -> Value {
        let mut document = self.document(seconds, "ElasticNetworkInterface");
        document.insert("tags".to_owned(), if with_tags { json!(self.tags) } else { json!([]) });
        document.into()
    }

    /// "ECS Task State Change": Developer Guide, "Amazon ECS task state change events".
    fn announce(&self, ecs: &Ecs) {
        tracing::info!(task = self.id(), status = self.last_status.name(), stop = ?self.stop, "task changed");
        let mut detail = self.document(iso, "eni");
        detail.insert("updatedAt".to_owned(), iso(ecs.now()));
        ecs.bus.put("aws.ecs", "ECS Task State Change", vec![self.arn.clone()], detail.into());
    }
}

/// Adds a task of a service and sets it going; returns its id.
pub(crate) fn create(
    ecs: &Ecs,
    state: &mut State,
    service: &str,
    provider: String,
    fault: Option<Fault>,
) -> String {
    let service = &state.services[service];
    let id = ecs.upstream.random.uuid().simple().to_string();
    let cluster = short_name(&service.cluster_arn);
    let containers =
        service.definition.request.container_definitions.iter().map(|_| TaskContainer {
            id: ecs.upstream.random.uuid().to_string(),
            ..TaskContainer::default()
        });
    let task = Task {
        arn: ecs.arn(&format!("task/{cluster}/{id}")),
        cluster_arn: service.cluster_arn.clone(),
        service_arn: service.arn.clone(),
        definition: service.definition.clone(),
        capacity_provider: provider,
        last_status: LastStatus::Provisioning,
        times: Times::default(),
        interface: None,
        stop: None,
        containers: containers.collect(),
        is_healthy_target: service.request.load_balancers.is_empty(),
        tags: service.task_tags(cluster),
        credentials_id: ecs.upstream.random.uuid().to_string(),
        stopping: CancellationToken::new(),
        group: format!("service:{}", service.name()),
        started_by: service.deployment.id.clone(),
        attachment_id: ecs.upstream.random.uuid().to_string(),
        created_at: ecs.now(),
        version: 1,
    };
    task.announce(ecs);
    lifecycle::begin(ecs, &task, service, fault);
    state.tasks.insert(task.arn.clone(), task);
    id
}

/// Makes a change that the world sees: the version rises, an event tells, and the service is looked at again.
pub(crate) fn change(ecs: &Ecs, arn: &str, how: impl FnOnce(&mut Task)) {
    alter(ecs, arn, |task| {
        how(task);
        task.version += 1;
        task.announce(ecs);
    });
}

/// Makes a change of which no event tells.
pub(crate) fn alter(ecs: &Ecs, arn: &str, how: impl FnOnce(&mut Task)) {
    let state = &mut *ecs.state();
    let Some(task) = state.tasks.get_mut(arn) else { return };
    let (was_running, was_failed) = (task.is_running(), task.start_failure().is_some());
    let was_passing = was_running && task.is_passing();
    how(task);
    let started = task.is_running() && !was_running;
    let passes = task.is_running() && task.is_passing() && !was_passing;
    let failure = task.start_failure().filter(|_| !was_failed).map(str::to_owned);
    let service = task.service_arn.clone();
    if started {
        scheduler::task_started(state, &service);
    }
    if passes {
        scheduler::task_passes(state, &service);
    }
    if let Some(reason) = failure {
        scheduler::task_not_started(ecs, state, &service, &reason);
    }
    scheduler::reconcile(ecs, state, &service);
}

impl Task {
    /// Why it could not be started.
    fn start_failure(&self) -> Option<&str> {
        match &self.stop {
            Some((StopCode::TaskFailedToStart, reason)) => Some(reason),
            _ => None,
        }
    }
}

/// Asks a task to stop, unless it is stopping already. The first event says so with the old status.
pub(crate) fn request_stop(ecs: &Ecs, state: &mut State, arn: &str, code: StopCode, reason: &str) {
    let Some(task) = state.tasks.get_mut(arn).filter(|task| !task.is_stopping()) else { return };
    task.stop = Some((code, reason.to_owned()));
    task.times.stopping_at = Some(ecs.now());
    task.version += 1;
    task.announce(ecs);
    task.stopping.cancel();
}

/// `DescribeTasks`; an unknown task is a failure inside a successful answer.
pub(crate) async fn describe(ecs: &Ecs, caller: &Caller, request: DescribeTasks) -> Result<Value> {
    // `DescribeTasks$tasks`.
    if !(1..=100).contains(&request.tasks.len()) {
        return Err(ApiError::invalid_parameter("tasks must have 1 to 100 members"));
    }
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in &request.tasks {
        let arn = authorized(ecs, caller, "DescribeTasks", request.cluster.as_deref(), reference).await?;
        match ecs.state().tasks.get(&arn) {
            Some(task) => tasks.push(task.describe(request.include.contains(&Include::Tags))),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

/// `ListTasks`: running ones, unless stopped ones are asked for.
pub(crate) async fn list(ecs: &Ecs, caller: &Caller, request: ListTasks) -> Result<Value> {
    let cluster = ecs.cluster(request.cluster.as_deref()).await?;
    // Service Authorization Reference: the resource of ListTasks is the container instance; Fargate has none.
    let resource = ecs.arn(&format!("container-instance/{}/*", cluster.name));
    ecs.allow(caller, "ListTasks", &resource, &cluster.arn, &[]).await?;
    // `ListTasks$startedBy`: "it must be the only filter that you use".
    let others =
        request.family.is_some() || request.service_name.is_some() || request.desired_status.is_some();
    if request.started_by.is_some() && others {
        return Err(ApiError::invalid_parameter("startedBy must be the only filter"));
    }
    let state = ecs.state();
    let service = request
        .service_name
        .as_deref()
        .map(|name| ecs.arn(&format!("service/{}/{}", cluster.name, short_name(name))));
    if service.as_ref().is_some_and(|arn| !state.services.contains_key(arn)) {
        return Err(ApiError::service_not_found());
    }
    let stopped = request.desired_status == Some(DesiredStatus::Stopped);
    let listed = state.tasks.values().filter(|task| {
        task.cluster_arn == cluster.arn
            && task.is_stopping() == stopped
            && service.as_ref().is_none_or(|arn| *arn == task.service_arn)
            && request.family.as_ref().is_none_or(|family| *family == task.definition.request.family)
            && request.started_by.as_ref().is_none_or(|started_by| *started_by == task.started_by)
    });
    let arns = listed.map(|task| task.arn.clone()).collect();
    page("taskArns", arns, request.next_token.as_deref(), request.max_results, 100)
}

/// `StopTask`.
pub(crate) async fn stop(ecs: &Ecs, caller: &Caller, request: StopTask) -> Result<Value> {
    let arn = authorized(ecs, caller, "StopTask", request.cluster.as_deref(), &request.task).await?;
    let state = &mut *ecs.state();
    let not_found = || ApiError::invalid_parameter("The referenced task was not found.");
    let service = state.tasks.get(&arn).ok_or_else(not_found)?.service_arn.clone();
    let reason = request.reason.as_deref().unwrap_or("Task stopped by user");
    request_stop(ecs, state, &arn, StopCode::UserInitiated, reason);
    let answer = json!({ "task": state.tasks[&arn].describe(true) });
    scheduler::reconcile(ecs, state, &service);
    Ok(answer)
}

/// The ARN of the task that a request names, if the caller may do `action` on it.
async fn authorized(
    ecs: &Ecs,
    caller: &Caller,
    action: &str,
    cluster: Option<&str>,
    reference: &str,
) -> Result<String> {
    let cluster = ecs.cluster(cluster).await?;
    let arn = ecs.arn(&format!("task/{}/{}", cluster.name, short_name(reference)));
    let tags = ecs.state().tasks.get(&arn).map(|task| task.tags.clone()).unwrap_or_default();
    ecs.allow(caller, action, &arn, &cluster.arn, &tags).await?;
    Ok(arn)
}
