//! What is in the way of which delete, and what a delete says of something that is gone: the delete matrix. Then what a
//! create says that comes twice.

use std::collections::HashMap;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{IpPermission, NatGatewayState, UserIdGroupPair, VpcEndpointType};
use local_ec2::Quotas;
use tokio::task::{JoinSet, LocalSet};

use crate::cloud::{Cloud, REGION, STANDSTILL, ZONE, code, eventually, filter};

/// What can be made, deleted, and be in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Thing {
    Vpc,
    Subnet,
    Gateway,
    /// Of the gateway to the VPC; to delete it is to detach the gateway.
    Attachment,
    Address,
    NatGateway,
    /// One whose deletion has begun; it is gone when that has ended.
    DeletingNatGateway,
    RouteTable,
    /// Of the route table with the subnet.
    Association,
    Endpoint,
    DeletingEndpoint,
    /// An endpoint with an interface in the subnet and the group.
    InterfaceEndpoint,
    DeletingInterfaceEndpoint,
    EgressOnlyGateway,
    Group,
    /// Another group with a rule that names the group.
    NamingGroup,
    Task,
    /// One with a public address.
    PublicTask,
    /// One that faces the internet.
    LoadBalancer,
}

use Thing::*;

/// What is deleted, what is in the way, the refusal's code and words; the code when the thing is gone.
#[rustfmt::skip]
const DELETES: &[(Thing, Thing, &str, &str, &str)] = &[
    (Vpc,        Subnet,             "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        Group,              "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        RouteTable,         "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        Attachment,         "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        Endpoint,           "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        DeletingEndpoint,   "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Vpc,        EgressOnlyGateway,  "DependencyViolation", "has dependencies and cannot be deleted", "InvalidVpcID.NotFound"),
    (Subnet,     Task,               "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (Subnet,     NatGateway,         "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (Subnet,     DeletingNatGateway, "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (Subnet,     InterfaceEndpoint,  "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (Subnet,     DeletingInterfaceEndpoint, "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (Subnet,     LoadBalancer,       "DependencyViolation", "has dependencies and cannot be deleted", "InvalidSubnetId.NotFound"),
    (RouteTable, Association,        "DependencyViolation", "has dependencies and cannot be deleted", "InvalidRouteTableId.NotFound"),
    (Group,      Task,               "DependencyViolation", "has a dependent object",                 "InvalidGroup.NotFound"),
    (Group,      NamingGroup,        "DependencyViolation", "has a dependent object",                 "InvalidGroup.NotFound"),
    (Group,      InterfaceEndpoint,  "DependencyViolation", "has a dependent object",                 "InvalidGroup.NotFound"),
    (Group,      DeletingInterfaceEndpoint, "DependencyViolation", "has a dependent object",          "InvalidGroup.NotFound"),
    (Group,      LoadBalancer,       "DependencyViolation", "has a dependent object",                 "InvalidGroup.NotFound"),
    (Attachment, NatGateway,         "DependencyViolation", "has some mapped public address(es)",     "Gateway.NotAttached"),
    (Attachment, DeletingNatGateway, "DependencyViolation", "has some mapped public address(es)",     "Gateway.NotAttached"),
    (Attachment, PublicTask,         "DependencyViolation", "has some mapped public address(es)",     "Gateway.NotAttached"),
    (Attachment, LoadBalancer,       "DependencyViolation", "has some mapped public address(es)",     "Gateway.NotAttached"),
    (Gateway,    Attachment,         "DependencyViolation", "has dependencies and cannot be deleted", "InvalidInternetGatewayID.NotFound"),
    (Address,    NatGateway,         "AuthFailure",         "You do not have permission to access",   "InvalidAllocationID.NotFound"),
    (Address,    DeletingNatGateway, "AuthFailure",         "You do not have permission to access",   "InvalidAllocationID.NotFound"),
];

/// What is not in the way, although it looks so.
#[rustfmt::skip]
const NOT_IN_THE_WAY: &[(Thing, Thing)] = &[
    (Subnet,     Association),
    (Attachment, Task),
    (Attachment, EgressOnlyGateway),
    (EgressOnlyGateway, Subnet),
    (RouteTable, Endpoint),
    (NatGateway, Subnet),
];

/// The name of the load balancer.
const BALANCER: &str = "net/a/0123456789abcdef";

/// What an address can say for a moment after its NAT gateway is deleted.
const LINGERING: [&str; 2] = ["AuthFailure", "InvalidNetworkInterfaceID.NotFound"];

#[tokio::test]
async fn a_delete_is_refused_while_something_is_in_its_way() {
    for &(thing, blocker, refusal, words, _) in DELETES {
        let row = format!("{thing:?} with {blocker:?}");
        let mut world = World::new().await;
        world.make(thing).await;
        world.make(blocker).await;
        let (code, message) = world.delete(thing).await.expect_err(&row);
        assert_eq!(code, refusal, "{row}");
        assert!(message.contains(words), "{row}: {message}");
    }
}

#[tokio::test]
async fn when_nothing_is_in_the_way_a_delete_leaves_nothing() {
    let (all, mut rows) = (LocalSet::new(), JoinSet::new());
    for &(thing, blocker, _, _, gone) in DELETES {
        rows.spawn_local_on(
            async move {
                let row = format!("{thing:?} with {blocker:?}");
                let mut world = World::at_scale(0.01).await;
                world.make(thing).await;
                world.make(blocker).await;
                world.remove(blocker).await;
                eventually(&format!("deleting {row}"), async || match world.delete(thing).await {
                    Ok(()) => true,
                    Err((code, _)) => {
                        assert!(thing == Address && LINGERING.contains(&code.as_str()), "{row}: {code}");
                        false
                    }
                })
                .await;
                assert_eq!(world.delete(thing).await.expect_err(&row).0, gone, "{row}");
            },
            &all,
        );
    }
    all.run_until(rows.join_all()).await;
}

#[tokio::test]
async fn what_is_not_in_the_way_does_not_stop_a_delete() {
    for &(thing, bystander) in NOT_IN_THE_WAY {
        let mut world = World::new().await;
        world.make(thing).await;
        world.make(bystander).await;
        assert_eq!(world.delete(thing).await, Ok(()), "{thing:?} with {bystander:?}");
    }
}

#[tokio::test]
async fn what_came_with_a_vpc_cannot_be_deleted_and_goes_with_it() {
    let mut world = World::new().await;
    world.make(Vpc).await;
    let client = world.client();
    let tables = || client.describe_route_tables().filters(filter("vpc-id", &world.id(Vpc)));
    let table = tables().send().await.expect("an answer").route_tables.expect("tables").remove(0);
    let (id, association) = (table.route_table_id().expect("its id"), &table.associations()[0]);
    assert_eq!(association.main(), Some(true));
    let association = association.route_table_association_id().expect("its id");

    let deleted = told(client.delete_route_table().route_table_id(id).send().await);
    assert_eq!(deleted.expect_err("main").0, "DependencyViolation");
    let (code, message) =
        told(client.disassociate_route_table().association_id(association).send().await).expect_err("main");
    assert_eq!(code, "InvalidParameterValue");
    assert!(message.contains("cannot disassociate the main route table association"), "{message}");

    assert_eq!(world.delete(Vpc).await, Ok(()));
    assert!(tables().send().await.expect("an answer").route_tables().is_empty());
}

#[tokio::test]
async fn each_delete_has_its_code_for_what_never_was() {
    let mut world = World::new().await;
    world.make(Vpc).await;
    world.make(Endpoint).await;
    let client = world.client();
    let detach =
        |gateway: &str| client.detach_internet_gateway().internet_gateway_id(gateway).vpc_id(world.id(Vpc));
    let id = |prefix: &str| format!("{prefix}-0123456789abcdef0");
    #[rustfmt::skip]
    let rows = [
        ("DeleteVpc", code(client.delete_vpc().vpc_id(id("vpc")).send().await), "InvalidVpcID.NotFound"),
        ("DeleteSubnet", code(client.delete_subnet().subnet_id(id("subnet")).send().await), "InvalidSubnetId.NotFound"),
        ("DeleteRouteTable", code(client.delete_route_table().route_table_id(id("rtb")).send().await), "InvalidRouteTableId.NotFound"),
        ("DisassociateRouteTable", code(client.disassociate_route_table().association_id(id("rtbassoc")).send().await), "InvalidAssociationID.NotFound"),
        ("DeleteSecurityGroup", code(client.delete_security_group().group_id(id("sg")).send().await), "InvalidGroup.NotFound"),
        ("DetachInternetGateway", code(detach(&id("igw")).send().await), "InvalidInternetGatewayID.NotFound"),
        ("DeleteInternetGateway", code(client.delete_internet_gateway().internet_gateway_id(id("igw")).send().await), "InvalidInternetGatewayID.NotFound"),
        ("ReleaseAddress", code(client.release_address().allocation_id(id("eipalloc")).send().await), "InvalidAllocationID.NotFound"),
        ("DeleteNatGateway", code(client.delete_nat_gateway().nat_gateway_id(id("nat")).send().await), "NatGatewayNotFound"),
        ("DeleteVpc", code(client.delete_vpc().vpc_id(id("subnet")).send().await), "InvalidVpcID.Malformed"),
        ("DeleteRouteTable", code(client.delete_route_table().route_table_id("rtb").send().await), "InvalidRouteTableId.Malformed"),
        ("DeleteNatGateway", code(client.delete_nat_gateway().nat_gateway_id("nat-x").send().await), "NatGatewayMalformed"),
        ("DescribeNatGateways", code(client.describe_nat_gateways().nat_gateway_ids(id("nat")).send().await), "NatGatewayNotFound"),
        ("DescribeNatGateways", code(client.describe_nat_gateways().nat_gateway_ids("vpc-1").send().await), "NatGatewayMalformed"),
        ("DescribeAddresses", code(client.describe_addresses().allocation_ids(id("eipalloc")).send().await), "InvalidAllocationID.NotFound"),
        ("DescribeRouteTables", code(client.describe_route_tables().route_table_ids(id("rtb")).send().await), "InvalidRouteTableID.NotFound"),
        ("DeleteEgressOnlyInternetGateway", code(client.delete_egress_only_internet_gateway().egress_only_internet_gateway_id(id("eigw")).send().await), "InvalidGatewayID.NotFound"),
        ("DescribeVpcEndpoints", code(client.describe_vpc_endpoints().vpc_endpoint_ids(id("vpce")).send().await), "InvalidVpcEndpointId.NotFound"),
    ];
    for (call, outcome, expected) in rows {
        assert_eq!(outcome, expected, "{call}");
    }
    // This one succeeds, and tells about each.
    let delete =
        client.delete_vpc_endpoints().vpc_endpoint_ids(id("vpce")).vpc_endpoint_ids(world.id(Endpoint));
    let answer = delete.send().await.expect("success");
    let [failed] = answer.unsuccessful() else { panic!("one, not {answer:?}") };
    assert_eq!(failed.resource_id(), Some(id("vpce").as_str()));
    assert_eq!(failed.error().and_then(|error| error.code()), Some("InvalidVpcEndpoint.NotFound"));
}

#[tokio::test]
async fn a_create_with_a_token_makes_one_thing_however_often_it_comes() {
    let mut world = World::new().await;
    for thing in [Attachment, Subnet] {
        world.make(thing).await;
    }
    let client = world.client();
    let (vpc, subnet) = (world.id(Vpc), world.id(Subnet));
    let address = world.create(Address).await;
    let other_address = world.create(Address).await;
    let other_table = world.create(RouteTable).await;

    let table = async |token: &str, vpc: &str| {
        let create = client.create_route_table().client_token(token).vpc_id(vpc);
        told(create.send().await.map(|answer| answer.route_table.and_then(|table| table.route_table_id)))
    };
    let nat_gateway = async |token: &str, address: &str| {
        let create =
            client.create_nat_gateway().client_token(token).subnet_id(&subnet).allocation_id(address);
        told(create.send().await.map(|answer| answer.nat_gateway.and_then(|nat| nat.nat_gateway_id)))
    };
    let endpoint = async |token: &str, table: Option<&str>| {
        let create =
            endpoint(&client, &vpc).client_token(token).set_route_table_ids(table.map(|id| vec![id.into()]));
        told(
            create
                .send()
                .await
                .map(|answer| answer.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id)),
        )
    };
    let other_vpc = world.create(Vpc).await;
    #[rustfmt::skip]
    let rows = [
        ("a route table", [table("t", &vpc).await, table("t", &vpc).await, table("t", &other_vpc).await, table("u", &vpc).await]),
        ("a NAT gateway", [nat_gateway("t", &address).await, nat_gateway("t", &address).await, nat_gateway("t", &other_address).await, nat_gateway("u", &other_address).await]),
        ("an endpoint", [endpoint("t", None).await, endpoint("t", None).await, endpoint("t", Some(&other_table)).await, endpoint("u", None).await]),
    ];
    for (thing, [first, again, otherwise, second]) in rows {
        let first = first.expect(thing);
        assert!(first.is_some(), "{thing}");
        assert_eq!(again.expect(thing), first, "{thing}");
        assert_eq!(otherwise.expect_err(thing).0, "IdempotentParameterMismatch", "{thing}");
        assert_ne!(second.expect(thing), first, "{thing}");
    }
}

#[tokio::test]
async fn a_create_without_a_token_makes_a_second_thing_unless_something_stands_against_it() {
    let mut world = World::new().await;
    for thing in [Attachment, NatGateway, Association] {
        world.make(thing).await;
    }
    let client = world.client();
    let (vpc, gateway, subnet, table) =
        (world.id(Vpc), world.id(Gateway), world.id(Subnet), world.id(RouteTable));
    let create_subnet =
        || client.create_subnet().vpc_id(&vpc).cidr_block("10.1.9.0/24").availability_zone(ZONE);
    let create_group =
        || client.create_security_group().vpc_id(&vpc).group_name("twice").description("a group");
    let attach = || client.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(&gateway);
    let route = || {
        client.create_route().route_table_id(&table).destination_cidr_block("0.0.0.0/0").gateway_id(&gateway)
    };
    let associate = || client.associate_route_table().route_table_id(&table).subnet_id(&subnet);
    let create_vpc = || client.create_vpc().cidr_block("10.1.0.0/16");
    #[rustfmt::skip]
    let rows = [
        ("AllocateAddress", code(client.allocate_address().domain("vpc".into()).send().await), code(client.allocate_address().domain("vpc".into()).send().await), "OK"),
        ("CreateVpc", code(create_vpc().send().await), code(create_vpc().send().await), "OK"),
        ("CreateInternetGateway", code(client.create_internet_gateway().send().await), code(client.create_internet_gateway().send().await), "OK"),
        ("CreateVpcEndpoint", code(endpoint(&client, &vpc).send().await), code(endpoint(&client, &vpc).send().await), "OK"),
        ("CreateSubnet", code(create_subnet().send().await), code(create_subnet().send().await), "InvalidSubnet.Conflict"),
        ("CreateSecurityGroup", code(create_group().send().await), code(create_group().send().await), "InvalidGroup.Duplicate"),
        ("AttachInternetGateway", "OK".into(), code(attach().send().await), "Resource.AlreadyAssociated"),
        ("AssociateRouteTable", "OK".into(), code(associate().send().await), "OK"),
        ("CreateRoute", code(route().send().await), code(route().send().await), "RouteAlreadyExists"),
    ];
    for (call, once, twice, expected) in rows {
        assert_eq!((once.as_str(), twice.as_str()), ("OK", expected), "{call}");
    }
    // The same pair once more has the association that there was.
    let again = associate().send().await.expect("the association");
    assert_eq!(again.association_id(), Some(world.id(Association).as_str()));
}

/// A cloud with what was made in it, in one VPC.
struct World {
    cloud: Cloud,
    made: HashMap<Thing, String>,
}

impl Thing {
    /// What there has to be first, in order.
    fn needs(self) -> &'static [Self] {
        match self {
            Vpc | Gateway | Address => &[],
            Subnet | RouteTable | Endpoint | EgressOnlyGateway | Group => &[Vpc],
            Attachment => &[Vpc, Gateway],
            NatGateway => &[Vpc, Gateway, Attachment, Subnet, Address],
            DeletingNatGateway => &[Vpc, Gateway, Attachment, Subnet, Address, NatGateway],
            Association => &[Vpc, Subnet, RouteTable],
            DeletingEndpoint => &[Vpc, Endpoint],
            NamingGroup => &[Vpc, Group],
            Task | PublicTask | InterfaceEndpoint | LoadBalancer => &[Vpc, Subnet, Group],
            DeletingInterfaceEndpoint => &[Vpc, Subnet, Group, InterfaceEndpoint],
        }
    }
}

impl World {
    /// One in which nothing ends before one has looked.
    async fn new() -> Self {
        Self::at_scale(STANDSTILL).await
    }

    async fn at_scale(scale: f64) -> Self {
        let quotas = Quotas { vpcs: 10, addresses: 10, ..Quotas::default() };
        Self { cloud: Cloud::start_with(scale, quotas).await, made: HashMap::new() }
    }

    fn client(&self) -> aws_sdk_ec2::Client {
        self.cloud.client.clone()
    }

    fn id(&self, thing: Thing) -> String {
        self.made[&thing].clone()
    }

    /// Makes it, and what it needs, unless it is there.
    async fn make(&mut self, thing: Thing) {
        for &needed in thing.needs().iter().chain([&thing]) {
            if !self.made.contains_key(&needed) {
                let id = self.create(needed).await;
                self.made.insert(needed, id);
            }
        }
    }

    /// Makes another one of what is there.
    async fn create(&self, thing: Thing) -> String {
        let (cloud, client) = (&self.cloud, &self.cloud.client);
        let id = match thing {
            Vpc => return cloud.vpc("a").await,
            Subnet => return cloud.subnet(&self.id(Vpc), "10.1.0.0/24", "a").await,
            Gateway => return cloud.gateway(None, "a").await,
            Group => return cloud.group(&self.id(Vpc), "a", "a").await,
            Task => return cloud.interface(&self.id(Subnet), &[&self.id(Group)], false, "a").await.id,
            PublicTask => return cloud.interface(&self.id(Subnet), &[&self.id(Group)], true, "a").await.id,
            Attachment => {
                let attach = client.attach_internet_gateway().vpc_id(self.id(Vpc));
                attach.internet_gateway_id(self.id(Gateway)).send().await.expect("attached");
                Some(self.id(Gateway))
            }
            Address => {
                client.allocate_address().domain("vpc".into()).send().await.expect("made").allocation_id
            }
            NatGateway => {
                let create = client.create_nat_gateway().subnet_id(self.id(Subnet));
                let made = create.allocation_id(self.id(Address)).send().await.expect("made");
                made.nat_gateway.and_then(|nat| nat.nat_gateway_id)
            }
            DeletingNatGateway => {
                self.delete(NatGateway).await.expect("its deletion begins");
                Some(self.id(NatGateway))
            }
            RouteTable => {
                let made = client.create_route_table().vpc_id(self.id(Vpc)).send().await.expect("made");
                made.route_table.and_then(|table| table.route_table_id)
            }
            Association => {
                let associate = client.associate_route_table().route_table_id(self.id(RouteTable));
                associate.subnet_id(self.id(Subnet)).send().await.expect("made").association_id
            }
            Endpoint => {
                let table = self.made.get(&RouteTable).cloned();
                let create = endpoint(client, &self.id(Vpc)).set_route_table_ids(table.map(|id| vec![id]));
                create.send().await.expect("made").vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id)
            }
            DeletingEndpoint => {
                self.delete(Endpoint).await.expect("its deletion begins");
                Some(self.id(Endpoint))
            }
            InterfaceEndpoint => {
                let create = client.create_vpc_endpoint().vpc_id(self.id(Vpc)).private_dns_enabled(false);
                let create = create.service_name(format!("com.amazonaws.{REGION}.logs"));
                let create = create.vpc_endpoint_type(VpcEndpointType::Interface);
                let create = create.subnet_ids(self.id(Subnet)).security_group_ids(self.id(Group));
                create.send().await.expect("made").vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id)
            }
            DeletingInterfaceEndpoint => {
                self.delete(InterfaceEndpoint).await.expect("its deletion begins");
                Some(self.id(InterfaceEndpoint))
            }
            EgressOnlyGateway => {
                let create = client.create_egress_only_internet_gateway().vpc_id(self.id(Vpc));
                let made = create.send().await.expect("made").egress_only_internet_gateway;
                made.and_then(|gateway| gateway.egress_only_internet_gateway_id)
            }
            LoadBalancer => {
                let (subnet, groups) = (self.id(Subnet), [self.id(Group)]);
                let made = cloud.ec2.create_load_balancer_interface(BALANCER, &subnet, &groups, true).await;
                Some(made.expect("made").id)
            }
            NamingGroup => {
                let id = cloud.group(&self.id(Vpc), "b", "a").await;
                let named = UserIdGroupPair::builder().group_id(self.id(Group)).build();
                let rule = IpPermission::builder().ip_protocol("-1").user_id_group_pairs(named).build();
                let authorize = client.authorize_security_group_egress().group_id(&id).ip_permissions(rule);
                authorize.send().await.expect("authorized");
                Some(id)
            }
        };
        id.expect("its id")
    }

    /// Calls the delete of the thing; an error is code and message.
    async fn delete(&self, thing: Thing) -> Result<(), (String, String)> {
        let (client, id) = (&self.cloud.client, self.id(thing));
        match thing {
            Vpc => told(client.delete_vpc().vpc_id(id).send().await).map(drop),
            Subnet => told(client.delete_subnet().subnet_id(id).send().await).map(drop),
            Gateway => told(client.delete_internet_gateway().internet_gateway_id(id).send().await).map(drop),
            Attachment => {
                let detach = client.detach_internet_gateway().internet_gateway_id(id).vpc_id(self.id(Vpc));
                told(detach.send().await).map(drop)
            }
            Address => told(client.release_address().allocation_id(id).send().await).map(drop),
            NatGateway | DeletingNatGateway => {
                told(client.delete_nat_gateway().nat_gateway_id(id).send().await).map(drop)
            }
            RouteTable => told(client.delete_route_table().route_table_id(id).send().await).map(drop),
            Association => told(client.disassociate_route_table().association_id(id).send().await).map(drop),
            Endpoint | DeletingEndpoint | InterfaceEndpoint | DeletingInterfaceEndpoint => {
                let answer = told(client.delete_vpc_endpoints().vpc_endpoint_ids(id).send().await)?;
                assert!(answer.unsuccessful().is_empty(), "{answer:?}");
                Ok(())
            }
            Group | NamingGroup => told(client.delete_security_group().group_id(id).send().await).map(drop),
            Task | PublicTask => {
                self.cloud.ec2.delete_task_interface(&id).await;
                Ok(())
            }
            EgressOnlyGateway => {
                let delete = client.delete_egress_only_internet_gateway().egress_only_internet_gateway_id(id);
                told(delete.send().await).map(drop)
            }
            LoadBalancer => {
                self.cloud.ec2.delete_load_balancer_interfaces(BALANCER).await;
                Ok(())
            }
        }
    }

    /// Takes a blocker out of the way, and waits until it is.
    async fn remove(&self, thing: Thing) {
        if !matches!(thing, DeletingNatGateway | DeletingEndpoint | DeletingInterfaceEndpoint) {
            self.delete(thing).await.expect("the blocker goes");
        }
        let (client, id) = (&self.cloud.client, self.id(thing));
        match thing {
            NatGateway | DeletingNatGateway => {
                eventually("the NAT gateway's end", async || {
                    let nats = client.describe_nat_gateways().nat_gateway_ids(&id).send().await;
                    nats.expect("it").nat_gateways()[0].state() == Some(&NatGatewayState::Deleted)
                })
                .await;
            }
            Endpoint | DeletingEndpoint | InterfaceEndpoint | DeletingInterfaceEndpoint => {
                eventually("the endpoint's end", async || {
                    let described = client.describe_vpc_endpoints().vpc_endpoint_ids(&id).send().await;
                    code(described) == "InvalidVpcEndpointId.NotFound"
                })
                .await;
            }
            _ => (),
        }
    }
}

fn endpoint(
    client: &aws_sdk_ec2::Client,
    vpc: &str,
) -> aws_sdk_ec2::operation::create_vpc_endpoint::builders::CreateVpcEndpointFluentBuilder {
    client.create_vpc_endpoint().vpc_id(vpc).service_name(format!("com.amazonaws.{REGION}.s3"))
}

/// The answer, or code and message of the error.
fn told<T, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, (String, String)> {
    result.map_err(|error| {
        let text = |text: Option<&str>| text.expect("an error of EC2").to_owned();
        (text(error.code()), text(error.message()))
    })
}
