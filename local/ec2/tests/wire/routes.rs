//! Route tables, routes, endpoints, and who reaches the internet by them.

use aws_sdk_ec2::types::{IpPermission, IpRange, NatGatewayState, Route, RouteTable};
use local_ec2::{Fault, Quotas, Server};

use crate::cloud::{Cloud, REGION, code, eventually, filter, refusal, tags};
use crate::ministack::{GATEWAY, GROUP, SUBNET};

async fn new_table(cloud: &Cloud, vpc: &str, job: &str) -> String {
    let create = cloud.client.create_route_table().vpc_id(vpc).tag_specifications(tags("route-table", job));
    let table = create.send().await.expect("a table").route_table.expect("the table");
    table.route_table_id.expect("its id")
}

const INTERNET: Server<'static> = Server::Internet { ipv6: false };

async fn table(cloud: &Cloud, id: &str) -> RouteTable {
    let answer = cloud.client.describe_route_tables().route_table_ids(id).send().await;
    answer.expect("an answer").route_tables.expect("the table").remove(0)
}

async fn associate(cloud: &Cloud, table: &str, subnet: &str) -> String {
    let associate = cloud.client.associate_route_table().route_table_id(table).subnet_id(subnet);
    associate.send().await.expect("associated").association_id.expect("its id")
}

async fn route(cloud: &Cloud, table: &str, gateway: &str) -> String {
    let create = cloud.client.create_route().route_table_id(table).destination_cidr_block("0.0.0.0/0");
    code(create.gateway_id(gateway).send().await)
}

/// Destination, target, origin and state.
fn words(route: &Route) -> [String; 4] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        text(route.destination_cidr_block().or(route.destination_prefix_list_id())),
        text(route.gateway_id().or(route.nat_gateway_id())),
        text(route.origin().map(|origin| origin.as_str())),
        text(route.state().map(|state| state.as_str())),
    ]
}

#[tokio::test]
async fn a_table_shows_its_routes_and_whether_they_lead_anywhere() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let (gateway, detached) = (cloud.gateway(Some(&vpc), "a").await, cloud.gateway(None, "a").await);
    let id = new_table(&cloud, &vpc, "a").await;
    let unknown = "igw-0123456789abcdef0";
    for (target, expected) in [
        (detached.as_str(), "InvalidParameterValue"),
        (unknown, "InvalidGatewayID.NotFound"),
        (&gateway, "OK"),
        (&gateway, "RouteAlreadyExists"),
    ] {
        assert_eq!(route(&cloud, &id, target).await, expected, "{target}");
    }
    let refused = cloud.client.create_route().route_table_id(&id).destination_cidr_block("192.0.2.0/24");
    assert_eq!(code(refused.send().await), "InvalidParameterCombination");
    let refused = cloud.client.create_route().route_table_id(&id).destination_cidr_block("192.0.2.0/24");
    let (_, _, message) = refusal(&refused.gateway_id(&detached).send().await.expect_err("detached"));
    assert_eq!(
        message,
        format!("route table {id} and network gateway {detached} belong to different networks")
    );

    let routes = table(&cloud, &id).await.routes().iter().map(words).collect::<Vec<_>>();
    assert_eq!(
        routes,
        [
            ["10.1.0.0/16", "local", "CreateRouteTable", "active"],
            ["0.0.0.0/0", &gateway, "CreateRoute", "active"]
        ]
    );
    let detach = cloud.client.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc);
    detach.send().await.expect("detached");
    assert_eq!(words(&table(&cloud, &id).await.routes()[1])[3], "blackhole");
}

