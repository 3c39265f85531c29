//! Network interfaces: those of Fargate tasks, which ECS makes and deletes on its own, and those that other resources
//! have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use local_aws::random::Random;
use serde::Serialize;

use crate::call::Call;
use crate::describe::{Describe, Filters, Query, check_prefix};
use crate::error::ApiError;
use crate::groups::Group;
use crate::quotas::room;
use crate::subnets::Subnet;
use crate::tags::Tags;
use crate::xml::{self, Items};
use crate::{Ec2, State, addresses, ipv6, now_as_text};

/// How long an interface is seen `detaching`. A guess: AWS says only that it happens while the task is DEPROVISIONING
/// (ECS developer guide, "Task lifecycle"), which takes seconds.
const DETACHING: Duration = Duration::from_secs(2);

/// How the interface of a NAT gateway is called: in answers (EC2 API reference, `NetworkInterface`, `interfaceType`), and
/// in the list of filters (DescribeNetworkInterfaces).
const NAT_GATEWAY: [&str; 2] = ["natGateway", "nat_gateway"];

/// The network interface of one Fargate task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInterface {
    /// `eni-` and 17 hexadecimal digits.
    pub id: String,
    /// The address in the subnet; a subnet of IPv6 alone has none.
    pub private_ip: Option<String>,
    /// The IPv6 address, where the subnet has such.
    pub ipv6: Option<String>,
    /// The public address, where one was asked for. It is this machine's.
    pub public_ip: Option<String>,
    /// The hardware address, `02:…`.
    pub mac: String,
    /// The subnet that the interface is in.
    pub subnet_id: String,
    /// The subnet's VPC.
    pub vpc_id: String,
    /// The subnet's Availability Zone.
    pub availability_zone: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    availability_zone: String,
    description: String,
    owner_id: String,
    requester_id: String,
    requester_managed: bool,
    status: &'static str,
    mac_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6_address: Option<Ipv6Addr>,
    source_dest_check: bool,
    interface_type: &'static str,
    group_set: Items<GroupIdentifier>,
    attachment: Attachment,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association>,
    private_ip_addresses_set: Items<PrivateAddress>,
    ipv6_addresses_set: Items<Ipv6Address>,
    tag_set: Tags,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupIdentifier {
    pub group_id: String,
    group_name: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    attachment_id: String,
    instance_owner_id: &'static str,
    device_index: u8,
    status: &'static str,
    attach_time: String,
    delete_on_termination: bool,
}

/// A public address: an Elastic IP address of the account, or one that AWS lends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    public_ip: Ipv4Addr,
    ip_owner_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAddress {
    private_ip_address: Ipv4Addr,
    primary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ipv6Address {
    ipv6_address: Ipv6Addr,
}

/// The addresses that an interface has in its subnet.
#[derive(Clone, Copy, Debug)]
pub struct PrivateAddresses {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}

/// Who made an interface, and what it hangs on.
pub struct Maker {
    pub requester: &'static str,
    pub instance_owner: &'static str,
    pub attachment: &'static str,
}

/// AWS itself, which alone may detach it: of the attachments that it manages (boto/boto3#2218).
pub const AWS: Maker =
    Maker { requester: "amazon-aws", instance_owner: "amazon-aws", attachment: "ela-attach" };

/// The session in which ECS's service-linked role makes interfaces, as CloudTrail shows it; the id is made up. Fargate's
/// machines are in an account of AWS whose number is not documented.
const ECS: Maker = Maker {
    requester: "AROALOCALCLOUDECSROLE:ecs-eni-provisioning",
    instance_owner: "amazon-ecs",
    attachment: "eni-attach",
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeNetworkInterfacesResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    network_interface_set: Items<Interface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// Makes and attaches the network interface of a Fargate task, as ECS does it with its service-linked role. With
    /// no `security_groups` it gets the VPC's default group.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`, `InvalidGroup.NotFound`, `InvalidParameter` for a group of another VPC,
    /// `InsufficientFreeAddressesInSubnet`, `InvalidParameterCombination` for a public address in a subnet of IPv6 alone; `InternalError` when MiniStack cannot be read.
    pub async fn create_task_interface(
        &self,
        subnet_id: &str,
        security_groups: &[String],
        assign_public_ip: bool,
        tags: &BTreeMap<String, String>,
        description: &str,
    ) -> Result<TaskInterface, ApiError> {
        let subnet = self.subnet(subnet_id).await?;
        let groups = self.groups_for(&subnet, security_groups).await?;
        // One lock for choosing the addresses and taking them.
        let mut state = self.state();
        self.check_room_for_interfaces(&state, 1)?;
        let addresses = state.free_addresses(&subnet, &self.upstream.random)?;
        let mut interface = Interface::new(&subnet, addresses, &ECS, description, self);
        interface.group_set = groups.into_iter().map(GroupIdentifier::from).collect();
        interface.tag_set = Tags(tags.clone());
        if assign_public_ip {
            if interface.private_ip_address.is_none() {
                // Which code it has is a guess.
                let message = format!("The subnet {subnet_id} has no IPv4 addresses to map a public one to.");
                return Err(ApiError::new("InvalidParameterCombination", message));
            }
            interface.lend(state.free_public_ip(&self.upstream.random)?);
        }
        let task_interface = TaskInterface::from(&interface);
        state.interfaces.push(interface);
        Ok(task_interface)
    }

    /// Whether the account may have `more` interfaces.
    pub(crate) fn check_room_for_interfaces(&self, state: &State, more: usize) -> Result<(), ApiError> {
        let (used, quota) = (state.interfaces.len() + more - 1, self.quotas.interfaces);
        room(used, quota, "NetworkInterfaceLimitExceeded", "network interfaces")
    }

    /// Detaches and deletes the network interface of a task that has stopped. The interface is seen `detaching` for
    /// some seconds of the cloud; one that is gone already is no error.
    pub async fn delete_task_interface(&self, id: &str) {
        for interface in &mut self.state().interfaces {
            if interface.network_interface_id == id {
                interface.begin_detaching();
            }
        }
        self.upstream.clock.sleep(DETACHING).await;
        self.state().interfaces.retain(|interface| interface.network_interface_id != id);
    }

    /// EC2 API reference: DescribeNetworkInterfaces.
    pub(crate) async fn describe_network_interfaces(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        // "You cannot specify this parameter and the network interface IDs parameter in the same request" (MaxResults).
        let query = Query::take::<Interface>(&mut call.parameters)?.without_pages_of_ids::<Interface>()?;
        call.describe().await?;
        let all = self.state().interfaces.clone();
        let (interfaces, next_token) = query.select(all)?;
        xml::document(&DescribeNetworkInterfacesResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            network_interface_set: interfaces.into_iter().collect(),
            next_token,
        })
    }
}

