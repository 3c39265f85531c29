//! The interfaces of load balancers, and who gets through to what is behind them.

use std::net::IpAddr;

use aws_sdk_ec2::types::{IpPermission, IpRange, NetworkInterfaceType, UserIdGroupPair};
use local_ec2::{LOAD_BALANCER_LINGERS, SubnetFacts};

use crate::cloud::{Cloud, ZONE, code, filter};
use crate::ministack::SUBNET;

const NAME: &str = "net/web/0123456789abcdef";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A rule of TCP port 80 without an end.
fn http() -> aws_sdk_ec2::types::builders::IpPermissionBuilder {
    IpPermission::builder().ip_protocol("tcp").from_port(80).to_port(80)
}

#[tokio::test]
async fn a_load_balancers_interfaces_are_in_the_way_until_they_are_gone() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let (gateway, group) = (cloud.gateway(Some(&vpc), "a").await, cloud.group(&vpc, "lb", "a").await);
    let groups = [group.clone()];
    let made = cloud.ec2.create_load_balancer_interface(NAME, &subnet, &groups, true).await;
    let made = made.expect("an interface");
    assert!(address(made.public_ip.as_deref().expect("a public address")).is_loopback());

    let in_vpc = || cloud.client.describe_network_interfaces().filters(filter("vpc-id", &vpc));
    let answer = in_vpc().filters(filter("description", &format!("ELB {NAME}"))).send().await;
    let answer = answer.expect("an answer");
    let [seen] = answer.network_interfaces() else { panic!("one interface, not {answer:?}") };
    assert_eq!(seen.interface_type(), Some(&NetworkInterfaceType::NetworkLoadBalancer));
    assert_eq!(
        (seen.network_interface_id(), seen.private_ip_address()),
        (Some(&*made.id), Some(&*made.private_ip))
    );
    let mapped = seen.association().and_then(|association| association.public_ip());
    assert_eq!((mapped, seen.groups()[0].group_id()), (made.public_ip.as_deref(), Some(group.as_str())));

    let client = &cloud.client;
    let deletions = async || {
        let detach = client.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc);
        [
            code(detach.send().await),
            code(client.delete_security_group().group_id(&group).send().await),
            code(client.delete_subnet().subnet_id(&subnet).send().await),
        ]
    };
    assert_eq!(deletions().await, ["DependencyViolation"; 3]);
    assert_eq!(code(client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    let start = tokio::time::Instant::now();
    cloud.ec2.delete_load_balancer_interfaces("net/web/of-another").await;
    assert!(start.elapsed() >= cloud.upstream.clock.scale.real(LOAD_BALANCER_LINGERS));
    assert_eq!(in_vpc().send().await.expect("an answer").network_interfaces().len(), 1);
    cloud.ec2.delete_load_balancer_interfaces(NAME).await;
    assert_eq!(deletions().await, ["OK"; 3]);
}

#[tokio::test]
async fn a_subnet_tells_a_load_balancer_what_it_has() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/28", "a").await;
    let facts = async |subnet: &str| cloud.ec2.subnet_facts(subnet).await;
    let mut expected = SubnetFacts {
        vpc_id: vpc.clone(),
        availability_zone: ZONE.into(),
        free_addresses: 11,
        has_internet_gateway: false,
    };
    assert_eq!(facts(&subnet).await, Ok(expected.clone()));
    cloud.gateway(Some(&vpc), "a").await;
    cloud.ec2.create_load_balancer_interface(NAME, &subnet, &[], false).await.expect("an interface");
    expected = SubnetFacts { free_addresses: 10, has_internet_gateway: true, ..expected };
    assert_eq!(facts(&subnet).await, Ok(expected));
    assert!(facts(SUBNET).await.is_ok_and(|facts| facts.has_internet_gateway && facts.vpc_id == "vpc-1"));
    assert_eq!(facts("subnet-9").await.expect_err("unknown").code, "InvalidSubnetID.NotFound");
}

#[tokio::test]
async fn a_task_admits_those_whom_its_groups_name() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let (task, balancer) = (cloud.group(&vpc, "task", "a").await, cloud.group(&vpc, "lb", "a").await);
    let balancers = [balancer.clone()];
    let pair = UserIdGroupPair::builder().group_id(&balancer).build();
    let range = |cidr: &str| IpRange::builder().cidr_ip(cidr).build();
    for (group, rule) in [
        (&task, http().user_id_group_pairs(pair).build()),
        (&balancer, http().ip_ranges(range("127.0.0.0/8")).build()),
    ] {
        let authorize = cloud.client.authorize_security_group_ingress().group_id(group).ip_permissions(rule);
        authorize.send().await.expect("authorized");
    }
    let web = cloud.ec2.create_load_balancer_interface(NAME, &subnet, &balancers, true).await;
    let (web, open) = (
        web.expect("an interface"),
        cloud
            .ec2
            .create_load_balancer_interface("net/open/1", &subnet, &[], true)
            .await
            .expect("an interface"),
    );
    let task = cloud.interface(&subnet, &[&task], true, "a").await;

    for (interface, from, from_groups, protocol, port, expected) in [
        (&web.id, "127.0.0.1", &[][..], "tcp", 80, true),
        (&web.id, "127.0.0.1", &[], "tcp", 81, false),
        (&web.id, "127.0.0.1", &[], "udp", 80, false),
        (&web.id, "192.0.2.1", &[], "tcp", 80, false),
        (&web.id, "::1", &[], "tcp", 80, false),
        (&open.id, "192.0.2.1", &[], "udp", 81, true),
        (&task.id, "127.0.0.1", &[], "tcp", 80, false),
        (&task.id, &web.private_ip, &balancers, "tcp", 80, true),
    ] {
        let admitted = cloud.ec2.admits(interface, address(from), from_groups, protocol, port).await;
        assert_eq!(admitted, Ok(expected), "{interface} {from} {protocol} {port}");
    }

    // What a load balancer calls has to be among what its group lets out: by its addresses, or by its group.
    let lets_out = async || {
        cloud.ec2.lets_out(&web.id, address(task.private_ip.as_deref().expect("one")), "tcp", 80).await
    };
    assert_eq!(lets_out().await, Ok(true));
    let all = IpPermission::builder().ip_protocol("-1").ip_ranges(range("0.0.0.0/0")).build();
    let revoke = cloud.client.revoke_security_group_egress().group_id(&balancer).ip_permissions(all);
    revoke.send().await.expect("revoked");
    assert_eq!(lets_out().await, Ok(false));
    let authorize = cloud.client.authorize_security_group_egress().group_id(&balancer);
    let authorize = authorize.ip_permissions(http().ip_ranges(range("10.1.0.0/24")).build());
    authorize.send().await.expect("authorized");
    assert_eq!(lets_out().await, Ok(true));
}
