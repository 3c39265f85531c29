//! A running stand-in, and what every test does with it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{DomainType, Filter, ResourceType, Tag, TagSpecification, VpcEndpointType};
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::ministack::MiniStackRights;
use local_aws::random::Random;
use local_aws::server::{in_process, serve};
use local_aws::upstream::Upstream;
use local_ec2::{Config, Ec2, Faults, Quotas, TaskInterface};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::ministack::MiniStack;

pub const REGION: &str = "eu-west-1";
pub const ACCOUNT: &str = "111122223333";
/// The zone of everything here.
pub const ZONE: &str = "eu-west-1a";

/// The scale of a cloud in which nothing begins or ends while one looks, in real seconds.
pub const STANDSTILL: f64 = 1000.0;

/// A running stand-in, and a client of it for the root.
pub struct Cloud {
    pub ec2: Ec2,
    pub upstream: Upstream,
    pub client: Client,
    pub calls: CallLog,
    stop: CancellationToken,
}

impl Cloud {
    /// One in which a second lasts a millisecond.
    pub async fn start() -> Self {
        Self::start_with(0.001, Quotas::default()).await
    }

    pub async fn start_with(scale: f64, quotas: Quotas) -> Self {
        let ministack = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin =
            |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let clock = Clock::new(TimeScale::new(scale), TimeScale::REAL);
        let upstream = Upstream {
            ministack: origin(&ministack),
            ec2: origin(&listener),
            ..upstream(clock, Random::default())
        };
        let cloud = Self::new(upstream, quotas);
        tokio::spawn(serve(ministack, MiniStack, cloud.stop.clone()));
        tokio::spawn(serve(listener, cloud.ec2.clone(), cloud.stop.clone()));
        cloud
    }

    /// In this process alone: no socket. Nothing begins or ends while one looks, and `seed` decides what is drawn.
    pub fn in_process(seed: u64) -> Self {
        let clock = Clock::new(TimeScale::new(STANDSTILL), TimeScale::REAL);
        let start = "2026-01-02T03:04:05Z".parse().expect("a time");
        let upstream = Upstream {
            ministack: "http://ministack".into(),
            ec2: "http://ec2".into(),
            http: in_process(MiniStack),
            ..upstream(clock.starting_at(start), Random::seeded(seed))
        };
        let mut cloud = Self::new(upstream, Quotas::default());
        let config = config(&cloud.upstream, cloud.upstream.root.clone());
        cloud.client = Client::from_conf(config.http_client(in_process(cloud.ec2.clone())).build());
        cloud
    }

    fn new(upstream: Upstream, quotas: Quotas) -> Self {
        let calls = CallLog::new(upstream.clock);
        let ec2 = Ec2::new(Config {
            upstream: upstream.clone(),
            guard: Guard::new(upstream.clone(), MiniStackRights::new(&upstream)),
            calls: calls.clone(),
            quotas,
            faults: Faults::default(),
        });
        let client = client(&upstream, upstream.root.clone());
        Self { ec2, upstream, client, calls, stop: CancellationToken::new() }
    }

    /// A client that acts as a role; see [`MiniStack`] for what it may do.
    pub async fn as_role(&self, role: &str) -> Client {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        client(&self.upstream, self.upstream.role_credentials(&arn, "test").await.expect("a session"))
    }

    /// A new VPC 10.1.0.0/16 of the job.
    pub async fn vpc(&self, job: &str) -> String {
        let create = self.client.create_vpc().cidr_block("10.1.0.0/16").tag_specifications(tags("vpc", job));
        let vpc = create.send().await.expect("a VPC").vpc.expect("the VPC");
        vpc.vpc_id.expect("its id")
    }

    /// A new subnet of the job.
    pub async fn subnet(&self, vpc: &str, cidr: &str, job: &str) -> String {
        let create = self.client.create_subnet().vpc_id(vpc).cidr_block(cidr).availability_zone(ZONE);
        let create = create.tag_specifications(tags("subnet", job));
        let subnet = create.send().await.expect("a subnet").subnet.expect("the subnet");
        subnet.subnet_id.expect("its id")
    }

