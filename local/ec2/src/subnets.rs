//! Subnets: created, deleted and described, and how their addresses have to lie in the VPC's.

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::addresses;
use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::ApiError;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::tags::Tags;
use crate::vpcs::{PENDING, Vpc, cidr};
use crate::xml::{self, Items};
use crate::{Ec2, State};

/// The Availability Zones of the Region: its name with one of these letters.
const ZONES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    pub subnet_id: String,
    subnet_arn: String,
    owner_id: String,
    pub vpc_id: String,
    state: String,
    pub cidr_block: Ipv4Net,
    available_ip_address_count: usize,
    pub availability_zone: String,
    default_for_az: bool,
    map_public_ip_on_launch: bool,
    tag_set: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateSubnetResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    subnet: Subnet,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeSubnetsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    subnet_set: Items<Subnet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: CreateSubnet.
    pub(crate) async fn create_subnet(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let vpc_id = call.parameters.require("VpcId")?;
        let cidr_block = cidr(&call.parameters.require("CidrBlock")?, "InvalidSubnet.Range")?;
        let availability_zone = call.parameters.require("AvailabilityZone")?;
        self.check_zone(&availability_zone)?;
        let tags = Tags::take(Subnet::TYPE, &mut call.parameters)?;
        let vpc: Vpc = self.seen_by_call(&vpc_id).await?;
        call.mutate(&[Target::new::<Subnet>(&tags, Some(&vpc_id)), Target::existing(&vpc)]).await?;
        let subnet_id = self.new_id("subnet");
        let mut subnet = Subnet {
            subnet_arn: call.arn(Subnet::TYPE, &subnet_id),
            subnet_id,
            owner_id: self.upstream.account.clone(),
            vpc_id,
            state: "pending".into(),
            cidr_block,
            available_ip_address_count: 0,
            availability_zone,
            default_for_az: false,
            map_public_ip_on_launch: false,
            tag_set: tags,
        };
        {
            let mut state = self.state();
            subnet.fits(state.vpcs.seen_by_call(&vpc.vpc_id)?, &state)?;
            let siblings = state.subnets.seen_by_ec2().filter(|other| other.vpc_id == vpc.vpc_id).count();
            room(siblings, self.quotas.subnets_per_vpc, "SubnetLimitExceeded", "subnets")?;
            subnet.refresh(&state);
            self.insert(&mut state, subnet.clone());
        }
        let id = subnet.subnet_id.clone();
        self.later(PENDING, move |state| {
            for subnet in state.subnets.seen_by_ec2_mut().filter(|subnet| subnet.subnet_id == id) {
                subnet.state = "available".into();
            }
        });
        xml::document(&CreateSubnetResponse { xmlns: xml::NAMESPACE, request_id: call.request_id, subnet })
    }

    /// EC2 API reference: DeleteSubnet. Whatever has an interface in the subnet is in the way; associations with route
    /// tables go with it.
    pub(crate) async fn delete_subnet(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("SubnetId")?;
        let subnet: Subnet = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&subnet)]).await?;
        let mut state = self.state();
        state.subnets.seen_by_call(&id)?;
        if state.interfaces.iter().any(|interface| interface.is_in(&id)) {
            return Err(ApiError::dependency_violation("subnet", &id));
        }
        state.disassociate_subnet(&id);
        self.delete::<Subnet>(&mut state, &id);
        call.done()
    }

    /// EC2 API reference: DescribeSubnets.
    pub(crate) async fn describe_subnets(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<Subnet>(&mut call.parameters)?;
        call.describe().await?;
        let (subnets, next_token) = self.select(&query).await?;
        xml::document(&DescribeSubnetsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            subnet_set: subnets.into_iter().collect(),
            next_token,
        })
    }

    pub(crate) async fn subnet(&self, id: &str) -> Result<Subnet, ApiError> {
        self.named_by_service(&[id.to_owned()]).await?.pop().ok_or_else(|| Subnet::not_found(id))
    }

    /// The VPC of each of the subnets `ids`.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn vpcs_of_subnets(&self, ids: &[String]) -> Result<Vec<String>, ApiError> {
        Ok(self.named_by_service::<Subnet>(ids).await?.into_iter().map(|subnet| subnet.vpc_id).collect())
    }

    fn check_zone(&self, zone: &str) -> Result<(), ApiError> {
        let zones = ZONES.map(|letter| format!("{}{letter}", self.upstream.region));
        if zones.iter().any(|known| known == zone) {
            return Ok(());
        }
        let expected = format!(
            "Subnets can currently only be created in the following availability zones: {}.",
            zones.join(", ")
        );
        Err(ApiError::invalid_value("availabilityZone", zone, &expected))
    }
}

