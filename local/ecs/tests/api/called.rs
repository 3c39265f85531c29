//! Services that are called.

use std::collections::HashSet;
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentRolloutState, HealthCheck, HealthStatus,
    LoadBalancer, PortMapping, Service, Task, TaskStopCode, ThresholdConfiguration, ThresholdType,
    TransportProtocol,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, LoadBalancerSchemeEnum, LoadBalancerTypeEnum, ProtocolEnum, TargetTypeEnum,
};
use local_aws::server::in_process;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::cloud::{CLUSTER, Cloud, INIT, eventually, refusal};

/// Where the images `server` and `echo` listen; an ordinary user's programs may be called at no port below 1024.
const PORT: u16 = 8080;

impl Cloud {
    /// Registers a definition of a container that is called at [`PORT`].
    async fn register_called(&self, image: &str, check: Option<HealthCheck>) -> String {
        let port = PortMapping::builder().container_port(PORT.into()).build();
        self.register_changed(image, "group", "task", |container| {
            container.port_mappings(port).set_health_check(check)
        })
        .await
    }

    /// Where the task is called on this machine.
    async fn public_address(&self, task: &Task) -> String {
        let id = detail(task, "networkInterfaceId");
        let described = self.networks().describe_network_interfaces().network_interface_ids(id).send().await;
        let association = described.unwrap().network_interfaces()[0].association().cloned();
        association.and_then(|association| association.public_ip).expect("the task has a public address")
    }

    fn balancing(&self) -> aws_sdk_elasticloadbalancingv2::Client {
        let http = in_process(self.elb.clone());
        let config = aws_sdk_elasticloadbalancingv2::config::Builder::from(&self.upstream.root_config());
        aws_sdk_elasticloadbalancingv2::Client::from_conf(
            config.http_client(http).endpoint_url("http://elb").build(),
        )
    }

    async fn target_group(&self) -> String {
        let create = self.balancing().create_target_group().name("group").vpc_id("vpc-1").port(PORT.into());
        let create = create.protocol(ProtocolEnum::Tcp).target_type(TargetTypeEnum::Ip);
        let create =
            create.health_check_interval_seconds(10).healthy_threshold_count(2).unhealthy_threshold_count(2);
        create.send().await.unwrap().target_groups()[0].target_group_arn().unwrap().to_owned()
    }

    /// A target group that a listener leads to.
    async fn balanced_group(&self) -> String {
        let group = self.target_group().await;
        let create = self.balancing().create_load_balancer().name("balancer").subnets("subnet-1");
        let create = create.r#type(LoadBalancerTypeEnum::Network).scheme(LoadBalancerSchemeEnum::Internal);
        let balancer =
            create.send().await.unwrap().load_balancers()[0].load_balancer_arn().unwrap().to_owned();
        let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&group).build();
        let listen = self.balancing().create_listener().load_balancer_arn(balancer).default_actions(forward);
        listen.protocol(ProtocolEnum::Tcp).port(18_080).send().await.unwrap();
        group
    }

    /// A service whose [`PORT`] the target group leads to.
    async fn balanced_service(&self, definition: &str, group: &str) -> Service {
        let leads = LoadBalancer::builder()
            .target_group_arn(group)
            .container_name("worker")
            .container_port(PORT.into());
        let create = self.service("web", definition).load_balancers(leads.build());
        create.send().await.unwrap().service.unwrap()
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

fn detail(task: &Task, name: &str) -> String {
    let mut details = task.attachments()[0].details().iter();
    details.find(|detail| detail.name() == Some(name)).and_then(|detail| detail.value()).unwrap().to_owned()
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
    assert_eq!((port.container_port(), port.host_port()), (Some(PORT.into()), Some(PORT.into())));
    assert_eq!(port.protocol(), Some(&TransportProtocol::Tcp));
    let check = container.health_check().unwrap();
    let numbers = [check.interval(), check.timeout(), check.retries(), check.start_period()];
    assert_eq!(numbers, [Some(5), Some(5), Some(2), None]);
}

#[tokio::test]
async fn two_images_listen_on_one_port_of_all_addresses_and_are_called_one_by_one() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", None).await;
    cloud.service("web", &definition).desired_count(2).send().await.unwrap();
    cloud.steady("web").await;
    let mut pages = HashSet::new();
    for task in cloud.tasks("web").await {
        std::fs::write(cloud.files(&task).join("name"), task.task_arn().unwrap()).unwrap();
        let url = format!("http://{}:{PORT}/name", cloud.public_address(&task).await);
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
    let url = format!("http://{}:{PORT}/", cloud.public_address(&task).await);
    eventually("an answer", || async { client().get(&url).send().await.ok() }).await;
    let stranger = reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 9, 9, 9]));
    stranger.build().unwrap().get(&url).send().await.expect_err("the groups admit 127.0.0.1 alone");
}

