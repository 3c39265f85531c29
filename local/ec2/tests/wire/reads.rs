//! Describe calls: what tasks have, and the stack's own network.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_sdk_ec2::types::NetworkInterfaceStatus;

use crate::cloud::{Cloud, client, code, filter, refusal};
use crate::ministack::{GATEWAY, GROUP, SUBNET};

async fn interface(cloud: &Cloud, job: &str) -> local_ec2::TaskInterface {
    cloud.interface(SUBNET, &[GROUP], true, job).await
}

#[tokio::test]
async fn a_tasks_interface_is_described_until_it_is_deleted() {
    let cloud = Cloud::start().await;
    let made = interface(&cloud, "a").await;
    let describe = || cloud.client.describe_network_interfaces().network_interface_ids(&made.id);

    let answer = describe().send().await.expect("the interface");
    let [seen] = answer.network_interfaces() else { panic!("one interface, not {answer:?}") };
    assert_eq!(seen.network_interface_id(), Some(made.id.as_str()));
    assert_eq!(seen.private_ip_address(), made.private_ip.as_deref());
    assert_eq!(seen.association().and_then(|association| association.public_ip()), made.public_ip.as_deref());
    assert_eq!((seen.subnet_id(), seen.vpc_id()), (Some(SUBNET), Some("vpc-1")));
    assert_eq!(
        (seen.mac_address(), seen.status()),
        (Some(made.mac.as_str()), Some(&NetworkInterfaceStatus::InUse))
    );
    assert_eq!((seen.requester_managed(), seen.description()), (Some(true), Some("an attachment")));
    assert_eq!(seen.groups()[0].group_id(), Some(GROUP));
    assert_eq!(seen.tag_set()[0].value(), Some("a"));
    assert!(seen.attachment().and_then(|attachment| attachment.attach_time()).is_some());

    cloud.ec2.delete_task_interface(&made.id).await;
    let (code, status, message) = refusal(&describe().send().await.expect_err("it is gone"));
    assert_eq!((code.as_str(), status), ("InvalidNetworkInterfaceID.NotFound", 400));
    assert!(message.contains(&made.id));
}

#[tokio::test]
async fn interfaces_are_found_by_filters_and_come_in_pages() {
    let cloud = Cloud::start().await;
    for job in ["a", "a", "a", "a", "a", "a", "b"] {
        interface(&cloud, job).await;
    }
    let describe = || cloud.client.describe_network_interfaces();
    let of_a = describe().filters(filter("tag:mayfly:job", "a")).filters(filter("vpc-id", "vpc-1"));
    let pages: Vec<_> = of_a.into_paginator().page_size(5).send().try_collect().await.expect("pages");
    assert_eq!(pages.iter().map(|page| page.network_interfaces().len()).collect::<Vec<_>>(), [5, 1]);

    let none = describe().filters(filter("group-id", "sg-d")).send().await.expect("an answer");
    assert!(none.network_interfaces().is_empty());
    let (code, _, message) =
        refusal(&describe().filters(filter("colour", "red")).send().await.expect_err("unknown"));
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidParameterValue", "The filter 'colour' is invalid")
    );
    let both = describe().network_interface_ids("eni-1").max_results(5).send().await.expect_err("both");
    assert_eq!(refusal(&both).0, "InvalidParameterCombination");
}

#[tokio::test]
async fn the_stacks_own_network_is_that_of_ministack() {
    let cloud = Cloud::start().await;
    interface(&cloud, "a").await;
    let vpcs = cloud.client.describe_vpcs().vpc_ids("vpc-1").send().await.expect("the VPC");
    assert_eq!(vpcs.vpcs()[0].cidr_block(), Some("10.0.0.0/24"));
    let subnets =
        cloud.client.describe_subnets().filters(filter("tag:Name", "subnet-?")).send().await.expect("both");
    let free = |index: usize| subnets.subnets()[index].available_ip_address_count();
    assert_eq!((free(0), free(1)), (Some(10), Some(11)));
    let groups = cloud.client.describe_security_groups().group_ids(GROUP).send().await.expect("the group");
    let rule = &groups.security_groups()[0].ip_permissions_egress()[0];
    assert_eq!((rule.from_port(), rule.ip_ranges()[0].cidr_ip()), (Some(443), Some("0.0.0.0/0")));
    let gateways = cloud.client.describe_internet_gateways();
    let gateways = gateways.filters(filter("attachment.vpc-id", "vpc-1")).send().await.expect("the gateway");
    assert_eq!(gateways.internet_gateways()[0].internet_gateway_id(), Some(GATEWAY));
    let none = cloud.client.describe_subnets().subnet_ids("subnet-9").send().await;
    assert_eq!(code(none), "InvalidSubnetID.NotFound");
}

