//! IPv6: blocks of VPCs and subnets, egress-only internet gateways, and tasks that have nothing else.

use std::net::Ipv6Addr;

use aws_sdk_ec2::types::{AttributeBooleanValue, IpPermission, Ipv6Range, Route, Subnet, Vpc};
use local_ec2::{Quotas, Server};

use crate::cloud::{Cloud, ZONE, code, eventually, filter, tags};

/// A new VPC of the job with a block that is still associating.
async fn new_vpc(cloud: &Cloud, job: &str) -> Vpc {
    let create = cloud.client.create_vpc().cidr_block("10.1.0.0/16").amazon_provided_ipv6_cidr_block(true);
    let create = create.tag_specifications(tags("vpc", job));
    create.send().await.expect("a VPC").vpc.expect("the VPC")
}

/// One whose block is associated, and the beginning of the block, before `00::/56`.
async fn associated(cloud: &Cloud, job: &str) -> (String, String) {
    let vpc = new_vpc(cloud, job).await.vpc_id.expect("its id");
    let block = async || block(cloud, &vpc).await;
    eventually("the association", async || block().await.1 == "associated").await;
    let block = block().await.0;
    let start = block.strip_suffix("00::/56").expect("a /56").to_owned();
    (vpc, start)
}

/// The VPC's block, and its state.
async fn block(cloud: &Cloud, vpc: &str) -> (String, String) {
    let answer = cloud.client.describe_vpcs().vpc_ids(vpc).send().await.expect("the VPC");
    let [association] = answer.vpcs()[0].ipv6_cidr_block_association_set() else { panic!("one: {answer:?}") };
    let state = association.ipv6_cidr_block_state().and_then(|state| state.state()).expect("a state");
    (association.ipv6_cidr_block().unwrap_or_default().to_owned(), state.as_str().to_owned())
}

async fn create_subnet(cloud: &Cloud, vpc: &str, block: &str) -> Result<Subnet, String> {
    let create = cloud.client.create_subnet().vpc_id(vpc).availability_zone(ZONE);
    let result = create.ipv6_native(true).ipv6_cidr_block(block).send().await;
    match result {
        Ok(made) => Ok(made.subnet.expect("the subnet")),
        Err(error) => Err(code::<(), _>(Err(error))),
    }
}

fn yes() -> AttributeBooleanValue {
    AttributeBooleanValue::builder().value(true).build()
}

async fn gateway(cloud: &Cloud, vpc: &str) -> String {
    let create = cloud.client.create_egress_only_internet_gateway().vpc_id(vpc);
    let made = create.send().await.expect("a gateway").egress_only_internet_gateway.expect("the gateway");
    made.egress_only_internet_gateway_id.expect("its id")
}

#[tokio::test]
async fn a_vpcs_block_is_known_when_it_is_associated() {
    let cloud = Cloud::start_with(0.01, Quotas::default()).await;
    let vpc = new_vpc(&cloud, "a").await;
    let [new] = vpc.ipv6_cidr_block_association_set() else { panic!("one association, not {vpc:?}") };
    assert_eq!((new.ipv6_cidr_block(), new.ipv6_pool()), (Some(""), Some("Amazon")));
    let id = vpc.vpc_id().expect("its id");
    assert_eq!(block(&cloud, id).await, (String::new(), "associating".to_owned()));
    // Nobody can guess it.
    assert_eq!(create_subnet(&cloud, id, "2001:db8::/64").await, Err("InvalidSubnet.Range".into()));
    eventually("the association", async || block(&cloud, id).await.1 == "associated").await;
    assert!(block(&cloud, id).await.0.ends_with("00::/56"));
    assert_ne!(block(&cloud, id).await.0, block(&cloud, &associated(&cloud, "b").await.0).await.0);
    let without = cloud.vpc("c").await;
    let without = cloud.client.describe_vpcs().vpc_ids(without).send().await.expect("the VPC");
    assert!(without.vpcs()[0].ipv6_cidr_block_association_set().is_empty());
}

