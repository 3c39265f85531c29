//! VPC endpoints, S3's gateway endpoint and interface endpoints: created, deleted and described.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query, check_prefix};
use crate::endpoint_services::{EndpointType, invalid};
use crate::error::ApiError;
use crate::groups::Group;
use crate::interfaces::{GroupIdentifier, Interface};
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::route_tables::RouteTable;
use crate::routes::Route;
use crate::subnets::Subnet;
use crate::tags::Tags;
use crate::tokens::{ClientToken, Repeatable, once};
use crate::vpcs::Vpc;
use crate::xml::{self, Items};
use crate::{Ec2, State, now_as_text};

/// How long a new one is `pending`, in seconds of the cloud. Guesses: a gateway endpoint is there practically at once, and
/// an interface endpoint after a minute or two.
const PENDING: [(EndpointType, &[u64]); 2] =
    [(EndpointType::Gateway, &[1]), (EndpointType::Interface, &[60, 75, 90, 120])];

/// How long one is `deleting`. Guesses: gateway endpoints take seconds, interface endpoints minutes.
const DELETING: [(EndpointType, &[u64]); 2] =
    [(EndpointType::Gateway, &[5]), (EndpointType::Interface, &[60, 90, 120])];

/// The prefix list of S3 here; every Region has its own (VPC user guide, "AWS-managed prefix lists").
const PREFIX_LIST: &str = "pl-6da54004";

/// The policy of one that was made without (VPC user guide, "Endpoint policies": full access).
const FULL_ACCESS: &str = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    vpc_endpoint_id: String,
    vpc_endpoint_type: &'static str,
    vpc_id: String,
    service_name: String,
    state: &'static str,
    policy_document: &'static str,
    route_table_id_set: Items<String>,
    subnet_id_set: Items<String>,
    group_set: Items<GroupIdentifier>,
    network_interface_id_set: Items<String>,
    private_dns_enabled: bool,
    requester_managed: bool,
    creation_timestamp: String,
    owner_id: String,
    tag_set: Tags,
    #[serde(skip)]
    kind: EndpointType,
    /// As the service's name ends.
    #[serde(skip)]
    service: String,
    #[serde(skip)]
    token: Option<ClientToken>,
}

/// Where an interface endpoint is to be.
#[derive(Debug, Default)]
pub struct Place {
    pub subnets: Vec<Subnet>,
    pub groups: Vec<Group>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateVpcEndpointResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    vpc_endpoint: Endpoint,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteVpcEndpointsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    unsuccessful: Items<Unsuccessful>,
}

/// One that could not be deleted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unsuccessful {
    resource_id: String,
    error: UnsuccessfulError,
}

