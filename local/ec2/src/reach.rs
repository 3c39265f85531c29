//! Whether the routes of a network lead to the internet.

use crate::Ec2;
use crate::describe::Describe;
use crate::error::ApiError;
use crate::groups::Group;
use crate::interfaces::Interface;
use crate::routes::Route;

/// All addresses.
const ANYWHERE: &str = "0.0.0.0/0";
/// The port of https.
const HTTPS: i32 = 443;

impl Ec2 {
    /// Whether what has the interface `id` reaches servers on the internet with https: its groups let it out, and the
    /// default route of its subnet leads, while it has a public address, to an attached internet gateway, or else to an
    /// available NAT gateway in a subnet whose default route leads there.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn reaches_internet(&self, id: &str) -> Result<bool, ApiError> {
        let interface = self.state().interfaces.iter().find(|interface| interface.id() == id).cloned();
        let interface = interface.ok_or_else(|| Interface::not_found(id))?;
        let groups: Vec<Group> = self.named_by_service(&interface.group_ids()).await?;
        if !groups.iter().any(|group| group.lets_out(HTTPS)) {
            return Ok(false);
        }
        let Some(route) = self.default_route(interface.subnet_id(), interface.vpc_id()).await? else {
            return Ok(false);
        };
        let Some(nat_gateway_id) = &route.nat_gateway_id else {
            return Ok(interface.public_ip().is_some());
        };
        let nat_subnet = self.state().available_nat_gateway(nat_gateway_id).map(|nat| nat.subnet_id.clone());
        match nat_subnet {
            Some(subnet) => {
                let onwards = self.default_route(&subnet, interface.vpc_id()).await?;
                Ok(onwards.is_some_and(|route| route.nat_gateway_id.is_none()))
            }
            // One of MiniStack's, which are not adopted, works.
            None => Ok(route.is_adopted),
        }
    }

    /// The subnet's route to everywhere, if it leads anywhere.
    async fn default_route(&self, subnet_id: &str, vpc_id: &str) -> Result<Option<Route>, ApiError> {
        let table = self.table_of(subnet_id, vpc_id).await?;
        let mut routes = table.into_iter().flat_map(|table| table.route_set.item);
        Ok(routes.find(|route| {
            route.destination_cidr_block.as_deref() == Some(ANYWHERE) && route.state == "active"
        }))
    }
}
