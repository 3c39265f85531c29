//! Target groups.

use serde_json::{Value, json};

use super::{ARN, row, with};
use crate::conversation::Step;

pub fn made() -> Vec<Step> {
    [making(), refused(), looking(), attributes()].concat()
}

/// The input that makes one whose checks are as Mayfly wants them.
pub fn group() -> Value {
    json!({
        "Name": "group-tcp",
        "TargetType": "ip",
        "Protocol": "TCP",
        "Port": 8080,
        "VpcId": "${vpc}",
        "HealthCheckProtocol": "TCP",
        "HealthCheckIntervalSeconds": 10,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Tags": [{ "Key": "mayfly:job", "Value": "a" }],
    })
}

fn making() -> Vec<Step> {
    const ALL: &[&str] = &[
        "/TargetGroups/0/Protocol",
        "/TargetGroups/0/Port",
        "/TargetGroups/0/TargetType",
        "/TargetGroups/0/HealthCheckEnabled",
        "/TargetGroups/0/HealthCheckProtocol",
        "/TargetGroups/0/HealthCheckPort",
        "/TargetGroups/0/HealthCheckIntervalSeconds",
        "/TargetGroups/0/HealthCheckTimeoutSeconds",
        "/TargetGroups/0/HealthyThresholdCount",
        "/TargetGroups/0/UnhealthyThresholdCount",
        "/TargetGroups/0/Matcher",
    ];
    let plain = |name: &str, protocol: &str| {
        json!({
            "Name": name, "TargetType": "ip", "Protocol": protocol, "Port": 53, "VpcId": "${vpc}",
        })
    };
    let call = "CreateTargetGroup";
    let http = json!({ "HealthCheckProtocol": "HTTP", "HealthCheckPort": "8081", "HealthCheckPath": "/up" });
    vec![
        row("DescribeTargetGroups", "none yet", json!({})),
        row(call, "of TCP", group()).keep("group_tcp", "/TargetGroups/0/TargetGroupArn").same(ALL),
        row(call, "of UDP", plain("group-udp", "UDP"))
            .keep("group_udp", "/TargetGroups/0/TargetGroupArn")
            .same(ALL),
        row(call, "of TCP and UDP", plain("group-both", "TCP_UDP"))
            .keep("group_both", "/TargetGroups/0/TargetGroupArn")
            .same(ALL),
        row(call, "of TLS", plain("group-tls", "TLS")).same(ALL),
        row(call, "of TCP as it comes", plain("group-plain", "TCP")).same(ALL),
        row(call, "with a page to check", with(plain("group-http", "TCP"), http))
            .keep("group_http", "/TargetGroups/0/TargetGroupArn")
            .same(ALL),
        row(call, "the same again", group()),
        row(call, "the same name for something else", with(group(), json!({ "Port": 81 }))),
    ]
}

fn refused() -> Vec<Step> {
    let call = "CreateTargetGroup";
    let refused = |case, changes: Value| row(call, case, with(group(), changes));
    vec![
        refused("a name too long", json!({ "Name": "x".repeat(33) })),
        refused("a name with an underscore", json!({ "Name": "group_tcp" })),
        refused("a name that begins with a hyphen", json!({ "Name": "-group" })),
        refused("a name that ends with a hyphen", json!({ "Name": "group-" })),
        refused("without a name", json!({ "Name": null })),
        refused("without a protocol", json!({ "Name": "other", "Protocol": null })),
        refused("without a port", json!({ "Name": "other", "Port": null })),
        refused("without a VPC", json!({ "Name": "other", "VpcId": null })),
        refused("in a VPC that is not there", json!({ "Name": "other", "VpcId": "vpc-00000000000000001" })),
        refused("of a protocol that does not exist", json!({ "Name": "other", "Protocol": "SCTP" })),
        refused(
            "a time-out longer than the interval",
            json!({ "Name": "other", "HealthCheckTimeoutSeconds": 11 }),
        ),
    ]
}

fn looking() -> Vec<Step> {
    let call = "DescribeTargetGroups";
    let unknown = format!("{ARN}:targetgroup/other/0123456789abcdef");
    vec![
        row(call, "all", json!({})),
        row(call, "by its ARN", json!({ "TargetGroupArns": ["${group_tcp}"] }))
            .same(&["/TargetGroups/0/TargetGroupName"]),
        row(call, "by its name", json!({ "Names": ["group-tcp"] }))
            .same(&["/TargetGroups/0/TargetGroupName"]),
        row(call, "one name of two", json!({ "Names": ["group-tcp", "other"] })),
        row(call, "an ARN that nothing has", json!({ "TargetGroupArns": [unknown] })),
        row(
            call,
            "by its ARN and its name",
            json!({ "Names": ["group-tcp"], "TargetGroupArns": ["${group_tcp}"] }),
        ),
        row(call, "a page", json!({ "PageSize": 1 })),
        row(call, "a page too big", json!({ "PageSize": 401 })),
    ]
}

fn attributes() -> Vec<Step> {
    let key = "deregistration_delay.timeout_seconds";
    let delay = |group: &str, value: &str| {
        json!({
            "TargetGroupArn": group, "Attributes": [{ "Key": key, "Value": value }],
        })
    };
    let call = "ModifyTargetGroupAttributes";
    vec![
        row(call, "no delay", delay("${group_tcp}", "0")).same(&["/Attributes"]),
        row(call, "the longest delay", delay("${group_udp}", "3600")).same(&["/Attributes"]),
        row(call, "a delay too long", delay("${group_tcp}", "3601")),
        row(call, "of a group that is not there", delay(&format!("{ARN}:targetgroup/other/1"), "0")),
        row(call, "without a group", with(delay("", "0"), json!({ "TargetGroupArn": null }))),
    ]
}
