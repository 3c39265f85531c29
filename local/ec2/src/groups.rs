//! Security groups: created, deleted and described. What they let pass is in `permissions.rs`.

use aws_sdk_ec2::types::SecurityGroup;
use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::ApiError;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::rules::{Direction, Rule, Rules};
use crate::subnets::Subnet;
use crate::tags::Tags;
use crate::vpcs::Vpc;
use crate::xml::{self, Items};
use crate::{Ec2, State};

/// The name of the group that every VPC has.
const DEFAULT: &str = "default";
/// The characters of a name or a description beside letters and digits (EC2 API reference, CreateSecurityGroup).
const PUNCTUATION: &str = " ._-:/()#,@[]+=&;{}!$*";

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    owner_id: String,
    pub group_id: String,
    pub group_name: String,
    group_description: String,
    pub vpc_id: String,
    ip_permissions: Rules,
    ip_permissions_egress: Rules,
    tag_set: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateSecurityGroupResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    r#return: bool,
    group_id: String,
    tag_set: Tags,
    security_group_arn: String,
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
    /// EC2 API reference: CreateSecurityGroup.
    pub(crate) async fn create_security_group(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let vpc_id = call.parameters.require("VpcId")?;
        let group_name = call.parameters.require("GroupName")?;
        check_name(&group_name)?;
        let group_description = call.parameters.require("GroupDescription")?;
        check_text("GroupDescription", &group_description)?;
        let tags = Tags::take(Group::TYPE, &mut call.parameters)?;
        let vpc: Vpc = self.place_of_call(&vpc_id).await?;
        call.mutate(&[Target::new::<Group>(&tags, Some(&vpc_id)), Target::existing(&vpc)]).await?;
        let adopted = Group::adopted(self).await?.len();
        let group = Group {
            owner_id: self.upstream.account.clone(),
            group_id: self.new_id("sg"),
            group_name,
            group_description,
            vpc_id,
            ip_permissions: Rules::default(),
            ip_permissions_egress: Rules::of_new_group(vpc.has_ipv6(), self),
            tag_set: tags,
        };
        let answer = CreateSecurityGroupResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            r#return: true,
            group_id: group.group_id.clone(),
            tag_set: group.tag_set.clone(),
            security_group_arn: call.arn(Group::TYPE, &group.group_id),
        };
        let mut state = self.state();
        // The stack's own stays.
        if state.vpcs.seen_by_anyone(&group.vpc_id).is_some() {
            state.vpcs.seen_by_call(&group.vpc_id)?;
        }
        let same = |other: &Group| other.vpc_id == group.vpc_id && other.group_name == group.group_name;
        if state.groups.seen_by_ec2().any(same) {
            let message = format!(
                "The security group '{}' already exists for VPC '{}'",
                group.group_name, group.vpc_id
            );
            return Err(ApiError::new("InvalidGroup.Duplicate", message));
        }
        let used = adopted + state.groups.seen_by_ec2().count();
        room(used, self.quotas.security_groups, "SecurityGroupLimitExceeded", "security groups")?;
        self.insert(&mut state, group);
        xml::document(&answer)
    }

    /// EC2 API reference: DeleteSecurityGroup.
    pub(crate) async fn delete_security_group(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("GroupId")?;
        let group: Group = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&group)]).await?;
        let mut state = self.state();
        if state.groups.seen_by_call(&id)?.is_default() {
            let message =
                format!(r#"the specified group: "{id}" name: "default" cannot be deleted by a user"#);
            return Err(ApiError::new("CannotDelete", message));
        }
        let named = state.groups.seen_by_ec2().any(|other| other.group_id != id && other.names(&id));
        if named || state.interfaces.iter().any(|interface| interface.has_group(&id)) {
            let message = format!("resource {id} has a dependent object");
            return Err(ApiError::new("DependencyViolation", message));
        }
        self.delete::<Group>(&mut state, &id);
        call.done()
    }

    /// EC2 API reference: DescribeSecurityGroups.
    pub(crate) async fn describe_security_groups(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<Group>(&mut call.parameters)?;
        call.describe().await?;
        let (groups, next_token) = self.select(&query).await?;
        xml::document(&DescribeSecurityGroupsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            security_group_info: groups.into_iter().collect(),
            next_token,
        })
    }

    /// The groups `ids` for an interface in `subnet`; with none, the default group of its VPC (ECS API reference,
    /// `AwsVpcConfiguration`).
    pub(crate) async fn groups_for(&self, subnet: &Subnet, ids: &[String]) -> Result<Vec<Group>, ApiError> {
        if ids.is_empty() {
            let mut all: Vec<Group> = self.seen_by_service().await?;
            all.retain(|group| group.vpc_id == subnet.vpc_id && group.is_default());
            return Ok(all);
        }
        if ids.len() > self.quotas.groups_per_interface {
            let message = "The maximum number of security groups per interface has been reached.";
            return Err(ApiError::new("SecurityGroupsPerInterfaceLimitExceeded", message));
        }
        let groups: Vec<Group> = self.named_by_service(ids).await?;
        if let Some(stranger) = groups.iter().find(|group| group.vpc_id != subnet.vpc_id) {
            return Err(ApiError::new(
                "InvalidParameter",
                format!(
                    "Security group {} and subnet {} belong to different networks.",
                    stranger.group_id, subnet.subnet_id
                ),
            ));
        }
        Ok(groups)
    }

    /// The VPC of each of the groups `ids`.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`; `InternalError` when MiniStack cannot be read.
    pub async fn vpcs_of_groups(&self, ids: &[String]) -> Result<Vec<String>, ApiError> {
        Ok(self.named_by_service::<Group>(ids).await?.into_iter().map(|group| group.vpc_id).collect())
    }
}

