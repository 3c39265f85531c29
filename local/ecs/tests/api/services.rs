//! Services and their tasks, over the wire with the AWS SDK.

use crate::cloud::{CLUSTER, Cloud, STANDSTILL, eventually, is_alive, refusal};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, CapacityProviderStrategyItem, DeploymentCircuitBreaker, DeploymentConfiguration,
    DesiredStatus, LaunchType, NetworkConfiguration, PropagateTags, ServiceEvent, ServiceField, Tag,
    TaskStopCode,
};
use serde_json::Value;

#[tokio::test]
async fn a_service_starts_its_task_and_drains_it() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let created = cloud.service("job", &definition).propagate_tags(PropagateTags::Service);
    let created = created.enable_ecs_managed_tags(true).send().await.unwrap().service.unwrap();
    assert_eq!((created.status(), created.desired_count(), created.running_count()), (Some("ACTIVE"), 1, 0));
    assert_eq!(created.tags().len(), 1, "the answer to a creation has the tags");
    assert!(created.launch_type().is_none());

    let task = cloud.task_in("job", "RUNNING").await;
    assert_eq!(task.group(), Some("service:job"));
    assert_eq!(task.started_by(), created.deployments()[0].id());
    assert_eq!(task.capacity_provider_name(), Some("FARGATE_SPOT"));
    assert_eq!(task.availability_zone(), Some("eu-west-1a"));
    let tags: Vec<_> = task.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(
        tags,
        [("mayfly:job", "job"), ("aws:ecs:clusterName", CLUSTER), ("aws:ecs:serviceName", "job")]
    );
    let attachment = &task.attachments()[0];
    assert_eq!(
        (attachment.r#type(), attachment.status()),
        (Some("ElasticNetworkInterface"), Some("ATTACHED"))
    );
    let names: Vec<_> = attachment.details().iter().filter_map(|detail| detail.name()).collect();
    assert_eq!(names, ["subnetId", "networkInterfaceId", "macAddress", "privateIPv4Address"]);

    let steady = cloud.describe("job").await;
    assert_eq!((steady.running_count(), steady.pending_count()), (1, 0));
    assert_eq!(steady.deployments()[0].rollout_state().unwrap().as_str(), "COMPLETED");
    assert!(steady.tags().is_empty(), "tags are shown on request only");
    assert!(steady.events()[0].message().unwrap().ends_with("deployment completed."));

    let delete = || cloud.ecs.delete_service().cluster(CLUSTER).service("job");
    let (code, message) = refusal(delete().send().await);
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "The service cannot be stopped while it is scaled above 0.");
    let draining = delete().force(true).send().await.unwrap().service.unwrap();
    assert_eq!(draining.status(), Some("DRAINING"));
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::ServiceSchedulerInitiated));
    let reason = format!("Scaling activity initiated by (deployment {})", task.started_by().unwrap());
    assert_eq!(stopped.stopped_reason(), Some(reason.as_str()));
    assert_eq!(stopped.containers()[0].exit_code(), Some(143), "128 and SIGTERM");
    assert_eq!(stopped.attachments()[0].status(), Some("DELETED"));
    assert_eq!(cloud.describe("job").await.status(), Some("INACTIVE"));
    assert!(!cloud.folder(&stopped).join("files").exists(), "a container's files go with it");
    cloud.service("job", &definition).send().await.expect("the name is free again");
}

/// API Reference, `CreateService$tags`: "When a service is deleted, the tags are deleted as well."
#[tokio::test]
async fn a_deleted_service_has_lost_its_tags_while_it_drains() {
    // So slowly that it is still draining while it is looked at.
    let cloud = Cloud::at_scale(STANDSTILL).await;
    let definition = cloud.register("sleep").await;
    cloud.service("job", &definition).send().await.unwrap();
    let describe =
        || cloud.ecs.describe_services().cluster(CLUSTER).services("job").include(ServiceField::Tags);
    assert_eq!(describe().send().await.unwrap().services()[0].tags().len(), 1);
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let described = describe().send().await.unwrap();
    let [service] = described.services() else { panic!("{described:#?}") };
    assert_eq!((service.status(), service.tags()), (Some("DRAINING"), &[][..]));
}

#[tokio::test]
async fn a_container_that_is_told_to_stop_has_its_time_out_in_the_works_time() {
    for (cloud, exit_code) in [(Cloud::where_work_has_real_time().await, 7), (Cloud::start().await, 137)] {
        let definition = cloud.register("slow").await;
        cloud.service("job", &definition).send().await.unwrap();
        child_of(&cloud).await;
        cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
        let stopped = cloud.task_in("job", "STOPPED").await;
        assert_eq!(stopped.containers()[0].exit_code(), Some(exit_code));
    }
}

