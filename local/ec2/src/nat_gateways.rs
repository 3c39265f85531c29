//! NAT gateways, public and zonal: created, deleted and described, and the minutes that they take from one state to the
//! next.

use std::net::Ipv4Addr;
use std::time::Duration;

use local_aws::clock::Clock;
use serde::Serialize;

use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query};
use crate::elastic_ips::ElasticIp;
use crate::error::ApiError;
use crate::interfaces::Interface;
use crate::kinds::{Kind, Table};
use crate::nat_failure::NatFailure;
use crate::subnets::Subnet;
use crate::tags::Tags;
use crate::tokens::{ClientToken, Repeatable, once};
use crate::xml::{self, Items};
use crate::{Ec2, State, now_as_text};

/// From its creation until it is `available`, in seconds of the cloud: samples from logs of `terraform apply`.
const CREATION: [u64; 8] = [84, 87, 92, 96, 115, 116, 118, 118];

/// From its deletion until it is `deleted`: samples from logs of Terraform (some are in
/// hashicorp/terraform-provider-aws#49299).
const DELETION: [u64; 5] = [42, 50, 61, 61, 61];

/// From its creation until it is seen that it has `failed`. A guess: AWS says only that it is not at once.
const FAILURE: Duration = Duration::from_secs(15);

/// How long one that is `deleted` or has `failed` is described: "about an hour" (VPC user guide, "Troubleshoot NAT
/// gateways").
const REMEMBERED: Duration = Duration::from_hours(1);

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NatGateway {
    nat_gateway_id: String,
    pub subnet_id: String,
    pub vpc_id: String,
    state: Life,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
    nat_gateway_address_set: Items<Address>,
    connectivity_type: &'static str,
    availability_mode: &'static str,
    tag_set: Tags,
    #[serde(skip)]
    availability_zone: String,
    #[serde(skip)]
    token: Option<ClientToken>,
}

/// EC2 API reference, `NatGateway`, `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Life {
    Pending,
    Failed,
    Available,
    Deleting,
    Deleted,
}