#[tokio::test]
async fn a_subnet_has_one_table_of_its_own() {
    let cloud = Cloud::start().await;
    let (vpc, elsewhere) = (cloud.vpc("a").await, cloud.vpc("b").await);
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let (first, second) = (new_table(&cloud, &vpc, "a").await, new_table(&cloud, &vpc, "a").await);
    let association = associate(&cloud, &first, &subnet).await;
    let foreign = cloud.subnet(&elsewhere, "10.1.0.0/24", "b").await;
    for (table, subnet, expected) in [
        (&second, &subnet, "Resource.AlreadyAssociated"),
        (&second, &foreign, "InvalidParameterValue"),
        (&second, &"subnet-9".to_owned(), "InvalidSubnetId.NotFound"),
        (&"rtb-9".to_owned(), &subnet, "InvalidRouteTableId.NotFound"),
    ] {
        let again = cloud.client.associate_route_table().route_table_id(table).subnet_id(subnet);
        assert_eq!(code(again.send().await), expected, "{table} {subnet}");
    }
    let of_subnet = cloud.client.describe_route_tables().filters(filter("association.subnet-id", &subnet));
    let tables = of_subnet.send().await.expect("an answer").route_tables.unwrap_or_default();
    assert_eq!((tables.len(), tables[0].route_table_id()), (1, Some(first.as_str())));
    assert_eq!(tables[0].associations()[0].main(), Some(false));

    let end = cloud.client.disassociate_route_table().association_id(&association);
    end.send().await.expect("disassociated");
    associate(&cloud, &second, &subnet).await;
}

#[tokio::test]
async fn the_tables_of_the_stack_are_those_of_ministack() {
    let cloud = Cloud::start().await;
    let tables = cloud.client.describe_route_tables().filters(filter("vpc-id", "vpc-1")).send().await;
    let tables = tables.expect("an answer").route_tables.unwrap_or_default();
    let ids: Vec<_> = tables.iter().filter_map(RouteTable::route_table_id).collect();
    assert_eq!(ids, ["rtb-1", "rtb-main"]);
    assert_eq!(words(&tables[0].routes()[1]), ["0.0.0.0/0", GATEWAY, "CreateRoute", "active"]);
    assert_eq!(route(&cloud, "rtb-1", GATEWAY).await, "UnsupportedOperation");
}

#[tokio::test]
async fn a_gateway_endpoint_puts_a_route_in_its_tables_and_takes_it_away() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    let id = new_table(&cloud, &vpc, "a").await;
    let service = format!("com.amazonaws.{REGION}.s3");
    let create =
        || cloud.client.create_vpc_endpoint().vpc_id(&vpc).service_name(&service).route_table_ids(&id);
    let made = create().tag_specifications(tags("vpc-endpoint", "a")).send().await.expect("an endpoint");
    let endpoint = made.vpc_endpoint.expect("the endpoint").vpc_endpoint_id.expect("its id");
    let available = async || {
        let list = cloud.client.describe_vpc_endpoints().filters(filter("vpc-endpoint-id", &endpoint));
        let found = list.filters(filter("vpc-endpoint-state", "available")).send();
        found.await.expect("an answer").vpc_endpoints().len() == 1
    };
    eventually("the endpoint's being available", available).await;
    let routes = table(&cloud, &id).await.routes().to_vec();
    let [_, to_s3] = &routes[..] else { panic!("two, not {routes:?}") };
    let [destination, target, origin, state] = words(to_s3);
    assert!(destination.starts_with("pl-"), "{destination}");
    assert_eq!([target, origin, state], [endpoint.as_str(), "CreateRoute", "active"]);
    assert_eq!(code(create().send().await), "RouteAlreadyExists");

    let delete = cloud.client.delete_vpc_endpoints().vpc_endpoint_ids(&endpoint).send().await;
    assert!(delete.expect("an answer").unsuccessful().is_empty());
    assert_eq!(table(&cloud, &id).await.routes().len(), 1);
    assert!(!available().await);
}

#[tokio::test]
async fn an_endpoint_that_the_local_cloud_does_not_know_is_refused_by_name() {
    let cloud = Cloud::start().await;
    let vpc = cloud.vpc("a").await;
    for (kind, service) in [("Interface", "s3"), ("Gateway", "dynamodb")] {
        let service = format!("com.amazonaws.{REGION}.{service}");
        let create = cloud.client.create_vpc_endpoint().vpc_id(&vpc).service_name(&service);
        let refused = create.vpc_endpoint_type(kind.into()).send().await.expect_err("unknown");
        let (code, _, message) = refusal(&refused);
        assert_eq!(code, "UnsupportedOperation");
        assert!(message.contains(kind) && message.contains(&service), "{message}");
    }
}

