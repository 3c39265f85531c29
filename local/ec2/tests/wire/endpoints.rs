//! Interface endpoints, and what can be reached by them.

use std::time::Duration;

use aws_sdk_ec2::operation::create_vpc_endpoint::builders::CreateVpcEndpointFluentBuilder;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, IpPermission, IpRange, NetworkInterfaceType, UserIdGroupPair, VpcEndpoint,
    VpcEndpointType,
};
use local_ec2::{Quotas, Server};
use tokio::time::Instant;

use crate::cloud::{Cloud, REGION, code, eventually, filter, refusal, tags};

fn yes() -> AttributeBooleanValue {
    AttributeBooleanValue::builder().value(true).build()
}

async fn enable_dns_hostnames(cloud: &Cloud, vpc: &str) {
    let modify = cloud.client.modify_vpc_attribute().vpc_id(vpc).enable_dns_hostnames(yes());
    modify.send().await.expect("modified");
}

fn create(cloud: &Cloud, vpc: &str, service: &str) -> CreateVpcEndpointFluentBuilder {
    let create = cloud.client.create_vpc_endpoint().vpc_id(vpc).vpc_endpoint_type(VpcEndpointType::Interface);
    create.service_name(format!("com.amazonaws.{REGION}.{service}"))
}

async fn made(create: CreateVpcEndpointFluentBuilder) -> VpcEndpoint {
    create.send().await.expect("an endpoint").vpc_endpoint.expect("the endpoint")
}

fn id(endpoint: &VpcEndpoint) -> &str {
    endpoint.vpc_endpoint_id().expect("its id")
}

async fn is_available(cloud: &Cloud, endpoint: &str) -> bool {
    let list = cloud.client.describe_vpc_endpoints().filters(filter("vpc-endpoint-id", endpoint));
    let found = list.filters(filter("vpc-endpoint-state", "available")).send().await;
    found.expect("an answer").vpc_endpoints().len() == 1
}

#[tokio::test]
async fn an_attribute_of_a_vpc_is_changed_alone_and_in_its_order() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let modify = || cloud.client.modify_vpc_attribute().vpc_id(&vpc);
    let no = AttributeBooleanValue::builder().value(false).build();
    let both = modify().enable_dns_support(yes()).enable_dns_hostnames(yes()).send().await;
    let (code_of_both, _, message) = refusal(&both.expect_err("two attributes"));
    assert_eq!(code_of_both, "InvalidParameterCombination");
    assert!(message.ends_with(": enableDnsHostnames, enableDnsSupport"), "{message}");
    assert_eq!(code(modify().send().await), "InvalidParameterCombination");
    assert_eq!(code(modify().enable_dns_support(no).send().await), "OK");
    assert_eq!(code(modify().enable_dns_hostnames(yes()).send().await), "InvalidParameterValue");
    assert_eq!(code(modify().enable_dns_support(yes()).send().await), "OK");
    assert_eq!(code(modify().enable_dns_hostnames(yes()).send().await), "OK");
    assert_eq!(code(modify().enable_dns_hostnames(yes()).send().await), "OK");
    let unknown = cloud.client.modify_vpc_attribute().vpc_id("vpc-9").enable_dns_hostnames(yes());
    assert_eq!(code(unknown.send().await), "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn a_private_name_needs_both_dns_attributes_and_is_given_once_in_a_vpc() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let refused = create(&cloud, &vpc, "ecr.api").subnet_ids(&subnet).send().await.expect_err("no names");
    let (refused, status, message) = refusal(&refused);
    assert_eq!((refused.as_str(), status), ("InvalidParameter", 400));
    let expected = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true";
    assert!(message.starts_with(expected), "{message}");
    let nameless = || create(&cloud, &vpc, "ecr.api").private_dns_enabled(false);
    assert_eq!(code(nameless().send().await), "OK");
    enable_dns_hostnames(&cloud, &vpc).await;
    // The one without a name is not in the way of one with it.
    assert_eq!(made(create(&cloud, &vpc, "ecr.api")).await.private_dns_enabled(), Some(true));
    let again = create(&cloud, &vpc, "ecr.api").send().await.expect_err("the name is taken");
    let expected = format!(
        "private-dns-enabled cannot be set because there is already a conflicting DNS domain for \
         api.ecr.{REGION}.amazonaws.com in the VPC {vpc}"
    );
    assert_eq!(refusal(&again), ("InvalidParameter".to_owned(), 400, expected));
}

