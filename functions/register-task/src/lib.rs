//! RegisterTask: the job's own task definition: image, size, variables and roles.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::builders::{ContainerDefinitionBuilder, MountPointBuilder};
use aws_sdk_ecs::types::{
    Compatibility, ContainerCondition, ContainerDefinition, ContainerDependency, CpuArchitecture,
    EphemeralStorage, HealthCheck, KeyValuePair, LinuxParameters, LogConfiguration, LogDriver, MountPoint,
    NetworkMode, OsFamily, PortMapping, RepositoryCredentials, RuntimePlatform, Secret, TaskDefinitionStatus,
    TransportProtocol, Ulimit, UlimitName, Volume,
};
use mayfly_ecs::pairs;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::job::{self, Egress, IMAGES, Port, Protocol};
use mayfly_model::names::{COMMAND_VARIABLE, INSTALL_CONTAINER, SERVICE_CONTAINER, WORKER_CONTAINER};
use mayfly_model::plan::{Plan, PlannedService};
use mayfly_model::tags;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// The longest that Fargate leaves a container between SIGTERM and SIGKILL, in seconds.
/// Source: ECS API Reference, `ContainerDefinition`, `stopTimeout`.
const STOP_TIMEOUT_SECONDS: u32 = 120;

/// How long the worker may take to be installed, its image's pull not counted, in seconds: the longest that Fargate waits.
/// Source: ECS API Reference, `ContainerDefinition`, `startTimeout`.
const START_TIMEOUT_SECONDS: i32 = 120;

/// What the worker's program is told to do in the container before the job's; its volumes follow.
const INSTALL: &str = "install";
/// The volume with the worker, which the command cannot write, and where it is.
const PROGRAM: (&str, &str) = ("worker", "/mayfly/bin");
/// The one with the job's files.
const FILES: (&str, &str) = ("files", "/mayfly/files");
/// The one for temporary files where the image's own cannot be written.
const TEMPORARY: (&str, &str) = ("tmp", "/tmp");

struct Settings {
    stack: String,
    region: String,
    done_queue_url: String,
    task_role_arn: String,
    execution_role_arn: String,
    log_group: String,
    /// Whether AWS is a local cloud, whose services have no names.
    is_local: bool,
}

impl Settings {
    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            stack: environment.setting("STACK_NAME")?,
            region: environment.setting("AWS_REGION")?,
            done_queue_url: environment.setting("DONE_QUEUE_URL")?,
            task_role_arn: environment.setting("TASK_ROLE_ARN")?,
            execution_role_arn: environment.setting("EXECUTION_ROLE_ARN")?,
            log_group: environment.setting("LOG_GROUP")?,
            is_local: environment.sdk().endpoint_url().is_some(),
        })
    }
}

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<RegisterTask>();

/// The step.
pub struct RegisterTask {
    ecs: Client,
    settings: Settings,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    task_definition: String,
}

impl Step for RegisterTask {
    type Input = Input;
    type Output = Registered;

    const SDK_RETRIES: bool = false;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ecs: Client::new(environment.sdk()), settings: Settings::new(environment)? })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Registered, Error> {
        const DOING: &str = "register the job's task definition";
        let Self { ecs, settings } = self;
        let Input { plan } = input;
        if let Some(task_definition) = find(ecs, &settings.stack, &plan).await? {
            tracing::info!(task_definition, "task definition found");
            return Ok(Registered { task_definition });
        }
        let container = &plan.container;
        let registered = ecs
            .register_task_definition()
            .family(&plan.family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .runtime_platform(
                RuntimePlatform::builder()
                    .cpu_architecture(CpuArchitecture::from(container.architecture.name()))
                    .operating_system_family(OsFamily::Linux)
                    .build(),
            )
            .cpu(container.cpu.to_string())
            .memory(container.memory_mib.to_string())
            .set_ephemeral_storage(container.storage_gib.map(storage).transpose()?)
            .set_task_role_arn(plan.work().map(|_| settings.task_role_arn.clone()))
            .execution_role_arn(&settings.execution_role_arn)
            .set_container_definitions(Some(container_definitions(settings, &plan)?))
            .set_volumes(Some(volumes(&plan).map(|(name, _)| Volume::builder().name(name).build()).collect()))
            .set_tags(Some(mayfly_ecs::tags(&plan.tags)))
            .send()
            .await
            .map_err(Error::aws(DOING))?;
        let arn = registered.task_definition.and_then(|definition| definition.task_definition_arn);
        let task_definition = given(DOING, "taskDefinitionArn", arn)?;
        tracing::info!(task_definition, "task definition registered");
        Ok(Registered { task_definition })
    }
}