/// Its Elastic IP address. The interface is its own.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    allocation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_ip: Option<Ipv4Addr>,
    is_primary: bool,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateNatGatewayResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    nat_gateway: NatGateway,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteNatGatewayResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    nat_gateway_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeNatGatewaysResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    nat_gateway_set: Items<NatGateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Ec2 {
    /// EC2 API reference: CreateNatGateway. Most of what can be wrong with it shows later, as its failure.
    pub(crate) async fn create_nat_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let token = ClientToken::take(&mut call.parameters)?;
        let subnet_id = call.parameters.require("SubnetId")?;
        let allocation_id = call.parameters.require("AllocationId")?;
        let tags = Tags::take(NatGateway::TYPE, &mut call.parameters)?;
        let subnet: Subnet = self.seen_by_call(&subnet_id).await.map_err(unseen_subnet)?;
        let address = self.address_for_nat(&allocation_id)?;
        let mut targets = vec![Target::new::<NatGateway>(&tags, None), Target::existing(&subnet)];
        targets.extend(address.as_ref().map(Target::existing));
        call.mutate(&targets).await?;

        let nat_gateway = once(&mut self.state(), token.as_ref(), |state| {
            self.make_nat_gateway(state, &subnet, allocation_id, tags, token.clone())
        })?;
        xml::document(&CreateNatGatewayResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            nat_gateway,
        })
    }

    /// EC2 API reference: DeleteNatGateway. Its address stays allocated, and routes to it stay.
    pub(crate) async fn delete_nat_gateway(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("NatGatewayId")?;
        let nat_gateway: NatGateway = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&nat_gateway)]).await?;
        if self.change::<NatGateway>(&mut self.state(), &id)?.begin_deletion() {
            let (takes, clock) = (self.draw(&DELETION), self.upstream.clock);
            let deleted = id.clone();
            self.later(takes, move |state| state.end_nat_gateway(&deleted, clock));
            self.forget_nat_gateway(&id, takes + REMEMBERED);
        }
        xml::document(&DeleteNatGatewayResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            nat_gateway_id: id,
        })
    }

    /// EC2 API reference: DescribeNatGateways.
    pub(crate) async fn describe_nat_gateways(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let query = Query::take::<NatGateway>(&mut call.parameters)?;
        call.describe().await?;
        let (nat_gateways, next_token) = self.select(&query).await?;
        xml::document(&DescribeNatGatewaysResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            nat_gateway_set: nat_gateways.into_iter().collect(),
            next_token,
        })
    }

    /// The address with the id; none where there is no such address, which shows later. One that was allocated a moment
    /// ago is refused at once (hashicorp/terraform-provider-aws#27087).
    fn address_for_nat(&self, allocation_id: &str) -> Result<Option<ElasticIp>, ApiError> {
        let state = self.state();
        let seen = state.elastic_ips.seen_by_call(allocation_id).ok().cloned();
        if seen.is_none()
            && state.elastic_ips.seen_by_ec2().any(|address| address.allocation_id == allocation_id)
        {
            let message = format!("The elasticIp ID '{allocation_id}' does not exist");
            return Err(ApiError::new("InvalidElasticIpID.NotFound", message));
        }
        Ok(seen)
    }

    fn make_nat_gateway(
        &self,
        state: &mut State,
        subnet: &Subnet,
        allocation_id: String,
        tags: Tags,
        token: Option<ClientToken>,
    ) -> Result<NatGateway, ApiError> {
        state.subnets.seen_by_call(&subnet.subnet_id).map_err(unseen_subnet)?;
        let zone = &subnet.availability_zone;
        let used = state.nat_gateways.seen_by_ec2().filter(|nat| nat.counts_in(zone)).count();
        let quota = self.quotas.nat_gateways_per_zone;
        if used >= quota {
            // VPC user guide, "Troubleshoot NAT gateways".
            let message = format!("Performing this operation would exceed the limit of {quota} NAT gateways");
            return Err(ApiError::new("NatGatewayLimitExceeded", message));
        }

        let id = self.new_id("nat");
        let address = self.connect_nat_gateway(state, &id, subnet, &allocation_id);
        let failure = match (&address, self.faults.nat_failure(&tags)) {
            (Err(failure), _) => Some((*failure, FAILURE)),
            (Ok(_), fault) => fault,
        };
        let nat_gateway = NatGateway {
            nat_gateway_id: id.clone(),
            subnet_id: subnet.subnet_id.clone(),
            vpc_id: subnet.vpc_id.clone(),
            state: Life::Pending,
            create_time: now_as_text(self.upstream.clock),
            delete_time: None,
            failure_code: None,
            failure_message: None,
            nat_gateway_address_set: Items::from_iter([
                address.unwrap_or_else(|_| Address::without(allocation_id))
            ]),
            connectivity_type: "public",
            availability_mode: "zonal",
            tag_set: tags,
            availability_zone: zone.clone(),
            token,
        };
        self.insert(state, nat_gateway.clone());
        match failure {
            None => self.later(self.draw(&CREATION), move |state| state.make_nat_gateway_available(&id)),
            Some((failure, after)) => {
                let failed = id.clone();
                self.later(after, move |state| state.fail_nat_gateway(&failed, failure));
                self.forget_nat_gateway(&id, after + REMEMBERED);
            }
        }
        Ok(nat_gateway)
    }

    /// Makes the interface in the subnet and maps the address to it; or the reason why that cannot be.
    fn connect_nat_gateway(
        &self,
        state: &mut State,
        id: &str,
        subnet: &Subnet,
        allocation_id: &str,
    ) -> Result<Address, NatFailure> {
        if !state.internet_gateways.seen_by_calls().any(|gateway| gateway.is_attached_to(&subnet.vpc_id)) {
            return Err(NatFailure::GatewayNotAttached);
        }
        let address =
            state.elastic_ips.seen_by_call(allocation_id).map_err(|_| NatFailure::InvalidAllocationId)?;
        if address.is_associated() {
            return Err(NatFailure::AlreadyAssociated);
        }
        let public_ip = address.public_ip;
        let private_ip = state
            .free_private_ip(subnet, &self.upstream.random)
            .map_err(|_| NatFailure::InsufficientFreeAddressesInSubnet)?;
        let (owner, association_id) = (&self.upstream.account, self.new_id("eipassoc"));
        let mut interface = Interface::of_nat_gateway(id, subnet, private_ip, self);
        let network_interface_id = interface.id().to_owned();
        let mut addresses = state.elastic_ips.seen_by_ec2_mut();
        let address = addresses
            .find(|address| address.allocation_id == allocation_id)
            .ok_or(NatFailure::InvalidAllocationId)?;
        address.associate(&association_id, &network_interface_id, private_ip, owner);
        interface.map(public_ip, owner, allocation_id, &association_id);
        state.interfaces.push(interface);
        Ok(Address {
            allocation_id: allocation_id.to_owned(),
            association_id: Some(association_id),
            network_interface_id: Some(network_interface_id),
            private_ip: Some(private_ip),
            public_ip: Some(public_ip),
            is_primary: true,
            status: "associating",
        })
    }

    /// After `after` it is described no more; what it may still have goes with it.
    fn forget_nat_gateway(&self, id: &str, after: Duration) {
        let (id, clock) = (id.to_owned(), self.upstream.clock);
        self.later(after, move |state| {
            state.end_nat_gateway(&id, clock);
            state.nat_gateways.remove(&id);
        });
    }
}

impl State {
    /// Whether the NAT gateway passes traffic on. One that is `deleting` may (EC2 API reference, `NatGateway`, `state`);
    /// here it does not.
    pub fn available_nat_gateway(&self, id: &str) -> Option<&NatGateway> {
        self.nat_gateways.seen_by_ec2().find(|nat| nat.nat_gateway_id == id && nat.state == Life::Available)
    }