#[tokio::test]
async fn a_draining_service_is_hidden_and_keeps_its_name() {
    // So slowly that it is still draining while it is looked at.
    let cloud = Cloud::at_scale(STANDSTILL).await;
    let definition = cloud.register("sleep").await;
    cloud.service("job", &definition).send().await.unwrap();
    let list = || cloud.ecs.list_services().cluster(CLUSTER);
    assert_eq!(list().send().await.unwrap().service_arns().len(), 1);
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    assert!(list().send().await.unwrap().service_arns().is_empty());
    let (code, message) = refusal(cloud.service("job", &definition).send().await);
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "Unable to Start a service that is still Draining.");
    assert_eq!(cloud.describe("job").await.status(), Some("DRAINING"));
}

#[tokio::test]
async fn a_service_has_as_many_tasks_as_desired_and_they_are_listed_until_they_stop() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    for (name, count) in [("none", 0), ("job", 2)] {
        cloud.service(name, &definition).desired_count(count).send().await.unwrap();
        eventually("a steady state", || async {
            let service = cloud.describe(name).await;
            let steady = |event: &ServiceEvent| event.message().unwrap().ends_with("reached a steady state.");
            let counts = (service.running_count(), service.pending_count());
            (counts == (count, 0) && service.events().iter().any(steady)).then_some(())
        })
        .await;
    }
    let list = || cloud.ecs.list_tasks().cluster(CLUSTER);
    assert_eq!(list().family("sleep").send().await.unwrap().task_arns().len(), 2);
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    let by_starter = list().started_by(stopped.started_by().unwrap());
    assert!(
        by_starter.send().await.unwrap().task_arns().is_empty(),
        "stopped tasks are listed on request only"
    );
    let by_family = list().family("sleep").desired_status(DesiredStatus::Stopped);
    assert_eq!(by_family.send().await.unwrap().task_arns().len(), 2);
    assert_eq!(refusal(list().family("sleep").started_by("x").send().await).0, "InvalidParameterException");
    assert_eq!(refusal(list().service_name("unknown").send().await).0, "ServiceNotFoundException");
}

#[tokio::test]
async fn a_task_whose_role_does_not_trust_ecs_does_not_start() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_with("sleep", "group", "untrusting").await;
    cloud.service("job", &definition).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    let reason = stopped.stopped_reason().unwrap();
    assert!(
        reason.starts_with("ECS was unable to assume the role 'arn:aws:iam::111122223333:role/untrusting'"),
        "{reason}"
    );
    assert!(stopped.containers()[0].reason().is_none(), "it is not the container's fault");
}

#[tokio::test]
async fn every_step_of_a_task_is_an_event_with_a_higher_version() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    cloud
        .ecs
        .stop_task()
        .cluster(CLUSTER)
        .task(task.task_arn().unwrap())
        .reason("enough")
        .send()
        .await
        .unwrap();
    let mine = |event: &Value| event["taskArn"] == task.task_arn().unwrap();
    let mut events: Vec<Value> = eventually("the event of STOPPED", || async {
        let events: Vec<_> = cloud.events("ECS Task State Change").into_iter().filter(mine).collect();
        // Events may overtake one another, so the last step alone proves nothing.
        let versions: Vec<_> = events.iter().filter_map(|event| event["version"].as_u64()).collect();
        let stopped = events.iter().find(|event| event["lastStatus"] == "STOPPED")?["version"].as_u64()?;
        (versions.len() as u64 == stopped).then_some(events)
    })
    .await;
    events.sort_by_key(|event| event["version"].as_u64());
    let mut steps: Vec<_> = events
        .iter()
        .map(|e| (e["lastStatus"].as_str().unwrap(), e["desiredStatus"].as_str().unwrap()))
        .collect();
    steps.dedup();
    assert_eq!(
        steps,
        [
            ("PROVISIONING", "RUNNING"),
            ("PENDING", "RUNNING"),
            ("ACTIVATING", "RUNNING"),
            ("RUNNING", "RUNNING"),
            ("RUNNING", "STOPPED"),
            ("DEACTIVATING", "STOPPED"),
            ("STOPPING", "STOPPED"),
            ("DEPROVISIONING", "STOPPED"),
            ("STOPPED", "STOPPED"),
        ]
    );
    let last = events.last().unwrap();
    assert_eq!((&last["stopCode"], &last["stoppedReason"]), (&"UserInitiated".into(), &"enough".into()));
    assert_eq!(last["attachments"][0]["type"], "eni");
    assert_eq!(last["containers"][0]["exitCode"], 143);
    let names: Vec<_> =
        cloud.events("ECS Deployment State Change").iter().map(|e| e["eventName"].to_string()).collect();
    assert_eq!(names, ["\"SERVICE_DEPLOYMENT_IN_PROGRESS\"", "\"SERVICE_DEPLOYMENT_COMPLETED\""]);
    assert_eq!(cloud.events("ECS Service Action")[0]["eventName"], "SERVICE_STEADY_STATE");
}

