//! Plans a service: its defaults, its load balancer, and what it opens to whom, in words.

use std::collections::{BTreeMap, BTreeSet};

use mayfly_model::job::{Port, Protocol, Service};
use mayfly_model::names::Names;
use mayfly_model::plan::{Ingress, PlannedLoadBalancer, PlannedService, PlannedTargets, TargetProtocol};

/// Everybody, by IPv4 and by IPv6.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Where the service's load balancer is, and where its containers are.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Whether the load balancer can be called from the internet.
    pub internet_facing: bool,
    /// The load balancer's subnets; none where they are made for the job.
    pub subnets: Vec<String>,
    /// The addresses of the containers' subnets.
    pub target_cidrs: Vec<String>,
}

/// `service` with all defaults in.
pub fn plan(service: Service, names: &Names, surroundings: Surroundings) -> PlannedService {
    let Surroundings { internet_facing, subnets, target_cidrs } = surroundings;
    let load_balancer = service.has_load_balancer().then(|| {
        let targets = targets(&service, names);
        PlannedLoadBalancer {
            name: names.load_balancer(),
            internet_facing,
            certificate_arn: service.certificate_arn().map(str::to_owned),
            admitted: admitted(&service, &targets),
            targets,
            subnets,
            target_cidrs,
        }
    });
    let Service { ports, allow_from, entry_point, command, ttl_minutes, count, health_check, .. } = service;
    PlannedService {
        ingress: ports.iter().map(|port| Ingress { port: *port, cidrs: allow_from.clone() }).collect(),
        ports,
        entry_point,
        command,
        ttl_seconds: u64::from(ttl_minutes) * 60,
        count: count.unwrap_or(1),
        health_command: health_check.and_then(|check| check.command),
        load_balancer,
    }
}

/// What is called, and where containers are asked after their health.
fn admitted(service: &Service, targets: &[PlannedTargets]) -> Vec<Port> {
    let health = targets.iter().map(|target| Port { port: target.health_port, protocol: Protocol::Tcp });
    let all: BTreeSet<Port> = service.ports.iter().copied().chain(health).collect();
    all.into_iter().collect()
}

/// One number as TCP and as UDP is one listener and one target group.
fn targets(service: &Service, names: &Names) -> Vec<PlannedTargets> {
    let mut protocols: BTreeMap<u16, TargetProtocol> = BTreeMap::new();
    for Port { port, protocol } in &service.ports {
        let alone = if *protocol == Protocol::Tcp { TargetProtocol::Tcp } else { TargetProtocol::Udp };
        protocols.entry(*port).and_modify(|both| *both = TargetProtocol::TcpUdp).or_insert(alone);
    }
    let path = service.health_check.as_ref().and_then(|check| check.path.as_ref());
    let target = |(port, protocol)| PlannedTargets {
        name: names.target_group(port),
        port,
        protocol,
        health_port: service.health_port(port).unwrap_or(port),
        health_path: path.cloned(),
    };
    protocols.into_iter().map(target).collect()
}

/// What a person should know of the service before it is opened; `groups` are the document's own security groups.
pub fn notes(service: &PlannedService, groups: &[String]) -> Vec<String> {
    let ports = service.ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ");
    let allowed = service.ingress.first().map(|ingress| ingress.cidrs.as_slice()).unwrap_or_default();
    let is_open = allowed.iter().any(|block| EVERYBODY.contains(&block.as_str()));
    let callers = if is_open { "everybody".to_owned() } else { allowed.join(", ") };
    let called = match &service.load_balancer {
        None => format!("{callers} may call {ports} of each container at its own address"),
        Some(PlannedLoadBalancer { internet_facing: true, .. }) => {
            format!("{callers} may call {ports} through a load balancer on the internet")
        }
        Some(_) => format!("{callers} may call {ports} through a load balancer inside the network"),
    };
    let besides = (!groups.is_empty())
        .then(|| format!("besides, each container is open to what its groups {} admit", groups.join(", ")));
    [called].into_iter().chain(besides).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn planned(fields: Value) -> PlannedService {
        let mut service = json!({ "ports": [{ "port": 80 }], "allowFrom": ["0.0.0.0/0"], "ttlMinutes": 5 });
        let Value::Object(fields) = fields else { panic!("a service has fields") };
        service.as_object_mut().unwrap().extend(fields);
        let surroundings = Surroundings { internet_facing: true, ..Surroundings::default() };
        plan(serde_json::from_value(service).unwrap(), &Names::new("mayfly", "a"), surroundings)
    }

    #[test]
    fn one_number_as_tcp_and_udp_is_one_target_group() {
        let ports =
            json!([{ "port": 53 }, { "port": 53, "protocol": "udp" }, { "port": 514, "protocol": "udp" }]);
        let service = planned(json!({ "ports": ports, "loadBalancer": true }));
        let balancer = service.load_balancer.unwrap();
        let admitted: Vec<_> = balancer.admitted.iter().map(Port::to_string).collect();
        assert_eq!(admitted, ["53/tcp", "53/udp", "514/udp"], "the health is asked after at 53/tcp");
        let targets = balancer.targets;
        let seen: Vec<_> =
            targets.iter().map(|target| (target.port, target.protocol, target.health_port)).collect();
        assert_eq!(seen, [(53, TargetProtocol::TcpUdp, 53), (514, TargetProtocol::Udp, 53)]);
    }

    #[test]
    fn a_plan_says_who_may_call_what() {
        assert_eq!(
            notes(&planned(json!({})), &[]),
            ["everybody may call 80/tcp of each container at its own address"]
        );
        let narrow = planned(json!({ "allowFrom": ["203.0.113.7/32"], "loadBalancer": true }));
        assert_eq!(
            notes(&narrow, &["sg-1a".into(), "sg-2b".into()]),
            [
                "203.0.113.7/32 may call 80/tcp through a load balancer on the internet",
                "besides, each container is open to what its groups sg-1a, sg-2b admit"
            ]
        );
    }
}
