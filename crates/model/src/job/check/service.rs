//! The rules of the document's `service`.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Check, SECURITY_GROUPS_LIMIT, check_range, check_text, number, require};
use crate::job::{Egress, HealthCheck, JobDocument, Network, NetworkMode, Port, Protocol, Service};

/// The most ports of a service.
const PORTS_LIMIT: usize = 10;
/// The most target groups of an ECS service, of which each port takes one.
/// Source: ECS developer guide, "Use load balancing to distribute Amazon ECS service traffic".
const TARGET_GROUPS_LIMIT: usize = 5;
/// The most rules of a security group, of IPv4 and of IPv6 each.
/// Source: VPC user guide, "Amazon VPC quotas".
const RULES_LIMIT: usize = 60;
/// Source: Elastic Load Balancing API Reference, `CreateTargetGroup`, `HealthCheckPath`.
const PATH_LIMIT: usize = 1024;

/// Checks the service of `job`, which has one.
pub(super) fn check_service(job: &JobDocument, service: &Service) -> Check {
    check_fields_of_work(job)?;
    require(
        job.container.as_ref().is_some_and(|container| container.image.is_some()),
        "container.image",
        "none",
        "the image that the service runs, since the stack's default is for work",
    )?;
    check_range("service.ttlMinutes", Some(service.ttl_minutes))?;
    check_range("service.count", service.count)?;
    check_ports(&service.ports)?;
    check_callers(service)?;
    check_arguments("service.entryPoint", service.entry_point.as_deref())?;
    check_arguments("service.command", service.command.as_deref())?;
    if let Some(check) = &service.health_check {
        check_health(check, service.has_load_balancer())?;
    }
    if service.has_load_balancer() {
        check_load_balancer(service)?;
    }
    check_network(job.network.as_ref(), service)
}

/// What belongs to work means nothing to a service.
fn check_fields_of_work(job: &JobDocument) -> Check {
    let fields = [
        ("task", job.work.is_some(), "one of the two: work that ends by itself, or a service that is called"),
        (
            "attempts",
            job.attempts.is_some(),
            "only with a task; ECS starts a service's container anew by itself",
        ),
        (
            "timeoutMinutes",
            job.timeout_minutes.is_some(),
            "only with a task; service.ttlMinutes says when a service ends",
        ),
    ];
    match fields.iter().find(|(_, is_given, _)| *is_given) {
        Some((field, _, allowed)) => Err(format!("{field}: given beside service; allowed: {allowed}")),
        None => Ok(()),
    }
}

fn check_ports(ports: &[Port]) -> Check {
    require(
        (1..=PORTS_LIMIT).contains(&ports.len()),
        "service.ports",
        format!("{} ports", ports.len()),
        format!("1 to {PORTS_LIMIT} ports such as {{\"port\": 8080}}"),
    )?;
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let field = format!("service.ports[{i}].port");
        require(port.port > 0, &field, port.port, number(&field))?;
        require(seen.insert(port), &field, port, "a port that is given only once with its protocol")?;
    }
    Ok(())
}

fn check_callers(service: &Service) -> Check {
    const FIELD: &str = "service.allowFrom";
    let callers = &service.allow_from;
    require(
        !callers.is_empty(),
        FIELD,
        "an empty list",
        "the CIDR blocks that may call, such as 203.0.113.7/32; everybody is 0.0.0.0/0",
    )?;
    let (mut seen, mut of_ipv4) = (BTreeSet::new(), 0);
    for (i, caller) in callers.iter().enumerate() {
        let field = format!("{FIELD}[{i}]");
        let Ok(block) = caller.parse::<IpNet>() else {
            return require(false, &field, caller, "a CIDR block such as 203.0.113.7/32 or 2001:db8::/48");
        };
        require(
            block == block.trunc(),
            &field,
            caller,
            format!("{}, the block that it is in", block.trunc()),
        )?;
        require(seen.insert(block), &field, caller, "a block that is given only once")?;
        of_ipv4 += usize::from(matches!(block, IpNet::V4(_)));
    }
    let rules = of_ipv4.max(callers.len() - of_ipv4) * service.ports.len();
    require(
        rules <= RULES_LIMIT,
        FIELD,
        format!("blocks that make {rules} rules"),
        format!("at most {RULES_LIMIT} rules of IPv4 and as many of IPv6, one for each block and port"),
    )
}

