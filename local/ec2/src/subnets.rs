//! Subnets.

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::Ec2;
use crate::addresses;
use crate::call::Call;
use crate::describe::{Describe, Filters, Query, adopt};
use crate::error::Ec2Error;
use crate::tags::Tags;
use crate::xml::{self, Items};

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
struct DescribeSubnetsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    subnet_set: Items<Subnet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: DescribeSubnets.
    pub(crate) async fn describe_subnets(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let query = Query::take::<Subnet>(&mut call.parameters)?;
        call.describe().await?;
        let (subnets, next_token) = query.select(self.subnets().await?)?;
        xml::document(&DescribeSubnetsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            subnet_set: subnets.into_iter().collect(),
            next_token,
        })
    }

    pub(crate) async fn subnet(&self, id: &str) -> Result<Subnet, Ec2Error> {
        let subnets = self.subnets().await?;
        subnets.into_iter().find(|subnet| subnet.subnet_id == id).ok_or_else(|| Subnet::not_found(id))
    }

    /// The VPC of each of the subnets `ids`.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn vpcs_of_subnets(&self, ids: &[String]) -> Result<Vec<String>, Ec2Error> {
        let subnets = self.subnets().await?;
        let vpc = |id: &String| {
            let subnet = subnets.iter().find(|subnet| subnet.subnet_id == *id);
            subnet.map(|subnet| subnet.vpc_id.clone()).ok_or_else(|| Subnet::not_found(id))
        };
        ids.iter().map(vpc).collect()
    }

    async fn subnets(&self) -> Result<Vec<Subnet>, Ec2Error> {
        let subnets =
            self.ministack.describe_subnets().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let subnets = subnets.await.map_err(|error| Ec2Error::ministack(&error))?;
        let state = self.state();
        let used = |subnet: &str| state.interfaces.iter().filter(|interface| interface.is_in(subnet)).count();
        adopt(subnets, |subnet| Subnet::adopted(subnet, used))
    }
}

impl Subnet {
    fn adopted(subnet: aws_sdk_ec2::types::Subnet, used: impl Fn(&str) -> usize) -> Option<Self> {
        let subnet_id = subnet.subnet_id?;
        let cidr_block: Ipv4Net = subnet.cidr_block?.parse().ok()?;
        Some(Self {
            subnet_arn: subnet.subnet_arn?,
            owner_id: subnet.owner_id?,
            vpc_id: subnet.vpc_id?,
            state: subnet.state?.as_str().to_owned(),
            available_ip_address_count: addresses::usable(cidr_block)
                .count()
                .saturating_sub(used(&subnet_id)),
            cidr_block,
            availability_zone: subnet.availability_zone?,
            default_for_az: subnet.default_for_az?,
            map_public_ip_on_launch: subnet.map_public_ip_on_launch?,
            tag_set: subnet.tags.into(),
            subnet_id,
        })
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

    fn not_found(id: &str) -> Ec2Error {
        Ec2Error::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
    }
}
