//! Internet gateways: created, attached to a VPC, detached, deleted and described.

use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, adopt, check_prefix};
use crate::error::ApiError;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::tags::Tags;
use crate::vpcs::Vpc;
use crate::xml::{self, Items};
use crate::{Ec2, State};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InternetGateway {
    internet_gateway_id: String,
    owner_id: String,
    attachment_set: Items<Attachment>,
    tag_set: Tags,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    vpc_id: String,
    /// For an internet gateway it is always `available` (EC2 API reference, `InternetGatewayAttachment`).
    state: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateInternetGatewayResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    internet_gateway: InternetGateway,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeInternetGatewaysResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    internet_gateway_set: Items<InternetGateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: CreateInternetGateway.
    pub(crate) async fn create_internet_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let tags = Tags::take(InternetGateway::TYPE, &mut call.parameters)?;
        call.mutate(&[Target::new::<InternetGateway>(&tags, None)]).await?;
        let adopted = InternetGateway::adopted(self).await?.len();
        let internet_gateway = InternetGateway {
            internet_gateway_id: self.new_id("igw"),
            owner_id: self.upstream.account.clone(),
            attachment_set: Items::from_iter([]),
            tag_set: tags,
        };
        let mut state = self.state();
        let used = adopted + state.internet_gateways.seen_by_ec2().count();
        let quota = self.quotas.internet_gateways;
        room(used, quota, "InternetGatewayLimitExceeded", "internet gateways")?;
        self.insert(&mut state, internet_gateway.clone());
        xml::document(&CreateInternetGatewayResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            internet_gateway,
        })
    }

    /// EC2 API reference: AttachInternetGateway.
    pub(crate) async fn attach_internet_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let (id, vpc_id) = self.check_gateway_and_vpc(&mut call).await?;
        let mut state = self.state();
        state.vpcs.seen_by_call(&vpc_id)?;
        let occupied = state.internet_gateways.seen_by_ec2().any(|gateway| gateway.is_attached_to(&vpc_id));
        let gateway: &mut InternetGateway = self.change(&mut state, &id)?;
        if let Some(attachment) = gateway.attachment_set.item.first() {
            let message = format!("resource {id} is already attached to network {}", attachment.vpc_id);
            return Err(ApiError::new("Resource.AlreadyAssociated", message));
        }
        if occupied {
            let message = format!("Network {vpc_id} already has an internet gateway attached");
            return Err(ApiError::new("InvalidParameterValue", message));
        }
        gateway.attachment_set.item.push(Attachment { vpc_id, state: "available".into() });
        call.done()
    }

    /// EC2 API reference: DetachInternetGateway.
    pub(crate) async fn detach_internet_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let (id, vpc_id) = self.check_gateway_and_vpc(&mut call).await?;
        let mut state = self.state();
        let mapped = state
            .interfaces
            .iter()
            .any(|interface| interface.is_in_vpc(&vpc_id) && interface.public_ip().is_some());
        let seen = state.internet_gateways.seen_by_call(&id)?.is_attached_to(&vpc_id);
        let gateway: &mut InternetGateway = self.change(&mut state, &id)?;
        if !seen || !gateway.is_attached_to(&vpc_id) {
            let message = format!("resource {id} is not attached to network {vpc_id}");
            return Err(ApiError::new("Gateway.NotAttached", message));
        }
        if mapped {
            let message = format!(
                "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before \
                 detaching the gateway."
            );
            return Err(ApiError::new("DependencyViolation", message));
        }
        gateway.attachment_set.item.clear();
        call.done()
    }

    /// EC2 API reference: DeleteInternetGateway.
    pub(crate) async fn delete_internet_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("InternetGatewayId")?;
        let gateway: InternetGateway = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&gateway)]).await?;
        let mut state = self.state();
        if !state.internet_gateways.named_by_call(&id)?.attachment_set.item.is_empty() {
            return Err(ApiError::dependency_violation("internetGateway", &id));
        }
        self.delete::<InternetGateway>(&mut state, &id);
        call.done()
    }

    /// EC2 API reference: DescribeInternetGateways.
    pub(crate) async fn describe_internet_gateways(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<InternetGateway>(&mut call.parameters)?;
        call.describe().await?;
        let (gateways, next_token) = self.select(&query).await?;
        xml::document(&DescribeInternetGatewaysResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            internet_gateway_set: gateways.into_iter().collect(),
            next_token,
        })
    }

    /// The gateway and the VPC that a call is about, if the caller may have them attached or detached.
    async fn check_gateway_and_vpc(&self, call: &mut Call<'_>) -> Result<(String, String), ApiError> {
        let id = call.parameters.require("InternetGatewayId")?;
        let vpc_id = call.parameters.require("VpcId")?;
        let gateway: InternetGateway = self.seen_by_call(&id).await?;
        let vpc: Vpc = self.seen_by_call(&vpc_id).await?;
        call.mutate(&[Target::existing(&gateway), Target::existing(&vpc)]).await?;
        Ok((id, vpc_id))
    }
}

