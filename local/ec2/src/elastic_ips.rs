//! Elastic IP addresses: allocated, released and described; a NAT gateway associates one with itself.

use std::net::Ipv4Addr;
use std::time::Duration;

use local_aws::clock::TimeScale;
use local_aws::random::Random;
use serde::Serialize;
use tokio::time::Instant;

use crate::addresses;
use crate::call::{Call, Target};
use crate::describe::{Describe, Filters, Query};
use crate::error::ApiError;
use crate::interfaces::Interface;
use crate::kinds::{Kind, Table};
use crate::quotas::room;
use crate::tags::Tags;
use crate::xml::{self, Items};
use crate::{Ec2, State};

/// For how long an address cannot be released after its NAT gateway is `deleted`, in the cloud's time. Observed without
/// a number: a pause cures it (eformat/sno-for-100#9).
const HELD: Duration = Duration::from_secs(5);

/// The beginning of that time, in which the refusal is about the NAT gateway's interface
/// (hashicorp/terraform-provider-aws#49299); how long it lasts is a guess.
const INTERFACE_MISSED: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ElasticIp {
    pub public_ip: Ipv4Addr,
    pub allocation_id: String,
    domain: &'static str,
    public_ipv4_pool: &'static str,
    network_border_group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip_address: Option<Ipv4Addr>,
    tag_set: Tags,
    #[serde(skip)]
    freed: Option<Freed>,
}

/// When an address lost its interface, and which one that was.
#[derive(Clone, Debug)]
struct Freed {
    at: Instant,
    interface_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllocateAddressResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    public_ip: Ipv4Addr,
    allocation_id: String,
    domain: &'static str,
    public_ipv4_pool: &'static str,
    network_border_group: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeAddressesResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    addresses_set: Items<ElasticIp>,
}

impl Ec2 {
    /// EC2 API reference: AllocateAddress.
    pub(crate) async fn allocate_address(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let domain = call.parameters.require("Domain")?;
        if domain != "vpc" {
            return Err(ApiError::invalid_value("Domain", &domain, "The local cloud knows vpc only."));
        }
        let tags = Tags::take(ElasticIp::TYPE, &mut call.parameters)?;
        call.mutate(&[Target::new::<ElasticIp>(&tags, None)]).await?;
        let mut state = self.state();
        let used = state.elastic_ips.seen_by_ec2().count();
        room(used, self.quotas.addresses, "AddressLimitExceeded", "addresses")?;
        let address = ElasticIp {
            public_ip: state.free_public_ip(&self.upstream.random)?,
            allocation_id: self.new_id("eipalloc"),
            domain: "vpc",
            // The address is of AWS's own pool (EC2 API reference, `Address`, `publicIpv4Pool`).
            public_ipv4_pool: "amazon",
            network_border_group: self.upstream.region.clone(),
            association_id: None,
            network_interface_id: None,
            network_interface_owner_id: None,
            private_ip_address: None,
            tag_set: tags,
            freed: None,
        };
        self.insert(&mut state, address.clone());
        xml::document(&AllocateAddressResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            public_ip: address.public_ip,
            allocation_id: address.allocation_id,
            domain: address.domain,
            public_ipv4_pool: address.public_ipv4_pool,
            network_border_group: address.network_border_group,
        })
    }

    /// EC2 API reference: ReleaseAddress.
    pub(crate) async fn release_address(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("AllocationId")?;
        let address: ElasticIp = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&address)]).await?;
        let (mut state, clock) = (self.state(), self.upstream.clock);
        state.elastic_ips.seen_by_call(&id)?.check_release(clock.instant(), clock.scale)?;
        self.delete::<ElasticIp>(&mut state, &id);
        call.done()
    }

    /// EC2 API reference: DescribeAddresses, which has no pages.
    pub(crate) async fn describe_addresses(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        if let Some(page) = ["MaxResults", "NextToken"].into_iter().find(|name| call.parameters.has(name)) {
            return Err(ApiError::unknown_parameter(page));
        }
        let query = Query::take::<ElasticIp>(&mut call.parameters)?;
        call.describe().await?;
        let (addresses, _) = self.select(&query).await?;
        xml::document(&DescribeAddressesResponse {
            xmlns: xml::NAMESPACE,
            request_id: call.request_id,
            addresses_set: addresses.into_iter().collect(),
        })
    }
}

