//! Who calls a load balancer, and what is behind it: sockets of this machine.

use std::net::{IpAddr, SocketAddr};

use local_aws::server::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::cloud::{Cloud, eventually};

/// Answers each caller with a greeting, after the request's first byte.
async fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut caller, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if caller.read_u8().await.is_ok() {
                    let _ = caller.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await;
                }
            });
        }
    });
    address
}

/// What is answered to a caller at this address; nothing where the connection is closed.
async fn call(to: SocketAddr, from: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let Ok(mut stream) = socket.connect(to).await else { return String::new() };
    let mut answer = String::new();
    if stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_ok() {
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

#[tokio::test]
async fn a_caller_that_the_group_admits_reaches_a_healthy_target_and_no_other_does() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let address: IpAddr = made.load_balancers()[0].dns_name().unwrap().parse().unwrap();
    let group = cloud.target_group(&network).health_check_interval_seconds(5).health_check_timeout_seconds(5);
    let group = group.health_check_protocol("HTTP".into()).send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();
    cloud.target(&network, group, greeter().await).await;
    assert_eq!(cloud.health(group).await, ("unused".into(), "Target.NotInUse".into()));
    cloud.listener(arn, 20081, group).await;
    assert_eq!(cloud.health(group).await.0, "initial");
    let door = SocketAddr::new(address, 20081);
    assert_eq!(call(door, "127.0.0.1").await, "", "it is not active");
    cloud.active(arn).await;
    eventually("a healthy target", async || cloud.health(group).await.0 == "healthy").await;
    assert!(call(door, "127.0.0.1").await.ends_with("hello"));
    assert_eq!(call(door, "127.0.0.9").await, "", "its address is not among those of the rule");
    let delete = cloud.client.delete_load_balancer().load_balancer_arn(arn);
    delete.send().await.unwrap();
    eventually("a closed door", async || call(door, "127.0.0.1").await.is_empty()).await;
    cloud.elb.stop().await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_unhealthy_and_one_that_is_taken_away_drains() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let group = cloud.target_group(&network).health_check_interval_seconds(5).health_check_timeout_seconds(5);
    let group = group.send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();
    cloud.listener(arn, 20082, group).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ip = cloud.target(&network, group, closed).await;
    let failed = ("unhealthy".to_owned(), "Target.FailedHealthChecks".to_owned());
    eventually("an unhealthy target", async || cloud.health(group).await == failed).await;
    cloud.elb.deregister(group, ip, 80);
    assert_eq!(cloud.health(group).await, ("draining".into(), "Target.DeregistrationInProgress".into()));
    eventually("no target", async || cloud.health(group).await.0 == "none").await;
}

#[tokio::test]
async fn a_target_whose_group_does_not_admit_the_load_balancer_times_out() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let group = cloud.target_group(&network).health_check_interval_seconds(5).health_check_timeout_seconds(5);
    let group = group.send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();
    cloud.listener(arn, 20083, group).await;
    let revoke = cloud.network.revoke_security_group_egress().group_id(&network.group);
    let everything = aws_sdk_ec2::types::IpPermission::builder()
        .ip_protocol("-1")
        .ip_ranges(aws_sdk_ec2::types::IpRange::builder().cidr_ip("0.0.0.0/0").build());
    revoke.ip_permissions(everything.build()).send().await.unwrap();
    cloud.target(&network, group, greeter().await).await;
    let late = ("unhealthy".to_owned(), "Target.Timeout".to_owned());
    eventually("a target that cannot be reached", async || cloud.health(group).await == late).await;
}
