//! What is said about ECS. The network is that of `ec2.rs`.

pub mod called; // a service that is called

use serde_json::{Value, json};

use crate::conversation::Step;

/// What all ARNs of the two sides begin with.
const ARN: &str = "arn:aws:ecs:eu-west-1:123456789012";

/// The stack's cluster, task definitions, a service, and the task that it leaves running as `${task}`.
pub fn until_a_task_runs() -> Vec<Step> {
    [clusters(), a_jobs_cluster(), definitions(), refused_definitions(), services(), running_task()].concat()
}

fn clusters() -> Vec<Step> {
    let cluster = json!({
        "clusterName": "stack",
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": [{ "capacityProvider": "FARGATE", "weight": 1 }],
        "tags": [{ "key": "mayfly:stack", "value": "mayfly" }],
    });
    vec![
        row("CreateCluster", "by CloudFormation", cluster).only_moto().keep("cluster", "/cluster/clusterArn"),
        row("ListClusters", "one", json!({})).same(&["/clusterArns"]),
        row("ListClusters", "a page too big", json!({ "maxResults": 101 })),
        row("DescribeClusters", "with its tags", json!({ "clusters": ["stack"], "include": ["TAGS"] }))
            .keep("cluster", "/clusters/0/clusterArn")
            .same(&["/clusters/0/clusterArn", "/clusters/0/status", "/clusters/0/tags"]),
        row("DescribeClusters", "by its ARN", json!({ "clusters": ["${cluster}"] })),
        row("DescribeClusters", "one of two", json!({ "clusters": ["stack", "other"] }))
            .same(&["/failures/0/arn", "/failures/0/reason"]),
        row("DescribeClusters", "the default one, which is not there", json!({}))
            .same(&["/failures/0/reason"]),
        row("ListTagsForResource", "of a cluster", json!({ "resourceArn": "${cluster}" })).same(&["/tags"]),
        row(
            "ListTagsForResource",
            "of a cluster that is not there",
            json!({ "resourceArn": format!("{ARN}:cluster/other") }),
        ),
        row("ListTagsForResource", "of what is no ARN", json!({ "resourceArn": "stack" })),
    ]
}

/// What a job does with a cluster of its own.
fn a_jobs_cluster() -> Vec<Step> {
    let cluster = json!({
        "clusterName": "job-${side}",
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "settings": [{ "name": "containerInsights", "value": "disabled" }],
        "tags": [{ "key": "mayfly:job", "value": "a" }],
    });
    let refused = |case, field: &str, value: Value| {
        let mut input = cluster.clone();
        input[field] = value;
        row("CreateCluster", case, input)
    };
    let one = json!({ "clusters": ["job-${side}"] });
    vec![
        row("CreateCluster", "a job's", cluster.clone()).same(&[
            "/cluster/status",
            "/cluster/capacityProviders",
            "/cluster/settings",
            "/cluster/tags",
        ]),
        row("DescribeClusters", "until it is ready", one.clone()).until("/clusters/0/status", "ACTIVE"),
        row("CreateCluster", "the same again", cluster.clone()).same(&["/cluster/status", "/cluster/tags"]),
        refused("a name with a space", "clusterName", json!("job a")),
        refused("capacity that does not exist", "capacityProviders", json!(["mine"])),
        row("DeleteCluster", "that is not there", json!({ "cluster": "other" })),
        row("DeleteCluster", "a job's", json!({ "cluster": "job-${side}" })).same(&["/cluster/status"]),
        row("DescribeClusters", "until it is gone", one).until("/clusters/0/status", "INACTIVE"),
        row("DeleteCluster", "that is gone", json!({ "cluster": "job-${side}" })).same(&["/cluster/status"]),
    ]
}

/// The input of a definition that has all that a job's has.
fn definition() -> Value {
    json!({
        "family": "job-a",
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "1024",
        "memory": "2048",
        "ephemeralStorage": { "sizeInGiB": 40 },
        "runtimePlatform": { "cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX" },
        "containerDefinitions": [{
            "name": "worker",
            "image": "sleeper",
            "essential": true,
            "command": ["now"],
            "environment": [{ "name": "GREETING", "value": "hello" }],
            "secrets": [{
                "name": "PASSWORD",
                "valueFrom": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s-AbCdEf",
            }],
            "stopTimeout": 120,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "group",
                    "awslogs-region": "eu-west-1",
                    "awslogs-stream-prefix": "job-a",
                    "mode": "blocking",
                },
            },
        }],
        "tags": [{ "key": "mayfly:job", "value": "a" }],
    })
}

