//! Security groups and their rules.

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, SecurityGroup, UserIdGroupPair};
use local_ec2::Quotas;

use crate::cloud::{Cloud, code, tags};

fn all() -> IpPermission {
    IpPermission::builder().ip_protocol("-1").ip_ranges(range("0.0.0.0/0")).build()
}

fn tcp(port: i32, cidr: &str) -> IpPermission {
    IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).ip_ranges(range(cidr)).build()
}

fn range(cidr: &str) -> IpRange {
    IpRange::builder().cidr_ip(cidr).build()
}

async fn group_of(cloud: &Cloud, id: &str) -> SecurityGroup {
    let groups = cloud.client.describe_security_groups().group_ids(id).send().await.expect("the group");
    groups.security_groups.expect("groups").remove(0)
}

#[tokio::test]
async fn a_new_group_lets_everything_out_until_that_is_revoked() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let id = cloud.group(&vpc, "task", "a").await;
    let new = group_of(&cloud, &id).await;
    let [rule] = new.ip_permissions_egress() else { panic!("one rule, not {new:?}") };
    assert_eq!((rule.ip_protocol(), rule.ip_ranges()), (Some("-1"), &[range("0.0.0.0/0")][..]));
    assert!(new.ip_permissions().is_empty());
    assert_eq!((new.group_name(), new.vpc_id()), (Some("task"), Some(vpc.as_str())));

    let revoke = async |rule: IpPermission| {
        let revoke = cloud.client.revoke_security_group_egress().group_id(&id).ip_permissions(rule);
        code(revoke.send().await)
    };
    assert_eq!(revoke(tcp(443, "0.0.0.0/0")).await, "InvalidPermission.NotFound");
    assert_eq!(revoke(all()).await, "OK");
    assert_eq!(revoke(all()).await, "InvalidPermission.NotFound");
    assert!(group_of(&cloud, &id).await.ip_permissions_egress().is_empty());
}

#[tokio::test]
async fn rules_are_added_once_and_all_or_none() {
    let cloud = Cloud::start().await;
    let id = cloud.group(&cloud.vpc("a").await, "task", "a").await;
    let authorize = |rules: &[IpPermission]| {
        let authorize = cloud.client.authorize_security_group_egress().group_id(&id);
        authorize.set_ip_permissions(Some(rules.to_vec()))
    };
    let tagged = authorize(&[tcp(443, "0.0.0.0/0"), tcp(80, "10.1.2.3/8")]);
    let answer = tagged.tag_specifications(tags("security-group-rule", "a")).send().await.expect("rules");
    let [https, http] = answer.security_group_rules() else { panic!("two rules, not {answer:?}") };
    assert!(https.security_group_rule_id().is_some_and(|id| id.starts_with("sgr-")));
    assert_eq!(
        (https.from_port(), https.cidr_ipv4(), https.is_egress()),
        (Some(443), Some("0.0.0.0/0"), Some(true))
    );
    assert_eq!((http.cidr_ipv4(), http.tags().len()), (Some("10.0.0.0/8"), 2));

    let wrong = IpPermission::builder().ip_protocol("tcp").ip_ranges(range("0.0.0.0/0")).build();
    let nowhere = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(1).build();
    let named = |group: &str| UserIdGroupPair::builder().group_id(group).build();
    let to_group =
        |group: &str| IpPermission::builder().ip_protocol("-1").user_id_group_pairs(named(group)).build();
    let elsewhere = cloud.group(&cloud.vpc("b").await, "task", "b").await;
    for (rules, expected) in [
        (vec![tcp(22, "0.0.0.0/0"), tcp(443, "0.0.0.0/0")], "InvalidPermission.Duplicate"),
        (vec![tcp(22, "0.0.0.0/0"), tcp(22, "0.0.0.0/0")], "InvalidPermission.Duplicate"),
        (vec![tcp(22, "0.0.0.0")], "InvalidParameterValue"),
        (vec![tcp(70_000, "0.0.0.0/0")], "InvalidParameterValue"),
        (vec![wrong], "InvalidParameterValue"),
        (vec![nowhere], "MissingParameter"),
        (vec![], "MissingParameter"),
        (vec![to_group("sg-9")], "InvalidGroup.NotFound"),
        (vec![to_group(&elsewhere)], "InvalidGroup.NotFound"),
    ] {
        assert_eq!(code(authorize(&rules).send().await), expected, "{rules:?}");
    }
    // The first one is that of a new group.
    assert_eq!(group_of(&cloud, &id).await.ip_permissions_egress().len(), 3);
}

