//! The life of one task, from PROVISIONING to STOPPED.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use local_aws::upstream::Session;
use local_ec2::{Server, TaskInterface};
use tokio::select;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::definitions::Revision;
use crate::endpoints::Endpoints;
use crate::fargate::STOP_TIMEOUT;
use crate::faults::{Fault, SpotStopCode, Stage};
use crate::logs::LogStream;
use crate::reader::Reader;
use crate::registries::Registry;
use crate::requests::{AwsvpcConfiguration, ContainerDefinition, LoadBalancer, Switch};
use crate::runtime::{Container, Launch};
use crate::services::Service;
use crate::targets::Targets;
use crate::tasks::{LastStatus, StopCode, Task, alter, change, request_stop};
use crate::{Ecs, health, logs, pull, scheduler, secrets, short_name};

/// How long each step takes, in the cloud's time. Starting: the sample event of Developer Guide, "Amazon ECS
/// task state change events" (0, +4, +18, +21 and +24 s). Stopping: not documented; drains of tens of seconds
/// were seen.
const CONNECTING: Duration = Duration::from_secs(4);
const PREPARING: Duration = Duration::from_secs(14);
const PULLING: Duration = Duration::from_secs(3);
const ACTIVATING: Duration = Duration::from_secs(3);
const DEACTIVATING: Duration = Duration::from_secs(3);
const DEPROVISIONING: Duration = Duration::from_secs(15);

/// How long a task tries to reach a server to which no way leads. AWS gives no number; the messages tell of three tries, or
/// five, that ran into a time-out.
const UNREACHABLE: Duration = Duration::from_secs(90);

/// What a job's worker needs before all else; it has both names of the host.
const QUEUES: Server<'_> = Server::Aws { service: "sqs", dual_stack: true };

/// Stopped tasks can be described for at least an hour: Developer Guide, "Viewing stopped tasks".
const STOPPED: Duration = Duration::from_hours(1);

/// Sets a new task going, with what is to go wrong with it.
pub(crate) fn begin(ecs: &Ecs, task: &Task, service: &Service, fault: Option<Fault>) {
    let network = service.request.network_configuration.as_ref();
    let managed = task.tags.iter().filter(|tag| tag.key.starts_with("aws:"));
    let life = Life {
        ecs: ecs.clone(),
        arn: task.arn.clone(),
        id: task.id().to_owned(),
        definition: task.definition.clone(),
        network: network.expect("a service has been checked to have a network").awsvpc_configuration.clone(),
        // ECS describes the interface by the attachment's ARN, and tags it with its own tags only: Developer
        // Guide, "Amazon ECS task networking options for Fargate" and "Tag Amazon ECS resources".
        interface_description: ecs.arn(&format!("attachment/{}", task.attachment_id)),
        interface_tags: managed.map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        stopping: task.stopping.clone(),
        fault,
        job: service.job().map(str::to_owned),
        // `CreateService$healthCheckGracePeriodSeconds`: 0 by default.
        grace: Duration::from_secs(service.request.health_check_grace_period_seconds.unwrap_or(0).into()),
        container: None,
        endpoints: Endpoints::default(),
        groups: service.request.load_balancers.clone(),
        targets: None,
    };
    ecs.background.spawn(life.run());
}

/// Why a task could not be started, in the words of `stoppedReason`: Developer Guide, "Amazon ECS stopped
/// tasks error messages".
struct StartFailure {
    reason: String,
    /// Whether it was the container that failed, not the task around it.
    of_container: bool,
}

impl StartFailure {
    fn of_task(reason: String) -> Self {
        Self { reason, of_container: false }
    }

    fn of_container(reason: String) -> Self {
        Self { reason, of_container: true }
    }
}

struct Life {
    ecs: Ecs,
    arn: String,
    id: String,
    definition: Arc<Revision>,
    network: AwsvpcConfiguration,
    interface_description: String,
    interface_tags: BTreeMap<String, String>,
    stopping: CancellationToken,
    fault: Option<Fault>,
    job: Option<String>,
    /// How long a health check may fail at the beginning.
    grace: Duration,
    /// The container, while there is one.
    container: Option<Arc<dyn Container>>,
    /// Where the container is called.
    endpoints: Endpoints,
    /// The service's target groups, and what the task is registered as while it runs.
    groups: Vec<LoadBalancer>,
    targets: Option<Targets>,
}

impl Life {
    /// Lives until STOPPED, or until the stand-in stops; the container never outlives this.
    async fn run(mut self) {
        let stop = self.ecs.stop.clone();
        stop.run_until_cancelled(Box::pin(self.live())).await;
        if let Some(container) = self.container.take() {
            container.kill();
            container.exit_code().await;
        }
    }