#[tokio::test]
async fn a_subnet_of_ipv6_alone_has_a_part_of_the_vpcs_block() {
    let cloud = Cloud::start().await;
    let (vpc, start) = associated(&cloud, "a").await;
    let made = create_subnet(&cloud, &vpc, &format!("{start}01::/64")).await.expect("a subnet");
    assert_eq!((made.cidr_block(), made.ipv6_native()), (None, Some(true)));
    assert_eq!(
        (made.available_ip_address_count(), made.assign_ipv6_address_on_creation()),
        (Some(0), Some(true))
    );
    let id = made.subnet_id().expect("its id");
    let is_associated = async || {
        let answer = cloud.client.describe_subnets().subnet_ids(id).send().await.expect("the subnet");
        let association = &answer.subnets()[0].ipv6_cidr_block_association_set()[0];
        assert_eq!(association.ipv6_cidr_block(), Some(format!("{start}01::/64").as_str()));
        let state = association.ipv6_cidr_block_state().and_then(|state| state.state());
        state.is_some_and(|state| state.as_str() == "associated")
    };
    eventually("the association", is_associated).await;
    for (block, expected) in [
        (format!("{start}01::/64"), "InvalidSubnet.Conflict"),
        (format!("{start}00::/60"), "InvalidSubnet.Conflict"),
        ("2001:db9::/64".to_owned(), "InvalidSubnet.Range"),
        (format!("{start}02::/65"), "InvalidSubnet.Range"),
        ("10.1.0.0/24".to_owned(), "InvalidParameterValue"),
    ] {
        assert_eq!(create_subnet(&cloud, &vpc, &block).await.err().as_deref(), Some(expected), "{block}");
    }
    let native = || cloud.client.create_subnet().vpc_id(&vpc).availability_zone(ZONE).ipv6_native(true);
    assert_eq!(code(native().send().await), "MissingParameter");
    let both = native().cidr_block("10.1.0.0/24").ipv6_cidr_block(format!("{start}02::/64"));
    assert_eq!(code(both.send().await), "InvalidParameterCombination");

    let modify = |subnet: &str| cloud.client.modify_subnet_attribute().subnet_id(subnet);
    assert_eq!(code(modify(id).assign_ipv6_address_on_creation(yes()).send().await), "OK");
    assert_eq!(code(modify(id).send().await), "InvalidParameterCombination");
    let v4 = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let refused = modify(&v4).assign_ipv6_address_on_creation(yes()).send().await;
    assert_eq!(code(refused), "InvalidParameterValue");
}

#[tokio::test]
async fn a_new_group_lets_ipv6_out_where_the_vpc_has_it() {
    let cloud = Cloud::start().await;
    let vpc = new_vpc(&cloud, "a").await.vpc_id.expect("its id");
    cloud.group(&vpc, "task", "a").await;
    let groups = cloud.client.describe_security_groups().filters(filter("vpc-id", &vpc)).send().await;
    let groups = groups.expect("groups").security_groups.expect("groups");
    assert_eq!(groups.len(), 2);
    for group in groups {
        let [egress] = group.ip_permissions_egress() else { panic!("one permission, not {group:?}") };
        let range = egress.ipv6_ranges()[0].cidr_ipv6();
        assert_eq!((egress.ip_ranges()[0].cidr_ip(), range), (Some("0.0.0.0/0"), Some("::/0")));
    }
}