    /// Whether a route to the NAT gateway is a black hole.
    pub fn is_nat_gateway_gone(&self, id: &str) -> bool {
        let mut all = self.nat_gateways.seen_by_ec2();
        !all.any(|nat| nat.nat_gateway_id == id && !matches!(nat.state, Life::Deleted | Life::Failed))
    }

    fn make_nat_gateway_available(&mut self, id: &str) {
        for nat in self.nat_gateways.seen_by_ec2_mut().filter(|nat| nat.is_pending(id)) {
            nat.state = Life::Available;
            nat.set_status("succeeded");
        }
    }

    fn fail_nat_gateway(&mut self, id: &str, failure: NatFailure) {
        for nat in self.nat_gateways.seen_by_ec2_mut().filter(|nat| nat.is_pending(id)) {
            nat.state = Life::Failed;
            nat.failure_code = Some(failure.code());
            nat.failure_message = Some(nat.explain(failure));
            nat.set_status("failed");
        }
    }

    /// Takes interface and address away from one that is deleted, or that failed and was never deleted.
    fn end_nat_gateway(&mut self, id: &str, clock: Clock) {
        let Some(nat) = self.nat_gateways.seen_by_ec2_mut().find(|nat| nat.nat_gateway_id == id) else {
            return;
        };
        if nat.state == Life::Deleting {
            nat.state = Life::Deleted;
            nat.delete_time = Some(now_as_text(clock));
        }
        for address in &mut nat.nat_gateway_address_set.item {
            let Some(interface_id) = &address.network_interface_id else { continue };
            self.interfaces.retain(|interface| interface.id() != interface_id);
            let elastic_ip =
                self.elastic_ips.seen_by_ec2_mut().find(|other| other.has_interface(interface_id));
            if let Some(elastic_ip) = elastic_ip {
                elastic_ip.disassociate(clock.instant());
            }
        }
    }
}

impl NatGateway {
    /// Whether it counts against the quota of the Availability Zone (VPC user guide, "Amazon VPC quotas").
    fn counts_in(&self, zone: &str) -> bool {
        let counts = matches!(self.state, Life::Pending | Life::Available | Life::Deleting);
        counts && self.availability_zone == zone
    }

    /// Whether it is this one, and nobody has deleted it meanwhile.
    fn is_pending(&self, id: &str) -> bool {
        self.nat_gateway_id == id && self.state == Life::Pending
    }

    /// Whether it was not yet to be deleted.
    fn begin_deletion(&mut self) -> bool {
        let begins = !matches!(self.state, Life::Deleting | Life::Deleted);
        if begins {
            self.state = Life::Deleting;
            self.set_status("disassociating");
        }
        begins
    }

    fn explain(&self, failure: NatFailure) -> String {
        let address = self.nat_gateway_address_set.item.first();
        let allocation_id = address.map(|address| address.allocation_id.as_str());
        let interface_id = address.and_then(|address| address.network_interface_id.as_deref());
        failure.message(&self.vpc_id, allocation_id.unwrap_or_default(), interface_id.unwrap_or_default())
    }

    fn set_status(&mut self, status: &'static str) {
        for address in &mut self.nat_gateway_address_set.item {
            address.status = status;
        }
    }
}

impl Address {
    /// The address of one that could not be connected.
    fn without(allocation_id: String) -> Self {
        Self {
            allocation_id,
            association_id: None,
            network_interface_id: None,
            private_ip: None,
            public_ip: None,
            is_primary: true,
            status: "associating",
        }
    }
}

impl Kind for NatGateway {
    const TYPE: &'static str = "natgateway";

    fn table(state: &State) -> &Table<Self> {
        &state.nat_gateways
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.nat_gateways
    }
}

impl Repeatable for NatGateway {
    fn token(&self) -> Option<&ClientToken> {
        self.token.as_ref()
    }
}

impl Describe for NatGateway {
    const IDS: &'static str = "NatGatewayId";
    const FILTERS: Filters<Self> = &[
        ("nat-gateway-id", |nat| vec![nat.nat_gateway_id.clone()]),
        ("state", |nat| vec![format!("{:?}", nat.state).to_lowercase()]),
        ("subnet-id", |nat| vec![nat.subnet_id.clone()]),
        ("vpc-id", |nat| vec![nat.vpc_id.clone()]),
    ];

    fn id(&self) -> &str {
        &self.nat_gateway_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("NatGatewayNotFound", format!("NAT gateway {id} was not found"))
    }

    fn check_id(id: &str) -> Result<(), ApiError> {
        let digits = id.strip_prefix("nat-").unwrap_or_default();
        if matches!(digits.len(), 8 | 17) && digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err(ApiError::new("NatGatewayMalformed", format!("The NAT gateway ID '{id}' is malformed")))
    }
}

/// The code for a subnet that was made a moment ago is `InvalidSubnet` here (alchemy-run/distilled, patches of the model
/// after real answers).
fn unseen_subnet(error: ApiError) -> ApiError {
    if error.code.ends_with(".NotFound") { ApiError { code: "InvalidSubnet", ..error } } else { error }
}
