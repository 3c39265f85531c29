//! Load balancers.

use serde_json::{Value, json};

use super::{ARN, row, with};
use crate::conversation::Step;

pub fn made() -> Vec<Step> {
    [making(), refused(), looking(), attributes()].concat()
}

/// The input that makes one that faces the internet.
pub fn balancer() -> Value {
    json!({
        "Name": "job-a",
        "Type": "network",
        "Scheme": "internet-facing",
        "Subnets": ["${balanced_subnet}"],
        "SecurityGroups": ["${group}"],
        "Tags": [{ "Key": "mayfly:job", "Value": "a" }],
    })
}

fn making() -> Vec<Step> {
    let call = "CreateLoadBalancer";
    let fields: &[&str] = &[
        "/LoadBalancers/0/LoadBalancerName",
        "/LoadBalancers/0/Type",
        "/LoadBalancers/0/Scheme",
        "/LoadBalancers/0/VpcId",
        "/LoadBalancers/0/State/Code",
        "/LoadBalancers/0/IpAddressType",
        "/LoadBalancers/0/SecurityGroups",
        "/LoadBalancers/0/AvailabilityZones/0/ZoneName",
        "/LoadBalancers/0/AvailabilityZones/0/SubnetId",
    ];
    let zone = "Filter.1.Name=availability-zone Filter.1.Value.1=eu-west-1b";
    vec![
        crate::ec2::row("DescribeSubnets", "that of a load balancer", zone)
            .keep("balanced_subnet", "/subnetSet/0/subnetId"),
        row("DescribeLoadBalancers", "none yet", json!({})),
        row(call, "that faces the internet", balancer())
            .keep("balancer", "/LoadBalancers/0/LoadBalancerArn")
            .same(fields),
        row("DescribeLoadBalancers", "until it is there", json!({ "LoadBalancerArns": ["${balancer}"] }))
            .until("/LoadBalancers/0/State/Code", "active")
            .same(fields),
        row(
            call,
            "an internal one without groups",
            with(balancer(), json!({ "Name": "job-inside", "Scheme": "internal", "SecurityGroups": null })),
        )
        .keep("inside", "/LoadBalancers/0/LoadBalancerArn")
        .same(&["/LoadBalancers/0/Scheme"]),
    ]
}

fn refused() -> Vec<Step> {
    let call = "CreateLoadBalancer";
    let refused = |case, changes: Value| row(call, case, with(balancer(), changes));
    vec![
        refused("without a subnet", json!({ "Name": "other", "Subnets": null })),
        refused(
            "in a subnet that is not there",
            json!({ "Name": "other", "Subnets": ["subnet-00000000000000001"] }),
        ),
        refused("of addresses that do not exist", json!({ "Name": "other", "IpAddressType": "ipv5" })),
    ]
}

fn looking() -> Vec<Step> {
    let call = "DescribeLoadBalancers";
    let unknown = format!("{ARN}:loadbalancer/net/other/0123456789abcdef");
    vec![
        row(call, "all", json!({})),
        row(call, "by its name", json!({ "Names": ["job-a"] })).same(&["/LoadBalancers/0/LoadBalancerName"]),
        row(call, "a name that nothing has", json!({ "Names": ["other"] })),
        row(call, "an ARN that nothing has", json!({ "LoadBalancerArns": [unknown] })),
        row(call, "one name of two", json!({ "Names": ["job-a", "other"] })),
        row(
            call,
            "by its ARN and another's name",
            json!({ "LoadBalancerArns": ["${balancer}"], "Names": ["job-inside"] }),
        ),
        row(call, "a page", json!({ "PageSize": 1 })).keep("page", "/NextMarker"),
        row(call, "the next page", json!({ "Marker": "${page}" })),
        row(call, "a page too big", json!({ "PageSize": 401 })),
        row(call, "a page too small", json!({ "PageSize": 0 })),
    ]
}

fn attributes() -> Vec<Step> {
    let change = |balancer: &str, key: &str, value: &str| {
        json!({
            "LoadBalancerArn": balancer, "Attributes": [{ "Key": key, "Value": value }],
        })
    };
    let call = "ModifyLoadBalancerAttributes";
    let cross_zone = "load_balancing.cross_zone.enabled";
    vec![
        row(call, "all zones", change("${balancer}", cross_zone, "true")),
        row(call, "an attribute that does not exist", change("${balancer}", "colour", "red")),
        row(
            call,
            "of a load balancer that is not there",
            change(&format!("{ARN}:loadbalancer/net/other/1"), cross_zone, "true"),
        ),
    ]
}