#[tokio::test]
async fn tables_routes_and_endpoints_have_quotas() {
    let quotas =
        Quotas { route_tables_per_vpc: 3, routes_per_table: 2, gateway_endpoints: 1, ..Quotas::default() };
    let cloud = Cloud::start_with(0.001, quotas).await;
    let vpc = cloud.vpc("a").await;
    let gateway = cloud.gateway(Some(&vpc), "a").await;
    // The main table counts, and the local route does not.
    let (id, _) = (new_table(&cloud, &vpc, "a").await, new_table(&cloud, &vpc, "a").await);
    assert_eq!(code(cloud.client.create_route_table().vpc_id(&vpc).send().await), "RouteTableLimitExceeded");
    for (cidr, expected) in
        [("192.0.2.0/24", "OK"), ("0.0.0.0/0", "OK"), ("203.0.113.0/24", "RouteLimitExceeded")]
    {
        let create = cloud.client.create_route().route_table_id(&id).destination_cidr_block(cidr);
        assert_eq!(code(create.gateway_id(&gateway).send().await), expected);
    }
    let service = format!("com.amazonaws.{REGION}.s3");
    for expected in ["OK", "VpcEndpointLimitExceeded"] {
        let create = cloud.client.create_vpc_endpoint().vpc_id(&vpc).service_name(&service);
        assert_eq!(code(create.send().await), expected);
    }
}

#[tokio::test]
async fn a_task_of_the_stack_reaches_the_internet_with_a_public_address() {
    let cloud = Cloud::start().await;
    for (public, expected) in [(true, true), (false, false)] {
        let interface = cloud.interface(SUBNET, &[GROUP], public, "a").await;
        assert_eq!(cloud.ec2.reaches(&interface.id, INTERNET).await, Ok(expected), "public: {public}");
    }
    let unknown = cloud.ec2.reaches("eni-9", INTERNET).await.expect_err("unknown");
    assert_eq!(unknown.code, "InvalidNetworkInterfaceID.NotFound");
}

#[tokio::test]
async fn a_task_of_a_private_network_reaches_the_internet_once_every_hop_is_there() {
    let cloud = Cloud::start_with(0.005, Quotas::default()).await;
    let client = &cloud.client;
    let vpc = cloud.vpc("a").await;
    let gateway = cloud.gateway(Some(&vpc), "a").await;
    let (public, private) =
        (cloud.subnet(&vpc, "10.1.0.0/24", "a").await, cloud.subnet(&vpc, "10.1.1.0/24", "a").await);
    let (public_table, private_table) =
        (new_table(&cloud, &vpc, "a").await, new_table(&cloud, &vpc, "a").await);
    associate(&cloud, &private_table, &private).await;
    let group = cloud.group(&vpc, "task", "a").await;
    let task = cloud.interface(&private, &[&group], false, "a").await;
    let reaches = async || cloud.ec2.reaches(&task.id, INTERNET).await.expect("an answer");

    let address = client.allocate_address().domain("vpc".into()).send().await.expect("an address");
    let create = client.create_nat_gateway().subnet_id(&public).set_allocation_id(address.allocation_id);
    let nat = create.send().await.expect("a NAT gateway").nat_gateway.and_then(|nat| nat.nat_gateway_id);
    let nat = nat.expect("its id");
    let described = |state: NatGatewayState| {
        client.describe_nat_gateways().nat_gateway_ids(&nat).filter(filter("state", state.as_str()))
    };
    let is = async |state: NatGatewayState| {
        !described(state).send().await.expect("an answer").nat_gateways().is_empty()
    };
    assert!(!reaches().await, "no route");
    eventually("the NAT gateway", async || is(NatGatewayState::Available).await).await;
    let to_nat = client.create_route().route_table_id(&private_table).destination_cidr_block("0.0.0.0/0");
    to_nat.nat_gateway_id(&nat).send().await.expect("a route");
    assert!(!reaches().await, "the NAT gateway's subnet has no route");
    assert_eq!(route(&cloud, &public_table, &gateway).await, "OK");
    assert!(!reaches().await, "the NAT gateway's subnet does not use the table");
    associate(&cloud, &public_table, &public).await;
    assert!(reaches().await);

    let permission = |protocol: &str, port: Option<i32>| {
        let range = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let permission = IpPermission::builder().ip_protocol(protocol).ip_ranges(range);
        permission.set_from_port(port).set_to_port(port).build()
    };
    let revoke =
        client.revoke_security_group_egress().group_id(&group).ip_permissions(permission("-1", None));
    revoke.send().await.expect("revoked");
    assert!(!reaches().await, "the group lets nothing out");
    for (port, expected) in [(80, false), (443, true)] {
        let authorize = client.authorize_security_group_egress().group_id(&group);
        authorize.ip_permissions(permission("tcp", Some(port))).send().await.expect("authorized");
        assert_eq!(reaches().await, expected, "port {port}");
    }
    client.delete_nat_gateway().nat_gateway_id(&nat).send().await.expect("its deletion");
    assert!(!reaches().await, "the NAT gateway is being deleted");
}