impl State {
    /// Addresses of the subnet that no interface has, one of each version that the subnet has.
    pub fn free_addresses(&self, subnet: &Subnet, random: &Random) -> Result<PrivateAddresses, ApiError> {
        let taken: Vec<_> = self.in_subnet(subnet).filter_map(|interface| interface.ipv6_address).collect();
        let ipv6 = subnet.ipv6_block().map(|block| ipv6::free(block, &taken, random));
        let ipv4 = subnet.cidr_block.map(|_| self.free_private_ip(subnet, random)).transpose()?;
        Ok(PrivateAddresses { ipv4, ipv6 })
    }

    /// An IPv4 address of the subnet that no interface has.
    pub fn free_private_ip(&self, subnet: &Subnet, random: &Random) -> Result<Ipv4Addr, ApiError> {
        let taken: Vec<_> =
            self.in_subnet(subnet).filter_map(|interface| interface.private_ip_address).collect();
        subnet.cidr_block.and_then(|cidr| addresses::free(cidr, &taken, random)).ok_or_else(|| {
            let message =
                format!("The specified subnet {} does not have enough free addresses.", subnet.subnet_id);
            ApiError::new("InsufficientFreeAddressesInSubnet", message)
        })
    }

    fn in_subnet(&self, subnet: &Subnet) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(|interface| interface.is_in(&subnet.subnet_id))
    }

    pub fn interface(&self, id: &str) -> Result<&Interface, ApiError> {
        let found = self.interfaces.iter().find(|interface| interface.network_interface_id == id);
        found.ok_or_else(|| Interface::not_found(id))
    }
}

impl Interface {
    /// In the subnet of a NAT gateway, of which it is a part: it has no group.
    pub fn of_nat_gateway(id: &str, subnet: &Subnet, private_ip: Ipv4Addr, ec2: &Ec2) -> Self {
        let description = format!("Interface for NAT Gateway {id}");
        let addresses = PrivateAddresses { ipv4: Some(private_ip), ipv6: None };
        let interface_type = NAT_GATEWAY[0];
        Self {
            interface_type,
            source_dest_check: false,
            ..Self::new(subnet, addresses, &AWS, &description, ec2)
        }
    }

    /// One of another kind than a task's, in the groups.
    pub fn of_type(self, interface_type: &'static str, groups: Vec<Group>) -> Self {
        let group_set = groups.into_iter().map(GroupIdentifier::from).collect();
        Self { interface_type, group_set, ..self }
    }

    pub fn new(
        subnet: &Subnet,
        addresses: PrivateAddresses,
        maker: &Maker,
        description: &str,
        ec2: &Ec2,
    ) -> Self {
        let PrivateAddresses { ipv4, ipv6 } = addresses;
        let private = ipv4.map(|address| PrivateAddress {
            private_ip_address: address,
            primary: true,
            association: None,
        });
        Self {
            network_interface_id: ec2.new_id("eni"),
            subnet_id: subnet.subnet_id.clone(),
            vpc_id: subnet.vpc_id.clone(),
            availability_zone: subnet.availability_zone.clone(),
            description: description.to_owned(),
            owner_id: ec2.upstream.account.clone(),
            requester_id: maker.requester.into(),
            requester_managed: true,
            status: "in-use",
            mac_address: new_mac(&ec2.upstream.random),
            private_ip_address: ipv4,
            ipv6_address: ipv6,
            source_dest_check: true,
            interface_type: "interface",
            group_set: Items::from_iter([]),
            attachment: Attachment::new(maker, ec2),
            association: None,
            private_ip_addresses_set: private.into_iter().collect(),
            ipv6_addresses_set: ipv6.map(|ipv6_address| Ipv6Address { ipv6_address }).into_iter().collect(),
            tag_set: Tags::default(),
        }
    }

