//! Who calls a load balancer, by sockets of this machine, and what is behind it.

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{IpPermission, IpRange};
use aws_sdk_elasticloadbalancingv2::operation::create_target_group::builders::CreateTargetGroupFluentBuilder;
use aws_sdk_elasticloadbalancingv2::types::ProtocolEnum;
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use local_aws::datagrams;
use local_aws::reach::{Connection, Reachable, Transport};
use local_aws::server::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use crate::cloud::{Cloud, HOST, ISSUED, Network, certificate, certificate_arn, eventually, forward};

/// What a task serves at any of its ports.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Answers each caller with a greeting, after the request's first byte.
    Greets,
    /// Answers each datagram with what it says. Its health is asked for over TCP.
    Echoes,
    /// Nobody listens.
    Closed,
}

impl Task {
    fn reached(self) -> Arc<dyn Reachable> {
        Arc::new(self)
    }
}

impl Reachable for Task {
    fn connect(&self, transport: Transport, _: u16) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        let (caller, mut inside) = duplex(1024);
        match (self, transport) {
            (Self::Greets, Transport::Tcp) => {
                tokio::spawn(async move {
                    if inside.read_u8().await.is_ok() {
                        let _ = inside.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await;
                    }
                });
            }
            (Self::Echoes, Transport::Udp) => {
                let (sink, stream) = datagrams::framed(inside).split();
                tokio::spawn(stream.map_ok(BytesMut::freeze).forward(sink));
            }
            (Self::Echoes, Transport::Tcp) => {}
            (Self::Closed, _) | (Self::Greets, Transport::Udp) => {
                return ready(Err(io::ErrorKind::ConnectionRefused.into())).boxed();
            }
        }
        ready(Ok(Box::new(caller) as Box<dyn Connection>)).boxed()
    }
}

/// A load balancer, and a target group of the same network that asks for health every five seconds.
struct Balanced {
    cloud: Cloud,
    network: Network,
    arn: String,
    address: IpAddr,
    group: String,
}

