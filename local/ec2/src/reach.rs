//! What the network between an interface and somebody else lets pass: its routes, endpoints and groups.

use std::net::IpAddr;

use crate::error::ApiError;
use crate::groups::Group;
use crate::interfaces::Interface;
use crate::route_tables::RouteTable;
use crate::rules::{Direction, EVERY_IPV4, EVERY_IPV6};
use crate::{Ec2, State};

/// The port of https.
const HTTPS: u16 = 443;

/// A server that is called with https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server<'a> {
    /// One of AWS, in this Region.
    Aws {
        /// As the names of endpoint services end: `ecr.api`, `ecr.dkr`, `logs`, `s3`, `sqs`, ….
        service: &'a str,
        /// Whether the host called has IPv6 addresses too, `logs.eu-west-1.api.aws`.
        dual_stack: bool,
    },
    /// One anywhere.
    Internet {
        /// Whether it has IPv6 addresses too.
        ipv6: bool,
    },
}

impl Server<'_> {
    fn has_ipv6(self) -> bool {
        matches!(self, Self::Aws { dual_stack: true, .. } | Self::Internet { ipv6: true })
    }

    /// The addresses and groups of the endpoint that stands for the server in the VPC.
    fn endpoint_in(self, state: &State, vpc_id: &str) -> Option<(Vec<IpAddr>, Vec<String>)> {
        match self {
            Self::Aws { service, .. } => state.endpoint_for(vpc_id, service),
            Self::Internet { .. } => None,
        }
    }
}

impl Ec2 {
    /// Whether what has the interface `interface_id` reaches the server, over a version of IP that both have: its groups
    /// let it out, and a route or an endpoint leads there.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn reaches(&self, interface_id: &str, server: Server<'_>) -> Result<bool, ApiError> {
        let interface = self.state().interface(interface_id)?.clone();
        let groups: Vec<Group> = self.named_by_service(&interface.group_ids()).await?;
        let lets_out = |range| groups.iter().any(|group| group.lets_out_to_all(range, HTTPS));
        let table = self.table_of(interface.subnet_id(), interface.vpc_id()).await?;
        let leads_out_by_ipv6 = table.as_ref().is_some_and(|table| table.route_to(EVERY_IPV6).is_some());
        if server.has_ipv6() && interface.has_ipv6() && lets_out(EVERY_IPV6) && leads_out_by_ipv6 {
            return Ok(true);
        }
        let Some(address) = interface.private_ip() else { return Ok(false) };
        let endpoint = server.endpoint_in(&self.state(), interface.vpc_id());
        if let Some(endpoint) = endpoint {
            // Its name leads there and nowhere else, whether it answers or not.
            return self.reaches_endpoint(address.into(), &groups, endpoint).await;
        }
        let Some(table) = table.filter(|_| lets_out(EVERY_IPV4)) else { return Ok(false) };
        if matches!(server, Server::Aws { service: "s3", .. }) && table.leads_to_endpoint() {
            return Ok(true);
        }
        self.leads_to_internet(&interface, &table).await
    }

    /// Whether what has the address and the groups reaches the interfaces of an endpoint: its own groups let it out, and
    /// those of the endpoint admit it (AWS PrivateLink guide, "Create an interface endpoint", "Prerequisites").
    async fn reaches_endpoint(
        &self,
        from: IpAddr,
        groups: &[Group],
        (addresses, group_ids): (Vec<IpAddr>, Vec<String>),
    ) -> Result<bool, ApiError> {
        let lets_out = |to: &IpAddr| {
            groups.iter().any(|group| group.admits(Direction::Egress, *to, &group_ids, "tcp", HTTPS))
        };
        if !addresses.iter().any(lets_out) {
            return Ok(false);
        }
        let ids: Vec<_> = groups.iter().map(|group| group.group_id.clone()).collect();
        self.passes(&group_ids, Direction::Ingress, from, &ids, "tcp", HTTPS).await
    }

    /// Whether the route to everywhere leads, while the interface has a public address, to an attached internet gateway,
    /// or else to an available NAT gateway in a subnet whose route leads there.
    async fn leads_to_internet(&self, interface: &Interface, table: &RouteTable) -> Result<bool, ApiError> {
        let Some(route) = table.route_to(EVERY_IPV4) else { return Ok(false) };
        let Some(nat_gateway_id) = &route.nat_gateway_id else {
            return Ok(interface.public_ip().is_some());
        };
        let nat_subnet = self.state().available_nat_gateway(nat_gateway_id).map(|nat| nat.subnet_id.clone());
        // One of MiniStack's, which are not adopted, works.
        let Some(nat_subnet) = nat_subnet else { return Ok(route.is_adopted) };
        let onwards = self.table_of(&nat_subnet, interface.vpc_id()).await?;
        let onwards = onwards.as_ref().and_then(|table| table.route_to(EVERY_IPV4));
        Ok(onwards.is_some_and(|route| route.nat_gateway_id.is_none()))
    }

    /// Whether the groups of the interface admit what comes from the address `from`, whose interface is in the groups
    /// `from_groups`, to a port. What is in no group, as a load balancer may be, admits everything.
    ///
    /// # Errors
    /// As of [`Ec2::reaches`].
    pub async fn admits(
        &self,
        interface_id: &str,
        from: IpAddr,
        from_groups: &[String],
        protocol: &str,
        port: u16,
    ) -> Result<bool, ApiError> {
        let ids = self.state().interface(interface_id)?.group_ids();
        self.passes(&ids, Direction::Ingress, from, from_groups, protocol, port).await
    }

    /// Whether the groups of the interface let out what goes to a port of the address `to`.
    ///
    /// # Errors
    /// As of [`Ec2::reaches`].
    pub async fn lets_out(
        &self,
        interface_id: &str,
        to: IpAddr,
        protocol: &str,
        port: u16,
    ) -> Result<bool, ApiError> {
        let (ids, to_groups) = {
            let state = self.state();
            let interface = state.interface(interface_id)?;
            let is_there = |other: &&Interface| other.is_in_vpc(interface.vpc_id()) && other.has_address(to);
            let to_groups = state.interfaces.iter().find(is_there).map(Interface::group_ids);
            (interface.group_ids(), to_groups.unwrap_or_default())
        };
        self.passes(&ids, Direction::Egress, to, &to_groups, protocol, port).await
    }

    async fn passes(
        &self,
        group_ids: &[String],
        direction: Direction,
        end: IpAddr,
        end_groups: &[String],
        protocol: &str,
        port: u16,
    ) -> Result<bool, ApiError> {
        let groups: Vec<Group> = self.named_by_service(group_ids).await?;
        let admits = |group: &Group| group.admits(direction, end, end_groups, protocol, port);
        Ok(groups.is_empty() || groups.iter().any(admits))
    }
}
