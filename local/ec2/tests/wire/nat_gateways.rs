//! NAT gateways and their addresses, from the first `pending` until nobody remembers them.

use aws_sdk_ec2::types::{NatGateway, NatGatewayAddressStatus, NatGatewayState, NetworkInterfaceType};
use local_ec2::{Fault, NatFailure, Quotas};

use crate::cloud::{Cloud, STANDSTILL, code, eventually, filter, refusal, tags};

/// A VPC with an attached gateway and a subnet of eleven addresses.
struct Network {
    cloud: Cloud,
    vpc: String,
    gateway: String,
    subnet: String,
}

impl Network {
    async fn start(scale: f64, quotas: Quotas) -> Self {
        let cloud = Cloud::start_with(scale, quotas).await;
        let vpc = cloud.vpc("a").await;
        let gateway = cloud.gateway(Some(&vpc), "a").await;
        let subnet = cloud.subnet(&vpc, "10.1.0.0/28", "a").await;
        Self { cloud, vpc, gateway, subnet }
    }

    async fn address(&self) -> String {
        let allocate = self.cloud.client.allocate_address().domain("vpc".into());
        let allocate = allocate.tag_specifications(tags("elastic-ip", "a"));
        allocate.send().await.expect("an address").allocation_id.expect("its id")
    }

    async fn nat_gateway(&self, address: &str) -> String {
        let create = self.cloud.client.create_nat_gateway().subnet_id(&self.subnet).allocation_id(address);
        let create = create.tag_specifications(tags("natgateway", "a"));
        let made = create.send().await.expect("a NAT gateway").nat_gateway.expect("the NAT gateway");
        assert_eq!(made.state(), Some(&NatGatewayState::Pending));
        made.nat_gateway_id.expect("its id")
    }

    async fn described(&self, id: &str) -> NatGateway {
        let answer = self.cloud.client.describe_nat_gateways().nat_gateway_ids(id).send().await;
        answer.expect("an answer").nat_gateways.expect("the NAT gateway").remove(0)
    }

    /// Waits until the NAT gateway is in the state, and describes it then.
    async fn until(&self, id: &str, state: NatGatewayState) -> NatGateway {
        eventually(&format!("being {state:?}"), async || self.described(id).await.state() == Some(&state))
            .await;
        self.described(id).await
    }

    async fn delete(&self, id: &str) -> String {
        code(self.cloud.client.delete_nat_gateway().nat_gateway_id(id).send().await)
    }

    async fn release(&self, address: &str) -> String {
        code(self.cloud.client.release_address().allocation_id(address).send().await)
    }
}

#[tokio::test]
async fn a_nat_gateway_has_an_interface_and_its_address_until_it_is_deleted_and_is_remembered_for_an_hour() {
    // An hour of the cloud is seven seconds.
    let network = Network::start(0.002, Quotas::default()).await;
    let client = &network.cloud.client;
    let address = network.address().await;
    let id = network.nat_gateway(&address).await;
    let interfaces = || client.describe_network_interfaces().filters(filter("interface-type", "nat_gateway"));
    let described = || client.describe_addresses().filters(filter("tag:mayfly:job", "a"));

    let nat = network.until(&id, NatGatewayState::Available).await;
    let [mapped] = nat.nat_gateway_addresses() else { panic!("one address: {nat:?}") };
    assert_eq!((nat.vpc_id(), nat.subnet_id()), (Some(network.vpc.as_str()), Some(network.subnet.as_str())));
    assert_eq!(
        (mapped.allocation_id(), mapped.status()),
        (Some(address.as_str()), Some(&NatGatewayAddressStatus::Succeeded))
    );
    let interfaces_now = interfaces().send().await.expect("an answer");
    let [interface] = interfaces_now.network_interfaces() else { panic!("one: {interfaces_now:?}") };
    assert_eq!(interface.network_interface_id(), mapped.network_interface_id());
    assert_eq!(interface.private_ip_address(), mapped.private_ip());
    assert_eq!(interface.interface_type(), Some(&NetworkInterfaceType::NatGateway));
    assert_eq!(interface.requester_managed(), Some(true));
    let association = interface.association().expect("the address");
    assert_eq!(
        (association.allocation_id(), association.public_ip()),
        (Some(address.as_str()), mapped.public_ip())
    );
    let addresses = described().send().await.expect("an answer").addresses.expect("the address");
    assert_eq!(addresses[0].association_id(), mapped.association_id());
    assert_eq!((addresses[0].public_ip(), addresses.len()), (mapped.public_ip(), 1));

    assert_eq!(network.delete(&id).await, "OK");
    let nat = network.until(&id, NatGatewayState::Deleted).await;
    assert!(nat.delete_time().is_some());
    assert!(interfaces().send().await.expect("an answer").network_interfaces().is_empty());
    // To delete it once more is no error.
    assert_eq!(network.delete(&id).await, "OK");
    let addresses = described().send().await.expect("an answer").addresses.expect("the address");
    assert_eq!((addresses[0].association_id(), addresses[0].network_interface_id()), (None, None));
    eventually("releasing the address", async || network.release(&address).await == "OK").await;
    assert!(described().send().await.expect("an answer").addresses().is_empty());

    eventually("forgetting the NAT gateway", async || {
        code(client.describe_nat_gateways().nat_gateway_ids(&id).send().await) == "NatGatewayNotFound"
    })
    .await;
    assert_eq!(network.delete(&id).await, "NatGatewayNotFound");
}