#[derive(Serialize)]
struct UnsuccessfulError {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeVpcEndpointsResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    vpc_endpoint_set: Items<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: CreateVpcEndpoint.
    pub(crate) async fn create_vpc_endpoint(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let token = ClientToken::take(&mut call.parameters)?;
        let vpc_id = call.parameters.require("VpcId")?;
        let service_name = call.parameters.require("ServiceName")?;
        let kind = EndpointType::named(call.parameters.take("VpcEndpointType").as_deref())?;
        let service = kind.service(&service_name, &self.upstream.region)?.to_owned();
        let [table_ids, subnet_ids, group_ids] =
            ["RouteTableId", "SubnetId", "SecurityGroupId"].map(|name| call.parameters.take_list(name));
        let private_dns = call.parameters.take_optional_bool("PrivateDnsEnabled")?;
        kind.check(&table_ids, &subnet_ids, &group_ids, private_dns == Some(true))?;
        // "Default: true" (EC2 API reference, CreateVpcEndpoint, `PrivateDnsEnabled`).
        let private_dns_enabled = kind == EndpointType::Interface && private_dns.unwrap_or(true);
        let tags = Tags::take(Endpoint::TYPE, &mut call.parameters)?;
        let vpc: Vpc = self.seen_by_call(&vpc_id).await?;
        let mut targets = vec![Target::new::<Endpoint>(&tags, None), Target::existing(&vpc)];
        for id in &table_ids {
            let table: RouteTable = self.seen_by_call(id).await?;
            if table.vpc_id != vpc_id {
                let message = format!("Route table {id} and VPC {vpc_id} belong to different networks.");
                return Err(invalid(message));
            }
            targets.push(Target::existing(&table));
        }
        let place = self.place_of_endpoint(&vpc_id, &subnet_ids, &group_ids).await?;
        targets.extend(place.subnets.iter().map(Target::existing));
        targets.extend(place.groups.iter().map(Target::existing));
        if private_dns_enabled {
            call.check_private_dns(&vpc_id).await?;
        }
        call.mutate(&targets).await?;

        let new = Endpoint {
            vpc_endpoint_id: self.new_id("vpce"),
            vpc_endpoint_type: kind.name(),
            vpc_id,
            service_name,
            state: "pending",
            policy_document: FULL_ACCESS,
            route_table_id_set: table_ids.into_iter().collect(),
            subnet_id_set: Items::from_iter([]),
            group_set: Items::from_iter([]),
            network_interface_id_set: Items::from_iter([]),
            private_dns_enabled,
            requester_managed: false,
            creation_timestamp: now_as_text(self.upstream.clock),
            owner_id: self.upstream.account.clone(),
            tag_set: tags,
            kind,
            service,
            token: token.clone(),
        };
        let keep = |state: &mut State| self.keep_endpoint(state, new, place);
        let vpc_endpoint = once(&mut self.state(), token.as_ref(), keep)?;
        xml::document(&CreateVpcEndpointResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            vpc_endpoint,
        })
    }

    /// EC2 API reference: DeleteVpcEndpoints, which succeeds whatever becomes of each.
    pub(crate) async fn delete_vpc_endpoints(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let ids = call.parameters.take_list("VpcEndpointId");
        if ids.is_empty() {
            let message = "The request must contain the parameter VpcEndpointId";
            return Err(ApiError::new("MissingParameter", message));
        }
        let targets: Vec<_> = {
            let state = self.state();
            let target = |id: &String| match state.endpoints.seen_by_anyone(id) {
                Some(endpoint) => Target::existing(endpoint),
                None => Target::unknown::<Endpoint>(id),
            };
            ids.iter().map(target).collect()
        };
        call.mutate(&targets).await?;
        let mut unsuccessful = Vec::new();
        for id in ids {
            if let Err(error) = self.delete_endpoint(&id) {
                let error = UnsuccessfulError { code: error.code, message: error.message };
                unsuccessful.push(Unsuccessful { resource_id: id, error });
            }
        }
        xml::document(&DeleteVpcEndpointsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            unsuccessful: unsuccessful.into_iter().collect(),
        })
    }

    /// EC2 API reference: DescribeVpcEndpoints.
    pub(crate) async fn describe_vpc_endpoints(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<Endpoint>(&mut call.parameters)?;
        call.describe().await?;
        let (endpoints, next_token) = self.select(&query).await?;
        xml::document(&DescribeVpcEndpointsResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            vpc_endpoint_set: endpoints.into_iter().collect(),
            next_token,
        })
    }

    fn keep_endpoint(
        &self,
        state: &mut State,
        mut new: Endpoint,
        place: Place,
    ) -> Result<Endpoint, ApiError> {
        state.vpcs.seen_by_call(&new.vpc_id)?;
        match new.kind {
            EndpointType::Gateway => {
                state.check_tables_of_endpoint(&new.route_table_id_set.item)?;
                let all = state.endpoints.seen_by_ec2();
                let used = all.filter(|endpoint| endpoint.kind == EndpointType::Gateway).count();
                let quota = self.quotas.gateway_endpoints;
                room(used, quota, "VpcEndpointLimitExceeded", "gateway endpoints")?;
            }
            EndpointType::Interface => self.connect_endpoint(state, &mut new, place)?,
        }
        self.insert(state, new.clone());
        let id = new.vpc_endpoint_id.clone();
        self.later(self.draw_for(new.kind, &PENDING), move |state| {
            let pending = |other: &&mut Endpoint| other.vpc_endpoint_id == id && other.state == "pending";
            if let Some(endpoint) = state.endpoints.seen_by_ec2_mut().find(pending) {
                endpoint.state = "available";
            }
        });
        Ok(new)
    }

    fn delete_endpoint(&self, id: &str) -> Result<(), ApiError> {
        let mut state = self.state();
        let endpoint: &mut Endpoint = self.change(&mut state, id)?;
        if endpoint.is_deleting() {
            return Ok(());
        }
        endpoint.state = "deleting";
        let (takes, interfaces) =
            (self.draw_for(endpoint.kind, &DELETING), endpoint.network_interface_id_set.item.clone());
        let (ec2, id) = (self.clone(), id.to_owned());
        self.later(takes, move |state| {
            state.interfaces.retain(|interface| !interfaces.iter().any(|id| id == interface.id()));
            ec2.delete::<Endpoint>(state, &id);
        });
        Ok(())
    }

    fn draw_for(&self, kind: EndpointType, times: &[(EndpointType, &[u64])]) -> Duration {
        let of_kind = times.iter().find(|(other, _)| *other == kind);
        self.draw(of_kind.map_or(&[0], |(_, seconds)| seconds))
    }
}