    async fn live(&mut self) {
        let stopping = self.stopping.clone();
        match stopping.run_until_cancelled(Box::pin(self.start())).await {
            Some(Ok(())) => self.work().await,
            Some(Err(failure)) => self.change(|task, now| {
                task.stop.get_or_insert((StopCode::TaskFailedToStart, failure.reason.clone()));
                task.times.stopping_at.get_or_insert(now);
                task.container_reason = failure.of_container.then_some(failure.reason);
            }),
            // Somebody stopped it on its way up, which it does not notice at once.
            None => self.ecs.upstream.clock.sleep(DEACTIVATING).await,
        }
        self.clean_up().await;
    }

    async fn start(&mut self) -> Result<(), StartFailure> {
        let ecs = self.ecs.clone();
        self.check_roles().await?;
        self.stay_if_told(Stage::Provisioning).await;
        self.attach_interface().await?;
        ecs.upstream.clock.sleep(CONNECTING).await;
        self.change(|task, now| {
            task.last_status = LastStatus::Pending;
            task.times.connectivity_at = Some(now);
        });
        self.stay_if_told(Stage::Pending).await;

        let definition = &self.definition.clone().request.container_definitions[0];
        ecs.upstream.clock.sleep(PREPARING).await;
        let registry = Registry::of(&definition.image);
        self.authorize_pull(registry).await?;
        let secrets = self.fetch_secrets(definition).await?;
        let logs = self.create_log_stream(definition).await?;
        self.pull(&definition.image, registry).await?;
        self.change(|task, now| {
            task.last_status = LastStatus::Activating;
            task.times.pull_stopped_at = Some(now);
            // Fargate's runtime ids: Developer Guide, "Amazon ECS task metadata endpoint version 4 for tasks
            // on Fargate".
            task.runtime_id =
                Some(format!("{}-{:010}", task.id(), self.ecs.upstream.random.range(0..10_u64.pow(10))));
        });

        ecs.upstream.clock.sleep(ACTIVATING).await;
        let launch = Launch {
            task: self.id.clone(),
            image: definition.image.clone(),
            entry_point: definition.entry_point.clone(),
            command: definition.command.clone(),
            environment: ecs.environment(&self.arn, secrets, self.reaches(QUEUES).await?),
            memory: self.memory(),
            // Who knows what a service is for only from its definition: a job's container has no ports.
            is_called: !definition.port_mappings.is_empty(),
            logs,
        };
        let started = ecs.runtime.start(launch).await;
        let container: Arc<dyn Container> =
            Arc::from(started.map_err(|error| {
                StartFailure::of_container(format!("CannotStartContainerError: {error:#}"))
            })?);
        self.container = Some(container.clone());
        let interface = self.interface();
        if let Some(interface) = &interface {
            self.endpoints = Endpoints::open(&ecs, interface, &definition.port_mappings, &container).await;
        }
        self.change(|task, now| {
            task.last_status = LastStatus::Running;
            task.times.started_at = Some(now);
        });
        if !self.groups.is_empty() {
            let register = |interface| Targets::register(&ecs, interface, self.groups.clone(), &container);
            self.targets = interface.as_ref().and_then(register);
        }
        Ok(())
    }

    /// Stays in this stage for ever, if the task is one that never starts.
    async fn stay_if_told(&self, here: Stage) {
        if self.fault == Some(Fault::NeverStarts { stage: here }) {
            pending::<()>().await;
        }
    }

    /// The memory of the task in bytes; the definition has it in MiB.
    fn memory(&self) -> u64 {
        let mib = self.definition.request.memory.as_ref().and_then(|memory| memory.parse::<u64>().ok());
        mib.expect("a definition has been checked to have a memory") << 20
    }

    /// Both roles are assumed before anything else: Developer Guide, "Amazon ECS stopped tasks error
    /// messages".
    async fn check_roles(&self) -> Result<(), StartFailure> {
        let request = &self.definition.request;
        for role in [&request.execution_role_arn, &request.task_role_arn].into_iter().flatten() {
            self.assume(role).await?;
        }
        Ok(())
    }

