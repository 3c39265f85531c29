//! What an interface endpoint has in a VPC: an interface in each of its subnets, groups, and a private name.

use std::net::IpAddr;

use crate::describe::Describe;
use crate::endpoint_services::{invalid, private_name};
use crate::endpoints::{Endpoint, Place};
use crate::error::ApiError;
use crate::groups::Group;
use crate::interfaces::{AWS, Interface, PrivateAddresses};
use crate::quotas::room;
use crate::subnets::Subnet;
use crate::vpcs::Vpc;
use crate::{Ec2, State};

/// How an interface of an endpoint is called (EC2 API reference, `NetworkInterface`, `interfaceType`).
const VPC_ENDPOINT: &str = "vpc_endpoint";

impl Ec2 {
    /// The subnets and the groups that a call names for an endpoint in the VPC; with no group it is the VPC's default one
    /// (EC2 API reference, CreateVpcEndpoint, `SecurityGroupId`). What of another VPC is told is a guess.
    pub(crate) async fn place_of_endpoint(
        &self,
        vpc_id: &str,
        subnet_ids: &[String],
        group_ids: &[String],
    ) -> Result<Place, ApiError> {
        let mut place = Place::default();
        for id in subnet_ids {
            let subnet: Subnet = self.seen_by_call(id).await?;
            if subnet.vpc_id != vpc_id {
                return Err(invalid(format!("The subnet {id} does not belong to VPC {vpc_id}.")));
            }
            place.subnets.push(subnet);
        }
        for id in group_ids {
            let group: Group = self.seen_by_call(id).await?;
            if group.vpc_id != vpc_id {
                return Err(invalid(format!("The security group {id} does not belong to VPC {vpc_id}.")));
            }
            place.groups.push(group);
        }
        Ok(place)
    }

    /// Makes the interfaces of a new endpoint, and tells it what it has.
    pub(crate) fn connect_endpoint(
        &self,
        state: &mut State,
        endpoint: &mut Endpoint,
        place: Place,
    ) -> Result<(), ApiError> {
        let Place { subnets, mut groups } = place;
        state.check_private_dns(endpoint, &self.upstream.region)?;
        let vpc_id = endpoint.vpc_id();
        let used = state.endpoints.seen_by_ec2().filter(|other| other.is_interface_of(vpc_id)).count();
        let quota = self.quotas.interface_endpoints_per_vpc;
        room(used, quota, "VpcEndpointLimitExceeded", "interface endpoints")?;
        check_subnets(&subnets)?;
        if groups.is_empty() {
            let all = state.groups.seen_by_ec2();
            groups = all.filter(|group| group.is_default() && group.vpc_id == vpc_id).cloned().collect();
        }
        if !subnets.is_empty() {
            self.check_room_for_interfaces(state, subnets.len())?;
        }
        let mut made = Vec::new();
        for subnet in &subnets {
            state.subnets.seen_by_call(&subnet.subnet_id)?;
            let ipv4 = Some(state.free_private_ip(subnet, &self.upstream.random)?);
            let description = format!("VPC Endpoint Interface {}", endpoint.id());
            let addresses = PrivateAddresses { ipv4, ipv6: None };
            let interface = Interface::new(subnet, addresses, &AWS, &description, self);
            made.push(interface.of_type(VPC_ENDPOINT, groups.clone()));
        }
        endpoint.connect(&subnets, groups, &made);
        state.interfaces.extend(made);
        Ok(())
    }
}

/// terraform-aws-modules/terraform-aws-vpc#451. What one without IPv4 addresses is told is a guess.
fn check_subnets(subnets: &[Subnet]) -> Result<(), ApiError> {
    for (index, subnet) in subnets.iter().enumerate() {
        let id = &subnet.subnet_id;
        if subnet.cidr_block.is_none() {
            return Err(invalid(format!("The subnet {id} does not support the IP address type ipv4.")));
        }
        if subnets[..index].iter().any(|other| other.availability_zone == subnet.availability_zone) {
            let message = format!(
                "Found another VPC endpoint subnet in the availability zone of {id}. VPC endpoint subnets should be in \
                 different availability zones supported by the VPC endpoint service."
            );
            return Err(ApiError::new("DuplicateSubnetsInSameZone", message));
        }
    }
    Ok(())
}

impl State {
    /// Whether the endpoint may have a private name, if it wants one. The first refusal is quoted by the GuardDuty guide, the
    /// second by hashicorp/terraform-provider-aws#17535; that an endpoint has its name until it is gone is a guess.
    fn check_private_dns(&self, endpoint: &Endpoint, region: &str) -> Result<(), ApiError> {
        let Some(service) = endpoint.private_service() else { return Ok(()) };
        let vpc: &Vpc = self.vpcs.seen_by_call(endpoint.vpc_id())?;
        if !vpc.dns_support || !vpc.dns_hostnames {
            return Err(invalid(format!(
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for \
                 {}",
                vpc.vpc_id
            )));
        }
        let same =
            |other: &Endpoint| other.is_in_vpc(&vpc.vpc_id) && other.private_service() == Some(service);
        if self.endpoints.seen_by_ec2().any(same) {
            let name = private_name(service, region);
            return Err(invalid(format!(
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain for {name} in the VPC \
                 {}",
                vpc.vpc_id
            )));
        }
        Ok(())
    }

    /// The addresses and groups of the endpoint to which the name of the service is resolved in the VPC.
    pub fn endpoint_for(&self, vpc_id: &str, service: &str) -> Option<(Vec<IpAddr>, Vec<String>)> {
        let vpc = self.vpcs.seen_by_anyone(vpc_id)?;
        let resolved = |endpoint: &&Endpoint| {
            endpoint.is_in_vpc(vpc_id)
                && endpoint.is_available()
                && endpoint.private_service() == Some(service)
        };
        let endpoint = self.endpoints.seen_by_ec2().find(resolved).filter(|_| vpc.dns_support)?;
        let of_endpoint = self.interfaces.iter().filter(|interface| endpoint.has_interface(interface.id()));
        let addresses = of_endpoint.filter_map(|interface| interface.private_ip().map(IpAddr::V4));
        Some((addresses.collect(), endpoint.group_ids()))
    }
}