#[tokio::test]
async fn a_task_finds_what_a_container_on_fargate_finds() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("env").await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    let lines = cloud.told(&task).await;
    let variable = |name: &str| lines.iter().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(variable("GREETING"), Some("hello"));
    assert_eq!(variable("AWS_EXECUTION_ENV"), Some("AWS_ECS_FARGATE"));
    assert_eq!(variable("AWS_REGION"), Some(crate::cloud::REGION));
    assert_eq!(variable("MAYFLY_ENDPOINT_URL"), Some(cloud.upstream.ministack.as_str()));
    let address =
        task.containers()[0].network_interfaces()[0].private_ipv4_address().unwrap().replace('.', "-");
    assert_eq!(variable("HOSTNAME"), Some(format!("ip-{address}.eu-west-1.compute.internal").as_str()));
    assert_eq!(variable("PASSWORD"), Some("p4ss"), "one key of a secret");
    assert!(variable("PATH").unwrap().starts_with("/opt/tools:/usr/local/sbin"));
    assert_eq!(variable("CARGO_MANIFEST_DIR"), None, "nothing is inherited");
    let file = std::fs::read_to_string(cloud.folder(&task).join("output.log")).unwrap();
    assert!(file.contains("GREETING=hello\n"));

    let get = async |url: &str| {
        let answer = reqwest::get(url).await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    let metadata = variable("ECS_CONTAINER_METADATA_URI_V4").unwrap();
    let described = get(&format!("{metadata}/task")).await;
    assert_eq!(described["TaskARN"], task.task_arn().unwrap());
    assert_eq!((&described["Family"], &described["Revision"]), (&"env".into(), &"1".into()));
    assert_eq!(described["Limits"], serde_json::json!({ "CPU": 0.25, "Memory": 512 }));
    assert_eq!(get(metadata).await, described["Containers"][0]);
    let keys = get(variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap()).await;
    assert_eq!((&keys["AccessKeyId"], &keys["Token"]), (&"ASIAtask".into(), &"token".into()));
    assert_eq!(keys["Expiration"], "2100-01-01T00:00:00Z");
    assert_eq!(reqwest::get(format!("{metadata}x/task")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_task_that_exits_is_replaced() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("false").await;
    cloud.service("job", &definition).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(stopped.stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(stopped.containers()[0].exit_code(), Some(1));
    assert!(stopped.started_at().is_some());
    assert!(cloud.tasks("job").await.len() > 1);
}

#[tokio::test]
async fn the_circuit_breaker_ends_a_deployment_that_cannot_pull_its_image() {
    let cloud = Cloud::at_scale(0.001).await;
    let definition = cloud.register("unknown").await;
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(false);
    let configuration = DeploymentConfiguration::builder()
        .deployment_circuit_breaker(breaker.build())
        .minimum_healthy_percent(0)
        .maximum_percent(100)
        .build();
    cloud.service("job", &definition).deployment_configuration(configuration).send().await.unwrap();
    let task = cloud.task_in("job", "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    let image = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/unknown";
    let reason = format!(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: \
         {image}: not found"
    );
    assert_eq!(task.stopped_reason(), Some(reason.as_str()));
    assert_eq!(task.containers()[0].reason(), Some(reason.as_str()));
    assert!(task.containers()[0].exit_code().is_none() && task.started_at().is_none());

    let service = eventually("a failed deployment", || async {
        let service = cloud.describe("job").await;
        (service.deployments()[0].rollout_state().unwrap().as_str() == "FAILED").then_some(service)
    })
    .await;
    assert_eq!(service.deployments()[0].failed_tasks(), 3);
    eventually("the event of the failure", || async {
        let changes = cloud.events("ECS Deployment State Change");
        changes.iter().any(|event| event["eventType"] == "ERROR").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_without_its_log_group_does_not_start() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_with("sleep", "missing", "task").await;
    cloud.service("job", &definition).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    let reason = stopped.stopped_reason().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: failed to validate logger args"), "{reason}");
    assert!(
        reason.contains("ResourceNotFoundException: The specified log group does not exist."),
        "{reason}"
    );
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
}

#[tokio::test]
async fn a_task_that_ignores_sigterm_is_killed_with_all_its_processes() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("stubborn").await;
    cloud.service("job", &definition).send().await.unwrap();
    let child = child_of(&cloud).await;
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.containers()[0].exit_code(), Some(137), "128 and SIGKILL");
    eventually("the end of the child", || async { (!is_alive(&child)).then_some(()) }).await;
}

#[tokio::test]
async fn a_daemon_ends_with_its_container_however_that_ends() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("crash").await;
    cloud.service("job", &definition).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.containers()[0].exit_code(), Some(137));
    // The log is all that stays of its files, so the daemon is looked for.
    assert_eq!(cloud.processes(&stopped), Vec::<String>::new());
}

#[tokio::test]
async fn a_daemon_ends_when_the_local_cloud_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = "setsid -f sh -c 'echo $$ >child; exec sleep 600'; exec sleep 600";
    // The shell stands for the cloud.
    let script = format!("'{}' be-init-of sh -c \"$0\" & wait", env!("CARGO_BIN_EXE_local-ecs-init"));
    let mut cloud = tokio::process::Command::new("sh")
        .args(["-c", &script, daemon])
        .current_dir(&folder)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let file = folder.path().join("child");
    let child = eventually("the daemon's id", || async {
        std::fs::read_to_string(&file).ok().filter(|id| id.ends_with('\n'))
    })
    .await;
    assert!(is_alive(&child));
    cloud.kill().await.unwrap();
    eventually("the end of the daemon", || async { (!is_alive(&child)).then_some(()) }).await;
}

#[tokio::test]
async fn nothing_survives_the_stand_in() {
    let mut cloud = Cloud::start().await;
    let definition = cloud.register("stubborn").await;
    cloud.service("job", &definition).send().await.unwrap();
    let child = child_of(&cloud).await;
    cloud.stop().await;
    eventually("the end of the child", || async { (!is_alive(&child)).then_some(()) }).await;
}

/// The process that the task of `stubborn` has started.
async fn child_of(cloud: &Cloud) -> String {
    let task = cloud.task_in("job", "RUNNING").await;
    let file = cloud.files(&task).join("child");
    let child = eventually("the child's id", || async {
        let id = std::fs::read_to_string(&file).ok().filter(|id| id.ends_with('\n'))?;
        cloud.process(&task, &id)
    })
    .await;
    assert!(is_alive(&child));
    child
}

#[tokio::test]
async fn creating_a_service_is_idempotent_by_token_and_by_name() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let first = cloud.service("job", &definition).client_token("t1").send().await.unwrap().service.unwrap();
    let again = cloud.service("job", &definition).client_token("t1").send().await.unwrap().service.unwrap();
    assert_eq!(again.deployments()[0].id(), first.deployments()[0].id());
    cloud.service("job", &definition).send().await.expect("the same service without the token");
    for other in [
        cloud.service("job", &definition).desired_count(2),
        cloud.service("other", &definition).client_token("t1"),
    ] {
        let (code, message) = refusal(other.send().await);
        assert_eq!(code, "InvalidParameterException");
        assert_eq!(message, "Creation of service was not idempotent.");
    }
}