    async fn attach_interface(&self) -> Result<(), StartFailure> {
        let AwsvpcConfiguration { subnets, security_groups, assign_public_ip } = &self.network;
        let subnet = &subnets[self.ecs.upstream.random.range(0..subnets.len())];
        let public = *assign_public_ip == Switch::Enabled;
        let (tags, description) = (&self.interface_tags, &self.interface_description);
        let made =
            self.ecs.ec2.create_task_interface(subnet, security_groups, public, tags, description).await;
        let interface = made.map_err(|error| {
            StartFailure::of_task(format!(
                "Unexpected EC2 error while attempting to create a network interface in subnet '{subnet}': {}",
                error.code
            ))
        })?;
        self.change(|task, _| task.interface = Some(interface));
        Ok(())
    }

    fn interface(&self) -> Option<TaskInterface> {
        self.ecs.state().tasks.get(&self.arn)?.interface.clone()
    }

    /// Asks ECR for a token, before anything else. In an IPv6-only subnet it does so, as all that is AWS's own, under the host
    /// that has IPv6 addresses too, but under no other condition (aws/amazon-ecs-agent, pull request 4577).
    async fn authorize_pull(&self, registry: Registry) -> Result<(), StartFailure> {
        if !registry.is_ecr() {
            return Ok(());
        }
        let region = &self.ecs.upstream.region;
        self.reach(self.aws("ecr.api"), |why| StartFailure::of_task(pull::ecr_unreachable(region, why))).await
    }

    async fn fetch_secrets(
        &self,
        definition: &ContainerDefinition,
    ) -> Result<BTreeMap<String, String>, StartFailure> {
        let role = self.execution_role().await?;
        let Some(role) = role.filter(|_| !definition.secrets.is_empty()) else {
            return Ok(BTreeMap::new());
        };
        for secret in &definition.secrets {
            let server = self.aws(secrets::service(secret));
            self.reach(server, |_| StartFailure::of_task(secrets::unreachable(secret))).await?;
        }
        let Ecs { guard, upstream, .. } = &self.ecs;
        let reader = Reader { guard, upstream, role: &role };
        secrets::fetch(&reader, &definition.secrets).await.map_err(StartFailure::of_task)
    }

    async fn create_log_stream(
        &self,
        definition: &ContainerDefinition,
    ) -> Result<Option<LogStream>, StartFailure> {
        let (Some(log), Some(role)) = (&definition.log_configuration, self.execution_role().await?) else {
            return Ok(None);
        };
        self.reach(self.aws("logs"), |_| StartFailure::of_task(logs::UNREACHABLE.to_owned())).await?;
        let config = self.ecs.upstream.session_config(&role);
        let stream = LogStream::create(&config, &log.options, &definition.name, &self.id).await;
        stream.map(Some).map_err(|error| {
            StartFailure::of_task(format!(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 \
                 times: failed to create Cloudwatch log stream: {error} : exit status 1"
            ))
        })
    }

    async fn pull(&self, image: &str, registry: Registry) -> Result<(), StartFailure> {
        self.change(|task, now| task.times.pull_started_at = Some(now));
        let failed = StartFailure::of_container;
        self.reach(registry.manifests(), |why| failed(pull::unreachable(image, why))).await?;
        self.reach(registry.layers(), |why| failed(pull::layers_unreachable(image, why))).await?;
        self.ecs.upstream.clock.sleep(PULLING).await;
        if let Some(reason) = self.fault.as_ref().and_then(|fault| fault.of_pull(image)) {
            return Err(failed(reason));
        }
        if self.ecs.runtime.has(image) { Ok(()) } else { Err(failed(pull::not_found(image))) }
    }