/// The input of a definition of two containers, one of which prepares what they share for the other.
fn together() -> Value {
    let shared = json!([{ "sourceVolume": "shared", "containerPath": "/.shared", "readOnly": false }]);
    json!({
        "family": "together",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "volumes": [{ "name": "shared" }],
        "containerDefinitions": [
            {
                "name": "init",
                "image": "sleeper",
                "essential": false,
                "startTimeout": 120,
                "mountPoints": shared,
            },
            {
                "name": "worker",
                "image": "sleeper",
                "essential": true,
                "dependsOn": [{ "containerName": "init", "condition": "SUCCESS" }],
                "entryPoint": ["/.shared/worker"],
                "user": "0:0",
                "readonlyRootFilesystem": true,
                "linuxParameters": { "initProcessEnabled": true },
                "ulimits": [{ "name": "nofile", "softLimit": 1024, "hardLimit": 4096 }],
                "repositoryCredentials": {
                    "credentialsParameter": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s-AbCdEf",
                },
                "mountPoints": shared,
            },
        ],
    })
}

/// What two containers have that one alone has not.
const TOGETHER: [&str; 8] = [
    "/taskDefinition/volumes/0/name",
    "/taskDefinition/containerDefinitions/0/startTimeout",
    "/taskDefinition/containerDefinitions/0/mountPoints",
    "/taskDefinition/containerDefinitions/1/dependsOn",
    "/taskDefinition/containerDefinitions/1/user",
    "/taskDefinition/containerDefinitions/1/readonlyRootFilesystem",
    "/taskDefinition/containerDefinitions/1/ulimits",
    "/taskDefinition/containerDefinitions/1/repositoryCredentials",
];

