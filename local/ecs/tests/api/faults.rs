//! What goes wrong with tasks when a rule says so.

use std::path::Path;

use crate::cloud::{CLUSTER, Cloud, eventually, is_alive, refusal};
use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, DeploymentCircuitBreaker,
    DeploymentConfiguration, NetworkConfiguration, NetworkMode, Tag, Task, TaskStopCode,
};
use local_ecs::{Fault, Refusal, Rule, SpotStopCode, Stage};
use serde_json::{Value, json};

/// When the shell of a container has long done what it does, in the cloud's seconds.
const LONG_AFTER: u32 = 300;

/// A cloud with the service `job`, whose first task meets this fault.
async fn cloud_with(image: &str, fault: Fault) -> Cloud {
    let cloud = Cloud::start().await;
    cloud.faults.add("job", [Rule::once(fault)]);
    let definition = cloud.register(image).await;
    Box::pin(cloud.service("job", &definition).send()).await.unwrap();
    cloud
}

/// What the events have told about a task up to its status `last`, in the order of their versions.
async fn told(cloud: &Cloud, task: &Task, last: &str) -> Vec<Value> {
    let mine = |event: &Value| event["taskArn"] == task.task_arn().unwrap();
    eventually(&format!("the event of {last}"), || async {
        let mut events: Vec<_> = cloud.events("ECS Task State Change").into_iter().filter(mine).collect();
        events.sort_by_key(|event| event["version"].as_u64());
        let whole = events.last()?["version"].as_u64()? == events.len() as u64;
        (whole && events.last()?["lastStatus"] == last).then_some(events)
    })
    .await
}

fn stop_of(task: &Task) -> (Option<&TaskStopCode>, Option<&str>) {
    (task.stop_code(), task.stopped_reason())
}

#[tokio::test]
async fn a_spot_task_is_warned_stopped_and_replaced() {
    for (stop_code, name) in [
        (SpotStopCode::SpotInterruption, TaskStopCode::SpotInterruption),
        (SpotStopCode::TerminationNotice, TaskStopCode::TerminationNotice),
    ] {
        let cloud = cloud_with("sleep", Fault::SpotInterruption { after_seconds: 9, stop_code }).await;
        let stopped = cloud.task_in("job", "STOPPED").await;
        assert_eq!(stop_of(&stopped), (Some(&name), Some("Your Spot Task was interrupted.")));
        assert_eq!(stopped.containers()[0].exit_code(), Some(143), "128 and SIGTERM");
        let events = told(&cloud, &stopped, "STOPPED").await;
        let warning = events.iter().find(|event| event["desiredStatus"] == "STOPPED").unwrap();
        assert_eq!(warning["lastStatus"], "RUNNING");
        assert_eq!(warning["stopCode"], name.as_str());
        assert_eq!(warning["stoppedReason"], "Your Spot Task was interrupted.");
        assert_eq!(warning["capacityProviderName"], "FARGATE_SPOT");
        let second = cloud.task_in("job", "RUNNING").await;
        assert_ne!(second.task_arn(), stopped.task_arn());
    }
}

#[tokio::test]
async fn without_capacity_there_is_no_task_until_a_later_try() {
    let quota_reached = Fault::QuotaReached { event_name: Refusal::default() };
    for (fault, reason) in [
        (
            Fault::NoCapacity,
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        ),
        (quota_reached, "You’ve reached the limit on the number of vCPUs you can run concurrently"),
    ] {
        let cloud = Cloud::start().await;
        cloud.faults.add("job", [Rule { tasks: 2, ..Rule::once(fault) }]);
        let definition = cloud.register("sleep").await;
        cloud.service("job", &definition).send().await.unwrap();
        cloud.task_in("job", "RUNNING").await;
        assert_eq!(cloud.tasks("job").await.len(), 1);

        let service = cloud.describe("job").await;
        let message = format!(
            "(service job) was unable to place a task. Reason: {reason}. For more information, see the \
             Troubleshooting section of the Amazon ECS Developer Guide."
        );
        let events = service.events();
        assert_eq!(events.iter().filter(|event| event.message() == Some(&message)).count(), 2);
        assert_eq!(events.last().unwrap().message(), Some(message.as_str()), "the newest are first");
        assert!(events.iter().all(|event| event.id().is_some() && event.created_at().is_some()));
        let is_failure = |event: &Value| event["eventName"] == "SERVICE_TASK_PLACEMENT_FAILURE";
        let failures: Vec<_> = cloud.events("ECS Service Action").into_iter().filter(is_failure).collect();
        assert_eq!(failures.len(), 2);
        for failure in failures {
            assert_eq!(failure["eventType"], "ERROR");
            assert_eq!(failure["reason"], "RESOURCE:FARGATE");
            assert_eq!(failure["clusterArn"], "arn:aws:ecs:eu-west-1:111122223333:cluster/stack");
            let spot = "arn:aws:ecs:eu-west-1:111122223333:capacity-provider/FARGATE_SPOT";
            assert_eq!(failure["capacityProviderArns"], json!([spot]));
        }
    }
}