#[tokio::test]
async fn a_name_is_given_once_in_a_vpc() {
    let cloud = Cloud::start().await;
    let (vpc, other) = (cloud.vpc("a").await, cloud.vpc("b").await);
    let long = "x".repeat(256);
    for (vpc, name, expected) in [
        (&vpc, "task", "OK"),
        (&vpc, "task", "InvalidGroup.Duplicate"),
        (&other, "task", "OK"),
        (&vpc, "sg-task", "InvalidParameterValue"),
        (&vpc, "default", "InvalidParameterValue"),
        (&vpc, "täsk", "InvalidParameterValue"),
        (&vpc, long.as_str(), "InvalidParameterValue"),
        (&"vpc-9".to_owned(), "task", "InvalidVpcID.NotFound"),
    ] {
        let create = cloud.client.create_security_group().vpc_id(vpc).group_name(name).description("a group");
        assert_eq!(code(create.send().await), expected, "{name}");
    }
}

#[tokio::test]
async fn a_group_is_there_until_nothing_names_it() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let (used, user) = (cloud.group(&vpc, "used", "a").await, cloud.group(&vpc, "user", "a").await);
    let delete = async |group: &str| code(cloud.client.delete_security_group().group_id(group).send().await);
    let to = |group: &str| {
        let pair = UserIdGroupPair::builder().group_id(group).build();
        IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build()
    };
    for (of, group) in [(&user, &used), (&used, &used)] {
        let authorize = cloud.client.authorize_security_group_egress().group_id(of).ip_permissions(to(group));
        assert_eq!(code(authorize.send().await), "OK");
    }
    assert_eq!(delete(&used).await, "DependencyViolation");
    let revoke = cloud.client.revoke_security_group_egress().group_id(&user).ip_permissions(to(&used));
    assert_eq!(code(revoke.send().await), "OK");
    let interface = cloud.interface(&subnet, &[&used], false, "a").await;
    assert_eq!(delete(&used).await, "DependencyViolation");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    cloud.ec2.delete_task_interface(&interface.id).await;
    // Its own rule is not in the way.
    assert_eq!(delete(&used).await, "OK");
    assert_eq!(delete(&used).await, "InvalidGroup.NotFound");
}

/// Ports from one range of IPv6 addresses.
fn from_ipv6(protocol: &str, [from, to]: [i32; 2], cidr: &str) -> IpPermission {
    let range = Ipv6Range::builder().cidr_ipv6(cidr).description("those").build();
    let ports = IpPermission::builder().ip_protocol(protocol).from_port(from).to_port(to);
    ports.ipv6_ranges(range).build()
}

/// Everything from a group.
fn from_group(group: &str) -> IpPermission {
    let pair = UserIdGroupPair::builder().group_id(group).description("them").build();
    IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build()
}

