//! VPCs.

use std::time::Duration;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::Ec2Error;
use crate::groups::Group;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::route_tables::RouteTable;
use crate::tags::Tags;
use crate::xml::{self, Items};
use crate::{Ec2, State, new_id};

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
    tag_set: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateVpcResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    vpc: Vpc,
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
    /// EC2 API reference: CreateVpc. The default security group and the main route table come with the VPC.
    pub(crate) async fn create_vpc(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let cidr_block = cidr(&call.parameters.require("CidrBlock")?, "InvalidVpc.Range")?;
        let tags = Tags::take::<Vpc>(&mut call.parameters)?;
        call.mutate(&[Target::new::<Vpc>(&tags, None)]).await?;
        let adopted = Vpc::adopted(self).await?.len();
        let vpc = Vpc {
            vpc_id: new_id("vpc"),
            owner_id: self.upstream.account.clone(),
            state: "pending".into(),
            cidr_block,
            instance_tenancy: "default".into(),
            is_default: false,
            tag_set: tags,
        };
        {
            let mut state = self.state();
            room(adopted + state.vpcs.seen_by_ec2().count(), self.quotas.vpcs, "VpcLimitExceeded", "VPCs")?;
            self.insert(&mut state, Group::default_of(&vpc.vpc_id, &self.upstream.account));
            self.insert(&mut state, RouteTable::main_of(&vpc, &self.upstream.account));
            self.insert(&mut state, vpc.clone());
        }
        let id = vpc.vpc_id.clone();
        self.later(PENDING, move |state| {
            for vpc in state.vpcs.seen_by_ec2_mut().filter(|vpc| vpc.vpc_id == id) {
                vpc.state = "available".into();
            }
        });
        xml::document(&CreateVpcResponse { xmlns: xml::NAMESPACE, request_id: call.request_id, vpc })
    }

    /// EC2 API reference: DeleteVpc. What came with the VPC goes with it; anything else is in the way.
    pub(crate) async fn delete_vpc(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let id = call.parameters.require("VpcId")?;
        let vpc: Vpc = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&vpc)]).await?;
        let mut state = self.state();
        state.vpcs.seen_by_call(&id)?;
        if state.uses_vpc(&id) {
            return Err(Ec2Error::dependency_violation("vpc", &id));
        }
        state.groups.retain(|group| group.vpc_id != id);
        state.route_tables.retain(|table| table.vpc_id != id);
        self.delete::<Vpc>(&mut state, &id);
        xml::done(&call)
    }

    /// EC2 API reference: DescribeVpcs.
    pub(crate) async fn describe_vpcs(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
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

impl State {
    /// Whether something that has to be deleted first is in the VPC (VPC user guide, "Delete your VPC").
    fn uses_vpc(&self, id: &str) -> bool {
        self.subnets.seen_by_ec2().any(|subnet| subnet.vpc_id == id)
            || self.groups.seen_by_ec2().any(|group| group.vpc_id == id && !group.is_default())
            || self.internet_gateways.seen_by_ec2().any(|gateway| gateway.is_attached_to(id))
            || self.route_tables.seen_by_ec2().any(|table| table.vpc_id == id && !table.is_main())
            || self.endpoints.seen_by_ec2().any(|endpoint| endpoint.is_in_vpc(id))
            || self.interfaces.iter().any(|interface| interface.is_in_vpc(id))
    }
}

/// A network of the sizes that VPCs and subnets have, in its canonical form (EC2 API reference, CreateVpc); `range` is
/// the code for another size.
pub fn cidr(text: &str, range: &'static str) -> Result<Ipv4Net, Ec2Error> {
    let cidr: Ipv4Net = text
        .parse()
        .map_err(|_| Ec2Error::invalid_value("cidrBlock", text, "This is not a valid CIDR block."))?;
    if !(16..=28).contains(&cidr.prefix_len()) {
        return Err(Ec2Error::new(range, format!("The CIDR '{text}' is invalid.")));
    }
    Ok(cidr.trunc())
}

impl Vpc {
    fn of_ministack(vpc: aws_sdk_ec2::types::Vpc) -> Option<Self> {
        Some(Self {
            vpc_id: vpc.vpc_id?,
            owner_id: vpc.owner_id?,
            state: vpc.state?.as_str().to_owned(),
            cidr_block: vpc.cidr_block?.parse().ok()?,
            instance_tenancy: vpc.instance_tenancy?.as_str().to_owned(),
            is_default: vpc.is_default?,
            tag_set: vpc.tags.into(),
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

    async fn adopted(ec2: &Ec2) -> Result<Vec<Self>, Ec2Error> {
        let vpcs =
            ec2.ministack.describe_vpcs().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        adopt(vpcs.await.map_err(|error| Ec2Error::ministack(&error))?, Self::of_ministack)
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

    fn not_found(id: &str) -> Ec2Error {
        Ec2Error::new("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
    }

    fn check_id(id: &str) -> Result<(), Ec2Error> {
        check_prefix(id, "vpc", "InvalidVpcID.Malformed")
    }
}