impl Balanced {
    async fn start(
        settings: impl FnOnce(CreateTargetGroupFluentBuilder) -> CreateTargetGroupFluentBuilder,
    ) -> Self {
        let cloud = Cloud::start();
        let network = cloud.network().await;
        let made = cloud.load_balancer(&network).send().await.unwrap();
        let made = &made.load_balancers()[0];
        let (arn, address) = (made.load_balancer_arn().unwrap(), made.dns_name().unwrap());
        let group =
            cloud.target_group(&network).health_check_interval_seconds(5).health_check_timeout_seconds(5);
        let group = settings(group).send().await.unwrap();
        let group = group.target_groups()[0].target_group_arn().unwrap().to_owned();
        Self { arn: arn.to_owned(), address: address.parse().unwrap(), cloud, network, group }
    }
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
    let Balanced { cloud, network, arn, address, group } =
        &Balanced::start(|group| group.health_check_protocol("HTTP".into())).await;
    let task = Task::Greets.reached();
    cloud.target(network, group, &task).await;
    assert_eq!(cloud.health(group).await, ("unused".into(), "Target.NotInUse".into()));
    cloud.listener(arn, 20081, group).await;
    assert_eq!(cloud.health(group).await.0, "initial");
    let door = SocketAddr::new(*address, 20081);
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
async fn tls_ends_at_the_load_balancer_in_the_names_of_its_certificate() {
    let Balanced { cloud, network, arn, address, group } = &Balanced::start(|group| group).await;
    let task = Task::Greets.reached();
    cloud.target(network, group, &task).await;
    let listen = cloud.client.create_listener().load_balancer_arn(arn).port(20085);
    let listen = listen.protocol(ProtocolEnum::Tls).ssl_policy("ELBSecurityPolicy-TLS13-1-3-2021-06");
    let listen = listen.certificates(certificate(certificate_arn(ISSUED))).default_actions(forward(group));
    listen.send().await.unwrap();
    cloud.active(arn).await;
    eventually("a healthy target", async || cloud.health(group).await.0 == "healthy").await;

    // The owner of these names would have them lead there.
    let door = SocketAddr::new(*address, 20085);
    let caller = |trusted: &Cloud| {
        let root = reqwest::Certificate::from_pem(trusted.elb.root_certificate().as_bytes()).unwrap();
        let caller = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        let names = [HOST, "www.example.com", "example.com"].into_iter();
        let caller = names.fold(caller, |caller, name| caller.resolve(name, door));
        caller.local_address(IpAddr::from([127, 0, 0, 1]))
    };
    let page = async |caller: reqwest::ClientBuilder, name: &str| -> anyhow::Result<String> {
        let page = caller.build()?.get(format!("https://{name}:20085/")).send().await?;
        Ok(page.text().await?)
    };
    for name in [HOST, "www.example.com"] {
        assert_eq!(page(caller(cloud), name).await.unwrap(), "hello", "{name}");
    }
    let old = caller(cloud).tls_version_max(reqwest::tls::Version::TLS_1_2);
    for (what, caller, name, why) in [
        ("a name that is not the certificate's", caller(cloud), "example.com", "not valid for name"),
        ("the load balancer's own name", caller(cloud), &*address.to_string(), "not valid for name"),
        ("the root of another cloud", caller(&Cloud::start()), HOST, "BadSignature"),
        ("a version that the policy does not allow", old, HOST, "ProtocolVersion"),
    ] {
        let refused = format!("{:#}", page(caller, name).await.expect_err(what));
        assert!(refused.contains(why), "{what}: {refused}");
    }
    let in_clear = call(door, "127.0.0.1").await;
    assert!(!in_clear.contains("hello"), "{in_clear}");
    cloud.elb.stop().await;
}

async fn socket(from: &str, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from.parse::<IpAddr>().unwrap(), 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn received(socket: &UdpSocket) -> String {
    let mut buffer = [0; 64];
    let length =
        timeout(Duration::from_secs(20), socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test]
async fn datagrams_of_a_caller_that_the_group_admits_are_passed_on_and_no_others() {
    let Balanced { cloud, network, arn, address, group } =
        &Balanced::start(|group| group.protocol(ProtocolEnum::TcpUdp)).await;
    let task = Task::Echoes.reached();
    cloud.target(network, group, &task).await;
    let listen = cloud.client.create_listener().load_balancer_arn(arn).port(20084);
    listen.protocol(ProtocolEnum::TcpUdp).default_actions(forward(group)).send().await.unwrap();
    cloud.active(arn).await;
    eventually("a healthy target", async || cloud.health(group).await.0 == "healthy").await;

    let door = SocketAddr::new(*address, 20084);
    let (admitted, stranger) = (socket("127.0.0.1", door).await, socket("127.0.0.9", door).await);
    let rule = IpPermission::builder().ip_protocol("udp").from_port(1).to_port(65535);
    let rule = rule.ip_ranges(IpRange::builder().cidr_ip("127.0.0.0/29").build()).build();
    let authorize = cloud.network.authorize_security_group_ingress().group_id(&network.group);
    authorize.ip_permissions(rule).send().await.unwrap();
    stranger.send(b"hello").await.unwrap();
    for said in ["once", "twice"] {
        admitted.send(said.as_bytes()).await.unwrap();
        assert_eq!(received(&admitted).await, said);
    }
    let silence = stranger.try_recv(&mut [0; 64]).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "nobody answers");
    cloud.elb.stop().await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_unhealthy_and_one_that_is_taken_away_drains() {
    let Balanced { cloud, network, arn, group, .. } = &Balanced::start(|group| group).await;
    cloud.listener(arn, 20082, group).await;
    let task = Task::Closed.reached();
    let ip = cloud.target(network, group, &task).await;
    let failed = ("unhealthy".to_owned(), "Target.FailedHealthChecks".to_owned());
    eventually("an unhealthy target", async || cloud.health(group).await == failed).await;
    cloud.elb.deregister(group, ip, 80);
    assert_eq!(cloud.health(group).await, ("draining".into(), "Target.DeregistrationInProgress".into()));
    eventually("no target", async || cloud.health(group).await.0 == "none").await;
}

#[tokio::test]
async fn a_target_whose_group_does_not_admit_the_load_balancer_times_out() {
    let Balanced { cloud, network, arn, group, .. } = &Balanced::start(|group| group).await;
    cloud.listener(arn, 20083, group).await;
    let revoke = cloud.network.revoke_security_group_egress().group_id(&network.group);
    let everything = aws_sdk_ec2::types::IpPermission::builder()
        .ip_protocol("-1")
        .ip_ranges(aws_sdk_ec2::types::IpRange::builder().cidr_ip("0.0.0.0/0").build());
    revoke.ip_permissions(everything.build()).send().await.unwrap();
    let task = Task::Greets.reached();
    cloud.target(network, group, &task).await;
    let late = ("unhealthy".to_owned(), "Target.Timeout".to_owned());
    eventually("a target that cannot be reached", async || cloud.health(group).await == late).await;
}
