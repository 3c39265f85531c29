//! How much an account may have, and how often it may ask.

use aws_sdk_ec2::types::{DomainType, IpPermission, IpRange};
use local_ec2::Quotas;

use crate::cloud::{Cloud, ZONE, code, filter, refusal};
use crate::ministack::SUBNET;

/// Calls until it is refused, and tells how often it went well and the code at last.
async fn fill(mut create: impl AsyncFnMut(usize) -> String) -> (usize, String) {
    for made in 0..100 {
        let code = create(made).await;
        if code != "OK" {
            return (made, code);
        }
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn every_quota_has_its_code_and_what_the_stack_has_counts() {
    let quotas = Quotas {
        vpcs: 3,
        internet_gateways: 4,
        subnets_per_vpc: 2,
        // MiniStack's three, the default ones of two VPCs, and these.
        security_groups: 3 + 2 + 5,
        rules_per_group: 3,
        groups_per_interface: 2,
        ..Quotas::default()
    };
    let cloud = Cloud::start_with(0.001, quotas).await;
    let client = &cloud.client;
    let vpcs = fill(async |_| code(client.create_vpc().cidr_block("10.1.0.0/16").send().await)).await;
    assert_eq!(vpcs, (2, "VpcLimitExceeded".into()));
    let gateways = fill(async |_| code(client.create_internet_gateway().send().await)).await;
    assert_eq!(gateways, (3, "InternetGatewayLimitExceeded".into()));

    let vpcs = client.describe_vpcs().filters(filter("cidr", "10.1.0.0/16")).send().await;
    let vpc = vpcs.expect("the VPCs").vpcs()[0].vpc_id().expect("its id").to_owned();
    let subnets = fill(async |made| {
        let create = client.create_subnet().vpc_id(&vpc).availability_zone(ZONE);
        code(create.cidr_block(format!("10.1.{made}.0/24")).send().await)
    });
    assert_eq!(subnets.await, (2, "SubnetLimitExceeded".into()));
    let groups = fill(async |made| {
        let create = client.create_security_group().vpc_id(&vpc).group_name(format!("g{made}"));
        code(create.description("a group").send().await)
    });
    assert_eq!(groups.await, (5, "SecurityGroupLimitExceeded".into()));

    let own = client.describe_security_groups().filters(filter("vpc-id", &vpc)).send().await;
    let own: Vec<_> = own.expect("the groups").security_groups.unwrap_or_default();
    let ids: Vec<String> = own.into_iter().filter_map(|group| group.group_id).collect();
    // Each has the rule for all addresses already.
    let rules = fill(async |made| {
        let range = IpRange::builder().cidr_ip(format!("192.0.2.{made}/32")).build();
        let rule = IpPermission::builder().ip_protocol("tcp").from_port(443).to_port(443).ip_ranges(range);
        let authorize = client.authorize_security_group_egress().group_id(&ids[0]);
        code(authorize.ip_permissions(rule.build()).send().await)
    });
    assert_eq!(rules.await, (2, "RulesPerSecurityGroupLimitExceeded".into()));
    let subnet = client.describe_subnets().filters(filter("vpc-id", &vpc)).send().await;
    let subnet = subnet.expect("the subnets").subnets()[0].subnet_id().expect("its id").to_owned();
    let interface = cloud.ec2.create_task_interface(&subnet, &ids[..3], false, &[].into(), "").await;
    assert_eq!(interface.expect_err("too many").code, "SecurityGroupsPerInterfaceLimitExceeded");
}

#[tokio::test]
async fn addresses_and_interfaces_have_their_quotas() {
    let cloud = Cloud::start_with(0.001, Quotas { addresses: 2, interfaces: 2, ..Quotas::default() }).await;
    let addresses =
        fill(async |_| code(cloud.client.allocate_address().domain(DomainType::Vpc).send().await));
    assert_eq!(addresses.await, (2, "AddressLimitExceeded".into()));
    let interfaces = fill(async |_| {
        let made = cloud.ec2.create_task_interface(SUBNET, &[], false, &[].into(), "").await;
        made.map_or_else(|error| error.code.to_owned(), |_| "OK".to_owned())
    });
    assert_eq!(interfaces.await, (2, "NetworkInterfaceLimitExceeded".into()));
}

#[tokio::test]
async fn who_calls_too_often_is_told_to_wait_and_can_go_on_after_it() {
    // A second is so long that nothing comes back.
    let slow = Cloud::start_with(1000.0, Quotas::default()).await;
    let describe = async |cloud: &Cloud| code(cloud.client.describe_vpcs().vpc_ids("vpc-1").send().await);
    assert_eq!(fill_all(async || describe(&slow).await).await, 100);
    let refused = slow.client.describe_vpcs().send().await.expect_err("the bucket is empty");
    let (code, status, _) = refusal(&refused);
    assert_eq!((code.as_str(), status), ("RequestLimitExceeded", 503));
    assert!(slow.client.describe_subnets().send().await.is_ok(), "each action has its own bucket");

    let fast = Cloud::start().await;
    for _ in 0..150 {
        assert_eq!(describe(&fast).await, "OK");
    }
}

async fn fill_all(mut call: impl AsyncFnMut() -> String) -> usize {
    let mut passed = 0;
    while call().await == "OK" {
        passed += 1;
    }
    passed
}
