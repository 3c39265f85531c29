//! The stand-ins of EC2 and of Elastic Load Balancing without sockets of their own, and what every test does with them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{IpPermission, IpRange};
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::operation::create_load_balancer::builders::CreateLoadBalancerFluentBuilder;
use aws_sdk_elasticloadbalancingv2::operation::create_target_group::builders::CreateTargetGroupFluentBuilder;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, LoadBalancerTypeEnum, ProtocolEnum, Tag, TargetTypeEnum,
};
use bytes::Bytes;
use http::{Request, Response};
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::random::Random;
use local_aws::reach::Reachable;
use local_aws::server::{Service, in_process};
use local_aws::upstream::Upstream;
use local_ec2::{Ec2, TaskInterface};
use local_elb::{Config, Elb, Faults, Quotas};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rights::Roles;

pub const REGION: &str = "eu-west-1";
pub const ACCOUNT: &str = "111122223333";
/// What the certificates in Certificate Manager are for.
pub const HOST: &str = "service.example.org";
/// The ids of those certificates.
pub const ISSUED: &str = "issued";
pub const PENDING: &str = "pending";

/// A second lasts a millisecond.
pub const FAST: f64 = 0.001;
/// Nothing begins or ends while one looks.
pub const STANDSTILL: f64 = 1000.0;

/// The stand-ins, and clients of them for the root.
pub struct Cloud {
    pub ec2: Ec2,
    pub elb: Elb,
    pub client: Client,
    pub network: aws_sdk_ec2::Client,
    pub faults: Faults,
    upstream: Upstream,
}

/// A VPC with an internet gateway, a subnet in each of two zones, and a group that admits TCP from anywhere on this machine
/// but 127.0.0.9.
pub struct Network {
    pub vpc: String,
    pub subnets: [String; 2],
    pub group: String,
}

/// A MiniStack that has no networks, and two certificates.
#[derive(Clone)]
struct NoNetworks;

#[async_trait]
impl Service for NoNetworks {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        if request.headers().contains_key("x-amz-target") {
            return describe_certificate(request.body());
        }
        let action = url::form_urlencoded::parse(request.body()).find(|(name, _)| name == "Action");
        let action = action.expect("an action").1.into_owned();
        let name_space = "http://ec2.amazonaws.com/doc/2016-11-15/";
        Response::new(format!("<{action}Response xmlns=\"{name_space}\"/>").into())
    }
}

/// Certificate Manager API reference: DescribeCertificate.
fn describe_certificate(asked: &[u8]) -> Response<Bytes> {
    let asked: Value = serde_json::from_slice(asked).expect("a document");
    let arn = asked["CertificateArn"].as_str().expect("an ARN");
    let known = [(ISSUED, "ISSUED"), (PENDING, "PENDING_VALIDATION")];
    let (status, body) = match known.iter().find(|(id, _)| certificate_arn(id) == arn) {
        Some((_, status)) => {
            let names = [HOST, "*.example.com"];
            let found = json!({
                "CertificateArn": arn, "DomainName": HOST, "SubjectAlternativeNames": names, "Status": status,
            });
            (200, json!({ "Certificate": found }))
        }
        None => (400, json!({ "__type": "ResourceNotFoundException", "message": "Could not find it" })),
    };
    Response::builder().status(status).body(body.to_string().into()).expect("an answer")
}

pub fn certificate_arn(id: &str) -> String {
    format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{id}")
}

impl Cloud {
    pub fn start() -> Self {
        Self::start_with(FAST, Quotas::default())
    }