#[tokio::test]
async fn an_interface_endpoint_is_in_the_way_until_it_is_gone() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let group = cloud.group(&vpc, "endpoints", "a").await;
    enable_dns_hostnames(&cloud, &vpc).await;
    let make = || {
        let create = create(&cloud, &vpc, "logs").subnet_ids(&subnet).security_group_ids(&group);
        create.client_token("once").tag_specifications(tags("vpc-endpoint", "a"))
    };
    let start = Instant::now();
    let endpoint = made(make()).await;
    assert_eq!(endpoint.state().map(|state| state.as_str()), Some("pending"));
    assert_eq!(endpoint.subnet_ids(), std::slice::from_ref(&subnet));
    assert_eq!(endpoint.groups()[0].group_id(), Some(group.as_str()));
    let [interface] = endpoint.network_interface_ids() else { panic!("one interface, not {endpoint:?}") };
    assert_eq!(id(&made(make()).await), id(&endpoint), "the token");

    let seen = cloud.client.describe_network_interfaces().network_interface_ids(interface).send().await;
    let seen = &seen.expect("the interface").network_interfaces.expect("interfaces")[0];
    assert_eq!(seen.interface_type(), Some(&NetworkInterfaceType::VpcEndpoint));
    assert_eq!(seen.description(), Some(format!("VPC Endpoint Interface {}", id(&endpoint)).as_str()));
    eventually("the endpoint", async || is_available(&cloud, id(&endpoint)).await).await;
    assert!(start.elapsed() >= Duration::from_millis(60));

    let deletions = async || {
        [
            code(cloud.client.delete_security_group().group_id(&group).send().await),
            code(cloud.client.delete_subnet().subnet_id(&subnet).send().await),
            code(cloud.client.delete_vpc().vpc_id(&vpc).send().await),
        ]
    };
    assert_eq!(deletions().await, ["DependencyViolation"; 3]);
    let unknown = "vpce-0123456789abcdef0";
    let delete =
        cloud.client.delete_vpc_endpoints().vpc_endpoint_ids(id(&endpoint)).vpc_endpoint_ids(unknown);
    let answer = delete.send().await.expect("an answer");
    let [failed] = answer.unsuccessful() else { panic!("one, not {answer:?}") };
    assert_eq!(failed.resource_id(), Some(unknown));
    let deleting = cloud.client.describe_vpc_endpoints().vpc_endpoint_ids(id(&endpoint)).send().await;
    let state =
        deleting.expect("the endpoint").vpc_endpoints()[0].state().map(|state| state.as_str().to_owned());
    assert_eq!(state.as_deref(), Some("deleting"));
    assert_eq!(deletions().await, ["DependencyViolation"; 3]);
    let is_gone = async || {
        let list = cloud.client.describe_vpc_endpoints().filters(filter("vpc-id", &vpc)).send().await;
        list.expect("an answer").vpc_endpoints().is_empty()
    };
    eventually("the endpoint's end", is_gone).await;
    assert_eq!(deletions().await, ["OK"; 3]);
}

