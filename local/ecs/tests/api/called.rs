//! Services that are called.

use std::collections::HashSet;
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use aws_sdk_ecs::types::{
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentRolloutState, HealthCheck, HealthStatus,
    PortMapping, Service, Task, TaskStopCode, ThresholdConfiguration, ThresholdType, TransportProtocol,
};
use local_aws::server::in_process;
use tokio::time::timeout;

use crate::cloud::{CLUSTER, Cloud, INIT, eventually, refusal};

impl Cloud {
    /// Registers a definition of a container that is called at port 80.
    async fn register_called(&self, image: &str, check: Option<HealthCheck>) -> String {
        let port = PortMapping::builder().container_port(80).build();
        self.register_changed(image, "group", "task", |container| {
            container.port_mappings(port).set_health_check(check)
        })
        .await
    }

    /// Where the task is called on this machine.
    async fn public_address(&self, task: &Task) -> String {
        let details = task.attachments()[0].details().iter();
        let id = details.filter(|detail| detail.name() == Some("networkInterfaceId")).find_map(|d| d.value());
        let http = in_process(self.ec2.clone());
        let ec2 = aws_sdk_ec2::config::Builder::from(&self.upstream.root_config()).http_client(http);
        let ec2 = aws_sdk_ec2::Client::from_conf(ec2.endpoint_url("http://ec2").build());
        let described = ec2.describe_network_interfaces().network_interface_ids(id.unwrap()).send().await;
        let association = described.unwrap().network_interfaces()[0].association().cloned();
        association.and_then(|association| association.public_ip).expect("the task has a public address")
    }

    async fn steady(&self, service: &str) -> Service {
        eventually("a steady state", || async {
            let service = self.describe(service).await;
            let message = service.events().first()?.message()?.to_owned();
            (message.contains("steady state") || message.contains("completed")).then_some(service)
        })
        .await
    }
}

/// As AWS is asked in the middle of a service's life: a second, not thirty.
fn check(command: &[&str], retries: i32) -> HealthCheck {
    let command = Some(command.iter().map(ToString::to_string).collect());
    HealthCheck::builder().set_command(command).interval(5).retries(retries).build().unwrap()
}

#[tokio::test]
async fn a_definition_says_what_ecs_has_filled_in_of_ports_and_health_checks() {
    let cloud = Cloud::start().await;
    let arn = cloud.register_called("server", Some(check(&["CMD-SHELL", "exit 0"], 2))).await;
    let described = cloud.ecs.describe_task_definition().task_definition(arn).send().await.unwrap();
    let container = &described.task_definition().unwrap().container_definitions()[0];
    let port = &container.port_mappings()[0];
    assert_eq!((port.container_port(), port.host_port()), (Some(80), Some(80)));
    assert_eq!(port.protocol(), Some(&TransportProtocol::Tcp));
    let check = container.health_check().unwrap();
    let numbers = [check.interval(), check.timeout(), check.retries(), check.start_period()];
    assert_eq!(numbers, [Some(5), Some(5), Some(2), None]);
}

#[tokio::test]
async fn two_images_listen_on_port_80_of_all_addresses_and_are_called_one_by_one() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", None).await;
    cloud.service("web", &definition).desired_count(2).send().await.unwrap();
    cloud.steady("web").await;
    let mut pages = HashSet::new();
    for task in cloud.tasks("web").await {
        std::fs::write(cloud.folder(&task).join("files/name"), task.task_arn().unwrap()).unwrap();
        let url = format!("http://{}/name", cloud.public_address(&task).await);
        let page =
            eventually("an answer", || async { client().get(&url).send().await.ok()?.text().await.ok() })
                .await;
        assert_eq!(page, task.task_arn().unwrap());
        pages.insert(page);
    }
    assert_eq!(pages.len(), 2);
}

#[tokio::test]
async fn a_caller_whom_the_groups_do_not_admit_is_cut_off() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", None).await;
    cloud.service("web", &definition).send().await.unwrap();
    let task = cloud.task_in("web", "RUNNING").await;
    let url = format!("http://{}/", cloud.public_address(&task).await);
    eventually("an answer", || async { client().get(&url).send().await.ok() }).await;
    let stranger = reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 9, 9, 9]));
    stranger.build().unwrap().get(&url).send().await.expect_err("the groups admit 127.0.0.1 alone");
}

#[tokio::test]
async fn a_program_that_listens_on_its_loopback_address_alone_is_not_reached_from_outside() {
    let cloud = Cloud::start().await;
    let server = "import http.server as h; h.HTTPServer(('127.0.0.1', 80), h.SimpleHTTPRequestHandler).serve_forever()";
    let port = PortMapping::builder().container_port(80).build();
    let check = check(
        &["CMD-SHELL", "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1/\")'"],
        10,
    );
    let definition = cloud
        .register_changed("server", "group", "task", |container| {
            container.port_mappings(port).command(server).health_check(check)
        })
        .await;
    cloud.service("web", &definition).send().await.unwrap();
    let task = eventually("a healthy task", || async {
        let task = cloud.tasks("web").await.into_iter().next()?;
        (task.health_status() == Some(&HealthStatus::Healthy)).then_some(task)
    })
    .await;
    let url = format!("http://{}/", cloud.public_address(&task).await);
    client().get(url).send().await.expect_err("nobody listens where the call arrives");
}

