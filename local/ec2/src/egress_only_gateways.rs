//! Egress-only internet gateways, by which IPv6 leaves a VPC and nothing enters: created, deleted and described.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query};
use crate::error::ApiError;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::tags::Tags;
use crate::tokens::{ClientToken, Repeatable, once};
use crate::vpcs::Vpc;
use crate::xml::{self, Items};
use crate::{Ec2, State};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressOnlyGateway {
    egress_only_internet_gateway_id: String,
    attachment_set: Items<Attachment>,
    tag_set: Tags,
    #[serde(skip)]
    token: Option<ClientToken>,
}

/// There is one from the beginning to the end, and no call for it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    vpc_id: String,
    /// For an egress-only one it is `attached` (AWS CLI reference, create-egress-only-internet-gateway, the example).
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateEgressOnlyInternetGatewayResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    egress_only_internet_gateway: EgressOnlyGateway,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteEgressOnlyInternetGatewayResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    return_code: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeEgressOnlyInternetGatewaysResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    egress_only_internet_gateway_set: Items<EgressOnlyGateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: CreateEgressOnlyInternetGateway.
    pub(crate) async fn create_egress_only_internet_gateway(
        &self,
        mut call: Call<'_>,
    ) -> Result<String, ApiError> {
        let token = ClientToken::take(&mut call.parameters)?;
        let vpc_id = call.parameters.require("VpcId")?;
        let tags = Tags::take(EgressOnlyGateway::TYPE, &mut call.parameters)?;
        let vpc: Vpc = self.seen_by_call(&vpc_id).await?;
        call.mutate(&[Target::new::<EgressOnlyGateway>(&tags, None), Target::existing(&vpc)]).await?;
        let make = |state: &mut State| {
            state.vpcs.seen_by_call(&vpc_id)?;
            state.check_egress_only_gateway(&vpc_id, self.quotas.egress_only_gateways)?;
            let gateway = EgressOnlyGateway {
                egress_only_internet_gateway_id: self.new_id("eigw"),
                attachment_set: Items::from_iter([Attachment { vpc_id, state: "attached" }]),
                tag_set: tags,
                token: token.clone(),
            };
            self.insert(state, gateway.clone());
            Ok(gateway)
        };
        let gateway = once(&mut self.state(), token.as_ref(), make)?;
        xml::document(&CreateEgressOnlyInternetGatewayResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            client_token: token.map(ClientToken::into_value),
            egress_only_internet_gateway: gateway,
        })
    }

    /// EC2 API reference: DeleteEgressOnlyInternetGateway. Routes to it stay, as black holes.
    pub(crate) async fn delete_egress_only_internet_gateway(
        &self,
        mut call: Call<'_>,
    ) -> Result<String, ApiError> {
        let id = call.parameters.require("EgressOnlyInternetGatewayId")?;
        let gateway: EgressOnlyGateway = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&gateway)]).await?;
        let mut state = self.state();
        state.egress_only_gateways.seen_by_call(&id)?;
        self.delete::<EgressOnlyGateway>(&mut state, &id);
        xml::document(&DeleteEgressOnlyInternetGatewayResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            return_code: true,
        })
    }

    /// EC2 API reference: DescribeEgressOnlyInternetGateways.
    pub(crate) async fn describe_egress_only_internet_gateways(
        &self,
        mut call: Call<'_>,
    ) -> Result<String, ApiError> {
        let query = Query::take::<EgressOnlyGateway>(&mut call.parameters)?;
        call.describe().await?;
        let (gateways, next_token) = self.select(&query).await?;
        xml::document(&DescribeEgressOnlyInternetGatewaysResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            egress_only_internet_gateway_set: gateways.into_iter().collect(),
            next_token,
        })
    }
}

impl State {
    /// "You can attach only one egress-only internet gateway to a VPC at a time" (VPC user guide, "Amazon VPC quotas"); the
    /// code for a second is that of an internet gateway, which is a guess, like the code for the account's quota.
    fn check_egress_only_gateway(&self, vpc_id: &str, quota: usize) -> Result<(), ApiError> {
        let used = self.egress_only_gateways.seen_by_ec2().count();
        room(used, quota, "EgressOnlyInternetGatewayLimitExceeded", "egress-only internet gateways")?;
        if self.egress_only_gateways.seen_by_ec2().any(|gateway| gateway.is_attached_to(vpc_id)) {
            let message = format!("Network {vpc_id} already has an egress-only internet gateway attached");
            return Err(ApiError::new("InvalidParameterValue", message));
        }
        Ok(())
    }

    /// Whether a route to it is a black hole.
    pub fn is_egress_only_gateway_gone(&self, id: &str) -> bool {
        !self.egress_only_gateways.seen_by_ec2().any(|gateway| gateway.id() == id)
    }
}

impl EgressOnlyGateway {
    pub fn is_attached_to(&self, vpc_id: &str) -> bool {
        self.attachment_set.item.iter().any(|attachment| attachment.vpc_id == vpc_id)
    }
}

impl Kind for EgressOnlyGateway {
    const TYPE: &'static str = "egress-only-internet-gateway";

    fn table(state: &State) -> &Table<Self> {
        &state.egress_only_gateways
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.egress_only_gateways
    }
}

impl Repeatable for EgressOnlyGateway {
    fn token(&self) -> Option<&ClientToken> {
        self.token.as_ref()
    }
}

impl Describe for EgressOnlyGateway {
    const IDS: &'static str = "EgressOnlyInternetGatewayId";
    /// EC2 API reference, DescribeEgressOnlyInternetGateways, `MaxResults`.
    const PAGE: RangeInclusive<usize> = 5..=255;
    /// By tags alone (same page).
    const FILTERS: Filters<Self> = &[];

    fn id(&self) -> &str {
        &self.egress_only_internet_gateway_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    /// The code of Delete, as Terraform's provider knows it (`errCodeInvalidGatewayIDNotFound`); that Describe has the same
    /// is a guess.
    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidGatewayID.NotFound", format!("The eigw ID '{id}' does not exist"))
    }
}