/// The revision that an earlier try of the same run has made: RegisterTaskDefinition takes no client token.
async fn find(ecs: &Client, stack: &str, plan: &Plan) -> Result<Option<String>, Error> {
    let owner = Owner { stack, job: &plan.job };
    let found = mayfly_ecs::task_definitions(ecs, owner, TaskDefinitionStatus::Active).await?;
    let run = (tags::EXECUTION, plan.tags.get(tags::EXECUTION).map_or("", String::as_str));
    let own = found.into_iter().find(|(_, tags)| pairs(tags).any(|tag| tag == run));
    Ok(own.map(|(arn, _)| arn))
}

/// The container of a service, which is the image as it is; or that of the work, and before it the one that brings the worker
/// into it, whatever image it has.
fn container_definitions(settings: &Settings, plan: &Plan) -> Result<Vec<ContainerDefinition>, Error> {
    let log = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", &settings.log_group)
        .options("awslogs-region", &settings.region)
        .options("awslogs-stream-prefix", &plan.log_prefix)
        // By itself a log that is slow loses lines.
        // Source: ECS developer guide, "Amazon ECS account settings", default log driver mode (since June 2025).
        .options("mode", "blocking")
        .build()
        .map_err(|error| Error::internal("describe the container's log", error))?;
    let container = image_container(plan)?.log_configuration(log.clone());
    if let Some(service) = plan.service() {
        return Ok(vec![service_container(container, plan, service)?]);
    }
    let worker_image = plan.container.worker_image.as_ref();
    let worker_image = worker_image
        .ok_or_else(|| Error::internal("install the worker", "the plan does not say which image has it"))?;
    let prepared = || [PROGRAM].into_iter().chain(temporary(plan));
    let install = ContainerDefinition::builder()
        .name(INSTALL_CONTAINER)
        .image(worker_image)
        .essential(false)
        .set_command(Some(
            [INSTALL].into_iter().chain(prepared().map(|(_, path)| path)).map(str::to_owned).collect(),
        ))
        .set_mount_points(Some(prepared().map(|volume| mount(volume).build()).collect()))
        .readonly_root_filesystem(true)
        .start_timeout(START_TIMEOUT_SECONDS)
        .log_configuration(log);
    Ok(vec![install.build(), work_container(container, settings, plan)?])
}

/// What both have: the document's `container`.
fn image_container(plan: &Plan) -> Result<ContainerDefinitionBuilder, Error> {
    let given = &plan.container;
    let credentials = |secret: &String| {
        let credentials = RepositoryCredentials::builder().credentials_parameter(secret).build();
        credentials.map_err(|error| Error::internal("describe the registry's credentials", error))
    };
    let ulimit = |limit: &job::Ulimit| {
        let job::Ulimit { name: job::UlimitName::Nofile, soft_limit, hard_limit } = *limit;
        let ulimit = Ulimit::builder().name(UlimitName::Nofile);
        let ulimit = ulimit.soft_limit(limit_number(soft_limit)?).hard_limit(limit_number(hard_limit)?);
        ulimit.build().map_err(|error| Error::internal("describe the container's limits", error))
    };
    let mounts = volumes(plan).map(|volume| mount(volume).read_only(volume == PROGRAM).build());
    Ok(ContainerDefinition::builder()
        .image(&given.image)
        .essential(true)
        .set_repository_credentials(given.repository_credentials.as_ref().map(credentials).transpose()?)
        .set_ulimits(Some(given.ulimits.iter().map(ulimit).collect::<Result<_, _>>()?))
        .set_mount_points(Some(mounts.collect()))
        .readonly_root_filesystem(given.read_only))
}

fn service_container(
    container: ContainerDefinitionBuilder,
    plan: &Plan,
    service: &PlannedService,
) -> Result<ContainerDefinition, Error> {
    let given = &plan.container;
    let directory = given.working_directory.clone().filter(|directory| directory != IMAGES);
    // Its image may bring an init process of its own, which has to be PID 1.
    // Source: github.com/just-containers/s6-overlay/issues/535, on Fargate.
    Ok(container
        .name(SERVICE_CONTAINER)
        .set_user(given.user.clone())
        .set_working_directory(directory)
        .stop_timeout(limit_number(given.stop_timeout.unwrap_or(STOP_TIMEOUT_SECONDS))?)
        .set_entry_point(service.entry_point.clone())
        .set_command(service.command.clone())
        .set_port_mappings(Some(service.ports.iter().copied().map(mapping).collect()))
        .set_health_check(health_check(service)?)
        .set_environment(Some(variables(plan, str::to_owned).collect()))
        .set_secrets(Some(secrets(plan, str::to_owned)?))
        .build())
}