impl State {
    /// A public address that neither a task nor anybody else has.
    pub fn free_public_ip(&self, random: &Random) -> Result<Ipv4Addr, ApiError> {
        let of_tasks = self.interfaces.iter().filter_map(Interface::public_ip);
        let taken: Vec<_> =
            of_tasks.chain(self.elastic_ips.seen_by_ec2().map(|address| address.public_ip)).collect();
        addresses::free_public(&taken, random).ok_or_else(|| {
            let message = "There are not enough free addresses in the address pool 'amazon'.";
            ApiError::new("InsufficientAddressCapacity", message)
        })
    }
}

impl ElasticIp {
    pub fn is_associated(&self) -> bool {
        self.association_id.is_some()
    }

    pub fn has_interface(&self, id: &str) -> bool {
        self.network_interface_id.as_deref() == Some(id)
    }

    /// Maps the address to an interface of a NAT gateway.
    pub fn associate(
        &mut self,
        association_id: &str,
        interface_id: &str,
        private_ip: Ipv4Addr,
        owner_id: &str,
    ) {
        self.association_id = Some(association_id.to_owned());
        self.network_interface_id = Some(interface_id.to_owned());
        self.network_interface_owner_id = Some(owner_id.to_owned());
        self.private_ip_address = Some(private_ip);
    }

    /// Ends that, with the interface, at `now`.
    pub fn disassociate(&mut self, now: Instant) {
        self.association_id = None;
        self.network_interface_owner_id = None;
        self.private_ip_address = None;
        self.freed = self.network_interface_id.take().map(|interface_id| Freed { at: now, interface_id });
    }

    /// Refuses with what is really seen where the reference says `InvalidIPAddress.InUse`: `AuthFailure` while a NAT
    /// gateway has the address (kubernetes/kops#1604, genevieve/leftovers#33).
    fn check_release(&self, now: Instant, scale: TimeScale) -> Result<(), ApiError> {
        let held =
            ApiError::new("AuthFailure", "You do not have permission to access the specified resource.");
        if self.is_associated() {
            return Err(held);
        }
        let Some(freed) = &self.freed else { return Ok(()) };
        let since = now.saturating_duration_since(freed.at);
        if since < scale.real(INTERFACE_MISSED) {
            return Err(Interface::not_found(&freed.interface_id));
        }
        if since < scale.real(HELD) { Err(held) } else { Ok(()) }
    }
}

impl Kind for ElasticIp {
    const TYPE: &'static str = "elastic-ip";

    fn table(state: &State) -> &Table<Self> {
        &state.elastic_ips
    }

    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.elastic_ips
    }
}

impl Describe for ElasticIp {
    const IDS: &'static str = "AllocationId";
    const FILTERS: Filters<Self> = &[
        ("allocation-id", |address| vec![address.allocation_id.clone()]),
        ("association-id", |address| address.association_id.iter().cloned().collect()),
        ("network-interface-id", |address| address.network_interface_id.iter().cloned().collect()),
        ("public-ip", |address| vec![address.public_ip.to_string()]),
    ];

    fn id(&self) -> &str {
        &self.allocation_id
    }

    fn tags(&self) -> &Tags {
        &self.tag_set
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidAllocationID.NotFound", format!("The allocation ID '{id}' does not exist"))
    }
}

#[cfg(test)]
mod tests {
    use local_aws::clock::Clock;

    use super::*;

    #[test]
    fn an_address_is_held_while_its_nat_gateway_has_it_and_for_a_while_after() {
        let mut address = ElasticIp {
            public_ip: Ipv4Addr::new(198, 18, 0, 4),
            allocation_id: "eipalloc-1".into(),
            domain: "vpc",
            public_ipv4_pool: "amazon",
            network_border_group: "eu-west-1".into(),
            association_id: None,
            network_interface_id: None,
            network_interface_owner_id: None,
            private_ip_address: None,
            tag_set: Tags::default(),
            freed: None,
        };
        let clock = Clock::new(TimeScale::new(0.1), TimeScale::REAL);
        let start = clock.instant();
        let refusal = |address: &ElasticIp, tenths: u64| {
            let now = start + Duration::from_millis(100 * tenths);
            address.check_release(now, clock.scale).err().map(|error| error.code)
        };
        assert_eq!(refusal(&address, 0), None);
        address.associate("eipassoc-1", "eni-1", Ipv4Addr::new(10, 0, 0, 4), "111122223333");
        assert_eq!(refusal(&address, 100), Some("AuthFailure"));
        address.disassociate(start);
        assert_eq!(refusal(&address, 0), Some("InvalidNetworkInterfaceID.NotFound"));
        assert_eq!(refusal(&address, 1), Some("AuthFailure"));
        assert_eq!(refusal(&address, 4), Some("AuthFailure"));
        assert_eq!(refusal(&address, 5), None);
    }
}