#[tokio::test]
async fn no_call_sees_tables_addresses_and_gateways_that_are_hidden() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add("hidden", Fault::Unseen { seconds: 1_000_000 });
    let client = &cloud.client;
    let vpc = cloud.vpc("a").await;
    cloud.gateway(Some(&vpc), "a").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "a").await;
    let table = new_table(&cloud, &vpc, "hidden").await;
    let allocate = |job: &str| {
        client.allocate_address().domain("vpc".into()).tag_specifications(tags("elastic-ip", job))
    };
    let [address, seen] = [allocate("hidden").send().await, allocate("a").send().await]
        .map(|made| made.expect("an address").allocation_id.expect("its id"));
    let create = client.create_nat_gateway().subnet_id(&subnet).allocation_id(&seen);
    let nat = create.tag_specifications(tags("natgateway", "hidden")).send().await.expect("a NAT gateway");
    let nat = nat.nat_gateway.and_then(|nat| nat.nat_gateway_id).expect("its id");
    let service = format!("com.amazonaws.{REGION}.s3");
    let create = client.create_vpc_endpoint().vpc_id(&vpc).service_name(service);
    let endpoint =
        create.tag_specifications(tags("vpc-endpoint", "hidden")).send().await.expect("an endpoint");
    let endpoint = endpoint.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id).expect("its id");

    let create = client.create_egress_only_internet_gateway().vpc_id(&vpc);
    let create = create.tag_specifications(tags("egress-only-internet-gateway", "hidden"));
    let outlet = create.send().await.expect("a gateway").egress_only_internet_gateway.expect("the gateway");
    let outlet = outlet.egress_only_internet_gateway_id.expect("its id");
    let describe_outlet =
        client.describe_egress_only_internet_gateways().egress_only_internet_gateway_ids(&outlet);
    let delete_outlet = client.delete_egress_only_internet_gateway().egress_only_internet_gateway_id(&outlet);

    let by_job = || filter("tag:mayfly:job", "hidden");
    #[rustfmt::skip]
    let rows = [
        (code(client.describe_route_tables().route_table_ids(&table).send().await), "InvalidRouteTableID.NotFound"),
        (code(client.associate_route_table().route_table_id(&table).subnet_id(&subnet).send().await), "InvalidRouteTableId.NotFound"),
        (code(client.describe_addresses().allocation_ids(&address).send().await), "InvalidAllocationID.NotFound"),
        (code(client.release_address().allocation_id(&address).send().await), "InvalidAllocationID.NotFound"),
        (code(client.describe_nat_gateways().nat_gateway_ids(&nat).send().await), "NatGatewayNotFound"),
        (code(client.delete_nat_gateway().nat_gateway_id(&nat).send().await), "NatGatewayNotFound"),
        (code(client.describe_vpc_endpoints().vpc_endpoint_ids(&endpoint).send().await), "InvalidVpcEndpointId.NotFound"),
        (code(describe_outlet.send().await), "InvalidGatewayID.NotFound"),
        (code(delete_outlet.send().await), "InvalidGatewayID.NotFound"),
    ];
    for (outcome, expected) in rows {
        assert_eq!(outcome, expected);
    }
    let delete = client.delete_vpc_endpoints().vpc_endpoint_ids(&endpoint).send().await.expect("an answer");
    assert_eq!(delete.unsuccessful().len(), 1);
    let found = [
        client
            .describe_route_tables()
            .filters(by_job())
            .send()
            .await
            .expect("an answer")
            .route_tables()
            .len(),
        client.describe_addresses().filters(by_job()).send().await.expect("an answer").addresses().len(),
        client.describe_nat_gateways().filter(by_job()).send().await.expect("an answer").nat_gateways().len(),
        client
            .describe_vpc_endpoints()
            .filters(by_job())
            .send()
            .await
            .expect("an answer")
            .vpc_endpoints()
            .len(),
    ];
    assert_eq!(found, [0; 4]);
}
