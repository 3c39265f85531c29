//! A service that is called, behind the load balancer of `elb.rs`.

use serde_json::{Value, json};

use super::{row, service};
use crate::conversation::Step;

pub fn made() -> Vec<Step> {
    [definitions(), refused_services(), services()].concat()
}

/// The input of a definition of a container that is called.
fn definition() -> Value {
    json!({
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{
            "name": "worker",
            "image": "server",
            "portMappings": [
                { "containerPort": 8080, "protocol": "tcp" },
                { "containerPort": 53, "protocol": "udp" },
            ],
            "healthCheck": {
                "command": ["CMD-SHELL", "exit 0"],
                "interval": 5,
                "timeout": 2,
                "retries": 2,
                "startPeriod": 10,
            },
        }],
    })
}

fn definitions() -> Vec<Step> {
    let refused = |case, field: &str, value: Value| {
        let mut input = definition();
        input["family"] = json!("refused");
        input["containerDefinitions"][0][field] = value;
        row("RegisterTaskDefinition", case, input)
    };
    let check = |field: &str, value: Value| {
        let mut check = json!({ "command": ["CMD", "true"] });
        check[field] = value;
        check
    };
    vec![
        row("RegisterTaskDefinition", "of what is called", definition()).same(&[
            "/taskDefinition/containerDefinitions/0/portMappings/0/containerPort",
            "/taskDefinition/containerDefinitions/0/portMappings/0/hostPort",
            "/taskDefinition/containerDefinitions/0/portMappings/1/protocol",
            "/taskDefinition/containerDefinitions/0/healthCheck",
        ]),
        row("DescribeTaskDefinition", "of what is called", json!({ "taskDefinition": "web" })).same(&[
            "/taskDefinition/containerDefinitions/0/portMappings/1/protocol",
            "/taskDefinition/containerDefinitions/0/healthCheck",
        ]),
        refused("port 0", "portMappings", json!([{ "containerPort": 0 }])),
        refused("a port of another number", "portMappings", json!([{ "containerPort": 80, "hostPort": 81 }])),
        refused("a port twice", "portMappings", json!([{ "containerPort": 80 }, { "containerPort": 80 }])),
        refused("a check without a kind", "healthCheck", check("command", json!(["true"]))),
        refused("a check without a command", "healthCheck", check("command", json!(["CMD"]))),
        refused("a check too often", "healthCheck", check("interval", json!(4))),
        refused("a check with too little time", "healthCheck", check("timeout", json!(1))),
        refused("a check with too many tries", "healthCheck", check("retries", json!(11))),
        refused("a check that begins too late", "healthCheck", check("startPeriod", json!(301))),
    ]
}

/// The input that makes the service; `breaker` is the circuit breaker of its deployments.
fn called(group: &str, container: &str, port: u16) -> Value {
    let mut input = service();
    input["serviceName"] = json!("web");
    input["taskDefinition"] = json!("web");
    input["clientToken"] = json!("web");
    input["networkConfiguration"]["awsvpcConfiguration"]["subnets"] = json!(["${balanced_subnet}"]);
    input["loadBalancers"] =
        json!([{ "targetGroupArn": group, "containerName": container, "containerPort": port }]);
    input["healthCheckGracePeriodSeconds"] = json!(300);
    input["deploymentConfiguration"]["deploymentCircuitBreaker"] = json!({
        "enable": true,
        "rollback": false,
        "resetOnHealthyTask": true,
        "thresholdConfiguration": { "type": "COUNT", "value": 3 },
    });
    input
}

fn refused_services() -> Vec<Step> {
    let refused = |case, mut input: Value| {
        input["serviceName"] = json!("other");
        input["clientToken"] = json!("other");
        row("CreateService", case, input)
    };
    let with = |pointer: &str, value: Value| {
        let mut input = called("${group_tcp}", "worker", 8080);
        *input.pointer_mut(pointer).expect("the service has the field") = value;
        input
    };
    let one = called("${group_tcp}", "worker", 8080)["loadBalancers"][0].clone();
    let breaker = "/deploymentConfiguration/deploymentCircuitBreaker";
    vec![
        refused("called at a container that it has not", called("${group_tcp}", "other", 8080)),
        refused("called at a port that it has not", called("${group_tcp}", "worker", 80)),
        refused("of a target group that no listener leads to", called("${group_http}", "worker", 8080)),
        refused("of six target groups", with("/loadBalancers", Value::Array(vec![one; 6]))),
        refused("a threshold of nothing", with(&format!("{breaker}/thresholdConfiguration/value"), json!(0))),
        refused(
            "a threshold of a type that does not exist",
            with(&format!("{breaker}/thresholdConfiguration/type"), json!("MOST")),
        ),
        refused("too many tasks at once", with("/deploymentConfiguration/maximumPercent", json!(201))),
    ]
}

fn services() -> Vec<Step> {
    let web = json!({ "cluster": "stack", "services": ["web"] });
    vec![
        row("CreateService", "that is called", called("${group_tcp}", "worker", 8080)).same(&[
            "/service/loadBalancers/0/containerName",
            "/service/loadBalancers/0/containerPort",
            "/service/healthCheckGracePeriodSeconds",
            "/service/deploymentConfiguration/deploymentCircuitBreaker",
        ]),
        row("DescribeServices", "that is called", web).same(&[
            "/services/0/loadBalancers/0/containerPort",
            "/services/0/healthCheckGracePeriodSeconds",
            "/services/0/deploymentConfiguration/deploymentCircuitBreaker",
        ]),
    ]
}

pub fn deleted() -> Vec<Step> {
    let web = json!({ "cluster": "stack", "services": ["web"] });
    vec![
        row(
            "DeleteService",
            "that is called",
            json!({ "cluster": "stack", "service": "web", "force": true }),
        ),
        row("DescribeServices", "until nobody calls it", web).until("/services/0/status", "INACTIVE"),
    ]
}