fn work_container(
    container: ContainerDefinitionBuilder,
    settings: &Settings,
    plan: &Plan,
) -> Result<ContainerDefinition, Error> {
    let given = &plan.container;
    let stop_timeout = given.stop_timeout.map(|seconds| seconds.to_string());
    let own = [
        ("MAYFLY_JOB", Some(plan.job.as_str())),
        ("MAYFLY_MAILBOX_URL", Some(&plan.mailbox_url)),
        ("MAYFLY_DONE_QUEUE_URL", Some(&settings.done_queue_url)),
        ("MAYFLY_QUEUE_ENDPOINTS", queue_endpoints(settings, plan).as_deref()),
        ("MAYFLY_FOLDER", Some(FILES.1)),
        ("MAYFLY_USER", given.user.as_deref()),
        ("MAYFLY_WORKING_DIRECTORY", given.working_directory.as_deref()),
        ("MAYFLY_STOP_TIMEOUT", stop_timeout.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(variable(name, value?)))
    .chain(variables(plan, commands))
    .collect();
    let installed = ContainerDependency::builder()
        .container_name(INSTALL_CONTAINER)
        .condition(ContainerCondition::Success)
        .build()
        .map_err(|error| Error::internal("describe the containers' order", error))?;
    Ok(container
        .name(WORKER_CONTAINER)
        .depends_on(installed)
        // The worker is root for one reason: to run the command as another user, who can then read neither its environment nor
        // that of the init process above it, where the task's credentials and queues are named.
        .user("0:0")
        .entry_point(format!("{}/mayfly-worker", PROGRAM.1))
        // Without a command of its own the image's might come after the entry point.
        .command("work")
        // The worker needs the rest of it to report.
        .stop_timeout(limit_number(STOP_TIMEOUT_SECONDS)?)
        // Whatever the command leaves behind is reaped, and the worker is no init process.
        .linux_parameters(LinuxParameters::builder().init_process_enabled(true).build())
        .set_environment(Some(own))
        .set_secrets(Some(secrets(plan, commands)?))
        .build())
}

/// The volumes of the task, and where its main container has them.
fn volumes(plan: &Plan) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_work = [PROGRAM, FILES].into_iter().filter(|_| plan.work().is_some());
    of_work.chain(temporary(plan))
}

fn temporary(plan: &Plan) -> Option<(&'static str, &'static str)> {
    plan.container.read_only.then_some(TEMPORARY)
}

fn mount((volume, path): (&str, &str)) -> MountPointBuilder {
    MountPoint::builder().source_volume(volume).container_path(path)
}

fn limit_number(number: u32) -> Result<i32, Error> {
    i32::try_from(number).map_err(|error| Error::internal("describe the container's limits", error))
}

/// By which names of SQS's the worker may call it where it has IPv6 alone: AWS's pages contradict each other on the one that
/// has addresses of that version.
/// Source: SQS developer guide, "Dual-stack (IPv4 and IPv6) endpoints", and AWS General Reference, "Amazon SQS endpoints and
/// quotas", read in November 2026.
fn queue_endpoints(settings: &Settings, plan: &Plan) -> Option<String> {
    let is_ipv6 = plan.egress() == Some(Egress::Ipv6) && !settings.is_local;
    let region = &settings.region;
    is_ipv6.then(|| format!("https://sqs.{region}.amazonaws.com,https://sqs.{region}.api.aws"))
}

fn mapping(port: Port) -> PortMapping {
    let protocol = match port.protocol {
        Protocol::Tcp => TransportProtocol::Tcp,
        Protocol::Udp => TransportProtocol::Udp,
    };
    PortMapping::builder().container_port(port.port.into()).protocol(protocol).build()
}

/// ECS's own intervals: every 30 s, and ill after three checks.
/// Source: ECS API Reference, `HealthCheck`.
fn health_check(service: &PlannedService) -> Result<Option<HealthCheck>, Error> {
    let Some(command) = &service.health_command else { return Ok(None) };
    let check = HealthCheck::builder().set_command(Some(command.clone())).build();
    check.map(Some).map_err(|error| Error::internal("describe the container's health check", error))
}

