//! A route of a table: where it leads, and whether what it leads to is still there.

use ipnet::IpNet;
use serde::Serialize;

use crate::State;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
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
    pub fn local(range: IpNet) -> Self {
        Self { gateway_id: Some("local".into()), ..Self::to(range, "CreateRouteTable") }
    }

    /// A route to the addresses.
    pub fn to(range: IpNet, origin: &str) -> Self {
        let text = Some(range.to_string());
        match range {
            IpNet::V4(_) => Self { destination_cidr_block: text, ..Self::active(origin) },
            IpNet::V6(_) => Self { destination_ipv6_cidr_block: text, ..Self::active(origin) },
        }
    }

    /// Where to, unless it is by a list of prefixes.
    pub fn destination(&self) -> Option<&String> {
        self.destination_cidr_block.as_ref().or(self.destination_ipv6_cidr_block.as_ref())
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
            destination_ipv6_cidr_block: None,
            destination_prefix_list_id: None,
            egress_only_internet_gateway_id: None,
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
        let leads = match (&self.gateway_id, &self.nat_gateway_id, &self.egress_only_internet_gateway_id) {
            (_, Some(nat_gateway), _) => !state.is_nat_gateway_gone(nat_gateway),
            (_, None, Some(gateway)) => !state.is_egress_only_gateway_gone(gateway),
            (Some(gateway), None, None) => self.is_local() || state.is_gateway_attached(gateway, vpc_id),
            (None, None, None) => false,
        };
        self.state = if leads { "active" } else { "blackhole" }.into();
    }

    pub fn of_ministack(route: aws_sdk_ec2::types::Route) -> Option<Self> {
        Some(Self {
            destination_cidr_block: route.destination_cidr_block,
            destination_ipv6_cidr_block: route.destination_ipv6_cidr_block,
            egress_only_internet_gateway_id: route.egress_only_internet_gateway_id,
            destination_prefix_list_id: route.destination_prefix_list_id,
            gateway_id: route.gateway_id,
            nat_gateway_id: route.nat_gateway_id,
            origin: route.origin?.as_str().to_owned(),
            state: route.state?.as_str().to_owned(),
            is_adopted: true,
        })
    }
}