    /// One of AWS's services, as what starts a task calls it.
    fn aws(&self, service: &'static str) -> Server<'static> {
        Server::Aws { service, dual_stack: !self.has_ipv4() }
    }

    fn has_ipv4(&self) -> bool {
        self.interface().is_none_or(|interface| interface.private_ip.is_some())
    }

    /// Fails where nothing leads from the task's interface, over which all goes, to a server that its start needs: Developer
    /// Guide, "Amazon ECS task networking options for Fargate".
    async fn reach(
        &self,
        server: Server<'_>,
        failure: impl FnOnce(&str) -> StartFailure,
    ) -> Result<(), StartFailure> {
        if self.reaches(server).await? {
            return Ok(());
        }
        let has_ipv6 =
            matches!(server, Server::Aws { dual_stack: true, .. } | Server::Internet { ipv6: true });
        if !has_ipv6 && !self.has_ipv4() {
            return Err(failure(pull::NO_IPV4));
        }
        self.ecs.upstream.clock.sleep(UNREACHABLE).await;
        Err(failure(pull::TIMEOUT))
    }

    async fn reaches(&self, server: Server<'_>) -> Result<bool, StartFailure> {
        let Some(interface) = self.interface() else { return Ok(true) };
        self.ecs.ec2.reaches(&interface.id, server).await.map_err(|error| {
            StartFailure::of_task(format!("Unexpected EC2 error: {}: {}", error.code, error.message))
        })
    }

    /// A session for what is done in the name of the execution role, if the task has one.
    async fn execution_role(&self) -> Result<Option<Session>, StartFailure> {
        match &self.definition.request.execution_role_arn {
            Some(role) => self.assume(role).await.map(Some),
            None => Ok(None),
        }
    }

    async fn assume(&self, role: &str) -> Result<Session, StartFailure> {
        self.ecs.upstream.role_session(role, &self.id).await.map_err(|error| {
            tracing::warn!(role, task = self.id, error = format!("{error:#}"), "role could not be assumed");
            StartFailure::of_task(format!(
                "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the \
                 role being passed has the proper trust relationship and permissions and that your IAM user has \
                 permissions to pass this role."
            ))
        })
    }

    /// RUNNING until the container ends or somebody stops the task.
    async fn work(&mut self) {
        let Some(container) = self.container.clone() else { return };
        let health = async {
            select! {
                biased;
                never = self.watch_health(&*container) => never,
                never = self.watch_targets() => never,
            }
        };
        let mut struck = None;
        let exited = {
            let mut exited = pin!(self.stopping.run_until_cancelled(container.exit_code()));
            let mut health = pin!(health);
            select! {
                biased;
                exited = &mut exited => exited,
                never = &mut health => match never {},
                fault = due(&self.ecs, self.fault.as_ref()) => {
                    struck = Some(fault.clone());
                    strike(&self.ecs, &self.arn, &*container, fault);
                    select! {
                        biased;
                        exited = exited => exited,
                        never = health => match never {},
                    }
                }
            }
        };
        // Before anything else that stops it: Developer Guide, "Amazon ECS task lifecycle", DEACTIVATING.
        self.targets = None;
        let exit_code = match exited {
            Some(exit_code) => exit_code,
            None => self.shut_down().await,
        };
        let (told_exit_code, out_of_memory) = match struck {
            Some(Fault::OutOfMemory { exit_code, .. }) => (exit_code, true),
            _ => (
                Some(exit_code),
                self.container.as_ref().is_some_and(|container| container.is_out_of_memory()),
            ),
        };
        self.change(|task, now| {
            let reason =
                || (StopCode::EssentialContainerExited, "Essential container in task exited".to_owned());
            task.stop.get_or_insert_with(reason);
            task.times.stopping_at.get_or_insert(now);
            task.times.execution_stopped_at = Some(now);
            task.last_status = LastStatus::Stopping;
            task.exit_code = told_exit_code;
            // Developer Guide, "Amazon ECS stopped tasks error messages".
            task.container_reason =
                out_of_memory.then(|| "OutOfMemoryError: Container killed due to memory usage".to_owned());
        });
    }

    /// Tells what the health check finds, for ever, and has a task that fails it replaced.
    async fn watch_health(&self, container: &dyn Container) -> Infallible {
        let definition = &self.definition.request.container_definitions[0];
        let Some(check) = &definition.health_check else { return pending().await };
        let tell = |health, is_due| {
            change(&self.ecs, &self.arn, |task| task.health = health);
            if is_due {
                let (what, reason) =
                    ("failed container health checks.", "Task failed container health checks");
                scheduler::replace(&self.ecs, &mut self.ecs.state(), &self.arn, what, reason);
            }
        };
        health::watch(&self.ecs, container, check, self.grace, tell).await
    }

    /// The same for what its target groups find. Source of the words: Developer Guide, "Amazon ECS stopped tasks error messages"
    /// and "Amazon ECS service event messages".
    async fn watch_targets(&self) -> Infallible {
        let Some(targets) = &self.targets else { return pending().await };
        let tell = |all_healthy, failing: Option<&LoadBalancer>| {
            alter(&self.ecs, &self.arn, |task| task.is_healthy_target = all_healthy);
            if let Some(LoadBalancer { target_group_arn, container_port, .. }) = failing {
                let what = format!(
                    "(port {container_port}) is unhealthy in (target-group {target_group_arn}) due to (reason Health checks \
                     failed)."
                );
                let reason = format!("Task failed ELB health checks in (target-group {target_group_arn})");
                scheduler::replace(&self.ecs, &mut self.ecs.state(), &self.arn, &what, &reason);
            }
        };
        targets.watch(self.grace, tell).await
    }

    /// SIGTERM, and SIGKILL when the time-out of the definition has passed: API Reference, `StopTask`.
    async fn shut_down(&mut self) -> i32 {
        self.change(|task, _| task.last_status = LastStatus::Deactivating);
        self.ecs.upstream.clock.sleep(DEACTIVATING).await;
        self.change(|task, _| task.last_status = LastStatus::Stopping);
        let seconds = self.definition.request.container_definitions[0].stop_timeout.unwrap_or(STOP_TIMEOUT);
        let grace = self.ecs.time_for_work(Duration::from_secs(seconds));
        let Some(container) = &self.container else { return 0 };
        container.terminate();
        if let Ok(exit_code) = timeout(grace, container.exit_code()).await {
            return exit_code;
        }
        container.kill();
        container.exit_code().await
    }

    async fn clean_up(&mut self) {
        (self.container, self.endpoints) = (None, Endpoints::default());
        self.change(|task, _| task.last_status = LastStatus::Deprovisioning);
        let detachment = detach(self.ecs.clone(), self.interface());
        let lingers = self.ecs.ec2.faults().interface_lingers(self.job.as_deref());
        if lingers.is_zero() {
            tokio::join!(detachment, self.ecs.upstream.clock.sleep(DEPROVISIONING));
        } else {
            let clock = self.ecs.upstream.clock;
            self.ecs.spawn(async move {
                clock.sleep(DEPROVISIONING + lingers).await;
                detachment.await;
            });
            clock.sleep(DEPROVISIONING).await;
        }
        if let Err(error) = self.ecs.runtime.remove(&self.id).await {
            tracing::warn!(task = self.id, %error, "files of a stopped task could not be removed");
        }
        self.change(|task, now| {
            task.last_status = LastStatus::Stopped;
            task.times.stopped_at = Some(now);
        });
        self.ecs.upstream.clock.sleep(STOPPED).await;
        self.ecs.state().tasks.remove(&self.arn);
    }

    fn change(&self, how: impl FnOnce(&mut Task, Timestamp)) {
        let now = self.ecs.now();
        change(&self.ecs, &self.arn, |task| how(task, now));
    }
}

async fn detach(ecs: Ecs, interface: Option<TaskInterface>) {
    if let Some(interface) = interface {
        ecs.ec2.delete_task_interface(&interface.id).await;
    }
}

/// Waits until a fault is to happen to the task that runs now.
async fn due<'a>(ecs: &Ecs, fault: Option<&'a Fault>) -> &'a Fault {
    match fault.and_then(|fault| Some((fault, fault.after()?))) {
        Some((fault, after)) => {
            ecs.upstream.clock.sleep(after).await;
            fault
        }
        None => pending().await,
    }
}