fn definitions() -> Vec<Step> {
    vec![
        row("ListTaskDefinitions", "none yet", json!({})),
        row("RegisterTaskDefinition", "all that a job has", definition())
            .keep("definition", "/taskDefinition/taskDefinitionArn")
            .same(&[
                "/taskDefinition/taskDefinitionArn",
                "/taskDefinition/revision",
                "/taskDefinition/status",
            ]),
        row("RegisterTaskDefinition", "a second revision", definition())
            .same(&["/taskDefinition/taskDefinitionArn", "/taskDefinition/revision"]),
        row(
            "RegisterTaskDefinition",
            "another family",
            json!({
                "family": "job-b",
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [{ "name": "worker", "image": "sleeper" }],
            }),
        ),
        row(
            "DescribeTaskDefinition",
            "by its ARN, with its tags",
            json!({ "taskDefinition": "${definition}", "include": ["TAGS"] }),
        )
        .same(&["/tags"]),
        row("DescribeTaskDefinition", "the latest of a family", json!({ "taskDefinition": "job-a" }))
            .same(&["/taskDefinition/revision"]),
        row("DescribeTaskDefinition", "a revision that is not there", json!({ "taskDefinition": "job-a:9" })),
        row("DescribeTaskDefinition", "a revision that is none", json!({ "taskDefinition": "job-a:x" })),
        row("DescribeTaskDefinition", "a family that is not there", json!({ "taskDefinition": "other" })),
        row("ListTagsForResource", "of a definition", json!({ "resourceArn": "${definition}" }))
            .same(&["/tags"]),
        row("ListTaskDefinitions", "all", json!({})).same(&["/taskDefinitionArns"]),
        row("ListTaskDefinitions", "of a family", json!({ "familyPrefix": "job-a" }))
            .same(&["/taskDefinitionArns"]),
        row("ListTaskDefinitions", "of a part of a family", json!({ "familyPrefix": "job" })),
        row("ListTaskDefinitions", "the first page", json!({ "maxResults": 2 }))
            .same(&["/taskDefinitionArns"]),
        row("ListTaskDefinitions", "a page too big", json!({ "maxResults": 101 })),
        row("ListTaskDefinitions", "a token that is none", json!({ "nextToken": "x" })),
        row("ListTaskDefinitionFamilies", "all", json!({})).same(&["/families"]),
        row("ListTaskDefinitionFamilies", "that begin alike", json!({ "familyPrefix": "job-b" }))
            .same(&["/families"]),
        row(
            "DeleteTaskDefinitions",
            "an active one, one that is not there, and one without a revision",
            json!({ "taskDefinitions": ["job-a:1", "job-a:9", "job-a"] }),
        )
        .same(&["/failures/0/arn", "/failures/0/reason", "/failures/1/reason", "/failures/2/reason"]),
        row("DeregisterTaskDefinition", "without a revision", json!({ "taskDefinition": "job-a" })),
        row("DeregisterTaskDefinition", "a revision that is none", json!({ "taskDefinition": "job-a:x" })),
        row(
            "DeregisterTaskDefinition",
            "a revision that is not there",
            json!({ "taskDefinition": "job-a:9" }),
        ),
        row("DeregisterTaskDefinition", "a revision", json!({ "taskDefinition": "job-a:1" }))
            .same(&["/taskDefinition/status"]),
        row("DeregisterTaskDefinition", "once more", json!({ "taskDefinition": "job-a:1" })),
        row("DescribeTaskDefinition", "an inactive one", json!({ "taskDefinition": "job-a:1" }))
            .same(&["/taskDefinition/status"]),
        row("ListTaskDefinitions", "inactive ones", json!({ "status": "INACTIVE" }))
            .same(&["/taskDefinitionArns"]),
        row("DeleteTaskDefinitions", "an inactive one", json!({ "taskDefinitions": ["job-a:1"] }))
            .same(&["/taskDefinitions/0/status"]),
        row("DeleteTaskDefinitions", "none", json!({ "taskDefinitions": [] })),
        row("RegisterTaskDefinition", "of two containers", together()).same(&TOGETHER),
        row("DescribeTaskDefinition", "of two containers", json!({ "taskDefinition": "together" }))
            .same(&TOGETHER),
    ]
}

/// moto takes these, so they come last.
fn refused_definitions() -> Vec<Step> {
    let refused = |case, field, value: Value| {
        let mut input = definition();
        *input.pointer_mut(field).expect("the definition has the field") = value;
        row("RegisterTaskDefinition", case, input)
    };
    let refused_together = |case, field: &str, value: Value| {
        let mut input = together();
        input["family"] = json!("refused-together");
        let (parent, name) = field.rsplit_once('/').expect("a pointer has a slash");
        input.pointer_mut(parent).expect("the definition has the field's parent")[name] = value;
        row("RegisterTaskDefinition", case, input)
    };
    let dependency = |name: &str| json!([{ "containerName": name, "condition": "SUCCESS" }]);
    vec![
        refused_together("no essential container", "/containerDefinitions/1/essential", json!(false)),
        refused_together("an essential dependency", "/containerDefinitions/0/essential", json!(true)),
        refused_together(
            "a dependency that is not there",
            "/containerDefinitions/0/dependsOn",
            dependency("x"),
        ),
        refused_together("a dependency on itself", "/containerDefinitions/0/dependsOn", dependency("init")),
        refused_together("two containers of one name", "/containerDefinitions/0/name", json!("worker")),
        refused_together("too long to start", "/containerDefinitions/0/startTimeout", json!(121)),
        refused_together("a volume that is not there", "/volumes", json!([])),
        refused_together("a volume on the machine", "/volumes/0/host", json!({ "sourcePath": "/" })),
        refused_together("too many parts of a user", "/containerDefinitions/1/user", json!("a:b:c")),
        refused_together(
            "more than the hard limit",
            "/containerDefinitions/1/ulimits",
            json!([{ "name": "nofile", "softLimit": 2, "hardLimit": 1 }]),
        ),
        refused("a network mode that Fargate has not", "/networkMode", json!("bridge")),
        refused("a size that Fargate has not", "/memory", json!("2000")),
        refused("too little storage", "/ephemeralStorage/sizeInGiB", json!(20)),
        refused("a family with a space", "/family", json!("job a")),
        refused("no container", "/containerDefinitions", json!([])),
    ]
}

