//! What has just been made or changed is not seen at once, and what is deleted is still seen, where a fault says so.

use aws_sdk_ec2::types::{IpPermission, IpRange};
use local_ec2::{Fault, Quotas};

use crate::cloud::{Cloud, code, eventually, filter};

/// The job that the faults are for, for longer than a test lasts.
const HIDDEN: &str = "hidden";

/// What is said about a resource by Describe with its id, by Describe with the job's tag (how many it finds), and by a
/// call that names it.
macro_rules! looks {
    ($cloud:expr, $describe:ident, $ids:ident, $list:ident, $id:expr, $use:expr) => {{
        let by_tag = $cloud.client.$describe().filters(filter("tag:mayfly:job", HIDDEN)).send().await;
        let found = by_tag.expect("an answer").$list().len();
        (code($cloud.client.$describe().$ids($id).send().await), found, code($use.send().await))
    }};
}

fn unseen(described: &str, used: &str) -> (String, usize, String) {
    (described.to_owned(), 0, used.to_owned())
}

#[tokio::test]
async fn no_call_sees_a_network_that_is_hidden() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });
    let client = &cloud.client;
    let (seen, gateway) = (cloud.vpc("a").await, cloud.gateway(None, "a").await);
    let attach =
        |gateway: &str, vpc: &str| client.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);

    let vpc = &cloud.vpc(HIDDEN).await;
    assert_eq!(
        looks!(cloud, describe_vpcs, vpc_ids, vpcs, vpc, attach(&gateway, vpc)),
        unseen("InvalidVpcID.NotFound", "InvalidVpcID.NotFound")
    );
    let subnet = &cloud.subnet(&seen, "10.1.0.0/24", HIDDEN).await;
    let delete = client.delete_subnet().subnet_id(subnet);
    assert_eq!(
        looks!(cloud, describe_subnets, subnet_ids, subnets, subnet, delete),
        unseen("InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound")
    );
    let task = cloud.ec2.create_task_interface(subnet, &[], false, &[].into(), "").await;
    assert_eq!(task.expect_err("hidden").code, "InvalidSubnetID.NotFound");
    let group = &cloud.group(&seen, "task", HIDDEN).await;
    let delete = client.delete_security_group().group_id(group);
    assert_eq!(
        looks!(cloud, describe_security_groups, group_ids, security_groups, group, delete),
        unseen("InvalidGroup.NotFound", "InvalidGroup.NotFound")
    );
    let gateway = &cloud.gateway(None, HIDDEN).await;
    let attach = attach(gateway, &seen);
    assert_eq!(
        looks!(cloud, describe_internet_gateways, internet_gateway_ids, internet_gateways, gateway, attach),
        unseen("InvalidInternetGateway.NotFound", "InvalidInternetGatewayID.NotFound")
    );
}

#[tokio::test]
async fn what_is_hidden_exists_all_the_same() {
    let cloud = Cloud::start_with(0.001, Quotas { vpcs: 3, ..Quotas::default() }).await;
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });
    let vpc = cloud.vpc("a").await;
    cloud.subnet(&vpc, "10.1.0.0/24", HIDDEN).await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    cloud.vpc(HIDDEN).await;
    let another = cloud.client.create_vpc().cidr_block("10.1.0.0/16").send().await;
    assert_eq!(code(another), "VpcLimitExceeded");
}

#[tokio::test]
async fn what_is_new_is_seen_in_the_end() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add("*", Fault::Unseen { seconds: 100 });
    let vpc = cloud.vpc("a").await;
    let describe = async || code(cloud.client.describe_vpcs().vpc_ids(&vpc).send().await);
    eventually("seeing the VPC", async || describe().await == "OK").await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "OK");
}

#[tokio::test]
async fn a_change_that_is_not_seen_is_there_all_the_same() {
    let cloud = Cloud::start().await;
    let client = &cloud.client;
    let (vpc, gateway) = (cloud.vpc("a").await, cloud.gateway(None, HIDDEN).await);
    let (subnet, address) = (cloud.subnet(&vpc, "10.1.0.0/24", "a").await, cloud.address("a").await);
    let (table, open) = (cloud.route_table(&vpc, HIDDEN).await, cloud.route_table(&vpc, "a").await);
    let group = cloud.group(&vpc, "task", HIDDEN).await;
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });

    let attach = || client.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc);
    let detach = || client.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc);
    let route = |table: &str| {
        let create = client.create_route().route_table_id(table).destination_cidr_block("0.0.0.0/0");
        create.gateway_id(&gateway)
    };
    assert_eq!(code(attach().send().await), "OK");
    let described = client.describe_internet_gateways().internet_gateway_ids(&gateway).send().await;
    assert!(described.expect("an answer").internet_gateways()[0].attachments().is_empty());
    assert_eq!(code(attach().send().await), "Resource.AlreadyAssociated");
    assert_eq!(code(detach().send().await), "Gateway.NotAttached");
    let delete = client.delete_internet_gateway().internet_gateway_id(&gateway);
    assert_eq!(code(delete.send().await), "DependencyViolation");
    assert_eq!(code(route(&open).send().await), "InvalidParameterValue");
    let nat = cloud.nat_gateway(&subnet, &address, "a").await;
    eventually("the failure of a NAT gateway for which nothing is attached", async || {
        let nats = client.describe_nat_gateways().nat_gateway_ids(&nat).send().await.expect("an answer");
        nats.nat_gateways()[0].failure_code() == Some("Gateway.NotAttached")
    })
    .await;

    let associate = || client.associate_route_table().route_table_id(&table).subnet_id(&subnet);
    let association = associate().send().await.expect("associated").association_id.expect("its id");
    let described = client.describe_route_tables().route_table_ids(&table).send().await.expect("an answer");
    assert!(described.route_tables()[0].associations().is_empty());
    assert_eq!(associate().send().await.expect("the same").association_id(), Some(association.as_str()));
    let disassociate = client.disassociate_route_table().association_id(&association);
    assert_eq!(code(disassociate.send().await), "InvalidAssociationID.NotFound");
    assert_eq!(code(client.delete_route_table().route_table_id(&table).send().await), "DependencyViolation");

    let rule = || {
        let range = IpRange::builder().cidr_ip("192.0.2.0/24").build();
        IpPermission::builder().ip_protocol("-1").ip_ranges(range).build()
    };
    let authorize = || client.authorize_security_group_egress().group_id(&group).ip_permissions(rule());
    assert_eq!(code(authorize().send().await), "OK");
    assert_eq!(code(authorize().send().await), "InvalidPermission.Duplicate");
    let revoke = client.revoke_security_group_egress().group_id(&group).ip_permissions(rule());
    assert_eq!(code(revoke.send().await), "InvalidPermission.NotFound");
}

