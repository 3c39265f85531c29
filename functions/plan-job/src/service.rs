//! Plans a service: its defaults, its load balancer, and what it opens to whom, in words.

use std::collections::BTreeMap;

use mayfly_model::job::{Port, Protocol, Service};
use mayfly_model::names::Names;
use mayfly_model::plan::{PlannedLoadBalancer, PlannedService, PlannedTargets, TargetProtocol};

/// Everybody, by IPv4 and by IPv6.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// `service` with all defaults in; its load balancer, where it has one, can be called from the internet or not.
pub fn plan(service: Service, names: &Names, internet_facing: bool) -> PlannedService {
    let load_balancer = service.has_load_balancer().then(|| PlannedLoadBalancer {
        name: names.load_balancer(),
        internet_facing,
        certificate_arn: service.certificate_arn().map(str::to_owned),
        targets: targets(&service, names),
    });
    let Service { ports, allow_from, entry_point, command, ttl_minutes, count, health_check, .. } = service;
    PlannedService {
        ports,
        allow_from,
        entry_point,
        command,
        ttl_seconds: u64::from(ttl_minutes) * 60,
        count: count.unwrap_or(1),
        health_command: health_check.and_then(|check| check.command),
        load_balancer,
    }
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

/// What a person should know of the service before it is opened.
pub fn notes(service: &PlannedService) -> Vec<String> {
    let ports = service.ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ");
    let is_open = service.allow_from.iter().any(|block| EVERYBODY.contains(&block.as_str()));
    let callers = if is_open { "everybody".to_owned() } else { service.allow_from.join(", ") };
    let called = match &service.load_balancer {
        None => format!("{callers} may call {ports} of each container at its own address"),
        Some(PlannedLoadBalancer { internet_facing: true, .. }) => {
            format!("{callers} may call {ports} through a load balancer on the internet")
        }
        Some(_) => format!("{callers} may call {ports} through a load balancer inside the network"),
    };
    vec![called]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn planned(fields: Value) -> PlannedService {
        let mut service = json!({ "ports": [{ "port": 80 }], "allowFrom": ["0.0.0.0/0"], "ttlMinutes": 5 });
        let Value::Object(fields) = fields else { panic!("a service has fields") };
        service.as_object_mut().unwrap().extend(fields);
        plan(serde_json::from_value(service).unwrap(), &Names::new("mayfly", "a"), true)
    }

    #[test]
    fn one_number_as_tcp_and_udp_is_one_target_group() {
        let ports =
            json!([{ "port": 53 }, { "port": 53, "protocol": "udp" }, { "port": 514, "protocol": "udp" }]);
        let service = planned(json!({ "ports": ports, "loadBalancer": true }));
        let targets = service.load_balancer.unwrap().targets;
        let seen: Vec<_> =
            targets.iter().map(|target| (target.port, target.protocol, target.health_port)).collect();
        assert_eq!(seen, [(53, TargetProtocol::TcpUdp, 53), (514, TargetProtocol::Udp, 53)]);
    }

    #[test]
    fn a_plan_says_who_may_call_what() {
        assert_eq!(
            notes(&planned(json!({}))),
            ["everybody may call 80/tcp of each container at its own address"]
        );
        let narrow = planned(json!({ "allowFrom": ["203.0.113.7/32"], "loadBalancer": true }));
        assert_eq!(
            notes(&narrow),
            ["203.0.113.7/32 may call 80/tcp through a load balancer on the internet"]
        );
    }
}
