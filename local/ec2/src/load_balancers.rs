//! What a load balancer has in a network: an interface in each of its subnets, made and deleted for Elastic Load
//! Balancing.

use std::net::IpAddr;
use std::time::Duration;

use crate::Ec2;
use crate::describe::Describe;
use crate::error::ApiError;
use crate::groups::Group;
use crate::interfaces::{AWS, Interface, PrivateAddresses};
use crate::internet_gateways::InternetGateway;
use crate::vpcs::Vpc;

/// How long the interfaces of a load balancer and their public addresses are there after its deletion has been answered.
/// A guess at what was seen as minutes (hashicorp/terraform#3758, hashicorp/terraform-provider-aws#33645).
pub const LOAD_BALANCER_LINGERS: Duration = Duration::from_mins(2);

/// How an interface of a network load balancer is called (EC2 API reference, `NetworkInterface`, `interfaceType`).
const NETWORK_LOAD_BALANCER: &str = "network_load_balancer";

/// The network interface of a load balancer in one subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerInterface {
    /// `eni-` and 17 hexadecimal digits.
    pub id: String,
    /// The address in the subnet.
    pub private_ip: String,
    /// The public address of one that faces the internet. It is this machine's.
    pub public_ip: Option<String>,
}

/// What Elastic Load Balancing looks at before it makes a load balancer in a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetFacts {
    /// The subnet's VPC.
    pub vpc_id: String,
    /// Its Availability Zone.
    pub availability_zone: String,
    /// How many IPv4 addresses are left.
    pub free_addresses: usize,
    /// Whether an internet gateway is attached to the VPC.
    pub has_internet_gateway: bool,
}

impl Ec2 {
    /// Makes the interface of the network load balancer `name`, `net/NAME/ID`, in one of its subnets. One that was made
    /// without groups has none, and everything passes. Who makes it, as Describe says, is a guess.
    ///
    /// # Errors
    /// As of [`Ec2::create_task_interface`].
    pub async fn create_load_balancer_interface(
        &self,
        name: &str,
        subnet_id: &str,
        security_groups: &[String],
        internet_facing: bool,
    ) -> Result<LoadBalancerInterface, ApiError> {
        let subnet = self.subnet(subnet_id).await?;
        let groups: Vec<Group> = match security_groups {
            [] => Vec::new(),
            ids => self.groups_for(&subnet, ids).await?,
        };
        let mut state = self.state();
        self.check_room_for_interfaces(&state, 1)?;
        let private_ip = state.free_private_ip(&subnet, &self.upstream.random)?;
        let addresses = PrivateAddresses { ipv4: Some(private_ip), ipv6: None };
        let interface = Interface::new(&subnet, addresses, &AWS, &description(name), self);
        let mut interface = interface.of_type(NETWORK_LOAD_BALANCER, groups);
        if internet_facing {
            interface.lend(state.free_public_ip(&self.upstream.random)?);
        }
        let made = LoadBalancerInterface {
            id: interface.id().to_owned(),
            private_ip: private_ip.to_string(),
            public_ip: interface.public_ip().map(|address| address.to_string()),
        };
        state.interfaces.push(interface);
        Ok(made)
    }

    /// Deletes the interfaces of the load balancer `name`, which takes [`LOAD_BALANCER_LINGERS`] of the cloud's time.
    pub async fn delete_load_balancer_interfaces(&self, name: &str) {
        let description = description(name);
        for interface in &mut self.state().interfaces {
            if interface.description() == description {
                interface.begin_detaching();
            }
        }
        self.upstream.clock.sleep(LOAD_BALANCER_LINGERS).await;
        self.state().interfaces.retain(|interface| interface.description() != description);
    }

    /// What there is to know of a subnet.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn subnet_facts(&self, subnet_id: &str) -> Result<SubnetFacts, ApiError> {
        let subnet = self.subnet(subnet_id).await?;
        let gateways: Vec<InternetGateway> = self.seen_by_service().await?;
        Ok(SubnetFacts {
            has_internet_gateway: gateways.iter().any(|gateway| gateway.is_attached_to(&subnet.vpc_id)),
            free_addresses: subnet.free_addresses(),
            vpc_id: subnet.vpc_id,
            availability_zone: subnet.availability_zone,
        })
    }

    /// Whether there is such a VPC, for target groups.
    ///
    /// # Errors
    /// `InternalError` when MiniStack cannot be read.
    pub async fn has_vpc(&self, id: &str) -> Result<bool, ApiError> {
        let vpcs: Vec<Vpc> = self.seen_by_service().await?;
        Ok(vpcs.iter().any(|vpc| vpc.vpc_id == id))
    }

    /// The id and the Availability Zone of the interface that has the address in the VPC: a target's.
    pub fn interface_at(&self, vpc_id: &str, address: IpAddr) -> Option<(String, String)> {
        let state = self.state();
        let mut in_vpc = state.interfaces.iter().filter(|interface| interface.is_in_vpc(vpc_id));
        let found = in_vpc.find(|interface| interface.has_address(address))?;
        Some((found.id().to_owned(), found.availability_zone().to_owned()))
    }
}

fn description(name: &str) -> String {
    format!("ELB {name}")
}
