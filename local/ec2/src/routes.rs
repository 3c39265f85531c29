//! Routes, and whether they lead to the internet.

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::Describe;
use crate::error::Ec2Error;
use crate::groups::Group;
use crate::interfaces::Interface;
use crate::quotas::room;
use crate::route_tables::RouteTable;
use crate::xml;
use crate::{Ec2, State};

/// All addresses.
const ANYWHERE: &str = "0.0.0.0/0";
/// The port of https.
const HTTPS: i32 = 443;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat_gateway_id: Option<String>,
    origin: String,
    state: String,
    /// Whether it is MiniStack's, which says itself what state it is in.
    #[serde(skip)]
    is_adopted: bool,
}

impl Ec2 {
    /// EC2 API reference: CreateRoute, to an internet gateway or a NAT gateway.
    pub(crate) async fn create_route(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let table_id = call.parameters.require("RouteTableId")?;
        let destination = call.parameters.require("DestinationCidrBlock")?;
        let destination: Ipv4Net = destination.parse().map_err(|_| {
            let expected = "This is not a valid CIDR block.";
            Ec2Error::invalid_value("destinationCidrBlock", &destination, expected)
        })?;
        let (gateway_id, nat_gateway_id) =
            (call.parameters.take("GatewayId"), call.parameters.take("NatGatewayId"));
        if gateway_id.is_some() == nat_gateway_id.is_some() {
            let message = "The request must contain exactly one of GatewayId, NatGatewayId";
            return Err(Ec2Error::new("InvalidParameterCombination", message));
        }
        let table: RouteTable = self.seen_by_call(&table_id).await?;
        call.mutate(&[Target::existing(&table)]).await?;

        let mut state = self.state();
        if let Some(id) = &gateway_id {
            state.check_gateway(id, &table)?;
        }
        if let Some(id) = &nat_gateway_id {
            state.check_nat_gateway(id, &table)?;
        }
        let routes = &mut self.change::<RouteTable>(&mut state, &table_id)?.route_set.item;
        let destination = destination.trunc().to_string();
        if routes.iter().any(|route| route.destination_cidr_block.as_ref() == Some(&destination)) {
            let message = format!("The route identified by {destination} already exists.");
            return Err(Ec2Error::new("RouteAlreadyExists", message));
        }
        let used = routes.iter().filter(|route| !route.is_local()).count();
        room(used, self.quotas.routes_per_table, "RouteLimitExceeded", "routes")?;
        routes.push(Route {
            destination_cidr_block: Some(destination),
            gateway_id,
            nat_gateway_id,
            ..Route::active("CreateRoute")
        });
        xml::done(&call)
    }

    /// Whether what has the interface `id` reaches servers on the internet with https: its groups let it out, and the
    /// default route of its subnet leads, while it has a public address, to an attached internet gateway, or else to an
    /// available NAT gateway in a subnet whose default route leads there.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn reaches_internet(&self, id: &str) -> Result<bool, Ec2Error> {
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
    async fn default_route(&self, subnet_id: &str, vpc_id: &str) -> Result<Option<Route>, Ec2Error> {
        let table = self.table_of(subnet_id, vpc_id).await?;
        let mut routes = table.into_iter().flat_map(|table| table.route_set.item);
        Ok(routes.find(|route| {
            route.destination_cidr_block.as_deref() == Some(ANYWHERE) && route.state == "active"
        }))
    }
}

impl State {
    fn check_gateway(&self, id: &str, table: &RouteTable) -> Result<(), Ec2Error> {
        let Ok(gateway) = self.internet_gateways.seen_by_call(id) else {
            let message = format!("The gateway ID '{id}' does not exist");
            return Err(Ec2Error::new("InvalidGatewayID.NotFound", message));
        };
        if gateway.is_attached_to(&table.vpc_id) {
            return Ok(());
        }
        let table = &table.route_table_id;
        let message = format!("route table {table} and network gateway {id} belong to different networks");
        Err(Ec2Error::new("InvalidParameterValue", message))
    }

    /// One that is not available yet does not exist yet here (boto/boto3#779, kubernetes/kops PR 944).
    fn check_nat_gateway(&self, id: &str, table: &RouteTable) -> Result<(), Ec2Error> {
        let seen = self.nat_gateways.seen_by_call(id).is_ok();
        let Some(nat) = self.available_nat_gateway(id).filter(|_| seen) else {
            let message = format!("The natGateway ID '{id}' does not exist");
            return Err(Ec2Error::new("InvalidNatGatewayID.NotFound", message));
        };
        if nat.vpc_id == table.vpc_id {
            return Ok(());
        }
        let table = &table.route_table_id;
        let message = format!("route table {table} and interface of {id} belong to different networks");
        Err(Ec2Error::new("InvalidParameterValue", message))
    }
}

impl Route {
    /// Inside the VPC, which every table has.
    pub fn local(cidr_block: Ipv4Net) -> Self {
        Self {
            destination_cidr_block: Some(cidr_block.to_string()),
            gateway_id: Some("local".into()),
            ..Self::active("CreateRouteTable")
        }
    }

    /// To the gateway endpoint of a service.
    pub fn to_endpoint(endpoint_id: &str, prefix_list_id: &str) -> Self {
        Self {
            destination_prefix_list_id: Some(prefix_list_id.to_owned()),
            gateway_id: Some(endpoint_id.to_owned()),
            ..Self::active("CreateRoute")
        }
    }

    fn active(origin: &str) -> Self {
        Self {
            destination_cidr_block: None,
            destination_prefix_list_id: None,
            gateway_id: None,
            nat_gateway_id: None,
            origin: origin.into(),
            state: "active".into(),
            is_adopted: false,
        }
    }

    fn is_local(&self) -> bool {
        self.gateway_id.as_deref() == Some("local")
    }

    /// A route whose target is gone stays, as a black hole (EC2 API reference, `Route`, `state`).
    pub fn refresh(&mut self, vpc_id: &str, state: &State) {
        if self.is_adopted {
            return;
        }
        let leads = match (&self.gateway_id, &self.nat_gateway_id) {
            (_, Some(nat_gateway)) => !state.is_nat_gateway_gone(nat_gateway),
            (Some(gateway), None) => self.is_local() || state.is_gateway_attached(gateway, vpc_id),
            (None, None) => false,
        };
        self.state = if leads { "active" } else { "blackhole" }.into();
    }

    pub fn of_ministack(route: aws_sdk_ec2::types::Route) -> Option<Self> {
        Some(Self {
            destination_cidr_block: route.destination_cidr_block,
            destination_prefix_list_id: route.destination_prefix_list_id,
            gateway_id: route.gateway_id,
            nat_gateway_id: route.nat_gateway_id,
            origin: route.origin?.as_str().to_owned(),
            state: route.state?.as_str().to_owned(),
            is_adopted: true,
        })
    }
}
