//! What Fargate accepts as a task definition.

use std::collections::HashSet;

use crate::error::{ApiError, Result};
use crate::registries::Registry;
use crate::requests::{
    ContainerCondition, ContainerDefinition, ContainerDependency, HealthCheck, LogConfiguration, MountPoint,
    NetworkMode, PortMapping, Protocol, RegisterTaskDefinition, Ulimit, Volume,
};
use crate::{logs, secrets};

/// The time between SIGTERM and SIGKILL in seconds, unless the definition says otherwise: `ContainerDefinition$stopTimeout`.
pub(crate) const STOP_TIMEOUT: u64 = 30;
/// The upper limit of both of a container's times.
const MAX_TIMEOUT: u64 = 120;

/// Whether the container waits for its log, or its log loses lines: API Reference, `LogConfiguration$options`. Nothing is
/// lost here, but a definition that leaves it to the account loses lines on AWS, where the default became the second in
/// June 2025 (Developer Guide, "Amazon ECS account settings", default log driver mode); so it must be given here.
const LOG_MODE: &str = "mode";

/// Refuses what `RegisterTaskDefinition` refuses for Fargate, and what this stand-in cannot run.
pub(crate) fn validate(request: &RegisterTaskDefinition) -> Result<()> {
    family(&request.family)?;
    // `TaskDefinition$requiresCompatibilities`; without it AWS assumes EC2.
    if request.requires_compatibilities.iter().ne(["FARGATE"]) {
        return Err(ApiError::unsupported("requiresCompatibilities other than [\"FARGATE\"]"));
    }
    // Developer Guide, "Amazon ECS task definition differences for Fargate".
    if request.network_mode != Some(NetworkMode::Awsvpc) {
        return Err(ApiError::client("Fargate only supports network mode ‘awsvpc’."));
    }
    size(request.cpu.as_deref(), request.memory.as_deref())?;
    if let Some(storage) = &request.ephemeral_storage
        && !(21..=200).contains(&storage.size_in_gib)
    {
        // `EphemeralStorage$sizeInGiB`.
        return Err(ApiError::client(format!(
            "ephemeralStorage.sizeInGiB must be between 21 and 200, not {}",
            storage.size_in_gib
        )));
    }
    for role in [&request.task_role_arn, &request.execution_role_arn].into_iter().flatten() {
        if !role.starts_with("arn:aws:iam::") || !role.contains(":role/") {
            return Err(ApiError::client("Role is not valid"));
        }
    }
    volumes(&request.volumes)?;
    for one in &request.container_definitions {
        container(one, request.execution_role_arn.is_some())?;
        mount_points(one, &request.volumes)?;
    }
    containers(request)
}

/// What the containers of one task must be together.
fn containers(request: &RegisterTaskDefinition) -> Result<()> {
    let containers = request.container_definitions.as_slice();
    if containers.is_empty() {
        return Err(ApiError::client("Container list cannot be empty."));
    }
    // As seen (metaps/genova#291).
    if twice(containers.iter().map(|container| &container.name)).is_some() {
        return Err(ApiError::client("Container names must be unique within a Task Definition."));
    }
    // `ContainerDefinition$essential`.
    if !containers.iter().any(|container| container.essential) {
        return Err(ApiError::client(
            "At least one container in the task definition must be marked essential.",
        ));
    }
    // `ContainerDefinition$cpu`: the containers' units must be within the task's.
    let units: u32 = containers.iter().map(|container| container.cpu).sum();
    if request.cpu.as_deref().and_then(|cpu| cpu.parse().ok()).is_some_and(|cpu: u32| units > cpu) {
        return Err(ApiError::client("The cpu of the containers must not exceed the cpu of the task."));
    }
    // On AWS they share one network; here each container that is called has its own.
    if containers.iter().filter(|container| !container.port_mappings.is_empty()).count() > 1 {
        return Err(ApiError::unsupported("portMappings of more than one container"));
    }
    containers.iter().try_for_each(|container| dependencies(container, containers))?;
    if has_cycle(containers) {
        // Those of the words for links (Shippable/support#4194).
        return Err(ApiError::client("Container dependencies should not have a cycle"));
    }
    Ok(())
}