/// The document's variables, under the names that `named` makes of theirs.
fn variables(plan: &Plan, named: fn(&str) -> String) -> impl Iterator<Item = KeyValuePair> {
    plan.container.environment.iter().map(move |(name, value)| variable(&named(name), value))
}

fn secrets(plan: &Plan, named: fn(&str) -> String) -> Result<Vec<Secret>, Error> {
    let secret = |(name, arn): (&String, &String)| {
        let secret = Secret::builder().name(named(name)).value_from(arn).build();
        secret.map_err(|error| Error::internal("describe a secret of the container", error))
    };
    plan.container.secrets.iter().map(secret).collect()
}

/// What the container calls a variable of the command.
fn commands(name: &str) -> String {
    format!("{COMMAND_VARIABLE}{name}")
}

fn variable(name: &str, value: &str) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}

fn storage(gib: u32) -> Result<EphemeralStorage, Error> {
    let gib = i32::try_from(gib).map_err(|error| Error::internal("describe the disk", error))?;
    Ok(EphemeralStorage::builder().size_in_gib(gib).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The container of the sample plan, after a change.
    fn container(change: impl FnOnce(&mut Plan)) -> ContainerDefinition {
        container_of(include_str!("../../../events/plan.public.json"), change)
    }

    fn container_of(plan: &str, change: impl FnOnce(&mut Plan)) -> ContainerDefinition {
        containers_of(plan, change).pop().unwrap()
    }

    fn containers_of(plan: &str, change: impl FnOnce(&mut Plan)) -> Vec<ContainerDefinition> {
        let mut plan: Plan = serde_json::from_str(plan).unwrap();
        change(&mut plan);
        let settings = Settings {
            stack: "mayfly".into(),
            region: "eu-central-1".into(),
            done_queue_url: "https://sqs.eu-central-1.amazonaws.com/123456789012/done".into(),
            task_role_arn: "arn:aws:iam::123456789012:role/task".into(),
            execution_role_arn: "arn:aws:iam::123456789012:role/execution".into(),
            log_group: "/mayfly/mayfly/jobs".into(),
            is_local: false,
        };
        container_definitions(&settings, &plan).unwrap()
    }

    #[test]
    fn the_worker_is_brought_into_an_image_that_it_cannot_be_changed_in() {
        let [install, worker] = &containers_of(include_str!("../../../events/plan.public.json"), |plan| {
            plan.container.image = "alpine".into();
            plan.container.worker_image = Some("worker:1".into());
            plan.container.user = Some("app".into());
            plan.container.working_directory = Some(IMAGES.into());
            plan.container.read_only = true;
            plan.container.stop_timeout = Some(90);
            plan.container.ulimits =
                vec![job::Ulimit { name: job::UlimitName::Nofile, soft_limit: 1024, hard_limit: 65536 }];
            plan.container.repository_credentials = Some("arn:aws:secretsmanager:::secret:registry".into());
        })[..] else {
            panic!("two containers")
        };
        assert_eq!((install.image(), worker.image()), (Some("worker:1"), Some("alpine")));
        assert_eq!((install.essential(), worker.essential()), (Some(false), Some(true)));
        assert_eq!(install.start_timeout(), Some(120));
        let [dependency] = worker.depends_on() else { panic!("{worker:?}") };
        assert_eq!(
            (dependency.container_name(), dependency.condition()),
            (INSTALL_CONTAINER, &ContainerCondition::Success)
        );
        assert_eq!(
            (worker.user(), worker.working_directory()),
            (Some("0:0"), None),
            "the worker finds out both"
        );
        assert_eq!(worker.entry_point(), ["/mayfly/bin/mayfly-worker"]);
        assert_eq!(worker.stop_timeout(), Some(120), "it needs time to report");
        let mounts = |container: &ContainerDefinition| {
            let mounts = container.mount_points().iter();
            let mount = |mount: &MountPoint| (mount.container_path().map(str::to_owned), mount.read_only());
            mounts.map(mount).collect::<Vec<_>>()
        };
        let mounted = |path: &str, read_only| (Some(path.to_owned()), read_only);
        assert_eq!(mounts(install), [mounted("/mayfly/bin", None), mounted("/tmp", None)]);
        assert_eq!(install.command(), ["install", "/mayfly/bin", "/tmp"]);
        let expected = [("/mayfly/bin", true), ("/mayfly/files", false), ("/tmp", false)];
        assert_eq!(mounts(worker), expected.map(|(path, read_only)| mounted(path, Some(read_only))));
        assert_eq!(worker.readonly_root_filesystem(), Some(true));
        let [limit] = worker.ulimits() else { panic!("{worker:?}") };
        assert_eq!((limit.soft_limit(), limit.hard_limit()), (1024, 65536));
        let credentials = worker.repository_credentials().map(RepositoryCredentials::credentials_parameter);
        assert_eq!(credentials, Some("arn:aws:secretsmanager:::secret:registry"));
        let own =
            [("MAYFLY_USER", "app"), ("MAYFLY_WORKING_DIRECTORY", "image"), ("MAYFLY_STOP_TIMEOUT", "90")];
        for (name, value) in own {
            let given = worker.environment().iter().find(|variable| variable.name() == Some(name));
            assert_eq!(given.and_then(KeyValuePair::value), Some(value), "{name}");
        }
    }

    #[test]
    fn a_container_waits_for_a_slow_log_and_loses_no_line() {
        let container = container(|_| {});
        let options = container.log_configuration().and_then(|log| log.options());
        assert_eq!(options.and_then(|options| options.get("mode")).map(String::as_str), Some("blocking"));
    }

    #[test]
    fn what_a_command_leaves_behind_is_reaped() {
        let parameters = container(|_| {}).linux_parameters.unwrap();
        assert_eq!(parameters.init_process_enabled(), Some(true));
    }

    #[test]
    fn a_worker_that_has_ipv6_alone_is_told_both_names_of_sqs() {
        let container = container_of(include_str!("../../../events/plan.ipv6.json"), |_| {});
        let variables = container.environment();
        let endpoints = variables.iter().find(|variable| variable.name() == Some("MAYFLY_QUEUE_ENDPOINTS"));
        assert_eq!(
            endpoints.and_then(KeyValuePair::value),
            Some("https://sqs.eu-central-1.amazonaws.com,https://sqs.eu-central-1.api.aws")
        );
        let unwanted = "AWS_USE_DUALSTACK_ENDPOINT";
        assert!(variables.iter().all(|variable| variable.name() != Some(unwanted)), "SQS has no such name");
    }

    #[test]
    fn the_documents_variables_and_secrets_are_named_for_the_command_alone() {
        let container = container(|plan| {
            let secret = "arn:aws:ssm:eu-central-1:123456789012:parameter/key";
            plan.container.environment = [("HTTPS_PROXY".into(), "http://proxy".into())].into();
            plan.container.secrets = [("SSL_CERT_FILE".into(), secret.into())].into();
        });
        let names: Vec<_> = container.environment().iter().filter_map(KeyValuePair::name).collect();
        let own = ["MAYFLY_JOB", "MAYFLY_MAILBOX_URL", "MAYFLY_DONE_QUEUE_URL", "MAYFLY_FOLDER"];
        assert_eq!(names, [&own[..], &["MAYFLY_VAR_HTTPS_PROXY"]].concat());
        assert_eq!(container.secrets()[0].name(), "MAYFLY_VAR_SSL_CERT_FILE");
    }

    #[test]
    fn a_service_s_container_is_the_image_as_it_is() {
        let container = container(|plan| {
            let secret = "arn:aws:ssm:eu-central-1:123456789012:parameter/key";
            plan.container.environment = [("HTTPS_PROXY".into(), "http://proxy".into())].into();
            plan.container.secrets = [("SSL_CERT_FILE".into(), secret.into())].into();
            plan.purpose = serde_json::from_str(
                r#"{ "service": { "ports": [{ "port": 53, "protocol": "udp" }], "ingress": [], "ttlSeconds": 60,
                     "count": 1, "healthCommand": ["CMD", "true"] } }"#,
            )
            .unwrap();
        });
        assert_eq!(
            (container.name(), container.entry_point(), container.command()),
            (Some("service"), &[][..], &[][..])
        );
        assert_eq!(container.linux_parameters(), None, "its own init process is PID 1");
        assert_eq!(container.port_mappings()[0].container_port(), Some(53));
        assert_eq!(container.port_mappings()[0].protocol(), Some(&TransportProtocol::Udp));
        assert_eq!(
            container.health_check().map(HealthCheck::command),
            Some(&["CMD".to_owned(), "true".to_owned()][..])
        );
        assert_eq!(container.environment()[0].name(), Some("HTTPS_PROXY"));
        assert_eq!((container.environment().len(), container.secrets()[0].name()), (1, "SSL_CERT_FILE"));
    }
}