impl Group {
    /// The group that a new VPC comes with (VPC user guide, "Default security groups").
    pub fn default_of(vpc: &Vpc, ec2: &Ec2) -> Self {
        let group_id = ec2.new_id("sg");
        Self {
            owner_id: ec2.upstream.account.clone(),
            group_name: DEFAULT.into(),
            group_description: "default VPC security group".into(),
            vpc_id: vpc.vpc_id.clone(),
            ip_permissions: Rules(vec![Rule::all_members(&group_id, ec2)]),
            ip_permissions_egress: Rules::of_new_group(vpc.has_ipv6(), ec2),
            tag_set: Tags::default(),
            group_id,
        }
    }

    pub fn is_default(&self) -> bool {
        self.group_name == DEFAULT
    }

    pub fn rules(&self, direction: Direction) -> &Rules {
        match direction {
            Direction::Ingress => &self.ip_permissions,
            Direction::Egress => &self.ip_permissions_egress,
        }
    }

    pub fn rules_mut(&mut self, direction: Direction) -> &mut Rules {
        match direction {
            Direction::Ingress => &mut self.ip_permissions,
            Direction::Egress => &mut self.ip_permissions_egress,
        }
    }

    /// Whether one of its rules names the group `id`.
    fn names(&self, id: &str) -> bool {
        let mut rules = self.ip_permissions.0.iter().chain(&self.ip_permissions_egress.0);
        rules.any(|rule| rule.group() == Some(id))
    }

    fn of_ministack(group: SecurityGroup, ec2: &Ec2) -> Option<Self> {
        Some(Self {
            owner_id: group.owner_id?,
            group_id: group.group_id?,
            group_name: group.group_name?,
            group_description: group.description?,
            vpc_id: group.vpc_id?,
            ip_permissions: Rules::of_ministack(group.ip_permissions, ec2),
            ip_permissions_egress: Rules::of_ministack(group.ip_permissions_egress, ec2),
            tag_set: group.tags.into(),
        })
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.starts_with("sg-") {
        let message = "Invalid security group name. Group names may not be in the format sg-*.";
        return Err(ApiError::new("InvalidParameterValue", message));
    }
    if name.eq_ignore_ascii_case(DEFAULT) {
        let message = format!("Cannot use reserved security group name: {name}");
        return Err(ApiError::new("InvalidParameterValue", message));
    }
    check_text("GroupName", name)
}

fn check_text(parameter: &str, text: &str) -> Result<(), ApiError> {
    let known = |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c);
    if text.len() <= 255 && text.chars().all(known) {
        return Ok(());
    }
    let expected = format!("It has up to 255 letters, digits and {}.", PUNCTUATION.trim_start());
    Err(ApiError::invalid_value(parameter, text, &expected))
}

impl Kind for Group {
    const TYPE: &'static str = "security-group";

    fn table(state: &State) -> &Table<Self> {
        &state.groups
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.groups
    }

    fn policy_vpc(&self) -> Option<&str> {
        Some(&self.vpc_id)
    }

    async fn adopted(ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let groups = ec2.ministack.describe_security_groups().into_paginator().items().send();
        let groups = groups.collect::<Result<Vec<_>, _>>().await;
        let groups = groups.map_err(|error| ApiError::ministack(&error))?;
        adopt(groups, |group| Self::of_ministack(group, ec2))
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

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "sg", "InvalidGroupId.Malformed")
    }
}
