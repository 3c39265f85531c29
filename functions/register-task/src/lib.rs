//! RegisterTask: the job's own task definition: image, size, variables and roles.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, CpuArchitecture, EphemeralStorage, HealthCheck, KeyValuePair,
    LinuxParameters, LogConfiguration, LogDriver, NetworkMode, OsFamily, PortMapping, RuntimePlatform,
    Secret, TaskDefinitionStatus, TransportProtocol,
};
use mayfly_ecs::pairs;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Step};
use mayfly_model::job::{Egress, Port, Protocol};
use mayfly_model::names::{COMMAND_VARIABLE, SERVICE_CONTAINER, WORKER_CONTAINER};
use mayfly_model::plan::{Plan, PlannedService};
use mayfly_model::tags;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// The longest that Fargate leaves a container between SIGTERM and SIGKILL, in seconds.
/// Source: ECS API Reference, `ContainerDefinition`, `stopTimeout`.
const STOP_TIMEOUT_SECONDS: i32 = 120;

struct Settings {
    stack: String,
    region: String,
    done_queue_url: String,
    task_role_arn: String,
    execution_role_arn: String,
    log_group: String,
    architecture: CpuArchitecture,
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
            architecture: environment.setting("ARCHITECTURE")?,
            is_local: environment.sdk().endpoint_url().is_some(),
        })
    }
}

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
                    .cpu_architecture(settings.architecture.clone())
                    .operating_system_family(OsFamily::Linux)
                    .build(),
            )
            .cpu(container.cpu.to_string())
            .memory(container.memory_mib.to_string())
            .set_ephemeral_storage(container.storage_gib.map(storage).transpose()?)
            .set_task_role_arn(plan.work().map(|_| settings.task_role_arn.clone()))
            .execution_role_arn(&settings.execution_role_arn)
            .container_definitions(container_definition(settings, &plan)?)
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

fn container_definition(settings: &Settings, plan: &Plan) -> Result<ContainerDefinition, Error> {
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
    let container = ContainerDefinition::builder()
        .image(&plan.container.image)
        .essential(true)
        .log_configuration(log)
        .stop_timeout(STOP_TIMEOUT_SECONDS);
    if let Some(service) = plan.service() {
        // Its image may bring an init process of its own, which has to be PID 1.
        // Source: github.com/just-containers/s6-overlay/issues/535, on Fargate.
        return Ok(container
            .name(SERVICE_CONTAINER)
            .set_entry_point(service.entry_point.clone())
            .set_command(service.command.clone())
            .set_port_mappings(Some(service.ports.iter().copied().map(mapping).collect()))
            .set_health_check(health_check(service)?)
            .set_environment(Some(variables(plan, str::to_owned).collect()))
            .set_secrets(Some(secrets(plan, str::to_owned)?))
            .build());
    }
    let own = [
        ("MAYFLY_JOB", &plan.job),
        ("MAYFLY_MAILBOX_URL", &plan.mailbox_url),
        ("MAYFLY_DONE_QUEUE_URL", &settings.done_queue_url),
    ];
    let queue_endpoints = queue_endpoints(settings, plan);
    let queue_endpoints = queue_endpoints.iter().map(|value| ("MAYFLY_QUEUE_ENDPOINTS", value));
    let own = own.into_iter().chain(queue_endpoints).map(|(name, value)| variable(name, value));
    Ok(container
        .name(WORKER_CONTAINER)
        // Whatever the command leaves behind is reaped, and the worker is no init process.
        .linux_parameters(LinuxParameters::builder().init_process_enabled(true).build())
        .set_environment(Some(own.chain(variables(plan, commands)).collect()))
        .set_secrets(Some(secrets(plan, commands)?))
        .build())
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
        let mut plan: Plan = serde_json::from_str(plan).unwrap();
        change(&mut plan);
        let settings = Settings {
            stack: "mayfly".into(),
            region: "eu-central-1".into(),
            done_queue_url: "https://sqs.eu-central-1.amazonaws.com/123456789012/done".into(),
            task_role_arn: "arn:aws:iam::123456789012:role/task".into(),
            execution_role_arn: "arn:aws:iam::123456789012:role/execution".into(),
            log_group: "/mayfly/mayfly/jobs".into(),
            architecture: CpuArchitecture::X8664,
            is_local: false,
        };
        container_definition(&settings, &plan).unwrap()
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
        let expected =
            ["MAYFLY_JOB", "MAYFLY_MAILBOX_URL", "MAYFLY_DONE_QUEUE_URL", "MAYFLY_VAR_HTTPS_PROXY"];
        assert_eq!(names, expected);
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
