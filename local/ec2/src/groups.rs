//! Security groups.

use aws_sdk_ec2::types::{IpPermission, SecurityGroup};
use serde::Serialize;

use crate::Ec2;
use crate::call::Call;
use crate::describe::{Describe, Filters, Query, adopt};
use crate::error::Ec2Error;
use crate::subnets::Subnet;
use crate::tags::Tags;
use crate::xml::{self, Items};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    owner_id: String,
    pub group_id: String,
    pub group_name: String,
    group_description: String,
    vpc_id: String,
    ip_permissions: Items<Permission>,
    ip_permissions_egress: Items<Permission>,
    tag_set: Tags,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    ip_protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_port: Option<i32>,
    groups: Items<GroupPair>,
    ip_ranges: Items<Range>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    group_id: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeSecurityGroupsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    security_group_info: Items<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: DescribeSecurityGroups.
    pub(crate) async fn describe_security_groups(&self, mut call: Call<'_>) -> Result<String, Ec2Error> {
        let query = Query::take::<Group>(&mut call.parameters)?;
        call.describe().await?;
        let (groups, next_token) = query.select(self.groups().await?)?;
        xml::document(&DescribeSecurityGroupsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            security_group_info: groups.into_iter().collect(),
            next_token,
        })
    }

    /// The groups `ids` for an interface in `subnet`; with none, the default group of its VPC (ECS API reference,
    /// `AwsVpcConfiguration`).
    pub(crate) async fn groups_for(&self, subnet: &Subnet, ids: &[String]) -> Result<Vec<Group>, Ec2Error> {
        let mut all = self.groups().await?;
        if ids.is_empty() {
            all.retain(|group| group.vpc_id == subnet.vpc_id && group.group_name == "default");
            return Ok(all);
        }
        let group = |id: &String| {
            let group = all.iter().find(|group| group.group_id == *id).ok_or_else(|| Group::not_found(id))?;
            if group.vpc_id != subnet.vpc_id {
                let subnet = &subnet.subnet_id;
                return Err(Ec2Error::new(
                    "InvalidParameter",
                    format!("Security group {id} and subnet {subnet} belong to different networks."),
                ));
            }
            Ok(group.clone())
        };
        ids.iter().map(group).collect()
    }

    /// The VPC of each of the groups `ids`.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn vpcs_of_groups(&self, ids: &[String]) -> Result<Vec<String>, Ec2Error> {
        let groups = self.groups().await?;
        let vpc = |id: &String| {
            let group = groups.iter().find(|group| group.group_id == *id);
            group.map(|group| group.vpc_id.clone()).ok_or_else(|| Group::not_found(id))
        };
        ids.iter().map(vpc).collect()
    }

    async fn groups(&self) -> Result<Vec<Group>, Ec2Error> {
        let groups = self
            .ministack
            .describe_security_groups()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>();
        adopt(groups.await.map_err(|error| Ec2Error::ministack(&error))?, Group::adopted)
    }
}

impl Group {
    fn adopted(group: SecurityGroup) -> Option<Self> {
        let permissions = |permissions: Option<Vec<IpPermission>>| {
            permissions.unwrap_or_default().into_iter().filter_map(Permission::adopted).collect()
        };
        Some(Self {
            owner_id: group.owner_id?,
            group_id: group.group_id?,
            group_name: group.group_name?,
            group_description: group.description?,
            vpc_id: group.vpc_id?,
            ip_permissions: permissions(group.ip_permissions),
            ip_permissions_egress: permissions(group.ip_permissions_egress),
            tag_set: group.tags.into(),
        })
    }
}

impl Permission {
    fn adopted(permission: IpPermission) -> Option<Self> {
        let pairs = permission.user_id_group_pairs.unwrap_or_default().into_iter();
        let ranges = permission.ip_ranges.unwrap_or_default().into_iter();
        Some(Self {
            ip_protocol: permission.ip_protocol?,
            from_port: permission.from_port,
            to_port: permission.to_port,
            groups: pairs
                .filter_map(|pair| Some(GroupPair { user_id: pair.user_id, group_id: pair.group_id? }))
                .collect(),
            ip_ranges: ranges
                .filter_map(|range| Some(Range { cidr_ip: range.cidr_ip?, description: range.description }))
                .collect(),
        })
    }
}

impl Describe for Group {
    const IDS: &'static str = "GroupId";
    const FILTERS: Filters<Self> = &[
        ("description", |group| vec![group.group_description.clone()]),
        ("group-id", |group| vec![group.group_id.clone()]),
        ("group-name", |group| vec![group.group_name.clone()]),
        ("owner-id", |group| vec![group.owner_id.clone()]),
        ("vpc-id", |group| vec![group.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.group_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> Ec2Error {
        Ec2Error::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
    }
}
