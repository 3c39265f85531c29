//! VPCs.

use serde::Serialize;

use crate::Ec2;
use crate::call::Call;
use crate::describe::{Describe, Filters, Query, adopt};
use crate::error::Ec2Error;
use crate::tags::Tags;
use crate::xml::{self, Items};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Vpc {
    vpc_id: String,
    owner_id: String,
    state: String,
    cidr_block: String,
    instance_tenancy: String,
    is_default: bool,
    tag_set: Tags,
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
    pub(crate) async fn describe_vpcs(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let query = Query::take::<Vpc>(&mut call.parameters)?;
        call.describe().await?;
        let (vpcs, next_token) = query.select(self.vpcs().await?)?;
        xml::document(&DescribeVpcsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            vpc_set: vpcs.into_iter().collect(),
            next_token,
        })
    }

    async fn vpcs(&self) -> Result<Vec<Vpc>, Ec2Error> {
        let vpcs =
            self.ministack.describe_vpcs().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        adopt(vpcs.await.map_err(|error| Ec2Error::ministack(&error))?, Vpc::adopted)
    }
}

impl Vpc {
    fn adopted(vpc: aws_sdk_ec2::types::Vpc) -> Option<Self> {
        Some(Self {
            vpc_id: vpc.vpc_id?,
            owner_id: vpc.owner_id?,
            state: vpc.state?.as_str().to_owned(),
            cidr_block: vpc.cidr_block?,
            instance_tenancy: vpc.instance_tenancy?.as_str().to_owned(),
            is_default: vpc.is_default?,
            tag_set: vpc.tags.into(),
        })
    }
}

impl Describe for Vpc {
    const IDS: &'static str = "VpcId";
    const FILTERS: Filters<Self> = &[
        ("cidr", |vpc| vec![vpc.cidr_block.clone()]),
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

    fn not_found(id: &str) -> Ec2Error {
        Ec2Error::new("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
    }
}