#[tokio::test]
async fn what_is_wrong_with_a_nat_gateway_is_its_failure_and_not_the_calls() {
    let network = Network::start(0.002, Quotas::default()).await;
    let (client, free, taken) = (&network.cloud.client, network.address().await, network.address().await);
    network.nat_gateway(&taken).await;
    let full = network.cloud.subnet(&network.vpc, "10.1.1.0/28", "a").await;
    for _ in 0..11 {
        network.cloud.interface(&full, &[], false, "a").await;
    }
    let elsewhere = network.cloud.vpc("b").await;
    let offline = network.cloud.subnet(&elsewhere, "10.1.0.0/28", "b").await;
    let unknown = "eipalloc-0123456789abcdef0";
    for (subnet, address, failure, words) in [
        (&offline, free.as_str(), "Gateway.NotAttached", "has no Internet gateway attached"),
        (
            &network.subnet,
            unknown,
            "InvalidAllocationID.NotFound",
            "could not be associated with this NAT gateway",
        ),
        (&network.subnet, &taken, "Resource.AlreadyAssociated", "is already associated"),
        (&full, &free, "InsufficientFreeAddressesInSubnet", "insufficient free addresses"),
    ] {
        let create = client.create_nat_gateway().subnet_id(subnet).allocation_id(address).send().await;
        let made = create.expect(failure).nat_gateway.expect("the NAT gateway");
        assert_eq!((made.state(), made.failure_code()), (Some(&NatGatewayState::Pending), None));
        let failed = network.until(made.nat_gateway_id().expect("its id"), NatGatewayState::Failed).await;
        assert_eq!(failed.failure_code(), Some(failure));
        assert!(failed.failure_message().is_some_and(|message| message.contains(words)), "{failed:?}");
    }
    assert_eq!(network.release(&free).await, "OK", "none of them has it");
}

#[tokio::test]
async fn a_fault_of_awss_own_leaves_interface_and_address_until_the_nat_gateway_is_deleted() {
    let network = Network::start(0.002, Quotas::default()).await;
    let fault = Fault::NatFails { failure: NatFailure::InternalError, after_seconds: 30 };
    network.cloud.ec2.faults().add("a", fault);
    let address = network.address().await;
    let id = network.nat_gateway(&address).await;
    let failed = network.until(&id, NatGatewayState::Failed).await;
    assert_eq!(failed.failure_code(), Some("InternalError"));
    let interface = failed.nat_gateway_addresses()[0].network_interface_id().expect("an interface");
    assert!(failed.failure_message().is_some_and(|message| message.contains(interface)));

    let refused = network.cloud.client.release_address().allocation_id(&address).send().await;
    let held = "You do not have permission to access the specified resource.";
    assert_eq!(refusal(&refused.expect_err("it is held")), ("AuthFailure".to_owned(), 400, held.to_owned()));
    let subnet = network.cloud.client.delete_subnet().subnet_id(&network.subnet);
    assert_eq!(code(subnet.clone().send().await), "DependencyViolation");
    assert_eq!(network.delete(&id).await, "OK");
    network.until(&id, NatGatewayState::Deleted).await;
    assert_eq!(code(subnet.send().await), "OK");
    eventually("releasing the address", async || network.release(&address).await == "OK").await;
}

#[tokio::test]
async fn a_nat_gateway_takes_a_subnet_and_an_address_that_can_be_seen() {
    let network = Network::start(0.002, Quotas::default()).await;
    network.cloud.ec2.faults().add("hidden", Fault::Unseen { seconds: 1_000_000 });
    let client = &network.cloud.client;
    let allocate =
        client.allocate_address().domain("vpc".into()).tag_specifications(tags("elastic-ip", "hidden"));
    let hidden_address = allocate.send().await.expect("an address").allocation_id.expect("its id");
    let hidden_subnet = network.cloud.subnet(&network.vpc, "10.1.1.0/28", "hidden").await;
    let address = network.address().await;
    for (subnet, address, expected) in [
        (&network.subnet, &hidden_address, "InvalidElasticIpID.NotFound"),
        (&hidden_subnet, &address, "InvalidSubnet"),
        (&network.subnet, &address, "OK"),
    ] {
        let create = client.create_nat_gateway().subnet_id(subnet).allocation_id(address);
        assert_eq!(code(create.send().await), expected);
    }
}