#[tokio::test]
async fn the_circuit_breaker_counts_tasks_that_cannot_be_placed() {
    let cloud = Cloud::at_scale(0.001).await;
    let definition = cloud.register("sleep").await;
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(false);
    let configuration = DeploymentConfiguration::builder().deployment_circuit_breaker(breaker.build());
    let service = cloud.service("job", &definition).deployment_configuration(configuration.build());
    for job in ["job", "other"] {
        cloud.faults.add(job, [Rule { tasks: 3, ..Rule::once(Fault::NoCapacity) }]);
    }
    service.send().await.unwrap();
    eventually("the failure of the deployment", || async {
        let service = cloud.describe("job").await;
        let failed = service.deployments()[0].rollout_state().unwrap().as_str() == "FAILED";
        failed.then(|| assert_eq!(service.deployments()[0].failed_tasks(), 3))
    })
    .await;
    // Without a breaker the next try finds room, and that comes later than the one that fails to come.
    cloud.service("other", &definition).send().await.unwrap();
    cloud.task_in("other", "RUNNING").await;
    assert!(cloud.tasks("job").await.is_empty(), "a deployment that has failed launches nothing");
}

#[tokio::test]
async fn a_task_that_never_starts_waits_until_it_is_stopped() {
    for (stage, status) in [(Stage::Provisioning, "PROVISIONING"), (Stage::Pending, "PENDING")] {
        let cloud = cloud_with("sleep", Fault::NeverStarts { stage }).await;
        let definition = cloud.register("sleep").await;
        cloud.service("other", &definition).send().await.unwrap();
        cloud.task_in("other", "RUNNING").await;
        cloud.task_in("job", status).await;
        cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
        let stopped = cloud.task_in("job", "STOPPED").await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::ServiceSchedulerInitiated));
        let events = told(&cloud, &stopped, "STOPPED").await;
        let container = &events.last().unwrap()["containers"][0];
        assert!(container.get("exitCode").is_none() && container.get("reason").is_none(), "{container}");
    }
}

#[tokio::test]
async fn a_pull_that_fails_is_tried_again_with_another_task() {
    for (fault, why) in [
        (Fault::PullTimesOut, "dial tcp 192.0.2.1:443: i/o timeout"),
        (Fault::PullDenied, "pull access denied, repository does not exist or may require authorization"),
    ] {
        let cloud = cloud_with("sleep", fault).await;
        let stopped = cloud.task_in("job", "STOPPED").await;
        let (code, reason) = stop_of(&stopped);
        assert_eq!(code, Some(&TaskStopCode::TaskFailedToStart));
        let reason = reason.unwrap();
        assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains(why), "{reason}");
        let last = told(&cloud, &stopped, "STOPPED").await.pop().unwrap();
        assert_eq!(last["containers"][0]["reason"], reason);
        assert!(last["containers"][0].get("exitCode").is_none());
        let service = cloud.describe("job").await;
        let told = format!("(service job) was unable to place a task. Reason: {reason}. ");
        assert!(service.events().iter().any(|event| event.message().unwrap().starts_with(&told)));
        cloud.task_in("job", "RUNNING").await;
    }
}