    /// A new internet gateway of the job, attached to the VPC where one is given.
    pub async fn gateway(&self, vpc: Option<&str>, job: &str) -> String {
        let create = self.client.create_internet_gateway();
        let create = create.tag_specifications(tags("internet-gateway", job));
        let gateway = create.send().await.expect("a gateway").internet_gateway.expect("the gateway");
        let id = gateway.internet_gateway_id.expect("its id");
        if let Some(vpc) = vpc {
            let attach = self.client.attach_internet_gateway().internet_gateway_id(&id).vpc_id(vpc);
            attach.send().await.expect("attached");
        }
        id
    }

    /// A new security group of the job.
    pub async fn group(&self, vpc: &str, name: &str, job: &str) -> String {
        let create = self.client.create_security_group().vpc_id(vpc).group_name(name).description("a group");
        let create = create.tag_specifications(tags("security-group", job));
        create.send().await.expect("a group").group_id.expect("its id")
    }

    /// A new route table of the job.
    pub async fn route_table(&self, vpc: &str, job: &str) -> String {
        let create =
            self.client.create_route_table().vpc_id(vpc).tag_specifications(tags("route-table", job));
        let table = create.send().await.expect("a route table").route_table.expect("the route table");
        table.route_table_id.expect("its id")
    }

    /// A new Elastic IP address of the job.
    pub async fn address(&self, job: &str) -> String {
        let allocate = self.client.allocate_address().domain(DomainType::Vpc);
        let allocate = allocate.tag_specifications(tags("elastic-ip", job));
        allocate.send().await.expect("an address").allocation_id.expect("its id")
    }

    /// A new NAT gateway of the job.
    pub async fn nat_gateway(&self, subnet: &str, address: &str, job: &str) -> String {
        let create = self.client.create_nat_gateway().subnet_id(subnet).allocation_id(address);
        let create = create.tag_specifications(tags("natgateway", job));
        let gateway = create.send().await.expect("a NAT gateway").nat_gateway.expect("the NAT gateway");
        gateway.nat_gateway_id.expect("its id")
    }

    /// A new gateway endpoint for S3 of the job.
    pub async fn endpoint(&self, vpc: &str, table: &str, job: &str) -> String {
        let create = self.client.create_vpc_endpoint().vpc_id(vpc).route_table_ids(table);
        let create = create.vpc_endpoint_type(VpcEndpointType::Gateway);
        let create = create.service_name(format!("com.amazonaws.{REGION}.s3"));
        let create = create.tag_specifications(tags("vpc-endpoint", job));
        let endpoint = create.send().await.expect("an endpoint").vpc_endpoint.expect("the endpoint");
        endpoint.vpc_endpoint_id.expect("its id")
    }

    /// The interface of a task of the job.
    pub async fn interface(&self, subnet: &str, groups: &[&str], public: bool, job: &str) -> TaskInterface {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let tags = BTreeMap::from([("mayfly:job".to_owned(), job.to_owned())]);
        let made = self.ec2.create_task_interface(subnet, &groups, public, &tags, "an attachment").await;
        made.expect("an interface")
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn client(upstream: &Upstream, credentials: Credentials) -> Client {
    Client::from_conf(config(upstream, credentials).build())
}

fn config(upstream: &Upstream, credentials: Credentials) -> aws_sdk_ec2::config::Builder {
    let config = aws_sdk_ec2::config::Builder::from(&upstream.root_config());
    config.endpoint_url(&upstream.ec2).credentials_provider(credentials)
}

/// An account without services.
fn upstream(clock: Clock, random: Random) -> Upstream {
    Upstream::new(REGION, ACCOUNT, Credentials::from_keys("AKIAROOT", "secret", None), clock, random)
}

/// The tags of a job for a new resource of the type.
pub fn tags(resource_type: &str, job: &str) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    TagSpecification::builder()
        .resource_type(ResourceType::from(resource_type))
        .tags(tag("mayfly:stack", "s"))
        .tags(tag("mayfly:job", job))
        .build()
}

pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// `OK`, or the code of the error that EC2 answered.
pub fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E, HttpResponse>>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(error) => error.code().expect("an error of EC2").to_owned(),
    }
}

/// The code, the HTTP status and the message of an error that EC2 answered.
pub fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> (String, u16, String) {
    let status = error.raw_response().expect("an answer").status().as_u16();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), status, text(error.message()))
}

/// Looks until it is so, as often as the limits of a cloud that is ten times faster than AWS let it.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not happen");
        sleep(Duration::from_millis(10)).await;
    }
}