#[tokio::test]
async fn a_service_that_fargate_cannot_run_is_refused() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let service = || cloud.service("job", &definition);
    let item = |name: &str| {
        CapacityProviderStrategyItem::builder().capacity_provider(name).weight(1).build().unwrap()
    };
    let tag = Tag::builder().key("aws:x").value("y").build();
    let cases = [
        (service().launch_type(LaunchType::Fargate), "ClientException", "unknown field `launchType`"),
        (service().set_capacity_provider_strategy(None), "UnsupportedFeatureException", "EC2"),
        (service().capacity_provider_strategy(item("mine")), "InvalidParameterException", "not associated"),
        (service().client_token("t".repeat(37)), "InvalidParameterException", "clientToken"),
        (service().tags(tag), "InvalidParameterException", "reserved"),
        (service().set_network_configuration(None), "InvalidParameterException", "Network Configuration"),
        (service().task_definition("unknown"), "ClientException", "TaskDefinition not found."),
        (service().platform_version("9.9.9"), "PlatformUnknownException", "platform version"),
        (service().cluster("unknown"), "ClusterNotFoundException", "Cluster not found."),
        (service().enable_execute_command(true), "ClientException", "unknown field `enableExecuteCommand`"),
    ];
    for (request, code, message) in cases {
        let refusal = refusal(request.send().await);
        assert_eq!(refusal.0, code, "{refusal:?}");
        assert!(refusal.1.contains(message), "{refusal:?}");
    }
    let described = cloud.ecs.describe_services().cluster(CLUSTER).services("job").send().await.unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
}