#[tokio::test]
async fn a_task_without_a_way_to_what_its_start_needs_says_what_it_does_not_reach() {
    let cloud = Cloud::start().await;
    let container = ContainerDefinition::builder().name("worker").image("docker.io/team/sleep:1").build();
    let definition = cloud.ecs.register_task_definition().family("public").container_definitions(container);
    let definition = definition.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512");
    definition.requires_compatibilities(Compatibility::Fargate).send().await.unwrap();
    cloud.register("sleep").await;
    let public = |container: ContainerDefinitionBuilder| container.image("docker.io/team/sleep:1");
    cloud.register_changed("secret", "group", "task", public).await;
    cloud.register_changed("logged", "group", "task", |container| public(container).set_secrets(None)).await;
    let secret = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
                  unable to retrieve secret from asm: service call has been retried 5 time(s): failed to fetch secret \
                  arn:aws:secretsmanager:eu-west-1:111122223333:secret:s-AbCdEf from secrets manager: RequestCanceled: \
                  request context canceled caused by: context deadline exceeded. Please check your task network \
                  configuration.";
    let logs = "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log \
                group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. \
                Check your network configuration. : signal: killed";
    let ecr = "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth \
               from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network \
               configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https \
               response error StatusCode: 0, RequestID: , request send failed, Post \
               \"https://api.ecr.eu-west-1.amazonaws.com/\": dial tcp 192.0.2.1:443: i/o timeout";
    let other = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                 docker.io/team/sleep:1: failed to do request: Head: dial tcp 192.0.2.1:443: i/o timeout";
    // The subnet's route leads to an internet gateway, which a task without a public address cannot use.
    let network = AwsVpcConfiguration::builder().subnets("subnet-1").security_groups("sg-1").build().unwrap();
    let network = NetworkConfiguration::builder().awsvpc_configuration(network).build();
    for (family, why) in [("sleep", ecr), ("secret", secret), ("logged", logs), ("public", other)] {
        cloud.service(family, family).network_configuration(network.clone()).send().await.unwrap();
        let stopped = cloud.task_in(family, "STOPPED").await;
        assert_eq!(stop_of(&stopped), (Some(&TaskStopCode::TaskFailedToStart), Some(why)));
        assert!(stopped.pull_stopped_at().is_none() && stopped.containers()[0].exit_code().is_none());
    }
}

#[tokio::test]
async fn a_container_is_killed_for_want_of_memory_with_or_without_an_exit_code() {
    for exit_code in [Some(137), Some(0), None] {
        let cloud = cloud_with("family", Fault::OutOfMemory { after_seconds: LONG_AFTER, exit_code }).await;
        let stopped = cloud.task_in("job", "STOPPED").await;
        let exited = "Essential container in task exited";
        assert_eq!(stop_of(&stopped), (Some(&TaskStopCode::EssentialContainerExited), Some(exited)));
        let container = &stopped.containers()[0];
        assert_eq!(container.exit_code(), exit_code);
        assert_eq!(container.reason(), Some("OutOfMemoryError: Container killed due to memory usage"));
        assert_eq!(cloud.processes(&stopped), Vec::<String>::new(), "nothing of the container is left");
        let last = told(&cloud, &stopped, "STOPPED").await.pop().unwrap();
        assert_eq!(last["containers"][0].get("exitCode"), exit_code.map(Value::from).as_ref());
        assert_eq!(last["containers"][0]["reason"], container.reason().unwrap());
        assert!(last.get("tags").is_none(), "events have no tags");
    }
}

#[tokio::test]
async fn a_container_is_killed_without_a_reason() {
    let cloud = cloud_with("family", Fault::Killed { after_seconds: LONG_AFTER }).await;
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(stopped.containers()[0].exit_code(), Some(137));
    assert_eq!(stopped.containers()[0].reason(), None);
    assert_eq!(cloud.processes(&stopped), Vec::<String>::new(), "nothing of the container is left");
}

#[tokio::test]
async fn aws_stops_a_task_whose_machine_is_retired() {
    let cloud = cloud_with("sleep", Fault::Maintenance { after_seconds: 9 }).await;
    let stopped = cloud.task_in("job", "STOPPED").await;
    let reason = "ECS is performing maintenance on the underlying infrastructure hosting the task";
    assert_eq!(stop_of(&stopped), (Some(&TaskStopCode::ServiceSchedulerInitiated), Some(reason)));
    cloud.task_in("job", "RUNNING").await;
}