#[tokio::test]
async fn rules_say_what_comes_in_from_addresses_of_both_versions_and_from_groups() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let (id, other) = (cloud.group(&vpc, "task", "a").await, cloud.group(&vpc, "other", "a").await);
    let authorize = |rules: &[IpPermission]| {
        let authorize = cloud.client.authorize_security_group_ingress().group_id(&id);
        authorize.set_ip_permissions(Some(rules.to_vec()))
    };
    let rules = [tcp(80, "192.0.2.0/24"), from_ipv6("udp", [53, 54], "2001:db8::1/32"), from_group(&other)];
    let answer = authorize(&rules).tag_specifications(tags("security-group-rule", "a")).send().await;
    let answer = answer.expect("rules");
    let [v4, v6, group] = answer.security_group_rules() else { panic!("three rules, not {answer:?}") };
    assert_eq!((v4.is_egress(), v4.cidr_ipv4(), v4.tags().len()), (Some(false), Some("192.0.2.0/24"), 2));
    assert_eq!(
        (v6.ip_protocol(), v6.from_port(), v6.to_port(), v6.cidr_ipv6(), v6.description()),
        (Some("udp"), Some(53), Some(54), Some("2001:db8::/32"), Some("those"))
    );
    let named = group.referenced_group_info().and_then(|named| named.group_id());
    assert_eq!((named, group.from_port()), (Some(other.as_str()), Some(-1)));

    for (rule, expected) in [
        (tcp(80, "192.0.2.0/24"), "InvalidPermission.Duplicate"),
        (from_ipv6("udp", [53, 54], "2001:db8::/32"), "InvalidPermission.Duplicate"),
        (from_ipv6("udp", [53, 54], "192.0.2.0/24"), "InvalidParameterValue"),
        (tcp(80, "2001:db8::/32"), "InvalidParameterValue"),
        (from_ipv6("udp", [54, 53], "2001:db8::/32"), "InvalidParameterValue"),
        (from_group("sg-9"), "InvalidGroup.NotFound"),
        (from_group(&id), "OK"),
    ] {
        assert_eq!(code(authorize(std::slice::from_ref(&rule)).send().await), expected, "{rule:?}");
    }
    let seen = group_of(&cloud, &id).await;
    let [http, dns, groups] = seen.ip_permissions() else { panic!("three, not {seen:?}") };
    assert_eq!(http.ip_ranges()[0].cidr_ip(), Some("192.0.2.0/24"));
    assert_eq!(
        (dns.ipv6_ranges()[0].cidr_ipv6(), dns.ipv6_ranges()[0].description()),
        (Some("2001:db8::/32"), Some("those"))
    );
    let named: Vec<_> = groups.user_id_group_pairs().iter().map(|pair| pair.group_id()).collect();
    assert_eq!(named, [Some(other.as_str()), Some(id.as_str())]);
    assert_eq!(seen.ip_permissions_egress().len(), 1);

    let delete = async |group: &str| code(cloud.client.delete_security_group().group_id(group).send().await);
    assert_eq!(delete(&other).await, "DependencyViolation");
    assert_eq!(delete(&id).await, "OK");
    assert_eq!(delete(&other).await, "OK");
}

#[tokio::test]
async fn a_group_has_so_many_rules_of_each_version() {
    let quotas = Quotas { rules_per_group: 2, ..Quotas::default() };
    let cloud = Cloud::start_with(0.001, quotas).await;
    let vpc = cloud.vpc("a").await;
    let (id, other) = (cloud.group(&vpc, "task", "a").await, cloud.group(&vpc, "other", "a").await);
    for (rule, expected) in [
        (tcp(1, "192.0.2.0/24"), "OK"),
        (tcp(2, "192.0.2.0/24"), "OK"),
        (tcp(3, "192.0.2.0/24"), "RulesPerSecurityGroupLimitExceeded"),
        (from_ipv6("tcp", [1, 1], "2001:db8::/32"), "OK"),
        (from_group(&other), "RulesPerSecurityGroupLimitExceeded"),
        (from_ipv6("tcp", [2, 2], "2001:db8::/32"), "OK"),
        (from_ipv6("tcp", [3, 3], "2001:db8::/32"), "RulesPerSecurityGroupLimitExceeded"),
    ] {
        let authorize = cloud.client.authorize_security_group_ingress().group_id(&id).ip_permissions(rule);
        assert_eq!(code(authorize.send().await), expected);
    }
}