    /// Gives it an address of AWS's pool, whose owner is "amazon" (EC2 API reference, `NetworkInterfaceAssociation`).
    pub fn lend(&mut self, public_ip: Ipv4Addr) {
        let ip_owner_id = "amazon".into();
        self.associate(Association { public_ip, ip_owner_id, allocation_id: None, association_id: None });
    }

    /// Maps an Elastic IP address of the account to it.
    pub fn map(&mut self, public_ip: Ipv4Addr, account: &str, allocation_id: &str, association_id: &str) {
        self.associate(Association {
            public_ip,
            ip_owner_id: account.to_owned(),
            allocation_id: Some(allocation_id.to_owned()),
            association_id: Some(association_id.to_owned()),
        });
    }

    fn associate(&mut self, association: Association) {
        for address in &mut self.private_ip_addresses_set.item {
            address.association = Some(association.clone());
        }
        self.association = Some(association);
    }

    /// It is seen so while it is taken away.
    pub fn begin_detaching(&mut self) {
        self.attachment.status = "detaching";
    }

    pub fn private_ip(&self) -> Option<Ipv4Addr> {
        self.private_ip_address
    }

    pub fn has_ipv6(&self) -> bool {
        self.ipv6_address.is_some()
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.private_ip_address == Some(address),
            IpAddr::V6(address) => self.ipv6_address == Some(address),
        }
    }

    pub fn description(&self) -> &str {
        &self.description
    }

    pub fn availability_zone(&self) -> &str {
        &self.availability_zone
    }

    pub fn subnet_id(&self) -> &str {
        &self.subnet_id
    }

    pub fn vpc_id(&self) -> &str {
        &self.vpc_id
    }

    pub fn is_in(&self, subnet_id: &str) -> bool {
        self.subnet_id == subnet_id
    }

    pub fn is_in_vpc(&self, vpc_id: &str) -> bool {
        self.vpc_id == vpc_id
    }

    pub fn group_ids(&self) -> Vec<String> {
        self.group_set.item.iter().map(|group| group.group_id.clone()).collect()
    }

    pub fn has_group(&self, group_id: &str) -> bool {
        self.group_set.item.iter().any(|group| group.group_id == group_id)
    }

    pub fn public_ip(&self) -> Option<Ipv4Addr> {
        self.association.as_ref().map(|association| association.public_ip)
    }

    fn interface_types(&self) -> Vec<String> {
        let names = if NAT_GATEWAY.contains(&self.interface_type) {
            &NAT_GATEWAY[..]
        } else {
            &[self.interface_type]
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

impl Attachment {
    fn new(maker: &Maker, ec2: &Ec2) -> Self {
        Self {
            attachment_id: ec2.new_id(maker.attachment),
            instance_owner_id: maker.instance_owner,
            device_index: 1,
            status: "attached",
            attach_time: now_as_text(ec2.upstream.clock),
            delete_on_termination: false,
        }
    }
}

impl From<Group> for GroupIdentifier {
    fn from(group: Group) -> Self {
        Self { group_id: group.group_id, group_name: group.group_name }
    }
}

impl From<&Interface> for TaskInterface {
    fn from(interface: &Interface) -> Self {
        Self {
            id: interface.network_interface_id.clone(),
            private_ip: interface.private_ip_address.map(|address| address.to_string()),
            ipv6: interface.ipv6_address.map(|address| address.to_string()),
            public_ip: interface.public_ip().map(|address| address.to_string()),
            mac: interface.mac_address.clone(),
            subnet_id: interface.subnet_id.clone(),
            vpc_id: interface.vpc_id.clone(),
            availability_zone: interface.availability_zone.clone(),
        }
    }
}

impl Describe for Interface {
    const IDS: &'static str = "NetworkInterfaceId";
    const FILTERS: Filters<Self> = &[
        ("description", |interface| vec![interface.description.clone()]),
        ("group-id", Interface::group_ids),
        ("interface-type", Interface::interface_types),
        ("network-interface-id", |interface| vec![interface.network_interface_id.clone()]),
        ("status", |interface| vec![interface.status.to_owned()]),
        ("subnet-id", |interface| vec![interface.subnet_id.clone()]),
        ("vpc-id", |interface| vec![interface.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.network_interface_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        let message = format!("The networkInterface ID '{id}' does not exist");
        ApiError::new("InvalidNetworkInterfaceID.NotFound", message)
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "eni", "InvalidNetworkInterfaceId.Malformed")
    }
}

/// A locally administered hardware address.
fn new_mac(random: &Random) -> String {
    let digits = random.value::<[u8; 5]>().map(|byte| format!("{byte:02x}"));
    format!("02:{}", digits.join(":"))
}