#[tokio::test]
async fn an_endpoint_is_refused_what_is_not_of_its_kind_its_vpc_or_its_zones() {
    let cloud = Cloud::start().await;
    let (vpc, other) = (cloud.vpc("a").await, cloud.vpc("b").await);
    enable_dns_hostnames(&cloud, &vpc).await;
    let [first, second] =
        [cloud.subnet(&vpc, "10.1.0.0/24", "a").await, cloud.subnet(&vpc, "10.1.1.0/24", "a").await];
    let (foreign, stranger) =
        (cloud.subnet(&other, "10.1.0.0/24", "b").await, cloud.group(&other, "other", "b").await);
    let table = cloud.route_table(&vpc, "a").await;
    let make = || create(&cloud, &vpc, "sqs");
    let gateway = || make().vpc_endpoint_type(VpcEndpointType::Gateway);
    let s3 = || gateway().service_name(format!("com.amazonaws.{REGION}.s3"));
    #[rustfmt::skip]
    let rows = [
        (code(make().subnet_ids(&first).subnet_ids(&second).send().await), "DuplicateSubnetsInSameZone"),
        (code(make().subnet_ids(&foreign).send().await), "InvalidParameter"),
        (code(make().security_group_ids(&stranger).send().await), "InvalidParameter"),
    ];
    for (outcome, expected) in rows {
        assert_eq!(outcome, expected);
    }
    // The bucket of the call is small.
    tokio::time::sleep(Duration::from_millis(50)).await;
    #[rustfmt::skip]
    let rows = [
        (code(make().subnet_ids("subnet-9").send().await), "InvalidSubnetId.NotFound"),
        (code(make().security_group_ids("sg-9").send().await), "InvalidGroup.NotFound"),
        (code(make().route_table_ids(&table).send().await), "InvalidParameter"),
        (code(make().service_name("com.amazonaws.eu-west-1.colour").send().await), "InvalidServiceName"),
    ];
    for (outcome, expected) in rows {
        assert_eq!(outcome, expected);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    #[rustfmt::skip]
    let rows = [
        (code(gateway().send().await), "InvalidParameter"),
        (code(s3().subnet_ids(&first).send().await), "InvalidParameter"),
        (code(s3().private_dns_enabled(true).send().await), "InvalidParameter"),
        (code(s3().private_dns_enabled(false).route_table_ids(&table).send().await), "OK"),
    ];
    for (outcome, expected) in rows {
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn interface_endpoints_have_a_quota_in_each_vpc() {
    let quotas = Quotas { interface_endpoints_per_vpc: 1, ..Quotas::default() };
    let cloud = Cloud::start_with(0.001, quotas).await;
    for job in ["a", "b"] {
        let vpc = cloud.vpc(job).await;
        for expected in ["OK", "VpcEndpointLimitExceeded"] {
            let create = create(&cloud, &vpc, "logs").private_dns_enabled(false);
            assert_eq!(code(create.send().await), expected);
        }
    }
}

#[tokio::test]
async fn a_task_without_a_way_out_reaches_the_services_that_have_endpoints() {
    let cloud = Cloud::start().await;
    let client = &cloud.client;
    let vpc = cloud.vpc("a").await;
    enable_dns_hostnames(&cloud, &vpc).await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let table = cloud.route_table(&vpc, "a").await;
    let associate = client.associate_route_table().route_table_id(&table).subnet_id(&subnet);
    associate.send().await.expect("associated");
    let (task_group, group) =
        (cloud.group(&vpc, "task", "a").await, cloud.group(&vpc, "endpoints", "a").await);
    let task = cloud.interface(&subnet, &[&task_group], false, "a").await;
    let reaches = async |service| {
        let server = Server::Aws { service, dual_stack: false };
        cloud.ec2.reaches(&task.id, server).await.expect("an answer")
    };
    let https = || IpPermission::builder().ip_protocol("tcp").from_port(443).to_port(443);
    assert!(!reaches("logs").await, "no endpoint");

    let endpoint = made(create(&cloud, &vpc, "logs").subnet_ids(&subnet).security_group_ids(&group)).await;
    assert!(!reaches("logs").await, "pending");
    eventually("the endpoint", async || is_available(&cloud, id(&endpoint)).await).await;
    assert!(!reaches("logs").await, "its group admits nobody");
    let from_task = UserIdGroupPair::builder().group_id(&task_group).build();
    let admit = client.authorize_security_group_ingress().group_id(&group);
    admit.ip_permissions(https().user_id_group_pairs(from_task).build()).send().await.expect("admitted");
    assert!(reaches("logs").await);
    assert!(!reaches("sqs").await, "another service");
    assert!(!cloud.ec2.reaches(&task.id, Server::Internet { ipv6: false }).await.expect("an answer"));

    let everything = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let all = IpPermission::builder().ip_protocol("-1").ip_ranges(everything.clone()).build();
    let revoke = client.revoke_security_group_egress().group_id(&task_group).ip_permissions(all);
    revoke.send().await.expect("revoked");
    assert!(!reaches("logs").await, "the task's group lets nothing out");
    let to_endpoints = UserIdGroupPair::builder().group_id(&group).build();
    let authorize = client.authorize_security_group_egress().group_id(&task_group);
    authorize
        .ip_permissions(https().user_id_group_pairs(to_endpoints).build())
        .send()
        .await
        .expect("let out");
    assert!(reaches("logs").await);

    cloud.endpoint(&vpc, &table, "a").await;
    assert!(!reaches("s3").await, "S3's addresses are the internet's");
    let authorize = client.authorize_security_group_egress().group_id(&task_group);
    authorize.ip_permissions(https().ip_ranges(everything).build()).send().await.expect("let out");
    assert!(reaches("s3").await);
    assert!(!reaches("sqs").await, "no endpoint");
    client.delete_vpc_endpoints().vpc_endpoint_ids(id(&endpoint)).send().await.expect("an answer");
    assert!(!reaches("logs").await, "deleting");
}