#[tokio::test]
async fn an_egress_only_gateway_is_its_vpcs_from_the_beginning_to_the_end() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let create = |vpc: &str| {
        let create = cloud.client.create_egress_only_internet_gateway().vpc_id(vpc);
        create.tag_specifications(tags("egress-only-internet-gateway", "a")).client_token("once")
    };
    let made = create(&vpc).send().await.expect("a gateway");
    assert_eq!(made.client_token(), Some("once"));
    let gateway = made.egress_only_internet_gateway.expect("the gateway");
    let attachment = &gateway.attachments()[0];
    let state = attachment.state().map(|state| state.as_str());
    assert_eq!((attachment.vpc_id(), state), (Some(vpc.as_str()), Some("attached")));
    let id = gateway.egress_only_internet_gateway_id().expect("its id");
    let again = create(&vpc).send().await.expect("the same").egress_only_internet_gateway.expect("it");
    assert_eq!(again.egress_only_internet_gateway_id(), Some(id));
    for (vpc, expected) in
        [(cloud.vpc("b").await, "IdempotentParameterMismatch"), ("vpc-9".to_owned(), "InvalidVpcID.NotFound")]
    {
        assert_eq!(code(create(&vpc).send().await), expected);
    }
    let second = cloud.client.create_egress_only_internet_gateway().vpc_id(&vpc);
    assert_eq!(code(second.send().await), "InvalidParameterValue");

    let describe = || cloud.client.describe_egress_only_internet_gateways();
    let found = describe().filters(filter("tag:mayfly:job", "a")).send().await.expect("an answer");
    assert_eq!(found.egress_only_internet_gateways()[0].egress_only_internet_gateway_id(), Some(id));
    // Unlike the other gateways it is found by its tags alone.
    let by_vpc = describe().filters(filter("attachment.vpc-id", &vpc)).send().await;
    assert_eq!(code(by_vpc), "InvalidParameterValue");

    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    let delete = || cloud.client.delete_egress_only_internet_gateway().egress_only_internet_gateway_id(id);
    assert_eq!(delete().send().await.expect("an answer").return_code(), Some(true));
    assert_eq!(code(delete().send().await), "InvalidGatewayID.NotFound");
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "OK");
}

#[tokio::test]
async fn egress_only_gateways_have_a_quota() {
    let quotas = Quotas { egress_only_gateways: 1, ..Quotas::default() };
    let cloud = Cloud::start_with(0.001, quotas).await;
    gateway(&cloud, &cloud.vpc("a").await).await;
    let create = cloud.client.create_egress_only_internet_gateway().vpc_id(cloud.vpc("b").await);
    assert_eq!(code(create.send().await), "EgressOnlyInternetGatewayLimitExceeded");
}

#[tokio::test]
async fn a_route_of_ipv6_leads_out_by_an_egress_only_gateway_of_the_vpc() {
    let cloud = Cloud::start().await;
    let (vpc, start) = associated(&cloud, "a").await;
    let (gateway_id, table) = (gateway(&cloud, &vpc).await, cloud.route_table(&vpc, "a").await);
    let elsewhere = gateway(&cloud, &cloud.vpc("b").await).await;
    let v6 = |destination: &str, gateway: &str| {
        let create = cloud.client.create_route().route_table_id(&table);
        create.destination_ipv6_cidr_block(destination).egress_only_internet_gateway_id(gateway)
    };
    for (destination, gateway, expected) in [
        ("::/0", elsewhere.as_str(), "InvalidParameterValue"),
        ("::/0", "eigw-9", "InvalidGatewayID.NotFound"),
        ("anywhere", &gateway_id, "InvalidParameterValue"),
        ("::/0", &gateway_id, "OK"),
        ("::/0", &gateway_id, "RouteAlreadyExists"),
    ] {
        assert_eq!(code(v6(destination, gateway).send().await), expected, "{destination} {gateway}");
    }
    let v4 = cloud.client.create_route().route_table_id(&table).destination_cidr_block("0.0.0.0/0");
    let v4 = v4.egress_only_internet_gateway_id(&gateway_id).send().await;
    assert_eq!(code(v4), "InvalidParameterValue");
    let both = v6("::/0", &gateway_id).destination_cidr_block("0.0.0.0/0").send().await;
    assert_eq!(code(both), "InvalidParameterCombination");

    let routes = async || {
        let answer = cloud.client.describe_route_tables().route_table_ids(&table).send().await;
        answer.expect("the table").route_tables()[0].routes().to_vec()
    };
    let words = |route: &Route| {
        let target = route.egress_only_internet_gateway_id().or(route.gateway_id());
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let state = route.state().map(|state| state.as_str());
        [text(route.destination_ipv6_cidr_block()), text(target), text(state)]
    };
    let seen: Vec<_> = routes().await.iter().map(words).collect();
    assert_eq!(seen[1], [format!("{start}00::/56"), "local".into(), "active".into()]);
    assert_eq!(seen[2], ["::/0".to_owned(), gateway_id.clone(), "active".into()]);
    let delete = cloud.client.delete_egress_only_internet_gateway();
    delete.egress_only_internet_gateway_id(&gateway_id).send().await.expect("deleted");
    assert_eq!(words(&routes().await[2])[2], "blackhole");
}