#[tokio::test]
async fn datagrams_reach_a_container_from_whom_the_groups_admit_and_are_lost_from_all_others() {
    let cloud = Cloud::start().await;
    let port = PortMapping::builder().container_port(PORT.into()).protocol(TransportProtocol::Udp).build();
    let echo = |container: ContainerDefinitionBuilder| container.port_mappings(port);
    let definition = cloud.register_changed("echo", "group", "task", echo).await;
    cloud.service("web", &definition).send().await.unwrap();
    let task = cloud.task_in("web", "RUNNING").await;
    let address = format!("{}:{PORT}", cloud.public_address(&task).await);
    let socket = async |from: [u8; 4]| {
        let socket = UdpSocket::bind((IpAddr::from(from), 0)).await.unwrap();
        socket.connect(&address).await.unwrap();
        socket
    };
    let (admitted, stranger) = (socket([127, 0, 0, 1]).await, socket([127, 9, 9, 9]).await);
    stranger.send(b"first").await.unwrap();
    // The largest that IPv4 carries.
    let said = vec![7; 65_507];
    let mut answer = vec![0; 65_535];
    // The program begins to listen when it pleases.
    eventually("an answer", || async {
        admitted.send(&said).await.unwrap();
        admitted.try_recv(&mut []).ok()
    })
    .await;
    let length = admitted.recv(&mut answer).await.unwrap();
    assert!(answer[..length] == said, "{length} bytes");
    stranger.send(b"second").await.unwrap();
    admitted.send(b"third").await.unwrap();
    while admitted.recv(&mut answer).await.unwrap() != b"third".len() {}
    assert!(stranger.try_recv(&mut answer).is_err(), "the groups admit 127.0.0.1 alone");
}

#[tokio::test]
async fn a_program_that_listens_on_its_loopback_address_alone_is_not_reached_from_outside() {
    let cloud = Cloud::start().await;
    let server = "import http.server as h; h.HTTPServer(('127.0.0.1', 8080), h.SimpleHTTPRequestHandler).serve_forever()";
    let port = PortMapping::builder().container_port(PORT.into()).build();
    let check = check(
        &["CMD-SHELL", "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:8080/\")'"],
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
    let url = format!("http://{}:{PORT}/", cloud.public_address(&task).await);
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

    std::fs::write(cloud.files(&task).join("fine"), "").unwrap();
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
async fn a_service_needs_target_groups_that_a_load_balancer_leads_to_and_ports_that_there_are() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", None).await;
    let group = cloud.target_group().await;
    let create = |name, port| {
        let leads =
            LoadBalancer::builder().target_group_arn(&group).container_name(name).container_port(port);
        cloud.service("web", &definition).load_balancers(leads.build())
    };
    for (name, port, expected) in [
        ("other", PORT.into(), "The container other does not exist in the task definition.".to_owned()),
        ("worker", 81, "The container worker did not have a container port 81 defined.".to_owned()),
        (
            "worker",
            PORT.into(),
            format!(
                "The target group with targetGroupArn {group} does not have an associated load balancer."
            ),
        ),
    ] {
        let refused = refusal(create(name, port).send().await);
        assert_eq!(refused, ("InvalidParameterException".to_owned(), expected));
    }
    let leads =
        LoadBalancer::builder().target_group_arn(&group).container_name("worker").container_port(PORT.into());
    let six = cloud.service("web", &definition).set_load_balancers(Some(vec![leads.build(); 6]));
    assert!(refusal(six.send().await).1.contains("at most five"));
}

#[tokio::test]
async fn a_task_is_registered_while_it_runs_and_the_service_is_steady_when_it_is_a_healthy_target() {
    let cloud = Cloud::start().await;
    let definition = cloud.register_called("server", None).await;
    let group = cloud.balanced_group().await;
    let service = cloud.balanced_service(&definition, &group).await;
    assert_eq!(service.load_balancers()[0].target_group_arn(), Some(group.as_str()));
    let task = cloud.task_in("web", "RUNNING").await;
    let address: IpAddr = detail(&task, "privateIPv4Address").parse().unwrap();
    cloud.steady("web").await;
    assert_eq!(cloud.elb.is_healthy(&group, address, PORT), Some(true));
    cloud.ecs.delete_service().cluster(CLUSTER).service("web").force(true).send().await.unwrap();
    cloud.task_in("web", "STOPPED").await;
    eventually("the target's end", || async {
        cloud.elb.is_healthy(&group, address, PORT).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_that_fails_the_load_balancers_health_check_is_stopped_and_replaced() {
    let cloud = Cloud::where_work_has_real_time().await;
    // Nobody listens in it.
    let definition = cloud.register_called("sleep", None).await;
    let group = cloud.balanced_group().await;
    cloud.balanced_service(&definition, &group).await;
    let stopped = cloud.task_in("web", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::ServiceSchedulerInitiated));
    let reason = format!("Task failed ELB health checks in (target-group {group})");
    assert_eq!(stopped.stopped_reason(), Some(reason.as_str()));
    let service = cloud.describe("web").await;
    let unhealthy =
        format!("(port {PORT}) is unhealthy in (target-group {group}) due to (reason Health checks failed).");
    assert!(service.events().iter().any(|event| event.message().unwrap().ends_with(&unhealthy)));
    eventually("another one", || async { (cloud.tasks("web").await.len() > 1).then_some(()) }).await;
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
