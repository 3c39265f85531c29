//! Tasks in networks of their own that lead nowhere but to interface endpoints, or to what has IPv6 addresses.

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, IpPermission, UserIdGroupPair, VpcEndpointType};
use aws_sdk_ecs::types::{AwsVpcConfiguration, NetworkConfiguration, Task, TaskStopCode};

use crate::cloud::{ACCOUNT, CLUSTER, Cloud, REGION, eventually};

const ZONE: &str = "eu-west-1a";

/// A VPC with one subnet and one group for tasks, which lets everything out.
struct Network {
    ec2: aws_sdk_ec2::Client,
    vpc: String,
    subnet: String,
    group: String,
}

impl Network {
    /// Of IPv4 alone, in which endpoints may have private names.
    async fn of_endpoints(cloud: &Cloud) -> Self {
        let ec2 = cloud.networks();
        let made = ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
        let vpc = made.vpc.unwrap().vpc_id.unwrap();
        let yes = AttributeBooleanValue::builder().value(true).build();
        ec2.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(yes).send().await.unwrap();
        let subnet = ec2.create_subnet().availability_zone(ZONE).vpc_id(&vpc).cidr_block("10.9.0.0/24");
        let subnet = subnet.send().await.unwrap().subnet.unwrap().subnet_id.unwrap();
        let group = group(&ec2, &vpc, "task").await;
        Self { ec2, vpc, subnet, group }
    }

    /// Of IPv6 alone, whose way out is an egress-only internet gateway.
    async fn of_ipv6(cloud: &Cloud) -> Self {
        let ec2 = cloud.networks();
        let made = ec2.create_vpc().cidr_block("10.9.0.0/16").amazon_provided_ipv6_cidr_block(true);
        let vpc = made.send().await.unwrap().vpc.unwrap().vpc_id.unwrap();
        let block = eventually("the VPC's IPv6 addresses", || async {
            let answer = ec2.describe_vpcs().vpc_ids(&vpc).send().await.unwrap();
            let association = &answer.vpcs()[0].ipv6_cidr_block_association_set()[0];
            association.ipv6_cidr_block().and_then(|block| block.strip_suffix("/56")).map(str::to_owned)
        })
        .await;
        let subnet = ec2
            .create_subnet()
            .availability_zone(ZONE)
            .vpc_id(&vpc)
            .ipv6_native(true)
            .ipv6_cidr_block(format!("{block}/64"));
        let subnet = subnet.send().await.unwrap().subnet.unwrap().subnet_id.unwrap();
        let made = ec2.create_egress_only_internet_gateway().vpc_id(&vpc).send().await.unwrap();
        let gateway = made.egress_only_internet_gateway.unwrap().egress_only_internet_gateway_id.unwrap();
        let group = group(&ec2, &vpc, "task").await;
        let network = Self { ec2, vpc, subnet, group };
        let route = network.ec2.create_route().route_table_id(network.main_table().await);
        let route = route.destination_ipv6_cidr_block("::/0").egress_only_internet_gateway_id(gateway);
        route.send().await.unwrap();
        network
    }

    async fn main_table(&self) -> String {
        let of_vpc = Filter::builder().name("vpc-id").values(&self.vpc).build();
        let tables = self.ec2.describe_route_tables().filters(of_vpc).send().await.unwrap();
        tables.route_tables()[0].route_table_id().unwrap().to_owned()
    }

    /// Begins to make an interface endpoint in the subnet, and says its id.
    async fn begin_endpoint(&self, service: &str, group: &str) -> String {
        let create = self.ec2.create_vpc_endpoint().vpc_id(&self.vpc).subnet_ids(&self.subnet);
        let create = create.vpc_endpoint_type(VpcEndpointType::Interface).security_group_ids(group);
        let made = create.service_name(format!("com.amazonaws.{REGION}.{service}")).send().await.unwrap();
        made.vpc_endpoint.unwrap().vpc_endpoint_id.unwrap()
    }

    async fn endpoint(&self, service: &str, group: &str) {
        let endpoint = self.begin_endpoint(service, group).await;
        self.available(&endpoint).await;
    }

    async fn gateway_endpoint(&self) {
        let create =
            self.ec2.create_vpc_endpoint().vpc_id(&self.vpc).route_table_ids(self.main_table().await);
        let made = create.service_name(format!("com.amazonaws.{REGION}.s3")).send().await.unwrap();
        self.available(made.vpc_endpoint.unwrap().vpc_endpoint_id().unwrap()).await;
    }

    async fn available(&self, endpoint: &str) {
        eventually("an endpoint that is available", || async {
            let answer = self.ec2.describe_vpc_endpoints().vpc_endpoint_ids(endpoint).send().await.unwrap();
            let state = answer.vpc_endpoints()[0].state().unwrap().as_str();
            state.eq_ignore_ascii_case("available").then_some(())
        })
        .await;
    }

    /// Lets the tasks' group in at the port of https.
    async fn admit_tasks(&self, group: &str) {
        let tasks = UserIdGroupPair::builder().group_id(&self.group).build();
        let https = IpPermission::builder().ip_protocol("tcp").from_port(443).to_port(443);
        let authorize = self.ec2.authorize_security_group_ingress().group_id(group);
        authorize.ip_permissions(https.user_id_group_pairs(tasks).build()).send().await.unwrap();
    }