#[tokio::test]
async fn a_service_needs_subnets_and_groups_of_one_vpc() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let cases: [(&[&str], &[&str], &str); 4] = [
        (
            &["subnet-1", "subnet-9"],
            &["sg-1"],
            "Error retrieving subnet information for [subnet-1, subnet-9]: The subnet ID 'subnet-9' does not exist \
             (ErrorCode: InvalidSubnetID.NotFound)",
        ),
        (
            &["subnet-1"],
            &["sg-9"],
            "Error retrieving security group information for [sg-9]: The security group 'sg-9' does not exist \
             (ErrorCode: InvalidGroup.NotFound)",
        ),
        (
            &["subnet-1"],
            &["sg-1", "sg-2"],
            "Security group sg-2 does not appear to belong to the same VPC as the input subnets.",
        ),
        (&["subnet-1", "subnet-2"], &[], "All specified subnets must be from the same VPC."),
    ];
    let all = |ids: &[&str]| Some(ids.iter().map(ToString::to_string).collect());
    for (subnets, groups, expected) in cases {
        let network =
            AwsVpcConfiguration::builder().set_subnets(all(subnets)).set_security_groups(all(groups));
        let network = NetworkConfiguration::builder().awsvpc_configuration(network.build().unwrap());
        let request = cloud.service("job", &definition).network_configuration(network.build());
        let refusal = refusal(request.send().await);
        assert_eq!(refusal, ("InvalidParameterException".to_owned(), expected.to_owned()));
    }
}

#[tokio::test]
async fn a_role_needs_the_right_tags_and_the_right_to_pass_roles() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let tagger = cloud.as_role("tagger").await;
    let stack = || Tag::builder().key("mayfly:stack").value("s").build();
    let denied = |outcome: (String, String), action: &str| {
        assert_eq!(outcome.0, "AccessDeniedException");
        assert!(
            outcome.1.contains(&format!("not authorized to perform: {action} on resource: ")),
            "{outcome:?}"
        );
    };
    let send = async |name: &str, tags: Vec<Tag>| {
        let request = cloud.service(name, &definition).set_tags(Some(tags));
        refusal(request.as_input().clone().send_with(&tagger).await)
    };
    denied(send("own-1", Vec::new()).await, "ecs:CreateService");
    denied(send("other-1", vec![stack()]).await, "ecs:CreateService");
    // The task's role may be passed, the execution role may not.
    denied(send("own-1", vec![stack()]).await, "iam:PassRole");
    denied(refusal(tagger.list_services().cluster(CLUSTER).send().await), "ecs:ListServices");
}

#[tokio::test]
async fn a_cluster_of_the_stack_is_taken_over_with_its_tags() {
    let cloud = Cloud::start().await;
    let describe = cloud.ecs.describe_clusters().clusters(CLUSTER).clusters("unknown");
    let answer = describe.include(aws_sdk_ecs::types::ClusterField::Tags).send().await.unwrap();
    let cluster = &answer.clusters()[0];
    assert_eq!(cluster.capacity_providers(), ["FARGATE", "FARGATE_SPOT"]);
    assert_eq!(cluster.tags()[0].key(), Some("mayfly:stack"));
    assert_eq!(answer.failures()[0].reason(), Some("MISSING"));
    let tags =
        cloud.ecs.list_tags_for_resource().resource_arn(cluster.cluster_arn().unwrap()).send().await.unwrap();
    assert_eq!(tags.tags(), cluster.tags());
}

#[tokio::test]
async fn a_service_shows_its_tags_when_asked() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    cloud.service("job", &definition).desired_count(0).send().await.unwrap();
    let describe = cloud.ecs.describe_services().cluster(CLUSTER).services("job").include(ServiceField::Tags);
    assert_eq!(describe.send().await.unwrap().services()[0].tags()[0].value(), Some("job"));
}
