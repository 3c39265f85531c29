//! VPCs, subnets and internet gateways, from their making to their end.

use aws_sdk_ec2::types::{SubnetState, VpcState};

use crate::cloud::{Cloud, ZONE, code, eventually, filter, tags};

#[tokio::test]
async fn a_vpc_comes_with_a_default_group_and_goes_with_it() {
    let cloud = Cloud::start_with(0.05, local_ec2::Quotas::default()).await;
    // Not in its canonical form.
    let create = cloud.client.create_vpc().cidr_block("10.1.2.3/16").tag_specifications(tags("vpc", "a"));
    let vpc = create.send().await.expect("a VPC").vpc.expect("the VPC");
    assert_eq!((vpc.cidr_block(), vpc.state()), (Some("10.1.0.0/16"), Some(&VpcState::Pending)));
    assert_eq!(vpc.tags().len(), 2);
    let id = vpc.vpc_id().expect("its id");
    eventually("the VPC's being available", async || {
        let available = filter("state", "available");
        let vpcs = cloud.client.describe_vpcs().vpc_ids(id).filters(available).send().await;
        vpcs.expect("an answer").vpcs().len() == 1
    })
    .await;

    let groups = || cloud.client.describe_security_groups().filters(filter("vpc-id", id));
    let group = groups().send().await.expect("an answer").security_groups.expect("groups").remove(0);
    assert_eq!(group.group_name(), Some("default"));
    let group = group.group_id().expect("its id");
    assert_eq!(code(cloud.client.delete_security_group().group_id(group).send().await), "CannotDelete");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(id).send().await), "OK");
    assert!(groups().send().await.expect("an answer").security_groups().is_empty());
    assert_eq!(code(cloud.client.describe_vpcs().vpc_ids(id).send().await), "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn a_vpc_has_65536_to_16_addresses() {
    let cloud = Cloud::start().await;
    for (cidr, expected) in [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("", "MissingParameter"),
        ("10.0.0.0/16", "OK"),
        ("10.0.0.0/28", "OK"),
    ] {
        assert_eq!(code(cloud.client.create_vpc().cidr_block(cidr).send().await), expected, "{cidr}");
    }
}

#[tokio::test]
async fn a_subnet_has_addresses_of_its_vpc_that_no_other_subnet_has() {
    let cloud = Cloud::start().await;
    let (vpc, neighbour) = (cloud.vpc("a").await, cloud.vpc("b").await);
    for (vpc, cidr, zone, expected) in [
        (&vpc, "10.1.0.0/24", ZONE, "OK"),
        (&vpc, "10.1.0.0/24", ZONE, "InvalidSubnet.Conflict"),
        (&vpc, "10.1.0.128/25", "eu-west-1b", "InvalidSubnet.Conflict"),
        (&vpc, "10.1.0.0/16", ZONE, "InvalidSubnet.Conflict"),
        (&vpc, "10.1.1.0/24", "eu-west-1c", "OK"),
        (&vpc, "10.2.0.0/24", ZONE, "InvalidSubnet.Range"),
        (&vpc, "10.1.2.0/29", ZONE, "InvalidSubnet.Range"),
        (&vpc, "10.1.2.0/24", "eu-west-1d", "InvalidParameterValue"),
        (&vpc, "10.1.2.0/24", "us-east-1a", "InvalidParameterValue"),
        (&neighbour, "10.1.0.0/24", ZONE, "OK"),
        (&"vpc-9".to_owned(), "10.1.0.0/24", ZONE, "InvalidVpcID.NotFound"),
    ] {
        let create = cloud.client.create_subnet().vpc_id(vpc).cidr_block(cidr).availability_zone(zone);
        assert_eq!(code(create.send().await), expected, "{cidr} {zone}");
    }
}

#[tokio::test]
async fn a_subnet_is_there_until_nothing_is_in_it() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/28", "a").await;
    let interface = cloud.interface(&subnet, &[], false, "a").await;
    assert_eq!((interface.subnet_id.as_str(), interface.vpc_id.as_str()), (subnet.as_str(), vpc.as_str()));
    eventually("the subnet's being available", async || {
        let subnets = cloud.client.describe_subnets().filters(filter("tag:mayfly:job", "?")).send().await;
        let subnets = subnets.expect("an answer").subnets.unwrap_or_default();
        assert_eq!((subnets.len(), subnets[0].available_ip_address_count()), (1, Some(10)));
        assert_eq!(subnets[0].map_public_ip_on_launch(), Some(false));
        subnets[0].state() == Some(&SubnetState::Available)
    })
    .await;
    let delete = || cloud.client.delete_subnet().subnet_id(&subnet);
    assert_eq!(code(delete().send().await), "DependencyViolation");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    cloud.ec2.delete_task_interface(&interface.id).await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    assert_eq!(code(delete().send().await), "OK");
    assert_eq!(code(delete().send().await), "InvalidSubnetId.NotFound");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "OK");
}

