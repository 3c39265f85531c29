//! The requests of the supported actions, with the fields that this stand-in supports: a field that is not
//! here is refused by its name. Field names and enumerations: API Reference, "Actions" and "Data Types".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One tag, as in requests and answers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

impl Tag {
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }
}

/// What a Describe action returns on top (`include`).
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Include {
    Tags,
}

/// A value that has no other name than the one AWS gives it.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
        pub(crate) enum $name { $(#[serde(rename = $text)] $variant),+ }
    };
}

names!(
    /// On or off, in the words of ECS.
    Switch { Enabled = "ENABLED", Disabled = "DISABLED" }
);
names!(
    /// `networkMode`; Fargate has no other (`TaskDefinition$networkMode`).
    NetworkMode { Awsvpc = "awsvpc", None = "none", Bridge = "bridge", Host = "host" }
);
names!(
    /// `schedulingStrategy`; a Fargate service cannot be DAEMON (`CreateService$schedulingStrategy`).
    SchedulingStrategy { Replica = "REPLICA" }
);
names!(
    /// `propagateTags`.
    PropagateTags { None = "NONE", Service = "SERVICE", TaskDefinition = "TASK_DEFINITION" }
);
names!(
    /// `ClusterSetting$name`.
    SettingName { ContainerInsights = "containerInsights" }
);
names!(
    /// `ClusterSetting$value` of Container Insights, which changes nothing here.
    Insights { Enabled = "enabled", Disabled = "disabled", Enhanced = "enhanced" }
);
names!(
    /// `runtimePlatform.cpuArchitecture`.
    CpuArchitecture { X86 = "X86_64", Arm = "ARM64" }
);
names!(
    /// `runtimePlatform.operatingSystemFamily`; Windows is not supported.
    OperatingSystemFamily { Linux = "LINUX" }
);
names!(
    /// The status by which task definitions are listed.
    DefinitionStatus {
        Active = "ACTIVE",
        Inactive = "INACTIVE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
    }
);
names!(
    /// `portMappings[].protocol`.
    Protocol { Tcp = "tcp", Udp = "udp" }
);
names!(
    /// `dependsOn[].condition`.
    ContainerCondition {
        Start = "START",
        Complete = "COMPLETE",
        Success = "SUCCESS",
        Healthy = "HEALTHY",
    }
);
names!(
    /// `thresholdConfiguration.type`.
    ThresholdType {
        Count = "COUNT",
        BoundedPercent = "BOUNDED_PERCENT",
        UnboundedPercent = "UNBOUNDED_PERCENT",
    }
);
names!(
    /// The status by which tasks are listed.
    DesiredStatus { Running = "RUNNING", Stopped = "STOPPED" }
);

/// A request of one action: camelCase, nothing unknown.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$field_doc])* pub $field: $type),* }
    };
}

request!(
    /// `CreateCluster`.
    CreateCluster {
        cluster_name: Option<String>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(default)]
        settings: Vec<ClusterSetting>,
        #[serde(default)]
        capacity_providers: Vec<String>,
        #[serde(default)]
        default_capacity_provider_strategy: Vec<StrategyItem>,
    }
);

request!(
    /// One setting of a cluster.
    ClusterSetting { name: SettingName, value: Insights }
);

request!(
    /// `DeleteCluster`.
    DeleteCluster { cluster: String }
);

request!(
    /// `ListClusters`.
    ListClusters { max_results: Option<usize>, next_token: Option<String> }
);

request!(
    /// `CreateService`.
    CreateService {
        cluster: Option<String>,
        service_name: String,
        task_definition: String,
        desired_count: Option<u32>,
        client_token: Option<String>,
        #[serde(default)]
        capacity_provider_strategy: Vec<StrategyItem>,
        platform_version: Option<String>,
        deployment_configuration: Option<DeploymentConfiguration>,
        network_configuration: Option<NetworkConfiguration>,
        #[serde(default)]
        load_balancers: Vec<LoadBalancer>,
        health_check_grace_period_seconds: Option<u32>,
        scheduling_strategy: Option<SchedulingStrategy>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(default, rename = "enableECSManagedTags")]
        enable_ecs_managed_tags: bool,
        propagate_tags: Option<PropagateTags>,
        availability_zone_rebalancing: Option<Switch>,
    }
);

