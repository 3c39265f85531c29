//! Routes that calls add to a table, and what they may lead to.

use ipnet::IpNet;

use crate::call::{Call, Target};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::quotas::room;
use crate::route_tables::RouteTable;
use crate::routes::Route;
use crate::{Ec2, State};

impl Ec2 {
    /// EC2 API reference: CreateRoute, to an internet gateway, a NAT gateway (IPv4) or an egress-only internet gateway
    /// (IPv6).
    pub(crate) async fn create_route(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let table_id = call.parameters.require("RouteTableId")?;
        let route = Route::take(&mut call.parameters)?;
        let table: RouteTable = self.seen_by_call(&table_id).await?;
        call.mutate(&[Target::existing(&table)]).await?;

        let mut state = self.state();
        state.check_target(&route, &table)?;
        let routes = &mut self.change::<RouteTable>(&mut state, &table_id)?.route_set.item;
        if let Some(destination) = route.destination()
            && routes.iter().any(|other| other.destination() == Some(destination))
        {
            let message = format!("The route identified by {destination} already exists.");
            return Err(ApiError::new("RouteAlreadyExists", message));
        }
        let used = routes.iter().filter(|route| !route.is_local()).count();
        room(used, self.quotas.routes_per_table, "RouteLimitExceeded", "routes")?;
        routes.push(route);
        call.done()
    }
}

impl Route {
    fn take(parameters: &mut Parameters) -> Result<Self, ApiError> {
        let range = take_destination(parameters)?;
        let mut targets = ["GatewayId", "NatGatewayId", "EgressOnlyInternetGatewayId"]
            .map(|name| parameters.take(name))
            .into_iter()
            .enumerate()
            .filter_map(|(index, id)| Some((index, id?)));
        let (Some((index, id)), None) = (targets.next(), targets.next()) else {
            let message = "The request must contain exactly one of GatewayId, NatGatewayId, \
                           EgressOnlyInternetGatewayId";
            return Err(ApiError::new("InvalidParameterCombination", message));
        };
        let route = Self::to(range, "CreateRoute");
        match (index, range) {
            (0, _) => Ok(Self { gateway_id: Some(id), ..route }),
            (1, IpNet::V4(_)) => Ok(Self { nat_gateway_id: Some(id), ..route }),
            (2, IpNet::V6(_)) => Ok(Self { egress_only_internet_gateway_id: Some(id), ..route }),
            // Which code it has is a guess. A NAT gateway takes no IPv6 but that of NAT64, which nobody here has.
            _ => {
                let message = format!("The destination CIDR block {range} is not one that {id} takes.");
                Err(ApiError::new("InvalidParameterValue", message))
            }
        }
    }
}

/// Takes the one destination that is given, in its canonical form.
fn take_destination(parameters: &mut Parameters) -> Result<IpNet, ApiError> {
    let malformed =
        |name: &str, text: &str| ApiError::invalid_value(name, text, "This is not a valid CIDR block.");
    let range = match parameters.take("DestinationIpv6CidrBlock") {
        Some(_) if parameters.has("DestinationCidrBlock") => {
            let message =
                "The request must contain exactly one of DestinationCidrBlock, DestinationIpv6CidrBlock";
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        Some(text) => IpNet::V6(text.parse().map_err(|_| malformed("destinationIpv6CidrBlock", &text))?),
        None => {
            let text = parameters.require("DestinationCidrBlock")?;
            IpNet::V4(text.parse().map_err(|_| malformed("destinationCidrBlock", &text))?)
        }
    };
    Ok(range.trunc())
}

impl State {
    /// Whether what the route leads to can be reached from the table's VPC.
    fn check_target(&self, route: &Route, table: &RouteTable) -> Result<(), ApiError> {
        if let Some(id) = &route.gateway_id {
            self.check_gateway(id, table)?;
        }
        if let Some(id) = &route.nat_gateway_id {
            self.check_nat_gateway(id, table)?;
        }
        if let Some(id) = &route.egress_only_internet_gateway_id {
            self.check_egress_only_gateway_of(id, table)?;
        }
        Ok(())
    }

    fn check_egress_only_gateway_of(&self, id: &str, table: &RouteTable) -> Result<(), ApiError> {
        if self.egress_only_gateways.seen_by_call(id)?.is_attached_to(&table.vpc_id) {
            return Ok(());
        }
        let table = &table.route_table_id;
        let message =
            format!("route table {table} and egress-only internet gateway {id} belong to different networks");
        Err(ApiError::new("InvalidParameterValue", message))
    }

    fn check_gateway(&self, id: &str, table: &RouteTable) -> Result<(), ApiError> {
        let Ok(gateway) = self.internet_gateways.seen_by_call(id) else {
            let message = format!("The gateway ID '{id}' does not exist");
            return Err(ApiError::new("InvalidGatewayID.NotFound", message));
        };
        if gateway.is_attached_to(&table.vpc_id) {
            return Ok(());
        }
        let table = &table.route_table_id;
        let message = format!("route table {table} and network gateway {id} belong to different networks");
        Err(ApiError::new("InvalidParameterValue", message))
    }

    /// One that is not available yet does not exist yet here (boto/boto3#779, kubernetes/kops PR 944).
    fn check_nat_gateway(&self, id: &str, table: &RouteTable) -> Result<(), ApiError> {
        let seen = self.nat_gateways.seen_by_call(id).is_ok();
        let Some(nat) = self.available_nat_gateway(id).filter(|_| seen) else {
            let message = format!("The natGateway ID '{id}' does not exist");
            return Err(ApiError::new("InvalidNatGatewayID.NotFound", message));
        };
        if nat.vpc_id == table.vpc_id {
            return Ok(());
        }
        let table = &table.route_table_id;
        let message = format!("route table {table} and interface of {id} belong to different networks");
        Err(ApiError::new("InvalidParameterValue", message))
    }
}