#[tokio::test]
async fn a_vpc_has_one_internet_gateway_and_a_gateway_one_vpc() {
    let cloud = Cloud::start().await;
    let (vpc, other) = (cloud.vpc("a").await, cloud.vpc("b").await);
    let (first, second) = (cloud.gateway(None, "a").await, cloud.gateway(None, "b").await);
    let attach = async |gateway: &str, vpc: &str| {
        let attach = cloud.client.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);
        code(attach.send().await)
    };
    let detach = async |gateway: &str, vpc: &str| {
        let detach = cloud.client.detach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);
        code(detach.send().await)
    };
    let delete = async |gateway: &str| {
        code(cloud.client.delete_internet_gateway().internet_gateway_id(gateway).send().await)
    };
    assert_eq!(attach(&first, &vpc).await, "OK");
    assert_eq!(attach(&first, &vpc).await, "Resource.AlreadyAssociated");
    assert_eq!(attach(&first, &other).await, "Resource.AlreadyAssociated");
    assert_eq!(attach(&second, &vpc).await, "InvalidParameterValue");
    assert_eq!(delete(&first).await, "DependencyViolation");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    assert_eq!(detach(&first, &other).await, "Gateway.NotAttached");
    assert_eq!(detach(&second, &vpc).await, "Gateway.NotAttached");

    let attached = cloud.client.describe_internet_gateways().filters(filter("attachment.vpc-id", &vpc));
    let attached = attached.send().await.expect("an answer").internet_gateways.expect("gateways");
    assert_eq!(attached[0].internet_gateway_id(), Some(first.as_str()));
    assert_eq!(attached[0].attachments()[0].state().map(|state| state.as_str()), Some("available"));

    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let private = cloud.interface(&subnet, &[], false, "a").await;
    let public = cloud.interface(&subnet, &[], true, "a").await;
    assert_eq!(detach(&first, &vpc).await, "DependencyViolation");
    cloud.ec2.delete_task_interface(&public.id).await;
    assert_eq!(detach(&first, &vpc).await, "OK");
    assert_eq!(detach(&first, &vpc).await, "Gateway.NotAttached");
    cloud.ec2.delete_task_interface(&private.id).await;
    assert_eq!(delete(&first).await, "OK");
    assert_eq!(delete(&first).await, "InvalidInternetGatewayID.NotFound");
}

/// How many resources a call describes that have the tag.
macro_rules! count {
    ($cloud:expr, $describe:ident, $filters:ident, $list:ident, $value:expr) => {{
        let described = $cloud.client.$describe().$filters(filter("tag:mayfly:job", $value)).send().await;
        described.expect("an answer").$list().len()
    }};
}

#[tokio::test]
async fn what_is_made_is_found_by_its_tags_with_wildcards() {
    let cloud = Cloud::start().await;
    for job in ["job-1", "job-2"] {
        let vpc = cloud.vpc(job).await;
        let subnet = cloud.subnet(&vpc, "10.1.0.0/24", job).await;
        cloud.gateway(Some(&vpc), job).await;
        cloud.group(&vpc, "task", job).await;
        let table = cloud.route_table(&vpc, job).await;
        cloud.endpoint(&vpc, &table, job).await;
        cloud.nat_gateway(&subnet, &cloud.address(job).await, job).await;
        cloud.interface(&subnet, &[], false, job).await;
    }
    for (value, found) in [("job-1", 1), ("job-?", 2), ("*", 2), ("job", 0), ("Job-1", 0), (r"job-\?", 0)] {
        let counts = [
            count!(cloud, describe_vpcs, filters, vpcs, value),
            count!(cloud, describe_subnets, filters, subnets, value),
            count!(cloud, describe_internet_gateways, filters, internet_gateways, value),
            count!(cloud, describe_security_groups, filters, security_groups, value),
            count!(cloud, describe_route_tables, filters, route_tables, value),
            count!(cloud, describe_vpc_endpoints, filters, vpc_endpoints, value),
            count!(cloud, describe_addresses, filters, addresses, value),
            count!(cloud, describe_nat_gateways, filter, nat_gateways, value),
            count!(cloud, describe_network_interfaces, filters, network_interfaces, value),
        ];
        assert_eq!(counts, [found; 9], "{value}");
    }
}