/// The input that makes the service.
fn service() -> Value {
    json!({
        "cluster": "stack",
        "serviceName": "job-b",
        "clientToken": "token",
        "taskDefinition": "job-b",
        "desiredCount": 1,
        "capacityProviderStrategy": [{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }],
        "networkConfiguration": { "awsvpcConfiguration": {
            "subnets": ["${subnet}"], "securityGroups": ["${group}"], "assignPublicIp": "ENABLED",
        } },
        "deploymentConfiguration": {
            "minimumHealthyPercent": 0,
            "maximumPercent": 100,
            "deploymentCircuitBreaker": { "enable": true, "rollback": false },
        },
        "availabilityZoneRebalancing": "DISABLED",
        "propagateTags": "SERVICE",
        "tags": [{ "key": "mayfly:job", "value": "b" }],
    })
}

fn services() -> Vec<Step> {
    let unknown = json!({ "cluster": "stack", "service": "other" });
    let mut other = service();
    other["desiredCount"] = json!(2);
    vec![
        row("ListServices", "none yet", json!({ "cluster": "stack" })),
        row("ListServices", "of a cluster that is not there", json!({ "cluster": "other" })),
        row("CreateService", "a job's", service()).keep("service", "/service/serviceArn").same(&[
            "/service/serviceArn",
            "/service/status",
            "/service/desiredCount",
            "/service/tags",
        ]),
        row("CreateService", "the same again", service()).same(&["/service/serviceArn"]),
        row("CreateService", "the same name for something else", other),
        row("ListServices", "one", json!({ "cluster": "stack" })).same(&["/serviceArns"]),
        row(
            "DescribeServices",
            "with its tags",
            json!({ "cluster": "stack", "services": ["job-b"], "include": ["TAGS"] }),
        )
        .same(&[
            "/services/0/tags",
            "/services/0/taskDefinition",
            "/services/0/networkConfiguration",
        ]),
        row(
            "DescribeServices",
            "one of two",
            json!({ "cluster": "stack", "services": ["${service}", "other"] }),
        )
        .same(&["/failures/0/arn", "/failures/0/reason"]),
        row(
            "DescribeServices",
            "of a cluster that is not there",
            json!({ "cluster": "other", "services": ["a"] }),
        ),
        row("DescribeServices", "none", json!({ "cluster": "stack", "services": [] })),
        row("ListTagsForResource", "of a service", json!({ "resourceArn": "${service}" })).same(&["/tags"]),
        row(
            "ListTagsForResource",
            "of a service that is not there",
            json!({ "resourceArn": format!("{ARN}:service/stack/other") }),
        ),
        row("DeleteService", "of a service that is not there", unknown),
        row(
            "DeleteService",
            "of a cluster that is not there",
            json!({ "cluster": "other", "service": "job-b" }),
        ),
        row("DeleteService", "that has a task", json!({ "cluster": "stack", "service": "job-b" })),
    ]
}

