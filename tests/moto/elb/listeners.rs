//! Listeners.

use serde_json::{Value, json};

use super::{ARN, row, with};
use crate::conversation::Step;

/// The input that makes one on `port` that leads to the target group `group`.
pub fn listener(balancer: &str, protocol: &str, port: u16, group: &str) -> Value {
    json!({
        "LoadBalancerArn": balancer,
        "Protocol": protocol,
        "Port": port,
        "DefaultActions": [{ "Type": "forward", "TargetGroupArn": group }],
    })
}

pub fn made() -> Vec<Step> {
    [making(), refused()].concat()
}

fn making() -> Vec<Step> {
    const ALL: &[&str] = &[
        "/Listeners/0/Port",
        "/Listeners/0/Protocol",
        "/Listeners/0/SslPolicy",
        "/Listeners/0/DefaultActions/0/Type",
    ];
    let (call, balancer) = ("CreateListener", "${balancer}");
    let tags = json!({ "Tags": [{ "Key": "mayfly:job", "Value": "a" }] });
    let tls = json!({ "Certificates": [{ "CertificateArn": "${certificate}" }] });
    vec![
        Step::new("acm", "RequestCertificate", "by its owner", json!({ "DomainName": "example.com" }))
            .only_moto()
            .keep("certificate", "/CertificateArn"),
        row(call, "of TCP", with(listener(balancer, "TCP", 8080, "${group_tcp}"), tags))
            .keep("listener_tcp", "/Listeners/0/ListenerArn")
            .same(ALL),
        row(call, "of UDP", listener(balancer, "UDP", 53, "${group_udp}")).same(ALL),
        row(call, "of TCP and UDP", listener(balancer, "TCP_UDP", 54, "${group_both}")).same(ALL),
        row(call, "of TLS", with(listener(balancer, "TLS", 443, "${group_tcp}"), tls)).same(ALL),
        row("DescribeTargetGroups", "one of a listener", json!({ "TargetGroupArns": ["${group_udp}"] })),
    ]
}

fn refused() -> Vec<Step> {
    let plain = |protocol: &str| listener("${balancer}", protocol, 9000, "${group_tcp}");
    let call = "CreateListener";
    let refused = |case, changes: Value| row(call, case, with(plain("TCP"), changes));
    let forward = |group: &str| json!({ "DefaultActions": [{ "Type": "forward", "TargetGroupArn": group }] });
    vec![
        refused(
            "of a load balancer that is not there",
            json!({ "LoadBalancerArn": format!("{ARN}:loadbalancer/net/other/1") }),
        ),
        refused("to a group that is not there", forward(&format!("{ARN}:targetgroup/other/1"))),
        refused("without a load balancer", json!({ "LoadBalancerArn": null })),
        refused("without a port", json!({ "Port": null })),
        refused("without a protocol", json!({ "Protocol": null })),
        refused("without an action", json!({ "DefaultActions": null })),
        refused("of a protocol that does not exist", json!({ "Protocol": "SCTP" })),
    ]
}
