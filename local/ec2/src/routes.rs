//! A route of a table: where it leads, and whether what it leads to is still there.

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::State;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway_id: Option<String>,
    pub origin: String,
    pub state: String,
    /// Whether it is MiniStack's, which says itself what state it is in.
    #[serde(skip)]
    pub is_adopted: bool,
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

    pub fn active(origin: &str) -> Self {
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

    pub fn is_local(&self) -> bool {
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