fn running_task() -> Vec<Step> {
    // moto starts no task for a service.
    let task = json!({
        "cluster": "stack",
        "taskDefinition": "job-b",
        "launchType": "FARGATE",
        "networkConfiguration": { "awsvpcConfiguration": {
            "subnets": ["${subnet}"], "securityGroups": ["${group}"], "assignPublicIp": "ENABLED",
        } },
        "tags": [{ "key": "mayfly:job", "value": "b" }],
    });
    let container = json!({ "name": "worker", "image": "sleeper", "memory": 512 });
    let definition =
        json!({ "family": "job-b", "networkMode": "awsvpc", "containerDefinitions": [container] });
    vec![
        row("ListTasks", "of a cluster that is not there", json!({ "cluster": "other" })),
        row("ListTasks", "of a service that is not there", json!({ "cluster": "stack", "serviceName": "other" })),
        row("ListTasks", "of a family that is not there", json!({ "cluster": "stack", "family": "other" })),
        row("RegisterTaskDefinition", "one that moto runs", definition).only_moto(),
        row("RunTask", "by the service", task).only_moto(),
        row("ListTasks", "one", json!({ "cluster": "stack" })).keep("task", "/taskArns/0"),
        row("ListTasks", "of a family", json!({ "cluster": "stack", "family": "job-b" })),
        row("ListTasks", "stopped ones", json!({ "cluster": "stack", "desiredStatus": "STOPPED" })),
        row("DescribeTasks", "until it runs", json!({ "cluster": "stack", "tasks": ["${task}"] }))
            .until("/tasks/0/lastStatus", "RUNNING"),
        row(
            "DescribeTasks",
            "with its tags, one of two",
            json!({ "cluster": "stack", "tasks": ["${task}", "00000000000000000000000000000001"], "include": ["TAGS"] }),
        )
        .same(&["/tasks/0/tags", "/tasks/0/desiredStatus", "/failures/0/reason"]),
        row("DescribeTasks", "none", json!({ "cluster": "stack", "tasks": [] })),
        row("DescribeTasks", "of a cluster that is not there", json!({ "cluster": "other", "tasks": ["${task}"] })),
        row("ListTagsForResource", "of a task", json!({ "resourceArn": "${task}" })).same(&["/tags"]),
        row("DescribeClusters", "with a task", json!({ "clusters": ["stack"] }))
            .same(&["/clusters/0/activeServicesCount"]),
    ]
}

/// The end of what was begun, and what is refused: moto takes some of that, so it comes last.
pub fn until_all_is_gone() -> Vec<Step> {
    [end(), refused_services()].concat()
}

fn end() -> Vec<Step> {
    vec![
        row(
            "StopTask",
            "that is not there",
            json!({ "cluster": "stack", "task": "00000000000000000000000000000001" }),
        ),
        row("StopTask", "of a cluster that is not there", json!({ "cluster": "other", "task": "${task}" })),
        row("StopTask", "by a person", json!({ "cluster": "stack", "task": "${task}", "reason": "enough" }))
            .same(&["/task/desiredStatus", "/task/stopCode"]),
        row("DeleteService", "by force", json!({ "cluster": "stack", "service": "job-b", "force": true })),
        row("DescribeTasks", "until it has stopped", json!({ "cluster": "stack", "tasks": ["${task}"] }))
            .until("/tasks/0/lastStatus", "STOPPED"),
        row("DescribeServices", "that is deleted", json!({ "cluster": "stack", "services": ["job-b"] }))
            .until("/services/0/status", "INACTIVE"),
        row("ListServices", "without the deleted one", json!({ "cluster": "stack" })),
        row(
            "DeleteService",
            "that is deleted",
            json!({ "cluster": "stack", "service": "job-b", "force": true }),
        ),
    ]
}

fn refused_services() -> Vec<Step> {
    let with = |changes: Value| {
        let mut input = service();
        let fields = changes.as_object().into_iter().flatten();
        fields.for_each(|(name, value)| input[name] = value.clone());
        input
    };
    let network = |subnet: &str, group: &str| {
        let network = json!({ "subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED" });
        with(json!({ "serviceName": "other", "networkConfiguration": { "awsvpcConfiguration": network } }))
    };
    vec![
        row("CreateService", "in a cluster that is not there", with(json!({ "cluster": "other" }))),
        row("CreateService", "in a cluster that is gone", with(json!({ "cluster": "job-${side}" }))),
        row("CreateService", "of a family that is not there", with(json!({ "taskDefinition": "other" }))),
        row("CreateService", "of a revision that is not there", with(json!({ "taskDefinition": "job-b:9" }))),
        row(
            "CreateService",
            "in a subnet that is not there",
            network("subnet-00000000000000001", "${group}"),
        ),
        row("CreateService", "in a group that is not there", network("${subnet}", "sg-00000000000000001")),
        row("CreateService", "a name with a space", with(json!({ "serviceName": "job b" }))),
        row(
            "CreateService",
            "capacity that the cluster has not",
            with(
                json!({ "serviceName": "other", "capacityProviderStrategy": [{ "capacityProvider": "x", "weight": 1 }] }),
            ),
        ),
    ]
}

fn row(operation: &'static str, case: &'static str, input: Value) -> Step {
    Step::new("ecs", operation, case, input)
}