#[tokio::test]
async fn a_task_with_ipv6_alone_reaches_those_who_have_it_too() {
    let cloud = Cloud::start().await;
    let (vpc, start) = associated(&cloud, "a").await;
    let subnet = create_subnet(&cloud, &vpc, &format!("{start}00::/64")).await.expect("a subnet");
    let subnet = subnet.subnet_id.expect("its id");
    let group = cloud.group(&vpc, "task", "a").await;
    let task = cloud.interface(&subnet, &[&group], false, "a").await;
    assert_eq!((&task.private_ip, &task.public_ip), (&None, &None));
    let address: Ipv6Addr = task.ipv6.as_deref().expect("an address").parse().expect("of IPv6");
    assert!(address.to_string().starts_with(start.trim_end_matches(':')), "{address}");
    let seen = cloud.client.describe_network_interfaces().network_interface_ids(&task.id).send().await;
    let seen = seen.expect("the interface").network_interfaces.expect("interfaces").remove(0);
    assert_eq!((seen.private_ip_address(), seen.private_ip_addresses().len()), (None, 0));
    assert_eq!(seen.ipv6_addresses()[0].ipv6_address(), task.ipv6.as_deref());

    let dual = Server::Aws { service: "logs", dual_stack: true };
    let servers = [
        dual,
        Server::Aws { service: "logs", dual_stack: false },
        Server::Internet { ipv6: true },
        Server::Internet { ipv6: false },
    ];
    let reaches = async |server| cloud.ec2.reaches(&task.id, server).await.expect("an answer");
    for server in servers {
        assert!(!reaches(server).await, "{server:?} without a route");
    }
    let main = cloud.client.describe_route_tables().filters(filter("vpc-id", &vpc)).send().await;
    let main = main.expect("tables").route_tables()[0].route_table_id().expect("its id").to_owned();
    let gateway_id = gateway(&cloud, &vpc).await;
    let create = cloud.client.create_route().route_table_id(&main).destination_ipv6_cidr_block("::/0");
    create.egress_only_internet_gateway_id(&gateway_id).send().await.expect("a route");
    for (server, expected) in servers.into_iter().zip([true, false, true, false]) {
        assert_eq!(reaches(server).await, expected, "{server:?}");
    }
    let egress = cloud.client.describe_security_groups().group_ids(&group).send().await.expect("the group");
    let rules = egress.security_groups()[0].ip_permissions_egress().to_vec();
    let revoke = cloud.client.revoke_security_group_egress().group_id(&group).set_ip_permissions(Some(rules));
    revoke.send().await.expect("revoked");
    assert!(!reaches(dual).await, "the group lets nothing out");

    let admits =
        async || cloud.ec2.admits(&task.id, "2001:db8:1::1".parse().expect("one"), &[], "tcp", 80).await;
    assert_eq!(admits().await, Ok(false));
    let range = Ipv6Range::builder().cidr_ipv6("2001:db8:1::/48").build();
    let rule =
        IpPermission::builder().ip_protocol("tcp").from_port(80).to_port(81).ipv6_ranges(range).build();
    let authorize = cloud.client.authorize_security_group_ingress().group_id(&group).ip_permissions(rule);
    authorize.send().await.expect("authorized");
    assert_eq!(admits().await, Ok(true));
    let public = cloud.ec2.create_task_interface(&subnet, &[], true, &[].into(), "").await;
    assert_eq!(public.expect_err("no IPv4").code, "InvalidParameterCombination");
}