#[tokio::test]
async fn a_cluster_is_refused_while_the_role_of_ecs_does_not_exist() {
    let cloud = Cloud::start().await;
    cloud.faults.add("job", [Rule::once(Fault::RoleMissing { times: 1 })]);
    let create = |job: &str| {
        let tag = Tag::builder().key("mayfly:job").value(job).build();
        cloud.ecs.create_cluster().cluster_name(job).tags(tag)
    };
    create("other").send().await.expect("the role is there for others");
    let message =
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    let refused = ("InvalidParameterException".to_owned(), message.to_owned());
    assert_eq!(refusal(create("job").send().await), refused);
    create("job").send().await.expect("the role is there now");
}

#[tokio::test]
async fn a_service_is_not_deleted_while_its_deployments_are_active() {
    let cloud = cloud_with("sleep", Fault::DeploymentsActive { times: 1 }).await;
    let delete = || cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true);
    let message = "The service cannot be stopped while deployments are active.";
    let refused = ("InvalidParameterException".to_owned(), message.to_owned());
    assert_eq!(refusal(delete().send().await), refused);
    assert_eq!(cloud.describe("job").await.status(), Some("ACTIVE"));
    delete().send().await.expect("they are not any more");
}

#[tokio::test]
async fn an_interface_can_outlive_its_stopped_task() {
    let cloud = Cloud::start().await;
    for (job, seconds) in [("long", 1_000_000), ("short", 100)] {
        cloud.ec2.faults().add(job, local_ec2::Fault::InterfaceLingers { seconds });
    }
    let definition = cloud.register("sleep").await;
    for (job, stays) in [("job", false), ("short", false), ("long", true)] {
        cloud.service(job, &definition).send().await.unwrap();
        cloud.task_in(job, "RUNNING").await;
        cloud.ecs.delete_service().cluster(CLUSTER).service(job).force(true).send().await.unwrap();
        let stopped = cloud.task_in(job, "STOPPED").await;
        let details = stopped.attachments()[0].details();
        let interface = details.iter().find(|detail| detail.name() == Some("networkInterfaceId")).unwrap();
        let is_there = async || {
            let server = local_ec2::Server::Internet { ipv6: false };
            cloud.ec2.reaches(interface.value().unwrap(), server).await.is_ok()
        };
        if job == "short" {
            eventually("the end of the interface", || async { (!is_there().await).then_some(()) }).await;
        }
        assert_eq!(is_there().await, stays, "{job}");
    }
}

#[tokio::test]
async fn a_silent_container_lives_until_it_is_stopped() {
    let cloud = cloud_with("family", Fault::Silence { after_seconds: 60 }).await;
    let child = child_of(&cloud, &cloud.task_in("job", "RUNNING").await).await;
    eventually("silence", || async {
        let stat = std::fs::read_to_string(Path::new("/proc").join(child.trim()).join("stat")).unwrap();
        stat.contains(") T ").then_some(())
    })
    .await;
    assert_eq!(cloud.tasks("job").await[0].last_status(), Some("RUNNING"));
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.containers()[0].exit_code(), Some(137), "SIGTERM finds nobody");
    assert!(!is_alive(&child));
}

#[tokio::test]
async fn the_largest_process_is_killed_for_want_of_memory_and_counted() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("hog").await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    let seen = eventually("the end of the hog", || async {
        std::fs::read_to_string(cloud.files(&task).join("seen")).ok().filter(|seen| seen.contains("end"))
    })
    .await;
    assert_eq!(seen, "137\nlow 0\nhigh 0\nmax 1\noom 1\noom_kill 1\noom_group_kill 0\nend\n");
    assert_eq!(cloud.tasks("job").await[0].last_status(), Some("RUNNING"), "the container lives on");
}

#[tokio::test]
async fn a_container_of_one_process_that_is_too_large_is_out_of_memory() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("glutton").await;
    cloud.service("job", &definition).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    let container = &stopped.containers()[0];
    assert_eq!(container.exit_code(), Some(137));
    assert_eq!(container.reason(), Some("OutOfMemoryError: Container killed due to memory usage"));
}

/// The process that the task of `family` has started, whose id its output tells.
async fn child_of(cloud: &Cloud, task: &Task) -> String {
    let file = cloud.folder(task).join("output.log");
    eventually("the child's id", || async {
        let output = std::fs::read_to_string(&file).ok()?;
        let mut lines = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        cloud.process(task, lines.find(|line| line.parse::<u32>().is_ok())?)
    })
    .await
}
