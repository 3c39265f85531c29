//! Who may do what: each action on each of its resources, by their tags, and the tagging itself.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, IpPermission, IpRange, ResourceType, Tag, TagSpecification, VpcEndpointType,
};

use crate::cloud::{Cloud, ZONE, code, refusal, tags};

/// The tags of another stack for a new resource.
fn foreign(resource_type: &str) -> TagSpecification {
    let tag = Tag::builder().key("mayfly:stack").value("other").build();
    TagSpecification::builder().resource_type(ResourceType::from(resource_type)).tags(tag).build()
}

async fn create_vpc(client: &Client, tags: Option<TagSpecification>) -> String {
    let create = client.create_vpc().cidr_block("10.1.0.0/16");
    code(create.set_tag_specifications(tags.map(|tags| vec![tags])).send().await)
}

#[tokio::test]
async fn what_is_created_needs_the_right_tags_and_the_right_to_set_them() {
    let cloud = Cloud::start().await;
    let role = cloud.as_role("OfStack").await;
    assert_eq!(create_vpc(&role, Some(tags("vpc", "a"))).await, "OK");
    assert_eq!(create_vpc(&role, Some(foreign("vpc"))).await, "UnauthorizedOperation");
    assert_eq!(create_vpc(&role, None).await, "UnauthorizedOperation");
    let tagger = cloud.as_role("WrongTagger").await;
    let error = tagger.create_vpc().cidr_block("10.1.0.0/16").tag_specifications(tags("vpc", "a"));
    let (code, status, message) = refusal(&error.send().await.expect_err("it may not tag"));
    assert_eq!((code.as_str(), status), ("UnauthorizedOperation", 403));
    assert!(
        message.contains("ec2:CreateTags on resource: arn:aws:ec2:eu-west-1:111122223333:vpc/*"),
        "{message}"
    );
}

#[tokio::test]
async fn a_call_needs_the_right_on_every_resource_that_it_names() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let subnet = async |client: &Client, vpc: &str, cidr: &str, tags| {
        let create = client.create_subnet().vpc_id(vpc).cidr_block(cidr).availability_zone(ZONE);
        code(create.tag_specifications(tags).send().await)
    };
    let role = cloud.as_role("OfStack").await;
    assert_eq!(subnet(&role, &vpc, "10.1.0.0/24", tags("subnet", "a")).await, "OK");
    assert_eq!(subnet(&role, &vpc, "10.1.1.0/24", foreign("subnet")).await, "UnauthorizedOperation");
    let other = cloud.as_role("NoVpc").await;
    assert_eq!(subnet(&other, &vpc, "10.1.2.0/24", tags("subnet", "a")).await, "UnauthorizedOperation");

    let (ours, theirs) = (cloud.gateway(None, "a").await, cloud.client.create_internet_gateway());
    let theirs = theirs.tag_specifications(foreign("internet-gateway")).send().await.expect("a gateway");
    let theirs = theirs.internet_gateway.and_then(|gateway| gateway.internet_gateway_id).expect("its id");
    let attach = |gateway: &str| role.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(&vpc);
    assert_eq!(code(attach(&theirs).send().await), "UnauthorizedOperation");
    assert_eq!(code(attach(&ours).send().await), "OK");

    let group = cloud.group(&vpc, "task", "a").await;
    for (port, rule_tags, expected) in [
        (80, Some(foreign("security-group-rule")), "UnauthorizedOperation"),
        (80, Some(tags("security-group-rule", "a")), "OK"),
        // The rule itself counts only when it has tags.
        (443, None, "OK"),
    ] {
        let rule = IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port);
        let rule = rule.ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build();
        let authorize = role.authorize_security_group_egress().group_id(&group).ip_permissions(rule);
        let authorize = authorize.set_tag_specifications(rule_tags.map(|tags| vec![tags]));
        assert_eq!(code(authorize.send().await), expected);
    }
}

#[tokio::test]
async fn a_role_deletes_only_what_has_its_stacks_tag() {
    let cloud = Cloud::start().await;
    let role = cloud.as_role("OfStack").await;
    let ours = cloud.vpc("a").await;
    let theirs = cloud.client.create_vpc().cidr_block("10.1.0.0/16").tag_specifications(foreign("vpc"));
    let theirs = theirs.send().await.expect("a VPC").vpc.and_then(|vpc| vpc.vpc_id).expect("its id");
    for (vpc, dry_run, expected) in [
        (&theirs, true, "UnauthorizedOperation"),
        (&theirs, false, "UnauthorizedOperation"),
        (&ours, true, "DryRunOperation"),
        (&ours, false, "OK"),
        (&ours, false, "InvalidVpcID.NotFound"),
    ] {
        assert_eq!(code(role.delete_vpc().vpc_id(vpc).dry_run(dry_run).send().await), expected, "{vpc}");
    }
}

#[tokio::test]
async fn a_right_can_be_bound_to_the_resources_of_a_vpc() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let group = cloud.group(&vpc, "task", "a").await;
    for (role, expected) in [("OtherVpc", "UnauthorizedOperation"), ("AnyVpc", "OK")] {
        let role = cloud.as_role(role).await;
        assert_eq!(code(role.delete_security_group().group_id(&group).send().await), expected);
    }
}

#[tokio::test]
async fn endpoints_that_do_not_exist_need_the_right_too() {
    let cloud = Cloud::start().await;
    let unknown = "vpce-0123456789abcdef0";
    // It may delete what has its stack's tag, and they have none.
    let role = cloud.as_role("OfStack").await;
    let refused = role.delete_vpc_endpoints().vpc_endpoint_ids(unknown).send().await.expect_err("no right");
    let (code, _, message) = refusal(&refused);
    assert_eq!(code, "UnauthorizedOperation");
    assert!(message.contains(&format!("vpc-endpoint/{unknown}")), "{message}");
}

#[tokio::test]
async fn an_endpoint_needs_the_right_on_all_that_it_is_in_and_one_of_route_53() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let yes = AttributeBooleanValue::builder().value(true).build();
    let modify = async |client: &Client| {
        code(client.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(yes.clone()).send().await)
    };
    let (subnet, group) =
        (cloud.subnet(&vpc, "10.1.0.0/24", "a").await, cloud.group(&vpc, "group", "a").await);
    let [nameless, endpoints, no_group] =
        [cloud.as_role("Nameless").await, cloud.as_role("Endpoints").await, cloud.as_role("NoGroup").await];
    assert_eq!(modify(&no_group).await, "UnauthorizedOperation");
    assert_eq!(modify(&endpoints).await, "OK");
    let create = async |client: &Client, private_dns: bool| {
        let create = client.create_vpc_endpoint().vpc_id(&vpc).vpc_endpoint_type(VpcEndpointType::Interface);
        let create = create.service_name("com.amazonaws.eu-west-1.logs").private_dns_enabled(private_dns);
        let create = create.subnet_ids(&subnet).security_group_ids(&group);
        create.tag_specifications(tags("vpc-endpoint", "a")).send().await.map_err(|error| refusal(&error).2)
    };
    let error = create(&no_group, false).await.expect_err("no right to the group");
    assert!(error.contains(&format!("security-group/{group}")), "{error}");
    let error = create(&nameless, true).await.expect_err("no right to the zone");
    assert!(error.contains("route53:AssociateVPCWithHostedZone"), "{error}");
    assert!(create(&nameless, false).await.is_ok());
    assert!(create(&endpoints, true).await.is_ok());
}