impl State {
    /// The routes that endpoints keep in the table; one that is deleted takes them along (EC2 API reference,
    /// DeleteVpcEndpoints).
    pub fn routes_to_endpoints(&self, table_id: &str) -> Vec<Route> {
        let leading = self.endpoints.seen_by_ec2().filter(|endpoint| endpoint.leads_from(table_id));
        leading.map(|endpoint| Route::to_endpoint(&endpoint.vpc_endpoint_id, PREFIX_LIST)).collect()
    }

    /// A table has one route to a service.
    fn check_tables_of_endpoint(&self, table_ids: &[String]) -> Result<(), ApiError> {
        let taken = |id: &&String| self.endpoints.seen_by_ec2().any(|endpoint| endpoint.leads_from(id));
        let Some(id) = table_ids.iter().find(taken) else { return Ok(()) };
        let message =
            format!("route table {id} already has a route with destination-prefix-list-id {PREFIX_LIST}");
        Err(ApiError::new("RouteAlreadyExists", message))
    }
}

impl Endpoint {
    /// Tells it where it is.
    pub fn connect(&mut self, subnets: &[Subnet], groups: Vec<Group>, interfaces: &[Interface]) {
        self.subnet_id_set = subnets.iter().map(|subnet| subnet.subnet_id.clone()).collect();
        self.group_set = groups.into_iter().map(GroupIdentifier::from).collect();
        self.network_interface_id_set =
            interfaces.iter().map(|interface| interface.id().to_owned()).collect();
    }

    pub fn vpc_id(&self) -> &str {
        &self.vpc_id
    }

    pub fn is_interface_of(&self, vpc_id: &str) -> bool {
        self.kind == EndpointType::Interface && self.vpc_id == vpc_id
    }

    /// The service whose name is resolved to it.
    pub fn private_service(&self) -> Option<&str> {
        self.private_dns_enabled.then_some(&self.service)
    }

    pub fn is_available(&self) -> bool {
        self.state == "available"
    }

    pub fn has_interface(&self, id: &str) -> bool {
        self.network_interface_id_set.item.iter().any(|mine| mine == id)
    }

    pub fn group_ids(&self) -> Vec<String> {
        self.group_set.item.iter().map(|group| group.group_id.clone()).collect()
    }

    pub fn is_in_vpc(&self, vpc_id: &str) -> bool {
        self.vpc_id == vpc_id
    }

    fn is_deleting(&self) -> bool {
        self.state == "deleting"
    }

    fn leads_from(&self, table_id: &str) -> bool {
        !self.is_deleting() && self.route_table_id_set.item.iter().any(|id| id == table_id)
    }
}

impl Kind for Endpoint {
    const TYPE: &'static str = "vpc-endpoint";

    fn table(state: &State) -> &Table<Self> {
        &state.endpoints
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.endpoints
    }

    /// Both spellings are documented; this one is in DeleteVpcEndpoints' answers (EC2 API reference, "Error codes").
    fn unknown(id: &str) -> ApiError {
        ApiError { code: "InvalidVpcEndpoint.NotFound", ..Self::not_found(id) }
    }
}

impl Repeatable for Endpoint {
    fn token(&self) -> Option<&ClientToken> {
        self.token.as_ref()
    }
}

impl Describe for Endpoint {
    const IDS: &'static str = "VpcEndpointId";
    const PAGE: RangeInclusive<usize> = 1..=1000;
    const FILTERS: Filters<Self> = &[
        ("service-name", |endpoint| vec![endpoint.service_name.clone()]),
        ("vpc-endpoint-id", |endpoint| vec![endpoint.vpc_endpoint_id.clone()]),
        ("vpc-endpoint-state", |endpoint| vec![endpoint.state.to_owned()]),
        ("vpc-endpoint-type", |endpoint| vec![endpoint.vpc_endpoint_type.to_owned()]),
        ("vpc-id", |endpoint| vec![endpoint.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.vpc_endpoint_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        let message = format!("The Vpc Endpoint Id '{id}' does not exist");
        ApiError::new("InvalidVpcEndpointId.NotFound", message)
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        check_prefix(id, "vpce", "InvalidVpcEndpointId.Malformed")
    }
}