impl State {
    pub fn is_gateway_attached(&self, id: &str, vpc_id: &str) -> bool {
        self.internet_gateways
            .seen_by_ec2()
            .any(|gateway| gateway.id() == id && gateway.is_attached_to(vpc_id))
    }
}

impl InternetGateway {
    pub fn is_attached_to(&self, vpc_id: &str) -> bool {
        self.attachment_set.item.iter().any(|attachment| attachment.vpc_id == vpc_id)
    }

    fn of_ministack(gateway: aws_sdk_ec2::types::InternetGateway) -> Option<Self> {
        let attachment = |attachment: aws_sdk_ec2::types::InternetGatewayAttachment| {
            Some(Attachment { vpc_id: attachment.vpc_id?, state: attachment.state?.as_str().to_owned() })
        };
        let attachments: Option<_> =
            gateway.attachments.unwrap_or_default().into_iter().map(attachment).collect::<Option<Vec<_>>>();
        Some(Self {
            internet_gateway_id: gateway.internet_gateway_id?,
            owner_id: gateway.owner_id?,
            attachment_set: attachments?.into_iter().collect(),
            tag_set: gateway.tags.into(),
        })
    }
}

impl Kind for InternetGateway {
    const TYPE: &'static str = "internet-gateway";

    fn table(state: &State) -> &Table<Self> {
        &state.internet_gateways
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.internet_gateways
    }

    /// The waiter InternetGatewayExists of EC2's API model knows another spelling in Describe than the reference's "Error
    /// codes" have.
    fn unknown(id: &str) -> ApiError {
        ApiError { code: "InvalidInternetGatewayID.NotFound", ..Self::not_found(id) }
    }

    async fn adopted(ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let gateways = ec2.ministack.describe_internet_gateways().into_paginator().items().send();
        let gateways = gateways.collect::<Result<Vec<_>, _>>().await;
        adopt(gateways.map_err(|error| ApiError::ministack(&error))?, Self::of_ministack)
    }
}

impl Describe for InternetGateway {
    const IDS: &'static str = "InternetGatewayId";
    const FILTERS: Filters<Self> = &[
        ("attachment.state", |gateway| gateway.attachments(|attachment| &attachment.state)),
        ("attachment.vpc-id", |gateway| gateway.attachments(|attachment| &attachment.vpc_id)),
        ("internet-gateway-id", |gateway| vec![gateway.internet_gateway_id.clone()]),
        ("owner-id", |gateway| vec![gateway.owner_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.internet_gateway_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        let message = format!("The internetGateway ID '{id}' does not exist");
        ApiError::new("InvalidInternetGateway.NotFound", message)
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "igw", "InvalidInternetGatewayId.Malformed")
    }
}

impl InternetGateway {
    fn attachments(&self, field: fn(&Attachment) -> &String) -> Vec<String> {
        self.attachment_set.item.iter().map(field).cloned().collect()
    }
}