#[tokio::test]
async fn where_the_kernel_gives_no_network_a_container_that_is_called_does_not_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let init = folder.path().join("init");
    let without = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    std::fs::write(&init, format!("#!/bin/sh\nexec unshare -Ur sh -c '{without}' - {INIT} \"$@\"\n"))
        .unwrap();
    std::fs::set_permissions(&init, Permissions::from_mode(0o755)).unwrap();
    let cloud = Cloud::with_init(init).await;
    let definition = cloud.register_called("server", None).await;
    cloud.service("web", &definition).send().await.unwrap();
    let stopped = cloud.task_in("web", "STOPPED").await;
    let reason = stopped.stopped_reason().unwrap();
    let expected =
        "CannotStartContainerError: the kernel of this machine gives no network of its own to a container";
    assert!(reason.starts_with(expected), "{reason}");
}

#[tokio::test]
async fn a_task_is_healthy_when_its_check_says_so_and_the_service_is_steady_only_then() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", Some(check(&["CMD", "test", "-e", "fine"], 10))).await;
    cloud.service("web", &definition).health_check_grace_period_seconds(100_000).send().await.unwrap();
    let task = cloud.task_in("web", "RUNNING").await;
    assert_eq!(task.health_status().map(HealthStatus::as_str), Some("UNKNOWN"));
    let unhealthy = || async {
        let task = cloud.tasks("web").await.remove(0);
        (task.health_status() == Some(&HealthStatus::Unhealthy)).then_some(task)
    };
    let task = eventually("ten failures", unhealthy).await;
    assert_eq!(task.last_status(), Some("RUNNING"), "the period of grace lasts");
    let service = cloud.describe("web").await;
    assert_eq!(service.deployments()[0].rollout_state(), Some(&DeploymentRolloutState::InProgress));
    assert_eq!(service.health_check_grace_period_seconds(), Some(100_000));

    std::fs::write(cloud.folder(&task).join("files/fine"), "").unwrap();
    let service = cloud.steady("web").await;
    assert_eq!(service.deployments()[0].rollout_state(), Some(&DeploymentRolloutState::Completed));
    let task = cloud.tasks("web").await.remove(0);
    assert_eq!(task.health_status(), Some(&HealthStatus::Healthy));
    assert_eq!(task.containers()[0].health_status(), Some(&HealthStatus::Healthy));
    eventually("an event that tells of it", || async {
        let events = cloud.events("ECS Task State Change");
        events.iter().any(|event| event["healthStatus"] == "HEALTHY").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_that_fails_its_health_check_is_stopped_and_replaced() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", Some(check(&["CMD-SHELL", "exit 3"], 1))).await;
    cloud.service("web", &definition).send().await.unwrap();
    let stopped = cloud.task_in("web", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::ServiceSchedulerInitiated));
    assert_eq!(stopped.stopped_reason(), Some("Task failed container health checks"));
    eventually("another one", || async { (cloud.tasks("web").await.len() > 1).then_some(()) }).await;
}

#[tokio::test]
async fn a_deployment_fails_after_as_many_tasks_as_its_threshold_counts_and_starts_no_more() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("missing").await;
    cloud.service("web", &definition).deployment_configuration(breaker(2)).send().await.unwrap();
    let failed = eventually("the end of the deployment", || async {
        let service = cloud.describe("web").await;
        let state = service.deployments()[0].rollout_state() == Some(&DeploymentRolloutState::Failed);
        state.then_some(service)
    })
    .await;
    let deployment = &failed.deployments()[0];
    assert_eq!(deployment.failed_tasks(), 2);
    assert_eq!(
        deployment.rollout_state_reason(),
        Some("ECS deployment circuit breaker: tasks failed to start.")
    );
    eventually("its event", || async {
        let events = cloud.events("ECS Deployment State Change");
        events.iter().any(|event| event["eventName"] == "SERVICE_DEPLOYMENT_FAILED").then_some(())
    })
    .await;
    assert_eq!(cloud.tasks("web").await.len(), 2);
}

#[tokio::test]
async fn a_deployment_that_has_run_does_not_fail_however_often_its_tasks_end() {
    // Faster than other tests, since so many tasks follow one another.
    let cloud = Cloud::at_scale(0.0002).await;
    let definition = cloud.register("false").await;
    cloud.service("web", &definition).deployment_configuration(breaker(1)).send().await.unwrap();
    let ended = timeout(Duration::from_mins(2), async {
        while cloud.events("ECS Task State Change").iter().filter(|e| e["lastStatus"] == "STOPPED").count()
            < 50
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    ended.await.expect("fifty tasks have ended");
    let deployment = cloud.describe("web").await.deployments().first().cloned().unwrap();
    assert_eq!(
        (deployment.failed_tasks(), deployment.rollout_state()),
        (0, Some(&DeploymentRolloutState::Completed))
    );
}

#[tokio::test]
async fn a_threshold_of_nothing_is_refused() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let create = cloud.service("web", &definition).deployment_configuration(breaker(0));
    assert_eq!(refusal(create.send().await).0, "InvalidParameterException");
    assert!(cloud.ecs.list_services().cluster(CLUSTER).send().await.unwrap().service_arns().is_empty());
}

/// Calls this machine itself, whatever proxy it is told to use.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn breaker(count: i32) -> DeploymentConfiguration {
    let threshold = ThresholdConfiguration::builder().r#type(ThresholdType::Count).value(count);
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(false);
    let breaker = breaker.threshold_configuration(threshold.build().unwrap()).build();
    DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build()
}
