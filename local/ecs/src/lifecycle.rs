//! The life of one task, from PROVISIONING to STOPPED.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_all};
use jiff::Timestamp;
use local_aws::upstream::Session;
use local_ec2::{Server, TaskInterface};
use tokio::select;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::containers::ContainerStatus;
use crate::definitions::Revision;
use crate::endpoints::Endpoints;
use crate::fargate::STOP_TIMEOUT;
use crate::faults::{Fault, SpotStopCode, Stage};
use crate::logs::LogStream;
use crate::order::{self, Group, Start};
use crate::reader::Reader;
use crate::registries::Registry;
use crate::requests::{AwsvpcConfiguration, ContainerDefinition, LoadBalancer, Switch};
use crate::runtime::{Container, Launch, Mount, Wanted};
use crate::secrets::Credentials;
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

/// What stops a task: Developer Guide, "Amazon ECS stopped tasks error messages".
const EXITED: &str = "Essential container in task exited";

/// The same where nothing else is told; as seen on Fargate (aws/containers-roadmap#2561).
const NOT_STARTED: &str = "Task failed to start";

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
        containers: task.containers.iter().map(|_| None).collect(),
        out_of_memory: OnceLock::new(),
        endpoints: Endpoints::default(),
        groups: service.request.load_balancers.clone(),
        targets: None,
    };
    ecs.background.spawn(life.run());
}

/// Why a task could not be started, in the words of `stoppedReason`: Developer Guide, "Amazon ECS stopped
/// tasks error messages".
struct StartFailure {
    code: StopCode,
    reason: String,
    /// The container that failed, where it was not the task around it.
    container: Option<usize>,
}

impl StartFailure {
    fn of_task(reason: String) -> Self {
        Self { code: StopCode::TaskFailedToStart, reason, container: None }
    }

    fn of_container(container: usize, reason: String) -> Self {
        Self { container: Some(container), ..Self::of_task(reason) }
    }

    /// An essential container has ended before all others had been started.
    fn ended() -> Self {
        Self { code: StopCode::EssentialContainerExited, ..Self::of_task(EXITED.to_owned()) }
    }
}

/// What a container is started with that has all that its start needs from elsewhere.
struct Prepared {
    environment: BTreeMap<String, String>,
    logs: Option<LogStream>,
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
    /// The containers that have been started, in the order of the definition's.
    containers: Vec<Option<Arc<dyn Container>>>,
    /// The exit code that is told of the container that a fault has killed for want of memory.
    out_of_memory: OnceLock<Option<i32>>,
    /// Where the container is called.
    endpoints: Endpoints,
    /// The service's target groups, and what the task is registered as while it runs.
    groups: Vec<LoadBalancer>,
    targets: Option<Targets>,
}

impl Life {
    /// Lives until STOPPED, or until the stand-in stops; no container outlives this.
    async fn run(mut self) {
        let stop = self.ecs.stop.clone();
        stop.run_until_cancelled(Box::pin(self.live())).await;
        for container in self.containers.into_iter().flatten() {
            container.kill();
            container.exit_code().await;
        }
    }