    /// Starts a service of one task here, and gives its first task once that is in `status`.
    async fn task(&self, cloud: &Cloud, service: &str, definition: &str, status: &str) -> Task {
        let place = AwsVpcConfiguration::builder().subnets(&self.subnet).security_groups(&self.group);
        let place = NetworkConfiguration::builder().awsvpc_configuration(place.build().unwrap()).build();
        cloud.service(service, definition).network_configuration(place).send().await.unwrap();
        let task = cloud.task_in(service, status).await;
        cloud.ecs.delete_service().cluster(CLUSTER).service(service).force(true).send().await.unwrap();
        task
    }

    /// Why no task starts here.
    async fn refusal(&self, cloud: &Cloud, service: &str, definition: &str) -> String {
        let stopped = self.task(cloud, service, definition, "STOPPED").await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
        stopped.stopped_reason().unwrap().to_owned()
    }
}

async fn group(ec2: &aws_sdk_ec2::Client, vpc: &str, name: &str) -> String {
    let create = ec2.create_security_group().vpc_id(vpc).group_name(name).description(name);
    create.send().await.unwrap().group_id.unwrap()
}

/// What is told where a task's start reaches no registry's token, secret, log group, manifest or layer.
const ECR: &str = "There is a connection issue between the task and Amazon ECR.";
const SECRET: &str = "unable to retrieve secret from asm";
const LOGS: &str = "There is a connection issue between the task and Amazon CloudWatch.";
const MANIFEST: &str = "failed to resolve ref";
const LAYER: &str = "httpReadSeeker: failed open";

#[tokio::test]
async fn a_task_among_endpoints_needs_each_that_its_start_calls_in_a_group_that_admits_it() {
    let cloud = Cloud::start().await;
    let network = Network::of_endpoints(&cloud).await;
    let definition = cloud.register("sleep").await;
    let endpoints = group(&network.ec2, &network.vpc, "endpoints").await;
    let refused = async |service, why: &str| {
        let reason = network.refusal(&cloud, service, &definition).await;
        assert!(reason.contains(why) && !reason.contains("is unreachable"), "{service}: {reason}");
    };
    refused("none", ECR).await;
    network.endpoint("ecr.api", &endpoints).await;
    refused("not-admitted", ECR).await;
    network.admit_tasks(&endpoints).await;
    refused("no-secret", SECRET).await;
    network.endpoint("secretsmanager", &endpoints).await;
    refused("no-log", LOGS).await;
    network.endpoint("logs", &endpoints).await;
    refused("no-manifest", MANIFEST).await;
    network.endpoint("ecr.dkr", &endpoints).await;
    refused("no-layer", LAYER).await;
    network.gateway_endpoint().await;
    let running = network.task(&cloud, "all", &definition, "RUNNING").await;
    assert!(detail(&running, "privateIPv4Address").unwrap().starts_with("10.9.0."));
}

#[tokio::test]
async fn an_endpoint_that_is_pending_leads_nowhere() {
    let cloud = Cloud::where_tasks_do_not_end().await;
    let network = Network::of_endpoints(&cloud).await;
    let definition = cloud.register("sleep").await;
    let endpoints = group(&network.ec2, &network.vpc, "endpoints").await;
    network.admit_tasks(&endpoints).await;
    network.begin_endpoint("ecr.api", &endpoints).await;
    // Its interface is never detached here, so that it does not come to its end.
    let failed = network.task(&cloud, "pending", &definition, "DEPROVISIONING").await;
    assert!(failed.stopped_reason().unwrap().contains(ECR), "{failed:?}");
}

#[tokio::test]
async fn a_task_of_ipv6_alone_reaches_what_has_ipv6_addresses_and_nothing_else() {
    let cloud = Cloud::start().await;
    let network = Network::of_ipv6(&cloud).await;
    let ordinary = cloud.register("sleep").await;
    let other = |image: &'static str| {
        cloud.register_changed(image, "group", "task", move |container| {
            container.image(match image {
                "env" => format!("{ACCOUNT}.dkr-ecr.{REGION}.on.aws/sleep"),
                _ => "ghcr.io/team/sleep".into(),
            })
        })
    };
    let reason = network.refusal(&cloud, "ordinary", &ordinary).await;
    assert!(reason.contains(MANIFEST) && reason.contains("network is unreachable"), "{reason}");
    let reason = network.refusal(&cloud, "ghcr", &other("false").await).await;
    assert!(reason.contains(MANIFEST) && reason.contains("network is unreachable"), "{reason}");

    let running = network.task(&cloud, "dual-stack", &other("env").await, "RUNNING").await;
    assert_eq!(detail(&running, "privateIPv4Address"), None);
    let interface = &running.containers()[0].network_interfaces()[0];
    assert_eq!(interface.private_ipv4_address(), None);
    let address: std::net::Ipv6Addr = interface.ipv6_address().unwrap().parse().unwrap();
    let answer = network.ec2.describe_subnets().subnet_ids(&network.subnet).send().await.unwrap();
    let block = answer.subnets()[0].ipv6_cidr_block_association_set()[0].ipv6_cidr_block().unwrap();
    let start = block.strip_suffix("/64").unwrap().parse::<std::net::Ipv6Addr>().unwrap();
    assert_eq!(address.segments()[..4], start.segments()[..4]);
}

/// What the attachment of the task's network interface says under a name.
fn detail<'a>(task: &'a Task, name: &str) -> Option<&'a str> {
    let mut details = task.attachments()[0].details().iter();
    details.find(|detail| detail.name() == Some(name)).and_then(|detail| detail.value())
}