#[tokio::test]
async fn deleting_nat_gateways_count_against_the_quota_of_their_zone_and_failed_ones_do_not() {
    let quotas = Quotas { nat_gateways_per_zone: 2, ..Quotas::default() };
    let network = Network::start(STANDSTILL, quotas).await;
    let client = &network.cloud.client;
    let at_once = Fault::NatFails { failure: NatFailure::InternalError, after_seconds: 0 };
    network.cloud.ec2.faults().add("failing", at_once);
    let failing = network.cloud.nat_gateway(&network.subnet, &network.address().await, "failing").await;
    network.until(&failing, NatGatewayState::Failed).await;
    let deleting = network.nat_gateway(&network.address().await).await;
    assert_eq!(network.delete(&deleting).await, "OK");
    network.nat_gateway(&network.address().await).await;
    let address = network.address().await;
    let create = |subnet: &str| client.create_nat_gateway().subnet_id(subnet).allocation_id(&address);
    let refused = create(&network.subnet).send().await.expect_err("the quota is full");
    let message = "Performing this operation would exceed the limit of 2 NAT gateways";
    assert_eq!(refusal(&refused), ("NatGatewayLimitExceeded".to_owned(), 400, message.to_owned()));

    let next_zone = client.create_subnet().vpc_id(&network.vpc).cidr_block("10.1.2.0/28");
    let next_zone = next_zone.availability_zone("eu-west-1b").send().await.expect("a subnet").subnet;
    let next_zone = next_zone.and_then(|subnet| subnet.subnet_id).expect("its id");
    create(&next_zone).send().await.expect("each zone has its own quota");
    network.address().await;
    let sixth = client.allocate_address().domain("vpc".into()).send().await;
    assert_eq!(code(sixth), "AddressLimitExceeded");
}

#[tokio::test]
async fn a_deleted_nat_gateway_makes_room_for_another() {
    let network = Network::start(0.005, Quotas { nat_gateways_per_zone: 1, ..Quotas::default() }).await;
    let first = network.nat_gateway(&network.address().await).await;
    assert_eq!(network.delete(&first).await, "OK");
    network.until(&first, NatGatewayState::Deleted).await;
    network.nat_gateway(&network.address().await).await;
}

#[tokio::test]
async fn a_nat_gateway_that_is_pending_takes_no_route() {
    let network = Network::start(STANDSTILL, Quotas::default()).await;
    let table = network.cloud.route_table(&network.vpc, "a").await;
    let nat = network.nat_gateway(&network.address().await).await;
    let create = network.cloud.client.create_route().route_table_id(&table);
    let create = create.destination_cidr_block("0.0.0.0/0").nat_gateway_id(&nat);
    assert_eq!(code(create.send().await), "InvalidNatGatewayID.NotFound");
}

#[tokio::test]
async fn a_route_to_an_available_nat_gateway_outlives_it() {
    let network = Network::start(0.005, Quotas::default()).await;
    let client = &network.cloud.client;
    let table = client.create_route_table().vpc_id(&network.vpc).send().await.expect("a table").route_table;
    let table = table.and_then(|table| table.route_table_id).expect("its id");
    let other_vpc = network.cloud.vpc("b").await;
    let other_table =
        client.create_route_table().vpc_id(&other_vpc).send().await.expect("a table").route_table;
    let other_table = other_table.and_then(|table| table.route_table_id).expect("its id");
    let nat = network.nat_gateway(&network.address().await).await;
    let route = async |table: &str, cidr: &str, nat: &str| {
        let create = client.create_route().route_table_id(table).destination_cidr_block(cidr);
        code(create.nat_gateway_id(nat).send().await)
    };
    let state = async || {
        let tables = client.describe_route_tables().route_table_ids(&table).send().await.expect("an answer");
        let routes = tables.route_tables()[0].routes().to_vec();
        let to_nat = routes.into_iter().find(|route| route.nat_gateway_id() == Some(&nat));
        to_nat.and_then(|route| route.state).map(|state| state.as_str().to_owned())
    };
    network.until(&nat, NatGatewayState::Available).await;
    for (table, cidr, nat, expected) in [
        (&table, "0.0.0.0/0", nat.as_str(), "OK"),
        (&table, "0.0.0.0/0", &nat, "RouteAlreadyExists"),
        (&table, "everywhere", &nat, "InvalidParameterValue"),
        (&table, "192.0.2.0/24", "nat-0123456789abcdef0", "InvalidNatGatewayID.NotFound"),
        (&other_table, "0.0.0.0/0", &nat, "InvalidParameterValue"),
    ] {
        assert_eq!(route(table, cidr, nat).await, expected, "{table} {cidr} {nat}");
    }
    assert_eq!(state().await.as_deref(), Some("active"));
    assert_eq!(network.delete(&nat).await, "OK");
    network.until(&nat, NatGatewayState::Deleted).await;
    assert_eq!(state().await.as_deref(), Some("blackhole"));
    assert_eq!(route(&table, "192.0.2.0/24", &nat).await, "InvalidNatGatewayID.NotFound");
    let detach = client.detach_internet_gateway().internet_gateway_id(&network.gateway).vpc_id(&network.vpc);
    assert_eq!(code(detach.send().await), "OK");
}
