//! What moto lets pass and AWS does not. It leaves moto's load balancers in disorder, so it comes last.

use serde_json::{Value, json};

use super::balancers::balancer;
use super::groups::group;
use super::listeners::listener;
use super::{row, with};
use crate::conversation::Step;

pub fn all() -> Vec<Step> {
    [groups(), balancers(), listeners()].concat()
}

fn groups() -> Vec<Step> {
    let other = |case, name: &str, changes: Value| {
        row("CreateTargetGroup", case, with(with(group(), json!({ "Name": name })), changes))
    };
    let http = |path: &str| json!({ "HealthCheckProtocol": "HTTP", "HealthCheckPath": path });
    let call = "ModifyTargetGroupAttributes";
    let key = json!([{ "Key": "colour", "Value": "red" }]);
    vec![
        other("checked by UDP", "lax-1", json!({ "Protocol": "UDP", "HealthCheckProtocol": "UDP" })),
        other("a name with two hyphens in a row", "lax--1", json!({})),
        other("a path of TCP", "lax-2", json!({ "HealthCheckPath": "/" })),
        other("a path that is none", "lax-3", http("up")),
        other(
            "an interval too short",
            "lax-4",
            json!({ "HealthCheckIntervalSeconds": 4, "HealthCheckTimeoutSeconds": 3 }),
        ),
        other("a threshold too low", "lax-5", json!({ "HealthyThresholdCount": 1 })),
        other("a threshold too high", "lax-6", json!({ "UnhealthyThresholdCount": 11 })),
        other("a check of port 0", "lax-7", json!({ "HealthCheckPort": "0" })),
        other("of port 0", "lax-8", json!({ "Port": 0 })),
        other("of a port too high", "lax-9", json!({ "Port": 65536 })),
        other("for callers", "lax-10", json!({})).keep("lax_group", "/TargetGroups/0/TargetGroupArn"),
        row(
            call,
            "an attribute that does not exist",
            json!({ "TargetGroupArn": "${lax_group}", "Attributes": key }),
        ),
    ]
}

fn balancers() -> Vec<Step> {
    let call = "CreateLoadBalancer";
    let other = |case, changes: Value| row(call, case, with(balancer(), changes));
    let inside =
        with(balancer(), json!({ "Name": "job-inside", "Scheme": "internal", "SecurityGroups": null }));
    let internal = |subnets: &[&str]| {
        json!({
            "Name": "other", "Scheme": "internal", "Subnets": subnets, "SecurityGroups": null,
        })
    };
    let cross_zone = json!([{ "Key": "load_balancing.cross_zone.enabled", "Value": "yes" }]);
    vec![
        row(call, "the same again", inside.clone()),
        row(call, "a second one", with(inside.clone(), json!({ "Name": "second" })))
            .keep("second", "/LoadBalancers/0/LoadBalancerArn"),
        other("without a name", json!({ "Name": null })),
        row(call, "the same name for something else", with(inside, json!({ "Scheme": "internet-facing" }))),
        other("a name too long", json!({ "Name": "x".repeat(33) })),
        other("a name with an underscore", json!({ "Name": "job_a" })),
        other("a name that begins with a hyphen", json!({ "Name": "-job" })),
        other("a name that ends with a hyphen", json!({ "Name": "job-" })),
        other("a name that begins with internal", json!({ "Name": "internal-job" })),
        other(
            "in a group that is not there",
            json!({ "Name": "other", "SecurityGroups": ["sg-00000000000000001"] }),
        ),
        other("of a scheme that does not exist", json!({ "Name": "other", "Scheme": "hidden" })),
        other("of a type that does not exist", json!({ "Name": "other", "Type": "classic" })),
        other("of addresses of both kinds", json!({ "Name": "other", "IpAddressType": "dualstack" })),
        other(
            "the same tag twice",
            json!({ "Name": "other", "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "a", "Value": "2" }] }),
        ),
        row(
            "ModifyLoadBalancerAttributes",
            "a value that is none",
            json!({ "LoadBalancerArn": "${inside}", "Attributes": cross_zone }),
        ),
        // In a network of its own, without a gateway.
        crate::ec2::row("CreateVpc", "for load balancers", "CidrBlock=10.183.0.0/24")
            .keep("balanced_vpc", "/vpc/vpcId"),
        crate::ec2::row(
            "CreateSubnet",
            "for load balancers",
            "VpcId=${balanced_vpc} CidrBlock=10.183.0.0/26 AvailabilityZone=eu-west-1b",
        )
        .keep("first_subnet", "/subnet/subnetId"),
        crate::ec2::row(
            "CreateSubnet",
            "for load balancers, in the same zone",
            "VpcId=${balanced_vpc} CidrBlock=10.183.0.64/26 AvailabilityZone=eu-west-1b",
        )
        .keep("second_subnet", "/subnet/subnetId"),
        other("in two subnets of a zone", internal(&["${first_subnet}", "${second_subnet}"])),
        other("in subnets of two VPCs", internal(&["${first_subnet}", "${subnet}"])),
        other(
            "that faces the internet without a gateway",
            json!({ "Name": "other", "Subnets": ["${first_subnet}"], "SecurityGroups": null }),
        ),
        other(
            "in a group of another VPC",
            json!({ "Name": "other", "Scheme": "internal", "Subnets": ["${first_subnet}"] }),
        ),
    ]
}

fn listeners() -> Vec<Step> {
    let call = "CreateListener";
    let make = |protocol: &str, port: u16, group: &str| listener("${inside}", protocol, port, group);
    let certificates = |arns: &[&str]| {
        let certificates: Vec<_> = arns.iter().map(|arn| json!({ "CertificateArn": arn })).collect();
        json!({ "Certificates": certificates })
    };
    let tls = |changes: Value| with(make("TLS", 443, "${lax_group}"), changes);
    let policy = with(certificates(&["${certificate}"]), json!({ "SslPolicy": "colour" }));
    vec![
        row(call, "inside", make("TCP", 80, "${lax_group}")),
        row(call, "once more", make("TCP", 80, "${lax_group}")),
        row(call, "of a port that another has", make("TCP", 80, "${group_both}")),
        row(call, "of UDP to a group of TCP", make("UDP", 81, "${lax_group}")),
        row(
            call,
            "of TLS to a group of UDP",
            with(make("TLS", 82, "${group_udp}"), certificates(&["${certificate}"])),
        ),
        row(call, "of TLS without a certificate", tls(json!({}))),
        row(call, "of TLS with two certificates", tls(certificates(&["${certificate}", "${certificate}"]))),
        row(call, "of TLS with a policy that does not exist", tls(policy)),
        row(
            call,
            "of TLS by a certificate that does not exist",
            tls(certificates(&["arn:aws:acm:eu-west-1:123456789012:certificate/other"])),
        ),
        row(
            call,
            "of TCP with a certificate",
            with(make("TCP", 83, "${lax_group}"), certificates(&["${certificate}"])),
        ),
        row(call, "of port 0", make("TCP", 0, "${lax_group}")),
        row(call, "to a group of another load balancer", listener("${second}", "TCP", 80, "${lax_group}")),
    ]
}
