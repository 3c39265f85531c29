//! Subnets: created, deleted and described, and how their addresses have to lie in the VPC's.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use crate::addresses;
use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::ApiError;
use crate::ipv6::{Ipv6Association, subnet_block};
use crate::kinds::{Kind, Table};
use crate::parameters::Parameters;
use crate::quotas::room;
use crate::tags::Tags;
use crate::vpcs::{PENDING, Vpc, cidr};
use crate::xml::{self, Items};
use crate::{Ec2, State};

/// The Availability Zones of the Region: its name with one of these letters.
const ZONES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "the wire has them")]
pub struct Subnet {
    pub subnet_id: String,
    subnet_arn: String,
    owner_id: String,
    pub vpc_id: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<Ipv4Net>,
    available_ip_address_count: usize,
    pub availability_zone: String,
    default_for_az: bool,
    map_public_ip_on_launch: bool,
    assign_ipv6_address_on_creation: bool,
    ipv6_cidr_block_association_set: Items<Ipv6Association>,
    /// Whether it has IPv6 addresses alone.
    ipv6_native: bool,
    tag_set: Tags,
}

/// The addresses of a new subnet: of one version, since nobody here has both.
enum Addresses {
    V4(Ipv4Net),
    V6(Ipv6Net),
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
        let addresses = Addresses::take(&mut call.parameters)?;
        let availability_zone = call.parameters.require("AvailabilityZone")?;
        self.check_zone(&availability_zone)?;
        let tags = Tags::take(Subnet::TYPE, &mut call.parameters)?;
        let vpc: Vpc = self.seen_by_call(&vpc_id).await?;
        call.mutate(&[Target::new::<Subnet>(&tags, Some(&vpc_id)), Target::existing(&vpc)]).await?;
        let subnet_id = self.new_id("subnet");
        let (cidr_block, ipv6) = match addresses {
            Addresses::V4(cidr) => (Some(cidr), None),
            Addresses::V6(block) => (None, Some(Ipv6Association::of_subnet(block, self))),
        };
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
            // Of one with IPv6 alone it is true from the beginning (AWS CLI reference, create-subnet, the third example).
            assign_ipv6_address_on_creation: ipv6.is_some(),
            ipv6_native: ipv6.is_some(),
            ipv6_cidr_block_association_set: ipv6.into_iter().collect(),
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
                subnet.become_available();
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

impl Addresses {
    /// Takes the range. That one of IPv6 alone is refused with an IPv4 range has this code is a guess.
    fn take(parameters: &mut Parameters) -> Result<Self, ApiError> {
        if !parameters.take_bool("Ipv6Native")? {
            return Ok(Self::V4(cidr(&parameters.require("CidrBlock")?, "InvalidSubnet.Range")?));
        }
        if parameters.take("CidrBlock").is_some() {
            let message = "The parameter CidrBlock cannot be used with the parameter Ipv6Native";
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        Ok(Self::V6(subnet_block(&parameters.require("Ipv6CidrBlock")?)?))
    }
}

impl Subnet {
    pub fn free_addresses(&self) -> usize {
        self.available_ip_address_count
    }

    fn become_available(&mut self) {
        self.state = "available".into();
        if let Some(block) = self.ipv6_block() {
            for association in &mut self.ipv6_cidr_block_association_set.item {
                association.become_associated(block);
            }
        }
    }

    pub fn assign_ipv6_addresses(&mut self, assign: bool) {
        self.assign_ipv6_address_on_creation = assign;
    }

    pub fn ipv6_block(&self) -> Option<Ipv6Net> {
        self.ipv6_cidr_block_association_set.item.iter().find_map(Ipv6Association::block)
    }

    /// All its addresses.
    fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.cidr_block.map(IpNet::V4).into_iter().chain(self.ipv6_block().map(IpNet::V6))
    }

    fn of_ministack(subnet: aws_sdk_ec2::types::Subnet) -> Option<Self> {
        Some(Self {
            subnet_id: subnet.subnet_id?,
            subnet_arn: subnet.subnet_arn?,
            owner_id: subnet.owner_id?,
            vpc_id: subnet.vpc_id?,
            state: subnet.state?.as_str().to_owned(),
            cidr_block: Some(subnet.cidr_block?.parse().ok()?),
            available_ip_address_count: 0,
            availability_zone: subnet.availability_zone?,
            default_for_az: subnet.default_for_az?,
            map_public_ip_on_launch: subnet.map_public_ip_on_launch?,
            // The stacks' networks have IPv4 alone.
            assign_ipv6_address_on_creation: false,
            ipv6_cidr_block_association_set: Items::from_iter([]),
            ipv6_native: false,
            tag_set: subnet.tags.into(),
        })
    }

    /// Whether its addresses are the VPC's, and no other subnet's.
    fn fits(&self, vpc: &Vpc, state: &State) -> Result<(), ApiError> {
        let of_vpc: Vec<_> = [Some(IpNet::V4(vpc.cidr_block)), vpc.ipv6_block().map(IpNet::V6)]
            .into_iter()
            .flatten()
            .collect();
        for cidr in self.ranges() {
            if !of_vpc.iter().any(|block| block.contains(&cidr)) {
                return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid.")));
            }
            let siblings = state.subnets.seen_by_ec2().filter(|other| other.vpc_id == self.vpc_id);
            if siblings.flat_map(Self::ranges).any(|other| other.contains(&cidr) || cidr.contains(&other)) {
                let message = format!("The CIDR '{cidr}' conflicts with another subnet");
                return Err(ApiError::new("InvalidSubnet.Conflict", message));
            }
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
        // Of IPv6 addresses there are always enough, and they do not count (AWS CLI reference, create-subnet).
        let usable = self.cidr_block.map_or(0, |cidr| addresses::usable(cidr).count());
        self.available_ip_address_count = usable.saturating_sub(used);
    }
}

impl Describe for Subnet {
    const IDS: &'static str = "SubnetId";
    const FILTERS: Filters<Self> = &[
        ("availability-zone", |subnet| vec![subnet.availability_zone.clone()]),
        ("cidr-block", |subnet| subnet.cidr_block.iter().map(Ipv4Net::to_string).collect()),
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