fn check_arguments(field: &str, arguments: Option<&[String]>) -> Check {
    let Some(arguments) = arguments else { return Ok(()) };
    require(
        !arguments.is_empty(),
        field,
        "an empty list",
        "a list of arguments, or nothing for the image's own",
    )?;
    arguments.iter().enumerate().try_for_each(|(i, argument)| check_text(&format!("{field}[{i}]"), argument))
}

fn check_health(check: &HealthCheck, has_load_balancer: bool) -> Check {
    const COMMAND: &str = "service.healthCheck.command";
    let HealthCheck { command, path, port } = check;
    if let Some(command) = command {
        // Source: ECS API Reference, `HealthCheck`, `command`.
        let is_right = match command.first().map(String::as_str) {
            Some("CMD") => command.len() > 1,
            Some("CMD-SHELL") => command.len() == 2,
            _ => false,
        };
        let allowed = "CMD and an argument vector, or CMD-SHELL and one line for the image's shell";
        require(is_right, COMMAND, command.join(" "), allowed)?;
        check_arguments(COMMAND, Some(command))?;
    }
    let asked = [("path", path.is_some()), ("port", port.is_some())];
    if let Some((field, _)) = asked.iter().find(|(_, is_given)| *is_given && !has_load_balancer) {
        return Err(format!(
            "service.healthCheck.{field}: given without service.loadBalancer; allowed: only with one, since nobody else \
             asks; service.healthCheck.command runs inside the container"
        ));
    }
    if let Some(path) = path {
        let is_right =
            path.starts_with('/') && path.len() <= PATH_LIMIT && path.chars().all(|c| c.is_ascii_graphic());
        let allowed =
            format!("a path such as /health of at most {PATH_LIMIT} ASCII characters without spaces");
        require(is_right, "service.healthCheck.path", path, allowed)?;
    }
    require(*port != Some(0), "service.healthCheck.port", 0, number("service.healthCheck.port"))
}

fn check_load_balancer(service: &Service) -> Check {
    let numbers: BTreeSet<u16> = service.ports.iter().map(|port| port.port).collect();
    require(
        numbers.len() <= TARGET_GROUPS_LIMIT,
        "service.ports",
        format!("{} port numbers", numbers.len()),
        format!("at most {TARGET_GROUPS_LIMIT} with a load balancer, each of which takes a target group"),
    )?;
    for (i, port) in service.ports.iter().enumerate().filter(|(_, port)| port.protocol == Protocol::Udp) {
        let field = format!("service.ports[{i}].protocol");
        require(
            service.certificate_arn().is_none(),
            &field,
            "udp beside service.loadBalancer.certificateArn",
            "tcp alone with a certificate",
        )?;
        require(
            service.health_port(port.port).is_some(),
            &field,
            "udp, by which nobody can be asked after their health",
            "a TCP port beside it, or service.healthCheck.port",
        )?;
    }
    let Some(arn) = service.certificate_arn() else { return Ok(()) };
    require(
        arn.starts_with("arn:") && arn.contains(":acm:") && arn.contains(":certificate/"),
        "service.loadBalancer.certificateArn",
        arn,
        "the ARN of a certificate in Certificate Manager",
    )
}

fn check_network(network: Option<&Network>, service: &Service) -> Check {
    let Some(network) = network else { return Ok(()) };
    match network.mode {
        NetworkMode::Public => Ok(()),
        NetworkMode::Existing => {
            let groups = network.security_groups.as_deref().unwrap_or_default().len();
            require(
                groups < SECURITY_GROUPS_LIMIT,
                "network.securityGroups",
                format!("{groups} groups"),
                format!("at most {} for a service, whose own group is one more", SECURITY_GROUPS_LIMIT - 1),
            )
        }
        NetworkMode::Private => {
            require(
                network.egress != Some(Egress::Ipv6),
                "network.egress",
                "ipv6 for a service",
                "nat or endpoints; nothing leads in by IPv6 yet",
            )?;
            if service.has_load_balancer() {
                return Ok(());
            }
            Err("service.loadBalancer: missing in the mode private; allowed: true or an object with certificateArn, since \
                 nothing else leads to the container"
                .into())
        }
    }
}