    async fn live(&mut self) {
        let stopping = self.stopping.clone();
        match stopping.run_until_cancelled(Box::pin(self.start())).await {
            Some(Ok(())) => self.work().await,
            Some(Err(failure)) => {
                self.change(|task, now| {
                    task.stop.get_or_insert((failure.code, failure.reason.clone()));
                    task.times.stopping_at.get_or_insert(now);
                    if let Some(container) = failure.container {
                        task.containers[container].reason = Some(failure.reason);
                    }
                });
                self.stop_containers().await;
            }
            // Somebody stopped it on its way up, which it does not notice at once.
            None => {
                self.ecs.upstream.clock.sleep(DEACTIVATING).await;
                self.stop_containers().await;
            }
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

        ecs.upstream.clock.sleep(PREPARING).await;
        let prepared = self.prepare().await?;
        ecs.upstream.clock.sleep(ACTIVATING).await;
        self.start_containers(prepared).await?;
        let definition = self.definition.clone();
        let interface = self.interface();
        // One container at most is called.
        let mut containers = definition.request.container_definitions.iter().zip(&self.containers);
        let called = containers.find(|(definition, _)| !definition.port_mappings.is_empty());
        let called = called.and_then(|(definition, container)| Some((definition, container.clone()?)));
        if let (Some(interface), Some((definition, container))) = (&interface, &called) {
            self.endpoints = Endpoints::open(&ecs, interface, &definition.port_mappings, container).await;
        }
        self.change(|task, now| {
            task.last_status = LastStatus::Running;
            task.times.started_at = Some(now);
        });
        if let (Some(interface), Some((_, container))) = (interface, called)
            && !self.groups.is_empty()
        {
            self.targets = Targets::register(&ecs, &interface, self.groups.clone(), &container);
        }
        Ok(())
    }

    fn definitions(&self) -> &[ContainerDefinition] {
        &self.definition.request.container_definitions
    }

    /// Gets all that the containers need from elsewhere, before the first of them is started. That what is secret of each comes
    /// before a log of any, that each image is pulled by then, and that none can be missing, are guesses about Fargate.
    async fn prepare(&mut self) -> Result<Vec<Prepared>, StartFailure> {
        let (mut environments, mut prepared, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for definition in self.definitions() {
            self.authorize_pull(Registry::of(&definition.image)).await?;
            wanted.push(Wanted {
                image: definition.image.clone(),
                architecture: self.definition.architecture(),
                credentials: self.fetch_credentials(definition).await?,
            });
            environments.push(self.fetch_secrets(definition).await?);
        }
        for (definition, environment) in self.definitions().iter().zip(environments) {
            prepared.push(Prepared { environment, logs: self.create_log_stream(definition).await? });
        }
        self.pull(&wanted).await?;
        self.change(|task, now| {
            task.last_status = LastStatus::Activating;
            task.times.pull_stopped_at = Some(now);
            // Fargate's runtime ids: Developer Guide, "Amazon ECS task metadata endpoint version 4 for tasks
            // on Fargate".
            let task_id = task.id().to_owned();
            for container in &mut task.containers {
                let number = self.ecs.upstream.random.range(0..10_u64.pow(10));
                container.runtime_id = Some(format!("{task_id}-{number:010}"));
            }
        });
        let reaches_queues = self.reaches(QUEUES).await?;
        for (index, prepared) in prepared.iter_mut().enumerate() {
            let secrets = mem::take(&mut prepared.environment);
            prepared.environment = self.ecs.environment(&self.arn, index, secrets, reaches_queues);
        }
        Ok(prepared)
    }

    /// Starts each container as soon as it may.
    async fn start_containers(&mut self, prepared: Vec<Prepared>) -> Result<(), StartFailure> {
        let mut waiting: BTreeMap<_, _> = prepared.into_iter().enumerate().collect();
        loop {
            let mut has_news = false;
            for index in waiting.keys().copied().collect::<Vec<_>>() {
                match self.group(|group| group.start(&self.ecs, index)) {
                    Start::Now => {
                        let prepared = waiting.remove(&index).expect("it waits");
                        self.start_container(index, prepared).await?;
                    }
                    Start::Later => continue,
                    Start::Never(reason) => {
                        waiting.remove(&index);
                        self.note_end(index, Some(order::NEVER_STARTED), Some(reason));
                        if self.definitions()[index].essential {
                            return Err(StartFailure::of_task(NOT_STARTED.to_owned()));
                        }
                    }
                }
                has_news = true;
            }
            if waiting.is_empty() {
                return Ok(());
            }
            if has_news {
                // Others may wait for just that.
                self.change(|_, _| {});
                continue;
            }
            let gives_up_at = (0..self.containers.len())
                .filter(|index| self.runs(*index))
                .filter_map(|index| self.group(|group| group.gives_up_at(&self.ecs, index)))
                .min();
            let given_up = async {
                match gives_up_at {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            select! {
                biased;
                (index, exit_code) = self.next_end() => {
                    self.note_end(index, Some(exit_code), None);
                    if self.definitions()[index].essential {
                        return Err(StartFailure::ended());
                    }
                    self.change(|_, _| {});
                }
                () = given_up => {}
            }
        }
    }

    /// Starts one container; that one which is not essential cannot be started fails nothing but those that wait for it.
    async fn start_container(&mut self, index: usize, prepared: Prepared) -> Result<(), StartFailure> {
        let definition = &self.definitions()[index];
        let mounts = definition.mount_points.iter().map(|point| Mount {
            volume: point.source_volume.clone(),
            path: point.container_path.clone(),
            is_read_only: point.read_only == Some(true),
        });
        let launch = Launch {
            task: self.id.clone(),
            container: definition.name.clone(),
            image: definition.image.clone(),
            architecture: self.definition.architecture(),
            entry_point: definition.entry_point.clone(),
            command: definition.command.clone(),
            environment: prepared.environment,
            mounts: mounts.collect(),
            user: definition.user.clone(),
            is_read_only: definition.readonly_root_filesystem == Some(true),
            open_files: definition.ulimits.first().map(|limit| (limit.soft_limit, limit.hard_limit)),
            has_init: definition
                .linux_parameters
                .as_ref()
                .is_some_and(|parameters| parameters.init_process_enabled == Some(true)),
            memory: self.memory(),
            // Who knows what a service is for only from its definition: a job's container has no ports.
            is_called: !definition.port_mappings.is_empty(),
            logs: prepared.logs,
        };
        match self.ecs.runtime.start(launch).await {
            Ok(container) => {
                self.containers[index] = Some(Arc::from(container));
                let (now, began) = (self.ecs.now(), self.ecs.upstream.clock.instant());
                alter(&self.ecs, &self.arn, |task| {
                    let container = &mut task.containers[index];
                    container.status = ContainerStatus::Running;
                    (container.started_at, container.began) = (Some(now), Some(began));
                });
                Ok(())
            }
            Err(error) => {
                let reason = format!("CannotStartContainerError: {error:#}");
                if self.definitions()[index].essential {
                    return Err(StartFailure::of_container(index, reason));
                }
                self.note_end(index, None, Some(reason));
                Ok(())
            }
        }
    }

    /// Looks at the containers as they are.
    fn group<T>(&self, look: impl FnOnce(Group<'_>) -> T) -> T {
        let state = self.ecs.state();
        let task = &state.tasks[&self.arn];
        look(Group { definitions: self.definitions(), containers: &task.containers })
    }

    fn runs(&self, index: usize) -> bool {
        self.group(|group| group.containers[index].status == ContainerStatus::Running)
    }

    /// The next end of a container that runs.
    async fn next_end(&self) -> (usize, i32) {
        let running = self.containers.iter().enumerate().filter(|(index, _)| self.runs(*index));
        let ends: Vec<_> = running
            .filter_map(|(index, container)| {
                let container = container.clone()?;
                Some(async move { (index, container.exit_code().await) }.boxed())
            })
            .collect();
        if ends.is_empty() { pending().await } else { select_all(ends).await.0 }
    }

    /// Notes the end of a container, of which no event tells by itself. Developer Guide, "Amazon ECS stopped tasks error
    /// messages".
    fn note_end(&self, index: usize, exit_code: Option<i32>, reason: Option<String>) {
        let container = self.containers[index].as_ref();
        let told = self.out_of_memory.get().filter(|_| index == self.main());
        let is_out_of_memory =
            told.is_some() || container.is_some_and(|container| container.is_out_of_memory());
        let reason = reason.or_else(|| {
            is_out_of_memory.then(|| "OutOfMemoryError: Container killed due to memory usage".to_owned())
        });
        alter(&self.ecs, &self.arn, |task| {
            let container = &mut task.containers[index];
            container.status = ContainerStatus::Stopped;
            container.exit_code = told.copied().unwrap_or(exit_code);
            container.reason = reason;
        });
    }

    /// The first of the essential containers, which faults happen to.
    fn main(&self) -> usize {
        let main = self.definitions().iter().position(|definition| definition.essential);
        main.expect("a definition has been checked to have an essential container")
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

    async fn fetch_credentials(
        &self,
        definition: &ContainerDefinition,
    ) -> Result<Option<Credentials>, StartFailure> {
        let Some(credentials) = &definition.repository_credentials else { return Ok(None) };
        let Some(role) = self.execution_role().await? else { return Ok(None) };
        let unreachable = |_: &str| StartFailure::of_task(secrets::registry_unreachable(credentials));
        self.reach(self.aws("secretsmanager"), unreachable).await?;
        let Ecs { guard, upstream, .. } = &self.ecs;
        let reader = Reader { guard, upstream, role: &role };
        secrets::credentials(&reader, credentials).await.map(Some).map_err(StartFailure::of_task)
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

    async fn pull(&self, wanted: &[Wanted]) -> Result<(), StartFailure> {
        self.change(|task, now| task.times.pull_started_at = Some(now));
        for (index, Wanted { image, .. }) in wanted.iter().enumerate() {
            let (registry, failed) =
                (Registry::of(image), |reason| StartFailure::of_container(index, reason));
            self.reach(registry.manifests(), |why| failed(pull::unreachable(image, why))).await?;
            self.reach(registry.layers(), |why| failed(pull::layers_unreachable(image, why))).await?;
        }
        self.ecs.upstream.clock.sleep(PULLING).await;
        for (index, wanted) in wanted.iter().enumerate() {
            let Wanted { image, architecture, .. } = wanted;
            let failed = match self.fault.as_ref().and_then(|fault| fault.of_pull(image)) {
                Some(reason) => Err(reason),
                None => {
                    self.ecs.runtime.pull(wanted).await.map_err(|why| pull::failed(image, architecture, &why))
                }
            };
            failed.map_err(|reason| StartFailure::of_container(index, reason))?;
        }
        Ok(())
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

    /// RUNNING until an essential container ends or somebody stops the task.
    async fn work(&mut self) {
        let main = self.containers[self.main()].clone().expect("all containers have been started");
        let ended = {
            let health = async {
                select! {
                    biased;
                    never = self.watch_health() => never,
                    never = self.watch_targets() => never,
                }
            };
            let mut ended = pin!(self.stopping.run_until_cancelled(self.essential_end()));
            let mut health = pin!(health);
            select! {
                biased;
                ended = &mut ended => ended,
                never = &mut health => match never {},
                fault = due(&self.ecs, self.fault.as_ref()) => {
                    if let Fault::OutOfMemory { exit_code, .. } = fault {
                        let _ = self.out_of_memory.set(*exit_code);
                    }
                    strike(&self.ecs, &self.arn, &*main, fault);
                    select! {
                        biased;
                        ended = ended => ended,
                        never = health => match never {},
                    }
                }
            }
        };
        // Before anything else that stops it: Developer Guide, "Amazon ECS task lifecycle", DEACTIVATING.
        self.targets = None;
        let stop = |task: &mut Task, now| {
            task.stop.get_or_insert_with(|| (StopCode::EssentialContainerExited, EXITED.to_owned()));
            task.times.stopping_at.get_or_insert(now);
            task.last_status = LastStatus::Stopping;
        };
        if ended.is_none() {
            self.change(|task, _| task.last_status = LastStatus::Deactivating);
            self.ecs.upstream.clock.sleep(DEACTIVATING).await;
            self.change(|task, _| task.last_status = LastStatus::Stopping);
        } else if !self.group(|group| group.to_stop_next()).is_empty() {
            self.change(stop);
        }
        self.stop_containers().await;
        self.change(|task, now| {
            stop(task, now);
            task.times.execution_stopped_at = Some(now);
        });
    }

    /// Waits until an essential container has ended; the others may.
    async fn essential_end(&self) {
        loop {
            let (index, exit_code) = self.next_end().await;
            self.note_end(index, Some(exit_code), None);
            if self.definitions()[index].essential {
                return;
            }
            self.change(|_, _| {});
        }
    }

    /// Tells what the health check finds, for ever, and has a task that fails it replaced.
    async fn watch_health(&self) -> Infallible {
        let mut checked = self.definitions().iter().zip(&self.containers).enumerate().filter_map(
            |(index, (definition, container))| {
                Some((index, definition.health_check.as_ref()?, container.as_ref()?))
            },
        );
        // There is one at most, since one container at most has ports.
        let Some((index, check, container)) = checked.next() else { return pending().await };
        let tell = |health, is_due| {
            change(&self.ecs, &self.arn, |task| task.containers[index].health = health);
            if is_due {
                let (what, reason) =
                    ("failed container health checks.", "Task failed container health checks");
                scheduler::replace(&self.ecs, &mut self.ecs.state(), &self.arn, what, reason);
            }
        };
        health::watch(&self.ecs, &**container, check, self.grace, tell).await
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

    /// Ends all containers that run, those first that depend on others.
    async fn stop_containers(&self) {
        loop {
            let next = self.group(|group| group.to_stop_next());
            if next.is_empty() {
                return;
            }
            join_all(next.into_iter().map(|index| self.stop_container(index))).await;
        }
    }

    /// SIGTERM, and SIGKILL when the time-out of the definition has passed: API Reference, `StopTask`.
    async fn stop_container(&self, index: usize) {
        let seconds = self.definitions()[index].stop_timeout.unwrap_or(STOP_TIMEOUT);
        let grace = self.ecs.time_for_work(Duration::from_secs(seconds));
        let Some(container) = &self.containers[index] else { return };
        container.terminate();
        let exit_code = if let Ok(exit_code) = timeout(grace, container.exit_code()).await {
            exit_code
        } else {
            container.kill();
            container.exit_code().await
        };
        self.note_end(index, Some(exit_code), None);
    }

    async fn clean_up(&mut self) {
        self.endpoints = Endpoints::default();
        self.containers.fill(None);
        self.change(|task, _| {
            task.last_status = LastStatus::Deprovisioning;
            for container in &mut task.containers {
                container.status = ContainerStatus::Stopped;
            }
        });
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