request!(
    /// One item of a capacity provider strategy.
    StrategyItem {
        capacity_provider: String,
        #[serde(default)]
        weight: u32,
        #[serde(default)]
        base: u32,
    }
);

request!(
    /// How a service replaces its tasks.
    DeploymentConfiguration {
        #[serde(skip_serializing_if = "Option::is_none")]
        deployment_circuit_breaker: Option<CircuitBreaker>,
        #[serde(default = "two_hundred")]
        maximum_percent: u32,
        #[serde(default = "hundred")]
        minimum_healthy_percent: u32,
    }
);

request!(
    /// When a deployment is given up.
    CircuitBreaker {
        enable: bool,
        rollback: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reset_on_healthy_task: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        threshold_configuration: Option<ThresholdConfiguration>,
    }
);

request!(
    /// How many failed tasks give a deployment up.
    ThresholdConfiguration { #[serde(rename = "type")] kind: ThresholdType, value: u32 }
);

request!(
    /// A port of a container that a target group leads to.
    LoadBalancer { target_group_arn: String, container_name: String, container_port: u16 }
);

request!(
    /// Where a task's network interface is.
    NetworkConfiguration { awsvpc_configuration: AwsvpcConfiguration }
);

request!(
    /// The subnets and groups of a task's network interface.
    AwsvpcConfiguration {
        subnets: Vec<String>,
        #[serde(default)]
        security_groups: Vec<String>,
        #[serde(default = "disabled")]
        assign_public_ip: Switch,
    }
);

request!(
    /// `DeleteService`.
    DeleteService { cluster: Option<String>, service: String, #[serde(default)] force: bool }
);

request!(
    /// `DescribeServices`.
    DescribeServices { cluster: Option<String>, services: Vec<String>, #[serde(default)] include: Vec<Include> }
);

request!(
    /// `ListServices`.
    ListServices { cluster: Option<String>, max_results: Option<usize>, next_token: Option<String> }
);

request!(
    /// `DescribeTasks`.
    DescribeTasks { cluster: Option<String>, tasks: Vec<String>, #[serde(default)] include: Vec<Include> }
);

request!(
    /// `ListTasks`.
    ListTasks {
        cluster: Option<String>,
        family: Option<String>,
        service_name: Option<String>,
        desired_status: Option<DesiredStatus>,
        started_by: Option<String>,
        max_results: Option<usize>,
        next_token: Option<String>,
    }
);

request!(
    /// `StopTask`.
    StopTask { cluster: Option<String>, task: String, reason: Option<String> }
);

request!(
    /// `RegisterTaskDefinition`.
    RegisterTaskDefinition {
        family: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        task_role_arn: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_role_arn: Option<String>,
        network_mode: Option<NetworkMode>,
        container_definitions: Vec<ContainerDefinition>,
        #[serde(default)]
        requires_compatibilities: Vec<String>,
        cpu: Option<String>,
        memory: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ephemeral_storage: Option<EphemeralStorage>,
        #[serde(skip_serializing_if = "Option::is_none")]
        runtime_platform: Option<RuntimePlatform>,
        #[serde(default)]
        volumes: Vec<Volume>,
        // The answer has them beside the definition, not inside it.
        #[serde(default, skip_serializing)]
        tags: Vec<Tag>,
    }
);

request!(
    /// One container of a task definition.
    ContainerDefinition {
        name: String,
        image: String,
        // A number that the Rust SDK always sends.
        #[serde(default)]
        cpu: u32,
        #[serde(default = "yes")]
        essential: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        entry_point: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<Vec<String>>,
        #[serde(default)]
        port_mappings: Vec<PortMapping>,
        #[serde(skip_serializing_if = "Option::is_none")]
        health_check: Option<HealthCheck>,
        #[serde(default)]
        environment: Vec<Variable>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<Secret>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        depends_on: Vec<ContainerDependency>,
        #[serde(skip_serializing_if = "Option::is_none")]
        start_timeout: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stop_timeout: Option<u64>,
        #[serde(default)]
        mount_points: Vec<MountPoint>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        readonly_root_filesystem: Option<bool>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ulimits: Vec<Ulimit>,
        #[serde(skip_serializing_if = "Option::is_none")]
        repository_credentials: Option<RepositoryCredentials>,
        #[serde(skip_serializing_if = "Option::is_none")]
        log_configuration: Option<LogConfiguration>,
        #[serde(skip_serializing_if = "Option::is_none")]
        linux_parameters: Option<LinuxParameters>,
    }
);

request!(
    /// A port that a container is called at.
    PortMapping {
        container_port: u16,
        // As it is in an answer where it was left out: API Reference, `PortMapping`.
        #[serde(skip_serializing_if = "Option::is_none")]
        host_port: Option<u16>,
        #[serde(default = "tcp")]
        protocol: Protocol,
    }
);

request!(
    /// What tells whether a container is healthy. Numbers but the retries are seconds; defaults and bounds: API Reference,
    /// `HealthCheck`.
    HealthCheck {
        command: Vec<String>,
        #[serde(default = "thirty")]
        interval: u32,
        #[serde(default = "five")]
        timeout: u32,
        #[serde(default = "three")]
        retries: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        start_period: Option<u32>,
    }
);

request!(
    /// What has become of another container before this one is started.
    ContainerDependency { container_name: String, condition: ContainerCondition }
);

request!(
    /// Where a container has a volume of its task.
    MountPoint {
        source_volume: String,
        container_path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        read_only: Option<bool>,
    }
);

request!(
    /// A limit of a container's processes.
    Ulimit { name: String, soft_limit: u64, hard_limit: u64 }
);

request!(
    /// The secret by which an image is pulled from a private registry.
    RepositoryCredentials { credentials_parameter: String }
);

request!(
    /// What the containers of a task share, empty at first.
    Volume {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<Host>,
    }
);

request!(
    /// Where a volume is on the machine, which Fargate has none of.
    Host {
        #[serde(skip_serializing_if = "Option::is_none")]
        source_path: Option<String>,
    }
);

request!(
    /// Of `linuxParameters` only the init process.
    LinuxParameters {
        #[serde(skip_serializing_if = "Option::is_none")]
        init_process_enabled: Option<bool>,
    }
);

request!(
    /// One variable of a container's environment.
    Variable { name: String, value: String }
);

request!(
    /// One variable whose value is kept elsewhere.
    Secret { name: String, value_from: String }
);

request!(
    /// Where a container's output goes.
    LogConfiguration { log_driver: String, #[serde(default)] options: BTreeMap<String, String> }
);

request!(
    /// The disk of a task.
    EphemeralStorage { #[serde(rename = "sizeInGiB")] size_in_gib: u32 }
);

request!(
    /// The machine that a task needs.
    RuntimePlatform {
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu_architecture: Option<CpuArchitecture>,
        #[serde(skip_serializing_if = "Option::is_none")]
        operating_system_family: Option<OperatingSystemFamily>,
    }
);

request!(
    /// `DescribeTaskDefinition`.
    DescribeTaskDefinition { task_definition: String, #[serde(default)] include: Vec<Include> }
);

request!(
    /// `DeregisterTaskDefinition`.
    DeregisterTaskDefinition { task_definition: String }
);

request!(
    /// `DeleteTaskDefinitions`.
    DeleteTaskDefinitions { task_definitions: Vec<String> }
);

request!(
    /// `ListTaskDefinitions`.
    ListTaskDefinitions {
        family_prefix: Option<String>,
        status: Option<DefinitionStatus>,
        max_results: Option<usize>,
        next_token: Option<String>,
    }
);

request!(
    /// `ListTaskDefinitionFamilies`.
    ListTaskDefinitionFamilies {
        family_prefix: Option<String>,
        max_results: Option<usize>,
        next_token: Option<String>,
    }
);

request!(
    /// `DescribeClusters`.
    DescribeClusters { #[serde(default)] clusters: Vec<String>, #[serde(default)] include: Vec<Include> }
);

request!(
    /// `ListTagsForResource`.
    ListTagsForResource { resource_arn: String }
);

fn yes() -> bool {
    true
}

fn disabled() -> Switch {
    Switch::Disabled
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

fn thirty() -> u32 {
    30
}

fn five() -> u32 {
    5
}

fn three() -> u32 {
    3
}

// The defaults of a REPLICA service: API Reference, `DeploymentConfiguration`.
fn hundred() -> u32 {
    100
}

fn two_hundred() -> u32 {
    200
}

impl Default for DeploymentConfiguration {
    fn default() -> Self {
        Self {
            deployment_circuit_breaker: None,
            maximum_percent: two_hundred(),
            minimum_healthy_percent: hundred(),
        }
    }
}