/// Whether a container waits for itself.
fn has_cycle(definitions: &[ContainerDefinition]) -> bool {
    let mut waiting: Vec<_> = definitions.iter().collect();
    loop {
        let before = waiting.len();
        let names: Vec<_> = waiting.iter().map(|container| container.name.clone()).collect();
        waiting.retain(|container| container.depends_on.iter().any(|on| names.contains(&on.container_name)));
        if waiting.len() == before {
            return before > 0;
        }
    }
}

/// `ContainerDependency`.
fn dependencies(container: &ContainerDefinition, containers: &[ContainerDefinition]) -> Result<()> {
    for ContainerDependency { container_name, condition } in &container.depends_on {
        let Some(other) = containers.iter().find(|other| other.name == *container_name) else {
            // As seen, the sign too (dagster-io/dagster#6926).
            return Err(ApiError::client(format!(
                "Cannot depend on container + '{container_name}' because it does not exist"
            )));
        };
        match condition {
            // As seen (boto/boto3#2436).
            ContainerCondition::Complete | ContainerCondition::Success if other.essential => {
                return Err(ApiError::client(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                ));
            }
            ContainerCondition::Healthy => {
                return Err(ApiError::unsupported("a dependency with the condition HEALTHY"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `Volume`: one that is bound and has no place on a machine is all that Fargate has of that kind; what others there are is no
/// field here.
fn volumes(volumes: &[Volume]) -> Result<()> {
    for Volume { name, host } in volumes {
        if !is_name(name) {
            return Err(ApiError::client(format!("Invalid volume name {name:?}.")));
        }
        // As seen (cloudposse/terraform-aws-ecs-alb-service-task#174).
        if host.as_ref().is_some_and(|host| host.source_path.is_some()) {
            return Err(ApiError::client("Fargate compatible task definitions do not support sourcePath"));
        }
    }
    match twice(volumes.iter().map(|volume| &volume.name)) {
        Some(name) => Err(ApiError::client(format!("The volume {name} is given twice."))),
        None => Ok(()),
    }
}

/// `MountPoint`.
fn mount_points(container: &ContainerDefinition, volumes: &[Volume]) -> Result<()> {
    for MountPoint { source_volume, container_path, .. } in &container.mount_points {
        // As seen (ansible/ansible#35777).
        if !volumes.iter().any(|volume| volume.name == *source_volume) {
            return Err(ApiError::client(format!("Unknown volume '{source_volume}'.")));
        }
        let mut parts = container_path.split('/').skip(1);
        if !container_path.starts_with('/') || parts.any(|part| ["", ".", ".."].contains(&part)) {
            return Err(ApiError::client(format!("The container path {container_path:?} is not absolute.")));
        }
    }
    match twice(container.mount_points.iter().map(|mount| &mount.container_path)) {
        Some(path) => Err(ApiError::client(format!("The container path {path} is mounted twice."))),
        None => Ok(()),
    }
}

/// The first that is there a second time.
fn twice<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

/// `RegisterTaskDefinition$family`: up to 255 letters, digits, underscores and hyphens.
fn family(family: &str) -> Result<()> {
    if !is_name(family) {
        return Err(ApiError::client(
            "Invalid family. Family should be 1 to 255 letters, numbers, hyphens and underscores.",
        ));
    }
    Ok(())
}

pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=255).contains(&name.len()) && name.chars().all(allowed)
}

/// Developer Guide, "Task size" and "Troubleshoot Amazon ECS task definition invalid CPU or memory errors".
fn size(cpu: Option<&str>, memory: Option<&str>) -> Result<()> {
    let required = |name: &str| {
        ApiError::client(format!("Fargate requires that '{name}' be defined at the task level."))
    };
    let cpu = cpu.ok_or_else(|| required("cpu"))?;
    let memory = memory.ok_or_else(|| required("memory"))?;
    let invalid = |name: &str| ApiError::client(format!("Invalid '{name}' setting for task."));
    let cpu: u32 = cpu.parse().map_err(|_| invalid("cpu"))?;
    let memory: u32 = memory.parse().map_err(|_| invalid("memory"))?;
    // MiB: the smallest, the largest and the step; 256 has 512 MiB as well.
    let (smallest, largest, step) = match cpu {
        256 if memory == 512 => return Ok(()),
        256 => (1, 2, 1),
        512 => (1, 4, 1),
        1024 => (2, 8, 1),
        2048 => (4, 16, 1),
        4096 => (8, 30, 1),
        8192 => (16, 60, 4),
        16384 => (32, 120, 8),
        32768 if [60 << 10, 120 << 10, 244 << 10].contains(&memory) => return Ok(()),
        _ => return Err(ApiError::client("No Fargate configuration exists for given values.")),
    };
    if !memory.is_multiple_of(1024)
        || !(smallest..=largest).contains(&(memory / 1024))
        || !(memory / 1024 - smallest).is_multiple_of(step)
    {
        return Err(ApiError::client("No Fargate configuration exists for given values."));
    }
    Ok(())
}

fn container(container: &ContainerDefinition, has_execution_role: bool) -> Result<()> {
    // `ContainerDefinition$name`.
    if !is_name(&container.name) {
        return Err(ApiError::client(format!("Invalid container name {:?}.", container.name)));
    }
    if container.image.is_empty() {
        return Err(ApiError::client("Container.image should not be null or empty."));
    }
    // `ContainerDefinition$startTimeout` and `$stopTimeout`.
    for (name, timeout) in [("start", container.start_timeout), ("stop", container.stop_timeout)] {
        if let Some(timeout) = timeout
            && !(2..=MAX_TIMEOUT).contains(&timeout)
        {
            return Err(ApiError::client(format!(
                "The {name} timeout of a Fargate container must be between 2 and {MAX_TIMEOUT} seconds, not {timeout}."
            )));
        }
    }
    if let Some(user) = &container.user
        && !is_user(user)
    {
        return Err(ApiError::client(format!("Invalid user {user:?}.")));
    }
    ulimits(&container.ulimits)?;
    let mut names = HashSet::new();
    for name in container
        .environment
        .iter()
        .map(|variable| &variable.name)
        .chain(container.secrets.iter().map(|secret| &secret.name))
    {
        if name.is_empty() {
            return Err(ApiError::client("An environment variable must have a name."));
        }
        // `ContainerDefinition$secrets`: a name cannot be both plain and secret.
        if !names.insert(name) {
            return Err(ApiError::client(format!("The environment variable {name} is given twice.")));
        }
    }
    ports(container)?;
    if let Some(check) = &container.health_check {
        health_check(check)?;
        if container.port_mappings.is_empty() {
            return Err(ApiError::unsupported("a health check of a container without portMappings"));
        }
    }
    if !container.secrets.is_empty() && !has_execution_role {
        return Err(ApiError::client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    if let Some(secret) = container.secrets.iter().find(|secret| !secrets::is_supported(secret)) {
        return Err(ApiError::unsupported(format!("the secret {:?}", secret.value_from)));
    }
    if let Some(credentials) = &container.repository_credentials {
        if !secrets::is_credentials(credentials) {
            return Err(ApiError::unsupported(format!(
                "the credentialsParameter {:?}",
                credentials.credentials_parameter
            )));
        }
        // Developer Guide, "Using non-AWS container images in Amazon ECS": the execution role reads it.
        if !has_execution_role {
            return Err(ApiError::client(
                "When you are specifying repository credentials, you must also specify a value for 'executionRoleArn'.",
            ));
        }
    }
    // Private images are pulled by the execution role: Developer Guide, "Amazon ECS task execution IAM role".
    if Registry::of(&container.image).is_ecr() && !has_execution_role {
        return Err(ApiError::client(
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ));
    }
    container.log_configuration.as_ref().map_or(Ok(()), |log| logging(log, has_execution_role))
}

/// `ContainerDefinition$user`: a user or its id, and a group or its id after a colon.
fn is_user(user: &str) -> bool {
    let mut parts = user.split(':');
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic()) && !part.starts_with('-');
    parts.by_ref().take(2).all(is_part) && parts.next().is_none()
}

/// `ContainerDefinition$ulimits`: Fargate overrides the limit of open files alone.
fn ulimits(ulimits: &[Ulimit]) -> Result<()> {
    for Ulimit { name, soft_limit, hard_limit } in ulimits {
        if name != "nofile" {
            return Err(ApiError::unsupported(format!("the ulimit {name:?}")));
        }
        if soft_limit > hard_limit {
            return Err(ApiError::client(format!(
                "The soft limit {soft_limit} of the ulimit {name} exceeds its hard limit {hard_limit}."
            )));
        }
    }
    match twice(ulimits.iter().map(|ulimit| &ulimit.name)) {
        Some(name) => Err(ApiError::client(format!("The ulimit {name} is given twice."))),
        None => Ok(()),
    }
}

/// `ContainerDefinition$portMappings` and `PortMapping`.
fn ports(container: &ContainerDefinition) -> Result<()> {
    let mut ports = HashSet::new();
    for PortMapping { container_port, host_port, protocol } in &container.port_mappings {
        if *container_port == 0 {
            // As seen (aws/aws-cdk#8762).
            let name = &container.name;
            return Err(ApiError::client(format!("Invalid 'containerPort' setting for container '{name}'.")));
        }
        // As seen (aws/amazon-ecs-cli#1014, pulumi/pulumi-awsx#935).
        if host_port.is_some_and(|port| port != *container_port) {
            return Err(ApiError::client(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ));
        }
        if !ports.insert((container_port, *protocol == Protocol::Udp)) {
            return Err(ApiError::client(format!("The container port {container_port} is mapped twice.")));
        }
    }
    Ok(())
}

/// `HealthCheck`.
fn health_check(check: &HealthCheck) -> Result<()> {
    if !matches!(check.command.as_slice(), [kind, _, ..] if ["CMD", "CMD-SHELL"].contains(&kind.as_str())) {
        return Err(ApiError::client("A health check's command must begin with CMD or CMD-SHELL."));
    }
    let start_period = check.start_period.unwrap_or_default();
    for (name, value, range) in [
        ("interval", check.interval, 5..=300),
        ("timeout", check.timeout, 2..=60),
        ("retries", check.retries, 1..=10),
        ("startPeriod", start_period, 0..=300),
    ] {
        if !range.contains(&value) {
            return Err(ApiError::client(format!(
                "The {name} of a health check must be between {} and {}, not {value}.",
                range.start(),
                range.end()
            )));
        }
    }
    Ok(())
}

fn logging(log: &LogConfiguration, has_execution_role: bool) -> Result<()> {
    if log.log_driver != "awslogs" {
        return Err(ApiError::unsupported(format!("the log driver {:?}", log.log_driver)));
    }
    let known = |option: &str| logs::OPTIONS.contains(&option) || option == LOG_MODE;
    if let Some(option) = log.options.keys().find(|option| !known(option)) {
        return Err(ApiError::unsupported(format!("the log option {option:?}")));
    }
    match log.options.get(LOG_MODE).map(String::as_str) {
        Some("blocking") => {}
        Some("non-blocking") | None => return Err(ApiError::unsupported("a log that may lose lines")),
        Some(_) => return Err(ApiError::client("The log option mode must be blocking or non-blocking.")),
    }
    if let Some(missing) = logs::OPTIONS.iter().find(|option| !log.options.contains_key(**option)) {
        return Err(ApiError::client(format!("Log driver awslogs requires options: {missing}")));
    }
    if !has_execution_role {
        return Err(ApiError::client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition() -> Value {
        json!({
            "family": "job-1",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "1024",
            "memory": "2048",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "ephemeralStorage": { "sizeInGiB": 40 },
            "containerDefinitions": [{
                "name": "worker",
                "image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/worker:latest",
                "stopTimeout": 120,
                "environment": [{ "name": "QUEUE", "value": "q" }],
                "logConfiguration": { "logDriver": "awslogs", "options": {
                    "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
                    "mode": "blocking"
                } }
            }]
        })
    }

    /// The complaint about the definition with `value` in place of what `pointer` points to; null removes.
    fn complaint(pointer: &str, value: Value) -> Option<String> {
        let mut definition = definition();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = definition.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value);
        }
        validate(&serde_json::from_value(definition).unwrap()).err().map(|error| error.message)
    }

    #[test]
    fn every_size_of_the_table_passes_and_its_neighbours_do_not() {
        let sizes: [(&str, &[u32], &[u32]); 8] = [
            ("256", &[512, 1024, 2048], &[0, 256, 513, 1536, 3072]),
            ("512", &[1024, 4096], &[512, 5120]),
            ("1024", &[2048, 3072, 8192], &[1024, 2500, 9216]),
            ("2048", &[4096, 16384], &[3072, 17408]),
            ("4096", &[8192, 30720], &[7168, 31744]),
            ("8192", &[16384, 20480, 61440], &[17408, 65536]),
            ("16384", &[32768, 40960, 122_880], &[36864, 131_072]),
            ("32768", &[61_440, 122_880, 249_856], &[65_536, 245_760, 250_880]),
        ];
        for (cpu, good, bad) in sizes {
            for memory in good {
                size(Some(cpu), Some(&memory.to_string())).unwrap();
            }
            for memory in bad {
                let error = size(Some(cpu), Some(&memory.to_string())).unwrap_err();
                assert_eq!(
                    error.message, "No Fargate configuration exists for given values.",
                    "{cpu} {memory}"
                );
            }
        }
        assert!(size(Some("300"), Some("512")).is_err());
        assert_eq!(size(Some("one"), Some("512")).unwrap_err().message, "Invalid 'cpu' setting for task.");
        assert!(size(None, Some("512")).unwrap_err().message.contains("'cpu' be defined"));
    }

    /// The complaint about a definition of these containers, by name, of which the first alone is essential.
    fn complaint_about(containers: &[(&str, Value)]) -> Option<String> {
        let containers = containers.iter().enumerate().map(|(index, (name, rest))| {
            let mut container = json!({ "name": name, "image": "i", "essential": index == 0 });
            container.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            container
        });
        let volumes = json!([{ "name": "shared" }]);
        let mut definition = definition();
        definition["containerDefinitions"] = containers.collect();
        definition["volumes"] = volumes;
        validate(&serde_json::from_value(definition).unwrap()).err().map(|error| error.message)
    }

    #[test]
    fn containers_of_one_task_depend_on_each_other_as_ecs_lets_them() {
        let on = |name: &str, condition: &str| json!({ "dependsOn": [{ "containerName": name, "condition": condition }] });
        let none = json!({});
        for condition in ["START", "COMPLETE", "SUCCESS"] {
            let containers = [("job", on("init", condition)), ("init", none.clone())];
            assert_eq!(complaint_about(&containers), None, "{condition}");
        }
        let mount = |path: &str| json!({ "sourceVolume": "shared", "containerPath": path });
        let mounts = json!({ "mountPoints": [mount("/a"), mount("/b")] });
        assert_eq!(complaint_about(&[("job", mounts)]), None, "a volume may be in two places");
        let ports = json!({ "portMappings": [{ "containerPort": 80 }] });
        for (containers, expected) in [
            (vec![("job", none.clone()), ("job", none.clone())], "Container names must be unique"),
            (
                vec![("job", on("init", "START"))],
                "Cannot depend on container + 'init' because it does not exist",
            ),
            (
                vec![("job", none.clone()), ("other", on("job", "SUCCESS"))],
                "cannot be an essential container",
            ),
            (vec![("job", on("init", "HEALTHY")), ("init", none.clone())], "HEALTHY"),
            (vec![("job", on("job", "START"))], "cycle"),
            (vec![("job", on("init", "START")), ("init", on("job", "START"))], "cycle"),
            (vec![("job", json!({ "cpu": 1000 })), ("init", json!({ "cpu": 25 }))], "must not exceed"),
            (vec![("job", ports.clone()), ("other", ports)], "more than one container"),
            (vec![("job", json!({ "mountPoints": [mount("a")] }))], "not absolute"),
            (vec![("job", json!({ "mountPoints": [mount("/a/../b")] }))], "not absolute"),
            (vec![("job", json!({ "mountPoints": [mount("/a"), mount("/a")] }))], "mounted twice"),
        ] {
            let complaint = complaint_about(&containers).unwrap_or_else(|| panic!("{containers:?} passed"));
            assert!(complaint.contains(expected), "{containers:?}: {complaint}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        assert_eq!(complaint("/family", json!("job-1")), None);
        let cases = [
            ("/family", json!("a.b"), "Invalid family"),
            ("/networkMode", json!("bridge"), "awsvpc"),
            ("/networkMode", Value::Null, "awsvpc"),
            ("/requiresCompatibilities", json!(["EC2"]), "requiresCompatibilities"),
            ("/ephemeralStorage/sizeInGiB", json!(20), "between 21 and 200"),
            ("/ephemeralStorage/sizeInGiB", json!(201), "between 21 and 200"),
            ("/executionRoleArn", json!("execution"), "Role is not valid"),
            ("/executionRoleArn", Value::Null, "execution role ARN to support ECR images"),
            ("/containerDefinitions", json!([]), "cannot be empty"),
            ("/containerDefinitions/0/stopTimeout", json!(121), "between 2 and 120"),
            ("/containerDefinitions/0/cpu", json!(1025), "must not exceed"),
            ("/containerDefinitions/0/essential", json!(false), "must be marked essential"),
            ("/containerDefinitions/0/startTimeout", json!(1), "start timeout of a Fargate container"),
            ("/containerDefinitions/0/user", json!("a:b:c"), "Invalid user"),
            ("/containerDefinitions/0/user", json!(":0"), "Invalid user"),
            ("/containerDefinitions/0/user", json!("-1"), "Invalid user"),
            (
                "/containerDefinitions/0/ulimits",
                json!([{ "name": "core", "softLimit": 0, "hardLimit": 0 }]),
                "ulimit \"core\"",
            ),
            (
                "/containerDefinitions/0/ulimits",
                json!([{ "name": "nofile", "softLimit": 2, "hardLimit": 1 }]),
                "exceeds its hard limit",
            ),
            (
                "/containerDefinitions/0/repositoryCredentials",
                json!({ "credentialsParameter": "name" }),
                "credentialsParameter \"name\"",
            ),
            (
                "/containerDefinitions/0/mountPoints",
                json!([{ "sourceVolume": "tmp", "containerPath": "/tmp" }]),
                "Unknown volume 'tmp'.",
            ),
            ("/volumes", json!([{ "name": "a b" }]), "Invalid volume name"),
            ("/volumes", json!([{ "name": "a" }, { "name": "a" }]), "given twice"),
            (
                "/volumes",
                json!([{ "name": "a", "host": { "sourcePath": "/" } }]),
                "do not support sourcePath",
            ),
            ("/containerDefinitions/0/name", json!("a b"), "Invalid container name"),
            (
                "/containerDefinitions/0/portMappings",
                json!([{ "containerPort": 0 }]),
                "Invalid 'containerPort'",
            ),
            (
                "/containerDefinitions/0/portMappings",
                json!([{ "containerPort": 80, "hostPort": 8080 }]),
                "must match",
            ),
            (
                "/containerDefinitions/0/portMappings",
                json!([{ "containerPort": 80 }, { "containerPort": 80, "protocol": "tcp" }]),
                "80 is mapped twice",
            ),
            ("/containerDefinitions/0/healthCheck", json!({ "command": ["true"] }), "CMD or CMD-SHELL"),
            (
                "/containerDefinitions/0/healthCheck",
                json!({ "command": ["CMD", "true"], "interval": 4 }),
                "interval of a health check must be between 5 and 300, not 4",
            ),
            (
                "/containerDefinitions/0/healthCheck",
                json!({ "command": ["CMD", "true"] }),
                "without portMappings",
            ),
            ("/containerDefinitions/0/secrets", json!([{"name": "QUEUE", "valueFrom": "x"}]), "given twice"),
            (
                "/containerDefinitions/0/secrets",
                json!([{"name": "KEY", "valueFrom": "/parameter"}]),
                "\"/parameter\"",
            ),
            ("/containerDefinitions/0/logConfiguration/logDriver", json!("splunk"), "splunk"),
            ("/containerDefinitions/0/logConfiguration/options/awslogs-group", Value::Null, "awslogs-group"),
            ("/containerDefinitions/0/logConfiguration/options/mode", json!("non-blocking"), "lose lines"),
            ("/containerDefinitions/0/logConfiguration/options/mode", Value::Null, "lose lines"),
            ("/containerDefinitions/0/logConfiguration/options/mode", json!("fast"), "must be blocking"),
            ("/containerDefinitions/0/logConfiguration/options/tag", json!("t"), "\"tag\""),
        ];
        for (pointer, value, expected) in cases {
            let complaint = complaint(pointer, value).unwrap_or_else(|| panic!("{pointer} passed"));
            assert!(complaint.contains(expected), "{pointer}: {complaint}");
        }
    }
}
