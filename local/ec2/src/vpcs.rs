//! VPCs: what one is and how it is described. What comes with one and what keeps it from going is in `contents.rs`.

use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;

use crate::call::Call;
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::ApiError;
use crate::ipv6::Ipv6Association;
use crate::kinds::{Kind, Table};
use crate::tags::Tags;
use crate::xml::{self, Items};
use crate::{Ec2, State};

/// How long a new VPC or subnet is `pending`, in the cloud's time. A guess: AWS says only that there is the state.
pub const PENDING: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    pub vpc_id: String,
    owner_id: String,
    state: String,
    pub cidr_block: Ipv4Net,
    instance_tenancy: String,
    is_default: bool,
    ipv6_cidr_block_association_set: Items<Ipv6Association>,
    tag_set: Tags,
    /// Whether names are resolved (VPC user guide, "DNS attributes in your VPC", whose defaults are those of a new one).
    #[serde(skip)]
    pub dns_support: bool,
    /// Whether what has a public address gets a name; private names of endpoints need it too.
    #[serde(skip)]
    pub dns_hostnames: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeVpcsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    vpc_set: Items<Vpc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: DescribeVpcs.
    pub(crate) async fn describe_vpcs(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<Vpc>(&mut call.parameters)?;
        call.describe().await?;
        let (vpcs, next_token) = self.select(&query).await?;
        xml::document(&DescribeVpcsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            vpc_set: vpcs.into_iter().collect(),
            next_token,
        })
    }
}

/// A network of the sizes that VPCs and subnets have, in its canonical form (EC2 API reference, CreateVpc); `range` is
/// the code for another size.
pub fn cidr(text: &str, range: &'static str) -> Result<Ipv4Net, ApiError> {
    let cidr: Ipv4Net = text
        .parse()
        .map_err(|_| ApiError::invalid_value("cidrBlock", text, "This is not a valid CIDR block."))?;
    if !(16..=28).contains(&cidr.prefix_len()) {
        return Err(ApiError::new(range, format!("The CIDR '{text}' is invalid.")));
    }
    Ok(cidr.trunc())
}

impl Vpc {
    pub fn new(cidr_block: Ipv4Net, ipv6: Option<Ipv6Association>, tags: Tags, ec2: &Ec2) -> Self {
        Self {
            vpc_id: ec2.new_id("vpc"),
            owner_id: ec2.upstream.account.clone(),
            state: "pending".into(),
            cidr_block,
            instance_tenancy: "default".into(),
            is_default: false,
            ipv6_cidr_block_association_set: ipv6.into_iter().collect(),
            tag_set: tags,
            dns_support: true,
            dns_hostnames: false,
        }
    }

    pub fn become_available(&mut self) {
        self.state = "available".into();
    }

    pub fn associate_ipv6(&mut self, block: Ipv6Net) {
        for association in &mut self.ipv6_cidr_block_association_set.item {
            association.become_associated(block);
        }
    }

    /// Whether it has IPv6 addresses, or will have.
    pub fn has_ipv6(&self) -> bool {
        !self.ipv6_cidr_block_association_set.item.is_empty()
    }

    /// The IPv6 addresses that are associated with it.
    pub fn ipv6_block(&self) -> Option<Ipv6Net> {
        self.ipv6_cidr_block_association_set.item.iter().find_map(Ipv6Association::block)
    }

    fn of_ministack(vpc: aws_sdk_ec2::types::Vpc) -> Option<Self> {
        Some(Self {
            vpc_id: vpc.vpc_id?,
            owner_id: vpc.owner_id?,
            state: vpc.state?.as_str().to_owned(),
            cidr_block: vpc.cidr_block?.parse().ok()?,
            instance_tenancy: vpc.instance_tenancy?.as_str().to_owned(),
            is_default: vpc.is_default?,
            // The stacks' networks have IPv4 alone.
            ipv6_cidr_block_association_set: Items::from_iter([]),
            tag_set: vpc.tags.into(),
            dns_support: true,
            dns_hostnames: false,
        })
    }
}

impl Kind for Vpc {
    const TYPE: &'static str = "vpc";

    fn table(state: &State) -> &Table<Self> {
        &state.vpcs
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.vpcs
    }

    async fn adopted(ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let vpcs =
            ec2.ministack.describe_vpcs().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        adopt(vpcs.await.map_err(|error| ApiError::ministack(&error))?, Self::of_ministack)
    }
}

impl Describe for Vpc {
    const IDS: &'static str = "VpcId";
    const FILTERS: Filters<Self> = &[
        ("cidr", |vpc| vec![vpc.cidr_block.to_string()]),
        ("is-default", |vpc| vec![vpc.is_default.to_string()]),
        ("owner-id", |vpc| vec![vpc.owner_id.clone()]),
        ("state", |vpc| vec![vpc.state.clone()]),
        ("vpc-id", |vpc| vec![vpc.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.vpc_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "vpc", "InvalidVpcID.Malformed")
    }
}