#[tokio::test]
async fn a_route_that_is_not_seen_exists_already_and_is_seen_in_the_end() {
    let cloud = Cloud::start().await;
    let client = &cloud.client;
    let vpc = cloud.vpc("a").await;
    let gateway = cloud.gateway(Some(&vpc), "a").await;
    let tables = [cloud.route_table(&vpc, HIDDEN).await, cloud.route_table(&vpc, "late").await];
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });
    cloud.ec2.faults().add("late", Fault::Unseen { seconds: 100 });
    for table in &tables {
        let create = client.create_route().route_table_id(table).destination_cidr_block("0.0.0.0/0");
        let create = create.gateway_id(&gateway);
        assert_eq!(code(create.clone().send().await), "OK");
        assert_eq!(code(create.send().await), "RouteAlreadyExists");
    }
    let routes = async |table: &str| {
        let tables = client.describe_route_tables().route_table_ids(table).send().await.expect("an answer");
        tables.route_tables()[0].routes().len()
    };
    assert_eq!(routes(&tables[0]).await, 1, "the local one");
    eventually("seeing the route", async || routes(&tables[1]).await == 2).await;
}

#[tokio::test]
async fn what_is_deleted_is_listed_for_a_while_and_cannot_be_deleted_again() {
    let cloud = Cloud::start().await;
    let client = &cloud.client;
    let (vpc, address) = (cloud.vpc(HIDDEN).await, cloud.address(HIDDEN).await);
    let (subnet, table) =
        (cloud.subnet(&vpc, "10.1.0.0/24", HIDDEN).await, cloud.route_table(&vpc, HIDDEN).await);
    let (gateway, group) = (cloud.gateway(None, HIDDEN).await, cloud.group(&vpc, "task", HIDDEN).await);
    let endpoint = cloud.endpoint(&vpc, &table, HIDDEN).await;
    cloud.ec2.faults().add(HIDDEN, Fault::Lingers { seconds: 1_000_000 });
    macro_rules! deleted {
        ($describe:ident, $list:ident, $delete:expr) => {{
            let first = code($delete.send().await);
            let by_tag = client.$describe().filters(filter("tag:mayfly:job", HIDDEN)).send().await;
            (first, by_tag.expect("an answer").$list().len(), code($delete.send().await))
        }};
    }
    let delete_endpoint = || client.delete_vpc_endpoints().vpc_endpoint_ids(&endpoint);
    delete_endpoint().send().await.expect("its deletion");
    eventually("the end of the endpoint", async || {
        !delete_endpoint().send().await.expect("an answer").unsuccessful().is_empty()
    })
    .await;
    let endpoints = client.describe_vpc_endpoints().vpc_endpoint_ids(&endpoint).send().await;
    assert_eq!(endpoints.expect("an answer").vpc_endpoints().len(), 1);
    #[rustfmt::skip]
    let rows = [
        (deleted!(describe_subnets, subnets, client.delete_subnet().subnet_id(&subnet)), "InvalidSubnetId.NotFound"),
        (deleted!(describe_route_tables, route_tables, client.delete_route_table().route_table_id(&table)), "InvalidRouteTableId.NotFound"),
        (deleted!(describe_internet_gateways, internet_gateways, client.delete_internet_gateway().internet_gateway_id(&gateway)), "InvalidInternetGatewayID.NotFound"),
        (deleted!(describe_security_groups, security_groups, client.delete_security_group().group_id(&group)), "InvalidGroup.NotFound"),
        (deleted!(describe_addresses, addresses, client.release_address().allocation_id(&address)), "InvalidAllocationID.NotFound"),
        (deleted!(describe_vpcs, vpcs, client.delete_vpc().vpc_id(&vpc)), "InvalidVpcID.NotFound"),
    ];
    for (seen, gone) in rows {
        assert_eq!(seen, ("OK".to_owned(), 1, gone.to_owned()));
    }
    let task = cloud.ec2.create_task_interface(&subnet, &[], false, &[].into(), "").await;
    assert_eq!(task.expect_err("it is gone").code, "InvalidSubnetID.NotFound");
}

#[tokio::test]
async fn what_is_deleted_is_listed_no_more_in_the_end() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add("*", Fault::Lingers { seconds: 100 });
    let vpc = cloud.vpc("a").await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "OK");
    let describe = async || code(cloud.client.describe_vpcs().vpc_ids(&vpc).send().await);
    eventually("the end of the VPC", async || describe().await == "InvalidVpcID.NotFound").await;
}