/// Lets a fault happen to a task that runs.
fn strike(ecs: &Ecs, task: &str, container: &dyn Container, fault: &Fault) {
    tracing::info!(task = short_name(task), ?fault, "fault happens");
    let stop = |code, reason: &str| interrupt(ecs, task, code, reason);
    match fault {
        Fault::NoCapacity
        | Fault::QuotaReached { .. }
        | Fault::NeverStarts { .. }
        | Fault::PullTimesOut
        | Fault::PullDenied
        | Fault::RoleMissing { .. }
        | Fault::DeploymentsActive { .. } => {}
        Fault::SpotInterruption { stop_code, .. } => {
            let code = match stop_code {
                SpotStopCode::SpotInterruption => StopCode::SpotInterruption,
                SpotStopCode::TerminationNotice => StopCode::TerminationNotice,
            };
            // Developer Guide, "Fargate Spot termination notices".
            stop(code, "Your Spot Task was interrupted.");
        }
        // Developer Guide, "Task retirement and maintenance for AWS Fargate on Amazon ECS"; the scheduler does it for the
        // tasks of a service.
        Fault::Maintenance { .. } => stop(
            StopCode::ServiceSchedulerInitiated,
            "ECS is performing maintenance on the underlying infrastructure hosting the task",
        ),
        Fault::OutOfMemory { .. } | Fault::Killed { .. } => container.kill(),
        Fault::Silence { .. } => container.freeze(),
    }
}

/// Stops a task in AWS's own name; its service looks for another one at once.
fn interrupt(ecs: &Ecs, arn: &str, code: StopCode, reason: &str) {
    let state = &mut *ecs.state();
    request_stop(ecs, state, arn, code, reason);
    let service = state.tasks.get(arn).map(|task| task.service_arn.clone());
    if let Some(service) = service {
        scheduler::reconcile(ecs, state, &service);
    }
}