impl Subnet {
    pub fn free_addresses(&self) -> usize {
        self.available_ip_address_count
    }

    fn of_ministack(subnet: aws_sdk_ec2::types::Subnet) -> Option<Self> {
        Some(Self {
            subnet_id: subnet.subnet_id?,
            subnet_arn: subnet.subnet_arn?,
            owner_id: subnet.owner_id?,
            vpc_id: subnet.vpc_id?,
            state: subnet.state?.as_str().to_owned(),
            cidr_block: subnet.cidr_block?.parse().ok()?,
            available_ip_address_count: 0,
            availability_zone: subnet.availability_zone?,
            default_for_az: subnet.default_for_az?,
            map_public_ip_on_launch: subnet.map_public_ip_on_launch?,
            tag_set: subnet.tags.into(),
        })
    }

    /// Whether its addresses are the VPC's, and no other subnet's.
    fn fits(&self, vpc: &Vpc, state: &State) -> Result<(), ApiError> {
        let cidr = self.cidr_block;
        if !vpc.cidr_block.contains(&cidr) {
            return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid.")));
        }
        let overlaps = |other: &Self| {
            other.vpc_id == self.vpc_id
                && (other.cidr_block.contains(&cidr) || cidr.contains(&other.cidr_block))
        };
        if state.subnets.seen_by_ec2().any(overlaps) {
            let message = format!("The CIDR '{cidr}' conflicts with another subnet");
            return Err(ApiError::new("InvalidSubnet.Conflict", message));
        }
        Ok(())
    }
}

impl Kind for Subnet {
    const TYPE: &'static str = "subnet";

    fn table(state: &State) -> &Table<Self> {
        &state.subnets
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.subnets
    }

    fn policy_vpc(&self) -> Option<&str> {
        Some(&self.vpc_id)
    }

    /// Both spellings are seen: `ID` in Describe, `Id` in the calls that use or delete it (alchemy-run/distilled, patches
    /// of the model after real answers).
    fn unknown(id: &str) -> ApiError {
        ApiError { code: "InvalidSubnetId.NotFound", ..Self::not_found(id) }
    }

    async fn adopted(ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let subnets =
            ec2.ministack.describe_subnets().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        adopt(subnets.await.map_err(|error| ApiError::ministack(&error))?, Self::of_ministack)
    }

    fn refresh(&mut self, state: &State) {
        let used = state.interfaces.iter().filter(|interface| interface.is_in(&self.subnet_id)).count();
        self.available_ip_address_count = addresses::usable(self.cidr_block).count().saturating_sub(used);
    }
}

impl Describe for Subnet {
    const IDS: &'static str = "SubnetId";
    const FILTERS: Filters<Self> = &[
        ("availability-zone", |subnet| vec![subnet.availability_zone.clone()]),
        ("cidr-block", |subnet| vec![subnet.cidr_block.to_string()]),
        ("default-for-az", |subnet| vec![subnet.default_for_az.to_string()]),
        ("map-public-ip-on-launch", |subnet| vec![subnet.map_public_ip_on_launch.to_string()]),
        ("owner-id", |subnet| vec![subnet.owner_id.clone()]),
        ("state", |subnet| vec![subnet.state.clone()]),
        ("subnet-id", |subnet| vec![subnet.subnet_id.clone()]),
        ("vpc-id", |subnet| vec![subnet.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.subnet_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "subnet", "InvalidSubnetID.Malformed")
    }
}