#[tokio::test]
async fn the_stacks_own_network_is_not_changed_here() {
    let cloud = Cloud::start().await;
    let client = &cloud.client;
    let refused = client.delete_vpc().vpc_id("vpc-1").send().await.expect_err("it is not ours");
    let (refused, _, message) = refusal(&refused);
    assert_eq!(refused, "UnsupportedOperation");
    assert!(message.contains("vpc-1"), "{message}");
    let create = client.create_subnet().vpc_id("vpc-1").cidr_block("10.0.0.128/28");
    let detach = client.detach_internet_gateway().internet_gateway_id(GATEWAY).vpc_id("vpc-1");
    for refused in [
        code(create.availability_zone("eu-west-1a").send().await),
        code(client.delete_subnet().subnet_id(SUBNET).send().await),
        code(client.delete_security_group().group_id(GROUP).send().await),
        code(detach.send().await),
    ] {
        assert_eq!(refused, "UnsupportedOperation");
    }
}

#[tokio::test]
async fn a_group_can_be_made_in_the_stacks_own_network() {
    let cloud = Cloud::start().await;
    let group = cloud.group("vpc-1", "service", "a").await;
    let delete = cloud.client.delete_security_group().group_id(group);
    assert_eq!(code(delete.send().await), "OK");
    let elsewhere = cloud.client.create_security_group().vpc_id("vpc-9").group_name("g").description("d");
    assert_eq!(code(elsewhere.send().await), "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn a_task_needs_a_subnet_with_room_and_groups_of_its_vpc() {
    let cloud = Cloud::start().await;
    let create = |subnet: &'static str, groups: &'static [&str]| {
        let ec2 = cloud.ec2.clone();
        async move {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            ec2.create_task_interface(subnet, &groups, false, &BTreeMap::new(), "").await
        }
    };
    for (subnet, groups, code) in [
        ("subnet-9", &[GROUP][..], "InvalidSubnetID.NotFound"),
        (SUBNET, &["sg-9"], "InvalidGroup.NotFound"),
        (SUBNET, &["sg-x"], "InvalidParameter"),
    ] {
        assert_eq!(create(subnet, groups).await.expect_err(code).code, code);
    }
    let mut addresses = Vec::new();
    for _ in 0..11 {
        let interface = create(SUBNET, &[]).await.expect("room");
        assert_eq!(interface.public_ip, None);
        addresses.push(interface.private_ip);
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 11);
    assert_eq!(create(SUBNET, &[]).await.expect_err("full").code, "InsufficientFreeAddressesInSubnet");
    assert!(create("subnet-2", &[]).await.is_ok());
    // Without groups it is the VPC's default one.
    let default = cloud.client.describe_network_interfaces().filters(filter("group-id", "sg-d")).send().await;
    assert_eq!(default.expect("an answer").network_interfaces().len(), 12);
}

#[tokio::test]
async fn what_is_not_signed_or_not_implemented_is_refused_and_recorded() {
    let cloud = Cloud::start().await;
    for key in ["AKIAROOT", "AKIAOTHER"] {
        let stranger = client(&cloud.upstream, Credentials::from_keys(key, "guessed", None));
        let (code, status, _) = refusal(&stranger.describe_vpcs().send().await.expect_err("refused"));
        assert_eq!((code.as_str(), status), ("AuthFailure", 401), "{key}");
    }
    let (code, status, message) =
        refusal(&cloud.client.describe_regions().send().await.expect_err("unknown"));
    assert_eq!((code.as_str(), status), ("InvalidAction", 400));
    assert!(message.contains("DescribeRegions"));
    let managed = cloud.client.describe_network_interfaces().include_managed_resources(true).send().await;
    let (code, _, message) = refusal(&managed.expect_err("unknown"));
    assert_eq!(code, "UnknownParameter");
    assert!(message.contains("IncludeManagedResources"));
    let (code, status, _) =
        refusal(&cloud.client.describe_vpcs().dry_run(true).send().await.expect_err("dry"));
    assert_eq!((code.as_str(), status), ("DryRunOperation", 412));

    let calls: Vec<_> = cloud.calls.snapshot().into_iter().map(|call| (call.action, call.outcome)).collect();
    let expected = [
        ("ec2:DescribeVpcs", "AuthFailure"),
        ("ec2:DescribeVpcs", "AuthFailure"),
        ("ec2:DescribeRegions", "InvalidAction"),
        ("ec2:DescribeNetworkInterfaces", "UnknownParameter"),
        ("ec2:DescribeVpcs", "DryRunOperation"),
    ];
    assert_eq!(calls, expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned())));
}

#[tokio::test]
async fn the_log_tells_which_jobs_a_call_is_about() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let table = cloud.route_table(&vpc, "b").await;
    let associate = cloud.client.associate_route_table().route_table_id(&table).subnet_id(&subnet);
    let association = associate.send().await.expect("associated").association_id.expect("its id");
    let disassociate = cloud.client.disassociate_route_table().association_id(&association);
    disassociate.send().await.expect("disassociated");
    let by_tag = cloud.client.describe_vpcs().filters(filter("tag:mayfly:job", "c")).send();
    by_tag.await.expect("an answer");
    cloud.client.describe_vpcs().vpc_ids(SUBNET).send().await.expect_err("it is no VPC");
    let calls: Vec<_> = cloud.calls.snapshot().into_iter().map(|call| call.resource).collect();
    let expected = [
        "a".to_owned(),
        format!("a {vpc}"),
        format!("a b {vpc}"),
        format!("a b {table} {subnet}"),
        format!("b {association}"),
        "c".to_owned(),
        "*".to_owned(),
    ];
    assert_eq!(calls, expected);
}