    pub fn start_with(scale: f64, quotas: Quotas) -> Self {
        let clock = Clock::new(TimeScale::new(scale), TimeScale::REAL);
        let root = Credentials::from_keys("AKIAROOT", "secret", None);
        let upstream = Upstream {
            ministack: "http://ministack".into(),
            http: in_process(NoNetworks),
            ..Upstream::new(REGION, ACCOUNT, root, clock, Random::default())
        };
        let guard = Guard::new(upstream.clone(), Roles);
        let calls = CallLog::new(clock);
        let ec2 = Ec2::new(local_ec2::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            quotas: local_ec2::Quotas::default(),
            faults: local_ec2::Faults::default(),
        });
        let faults = Faults::default();
        let elb = Elb::new(Config {
            upstream: upstream.clone(),
            guard,
            calls,
            ec2: ec2.clone(),
            quotas,
            faults: faults.clone(),
        });
        let config = upstream.root_config();
        let network = aws_sdk_ec2::config::Builder::from(&config).http_client(in_process(ec2.clone()));
        let network = aws_sdk_ec2::Client::from_conf(network.build());
        let client = client(&upstream, &elb, upstream.root.clone());
        Self { ec2, elb, client, network, faults, upstream }
    }

    /// A client that acts as a role, see [`Roles`].
    pub fn as_role(&self, role: &str) -> Client {
        client(&self.upstream, &self.elb, crate::rights::keys(role))
    }

    pub async fn network(&self) -> Network {
        let vpc = self.vpc(true).await;
        let subnets =
            [self.subnet(&vpc, "10.1.0.0/24", "a").await, self.subnet(&vpc, "10.1.1.0/24", "b").await];
        let group = self.network.create_security_group().vpc_id(&vpc).group_name("g").description("a group");
        let group = group.send().await.expect("a group").group_id.expect("its id");
        // 127.0.0.0/29 and 10.1.0.0/16
        let rule = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(65535);
        let ranges = ["127.0.0.0/29", "10.1.0.0/16"].map(|cidr| IpRange::builder().cidr_ip(cidr).build());
        let rule = rule.set_ip_ranges(Some(ranges.into())).build();
        let authorize = self.network.authorize_security_group_ingress().group_id(&group);
        authorize.ip_permissions(rule).send().await.expect("a rule");
        Network { vpc, subnets, group }
    }

    pub async fn vpc(&self, has_gateway: bool) -> String {
        let vpc = self.network.create_vpc().cidr_block("10.1.0.0/16").send().await.expect("a VPC");
        let vpc = vpc.vpc.and_then(|vpc| vpc.vpc_id).expect("its id");
        if has_gateway {
            let made = self.network.create_internet_gateway().send().await.expect("a gateway");
            let id = made.internet_gateway.and_then(|gateway| gateway.internet_gateway_id).expect("its id");
            let attach = self.network.attach_internet_gateway().internet_gateway_id(id).vpc_id(&vpc);
            attach.send().await.expect("attached");
        }
        vpc
    }

    pub async fn subnet(&self, vpc: &str, cidr: &str, zone: &str) -> String {
        let create = self.network.create_subnet().vpc_id(vpc).cidr_block(cidr);
        let made = create.availability_zone(format!("{REGION}{zone}")).send().await.expect("a subnet");
        made.subnet.and_then(|subnet| subnet.subnet_id).expect("its id")
    }

    /// The call that makes the load balancer `web` of the job `a`.
    pub fn load_balancer(&self, network: &Network) -> CreateLoadBalancerFluentBuilder {
        let create = self.client.create_load_balancer().name("web").r#type(LoadBalancerTypeEnum::Network);
        create.set_subnets(Some(network.subnets.to_vec())).security_groups(&network.group).tags(job("a"))
    }

    /// The call that makes the TCP target group `web-80` of the job `a`.
    pub fn target_group(&self, network: &Network) -> CreateTargetGroupFluentBuilder {
        let create = self.client.create_target_group().name("web-80").target_type(TargetTypeEnum::Ip);
        create.protocol(ProtocolEnum::Tcp).port(80).vpc_id(&network.vpc).tags(job("a"))
    }

    /// Makes a TCP listener.
    pub async fn listener(&self, load_balancer: &str, port: i32, target_group: &str) {
        let create = self.client.create_listener().load_balancer_arn(load_balancer).port(port);
        let create = create.protocol(ProtocolEnum::Tcp).default_actions(forward(target_group));
        create.send().await.expect("a listener");
    }

    /// Registers a task's port 80 in the first subnet.
    pub async fn target(&self, network: &Network, target_group: &str, task: &Arc<dyn Reachable>) -> IpAddr {
        let interface = self.task_interface(network, &network.subnets[0]).await;
        let ip: IpAddr = interface.private_ip.expect("an address").parse().expect("an address");
        self.elb.register(target_group, ip, 80, task);
        ip
    }

    pub async fn task_interface(&self, network: &Network, subnet: &str) -> TaskInterface {
        let (groups, tags) = ([network.group.clone()], BTreeMap::new());
        let made = self.ec2.create_task_interface(subnet, &groups, false, &tags, "a task").await;
        made.expect("an interface")
    }

    /// The state and the reason of the target group's one target.
    pub async fn health(&self, target_group: &str) -> (String, String) {
        let described = self.client.describe_target_health().target_group_arn(target_group).send().await;
        let described = described.expect("an answer").target_health_descriptions.unwrap_or_default();
        let health = described.first().and_then(|target| target.target_health.clone());
        let Some(health) = health else { return ("none".into(), String::new()) };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (
            text(health.state().map(|state| state.as_str())),
            text(health.reason().map(|reason| reason.as_str())),
        )
    }

    pub async fn state(&self, load_balancer: &str) -> String {
        let described = self.client.describe_load_balancers().load_balancer_arns(load_balancer).send().await;
        let described = described.expect("an answer");
        let code = described.load_balancers()[0].state().and_then(|state| state.code());
        code.expect("a state").as_str().to_owned()
    }

    /// Waits until the load balancer is active.
    pub async fn active(&self, load_balancer: &str) {
        eventually("an active load balancer", async || self.state(load_balancer).await == "active").await;
    }
}

fn client(upstream: &Upstream, elb: &Elb, credentials: Credentials) -> Client {
    let config = aws_sdk_elasticloadbalancingv2::config::Builder::from(&upstream.root_config());
    let config = config.credentials_provider(credentials).http_client(in_process(elb.clone()));
    Client::from_conf(config.build())
}

/// What makes a listener one of TLS.
pub fn certificate(arn: impl Into<String>) -> Certificate {
    Certificate::builder().certificate_arn(arn).build()
}

pub fn forward(target_group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build()
}

pub fn job(job: &str) -> Tag {
    Tag::builder().key("mayfly:job").value(job).build()
}

/// `OK`, or the code of the error that was answered.
pub fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(error) => error.code().expect("an error of Elastic Load Balancing").to_owned(),
    }
}

/// Looks until it is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not come");
        sleep(Duration::from_millis(5)).await;
    }
}
