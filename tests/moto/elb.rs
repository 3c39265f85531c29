//! What is said about Elastic Load Balancing. Load balancers are in the network of `ec2.rs`, and their target is the task
//! of a service of `ecs.rs`.

mod balancers; // load balancers and their attributes
mod groups; // target groups and their attributes
mod lax; // what moto lets pass
mod listeners; // listeners of each protocol

use serde_json::{Value, json};

use crate::conversation::Step;

/// What all ARNs of the two sides begin with.
const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

/// A load balancer that leads to the port 8080 of the target group `${group_tcp}`.
pub fn until_callers_are_let_in() -> Vec<Step> {
    [groups::made(), balancers::made(), listeners::made(), tags(), no_target()].concat()
}

/// The target of the service.
pub fn a_target() -> Vec<Step> {
    let group = json!({ "TargetGroupArn": "${group_tcp}" });
    let mut register = group.clone();
    register["Targets"] = json!([{ "Id": "172.31.16.4", "Port": 8080 }]);
    // moto's default groups let nobody in, and its network is the stand-ins' too.
    let members = "GroupId=${group} IpPermissions.1.IpProtocol=-1 IpPermissions.1.Groups.1.GroupId=${group}";
    vec![
        crate::ec2::row("AuthorizeSecurityGroupIngress", "as in every default group", members).only_moto(),
        // Here ECS registers it.
        row("RegisterTargets", "by ECS", register).only_moto(),
        row("DescribeTargetHealth", "of a target", group)
            .until("/TargetHealthDescriptions/0/TargetHealth/State", "healthy")
            .same(&[
                "/TargetHealthDescriptions/0/Target/Port",
                "/TargetHealthDescriptions/0/HealthCheckPort",
            ]),
    ]
}

/// The target is gone with the service.
pub fn no_target_any_more() -> Vec<Step> {
    let group = json!({ "TargetGroupArn": "${group_tcp}" });
    let mut deregister = group.clone();
    deregister["Targets"] = json!([{ "Id": "172.31.16.4", "Port": 8080 }]);
    vec![
        row("DeregisterTargets", "by ECS", deregister).only_moto(),
        row("DescribeTargetHealth", "of a target that is gone", group),
    ]
}

/// The end of what was begun, and what is refused: moto takes some of that, so it comes last.
pub fn until_all_is_gone() -> Vec<Step> {
    [deleting(), lax::all()].concat()
}

fn tags() -> Vec<Step> {
    let call = "DescribeTags";
    let of = |arns: &[&str]| json!({ "ResourceArns": arns });
    vec![
        row(call, "of one of each kind", of(&["${balancer}", "${group_tcp}", "${listener_tcp}"])).same(&[
            "/TagDescriptions/0/Tags",
            "/TagDescriptions/1/Tags",
            "/TagDescriptions/2/Tags",
        ]),
        row(call, "of one that has none", of(&["${group_udp}"])).same(&["/TagDescriptions/0/Tags"]),
        row(call, "of a load balancer that is not there", of(&[&format!("{ARN}:loadbalancer/net/other/1")])),
        row(call, "of a target group that is not there", of(&[&format!("{ARN}:targetgroup/other/1")])),
        row(call, "of a listener that is not there", of(&[&format!("{ARN}:listener/net/other/1/1")])),
        row(call, "of more than there may be", of(&["${balancer}"; 21])),
        row(call, "of nothing", json!({})),
    ]
}

fn no_target() -> Vec<Step> {
    let call = "DescribeTargetHealth";
    vec![
        row(call, "of none", json!({ "TargetGroupArn": "${group_udp}" })),
        row(
            call,
            "of a group that is not there",
            json!({ "TargetGroupArn": format!("{ARN}:targetgroup/other/1") }),
        ),
        row(call, "without a group", json!({})),
    ]
}

fn deleting() -> Vec<Step> {
    let balancer = json!({ "LoadBalancerArn": "${balancer}" });
    let group = json!({ "TargetGroupArn": "${group_tcp}" });
    vec![
        row("DeleteTargetGroup", "one of a listener", group.clone()),
        row("DeleteTargetGroup", "one of no listener", json!({ "TargetGroupArn": "${group_http}" })),
        row("DescribeTargetGroups", "one that is gone", json!({ "TargetGroupArns": ["${group_http}"] })),
        row("DeleteLoadBalancer", "with its listeners", balancer.clone()),
        row("DeleteLoadBalancer", "one that is gone", balancer),
        row("DescribeLoadBalancers", "one that is gone", json!({ "LoadBalancerArns": ["${balancer}"] })),
        row(
            "DescribeTags",
            "of a listener that went with it",
            json!({ "ResourceArns": ["${listener_tcp}"] }),
        ),
        // The interfaces of its load balancer are in the way.
        row("DeleteTargetGroup", "one of a load balancer that is gone", group.clone()).until_success(),
        row("DeleteTargetGroup", "one that is gone", group),
        row("DeleteLoadBalancer", "without an ARN", json!({})),
        row("DeleteTargetGroup", "without an ARN", json!({})),
    ]
}

fn row(operation: &'static str, case: &'static str, input: Value) -> Step {
    Step::new("elasticloadbalancing", operation, case, input)
}

/// `input` with the fields of `changes`; null takes one away.
fn with(mut input: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { return input };
    for (name, value) in changes {
        match input.as_object_mut() {
            Some(fields) if value.is_null() => _ = fields.remove(&name),
            _ => input[name] = value,
        }
    }
    input
}
