//! A job's resources in EC2: those that carry its tags, compared exactly after the describe, and for a teardown also
//! whatever is in its VPCs.

use std::collections::BTreeSet;
use std::future::Future;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Address, EgressOnlyInternetGateway, Filter, InternetGateway, NatGateway, NetworkInterface, RouteTable,
    SecurityGroup, Subnet, Tag, Vpc, VpcEndpoint,
};
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{EXISTS, Kind, Resource, UNKNOWN};
use mayfly_model::tags::{self, Owner};

use crate::tags::{filters, pairs};

/// A kind of resource that EC2 describes.
pub trait Described: Sized {
    /// The kind in the inventory.
    const KIND: Kind;

    /// The filter by the VPC that a resource is in; none where it is in no VPC.
    const VPC_FILTER: Option<&'static str>;

    /// Its id.
    fn id(&self) -> &str;

    /// Its tags.
    fn tag_list(&self) -> &[Tag];

    /// Its state in AWS's words, of a kind that has states.
    fn state_name(&self) -> &str {
        EXISTS
    }

    /// What tells a person whose it is where it is not the job's.
    fn owner_name(&self) -> Option<&str> {
        None
    }

    /// Whether it came with its VPC and goes with it.
    fn is_of_vpc(&self) -> bool {
        false
    }

    /// All that the filters let pass, on all pages.
    fn describe(ec2: &Client, filters: Vec<Filter>) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;

    /// Whether it is described, as for a while after its end, and is gone all the same.
    fn is_gone(&self) -> bool {
        Self::KIND.is_gone(self.state_name())
    }

    /// Whether its deletion goes on. The wire has the states of an endpoint in lower case, and the SDK's model does not.
    fn is_deleting(&self) -> bool {
        self.state_name().eq_ignore_ascii_case("deleting")
    }

    /// Its entry in an inventory of `owner`'s.
    fn resource(&self, owner: Owner<'_>) -> Resource {
        let is_foreign = !self.is_gone() && !owner.owns(pairs(self.tag_list()));
        let named = self.owner_name().filter(|name| is_foreign && !name.is_empty());
        Resource {
            owner: named.map(str::to_owned),
            ..Resource::new(Self::KIND, self.id(), self.state_name())
        }
    }
}

/// What carries the job's tags, ordered by id, so that all who look see the same one first.
///
/// # Errors
/// As [`Error::aws`].
pub async fn owned<T: Described>(ec2: &Client, owner: Owner<'_>) -> Result<Vec<T>, Error> {
    let mut found = T::describe(ec2, filters(owner)).await?;
    found.retain(|resource| owner.owns(pairs(resource.tag_list())));
    found.sort_by(|one, other| one.id().cmp(other.id()));
    Ok(found)
}

/// What carries the tags of any job of the stack, or of the stack alone.
///
/// # Errors
/// As [`Error::aws`].
pub async fn of_stack<T: Described>(ec2: &Client, stack: &str) -> Result<Vec<T>, Error> {
    let by_stack = Filter::builder().name(format!("tag:{}", tags::STACK)).values(stack).build();
    let mut found = T::describe(ec2, vec![by_stack]).await?;
    let is_stack = |tag: &Tag| tag.key() == Some(tags::STACK) && tag.value() == Some(stack);
    found.retain(|resource| resource.tag_list().iter().any(is_stack));
    Ok(found)
}

/// What carries the job's tags and what is in its VPCs, whoever put it there.
///
/// # Errors
/// As [`Error::aws`].
pub async fn owned_or_inside<T: Described>(ec2: &Client, owner: Owner<'_>) -> Result<Vec<T>, Error> {
    let vpcs = owned::<Vpc>(ec2, owner).await?;
    owned_or_in(ec2, owner, &vpcs).await
}

/// The same for who has looked for the job's VPCs already.
///
/// # Errors
/// As [`Error::aws`].
pub async fn owned_or_in<T: Described>(
    ec2: &Client,
    owner: Owner<'_>,
    vpcs: &[Vpc],
) -> Result<Vec<T>, Error> {
    let mut found = owned::<T>(ec2, owner).await?;
    found.extend(inside::<T>(ec2, vpcs).await?);
    let mut seen = BTreeSet::new();
    found.retain(|resource| seen.insert(resource.id().to_owned()));
    Ok(found)
}

/// What is in the VPCs, whoever put it there.
///
/// # Errors
/// As [`Error::aws`].
pub async fn inside<T: Described>(ec2: &Client, vpcs: &[Vpc]) -> Result<Vec<T>, Error> {
    let (Some(name), false) = (T::VPC_FILTER, vpcs.is_empty()) else { return Ok(Vec::new()) };
    let ids = vpcs.iter().map(|vpc| vpc.id().to_owned()).collect();
    T::describe(ec2, vec![Filter::builder().name(name).set_values(Some(ids)).build()]).await
}

/// The job's NAT gateways that live; one that has ended is described for about an hour.
/// Source: VPC user guide, "NAT gateways", deletion.
///
/// # Errors
/// As [`Error::aws`].
pub async fn nat_gateways(ec2: &Client, owner: Owner<'_>) -> Result<Vec<NatGateway>, Error> {
    let mut found = owned::<NatGateway>(ec2, owner).await?;
    found.retain(|nat| !nat.is_gone() && !nat.is_deleting());
    Ok(found)
}

/// The interfaces of the job's load balancer, which AWS makes without tags, in whichever VPC, and which are there for minutes
/// after it is deleted. They are told by its name.
/// Source: hashicorp/terraform#3758 and hashicorp/terraform-provider-aws#33645, where the description is `ELB net/NAME/ID`.
///
/// # Errors
/// As [`Error::aws`].
pub async fn load_balancer_interfaces(
    ec2: &Client,
    owner: Owner<'_>,
) -> Result<Vec<NetworkInterface>, Error> {
    let description = format!("ELB net/{}/*", owner.names().load_balancer());
    let by_name = Filter::builder().name("description").values(description).build();
    NetworkInterface::describe(ec2, vec![by_name]).await
}

macro_rules! described {
    (
        $kind:ident, $call:ident.$set_filters:ident, $id:ident, $tags:ident, $vpc:expr, $what:literal
        $(, $method:ident -> $type:ty: |$self:ident| $value:expr)*
    ) => {
        impl Described for $kind {
            const KIND: Kind = Kind::$kind;
            const VPC_FILTER: Option<&'static str> = $vpc;

            fn id(&self) -> &str {
                self.$id().unwrap_or_default()
            }

            fn tag_list(&self) -> &[Tag] {
                self.$tags()
            }

            $(fn $method(&self) -> $type {
                let $self = self;
                $value
            })*

            async fn describe(ec2: &Client, filters: Vec<Filter>) -> Result<Vec<Self>, Error> {
                let pages = ec2.$call().$set_filters(Some(filters)).into_paginator().items().send();
                pages.try_collect().await.map_err(Error::aws(concat!("look for the job's ", $what)))
            }
        }
    };
}

described!(
    Vpc, describe_vpcs.set_filters, vpc_id, tags, None, "VPC",
    state_name -> &str: |vpc| vpc.state().map_or(UNKNOWN, |state| state.as_str())
);
described!(
    Subnet, describe_subnets.set_filters, subnet_id, tags, Some("vpc-id"), "subnets",
    state_name -> &str: |subnet| subnet.state().map_or(UNKNOWN, |state| state.as_str())
);
described!(
    InternetGateway,
    describe_internet_gateways.set_filters,
    internet_gateway_id,
    tags,
    Some("attachment.vpc-id"),
    "internet gateway"
);
// No filter tells those of a VPC.
// Source: EC2 API Reference, `DescribeEgressOnlyInternetGateways`, `Filter`.
described!(
    EgressOnlyInternetGateway,
    describe_egress_only_internet_gateways.set_filters,
    egress_only_internet_gateway_id,
    tags,
    None,
    "egress-only internet gateway"
);
described!(
    SecurityGroup, describe_security_groups.set_filters, group_id, tags, Some("vpc-id"), "security groups",
    owner_name -> Option<&str>: |group| group.group_name(),
    is_of_vpc -> bool: |group| group.group_name() == Some("default")
);
described!(
    RouteTable, describe_route_tables.set_filters, route_table_id, tags, Some("vpc-id"), "route tables",
    is_of_vpc -> bool: |table| table.associations().iter().any(|association| association.main() == Some(true))
);
described!(
    NatGateway, describe_nat_gateways.set_filter, nat_gateway_id, tags, Some("vpc-id"), "NAT gateway",
    state_name -> &str: |nat| nat.state().map_or(UNKNOWN, |state| state.as_str())
);
described!(
    VpcEndpoint, describe_vpc_endpoints.set_filters, vpc_endpoint_id, tags, Some("vpc-id"), "VPC endpoints",
    state_name -> &str: |endpoint| endpoint.state().map_or(UNKNOWN, |state| state.as_str()),
    owner_name -> Option<&str>: |endpoint| endpoint.service_name()
);
described!(
    NetworkInterface,
    describe_network_interfaces.set_filters,
    network_interface_id,
    tag_set,
    Some("vpc-id"),
    "network interfaces",
    state_name -> &str: |interface| interface.status().map_or(UNKNOWN, |status| status.as_str()),
    owner_name -> Option<&str>: |interface| interface.description()
);

/// Addresses come on one page and are in no VPC.
impl Described for Address {
    const KIND: Kind = Kind::Address;
    const VPC_FILTER: Option<&'static str> = None;

    fn id(&self) -> &str {
        self.allocation_id().unwrap_or_default()
    }

    fn tag_list(&self) -> &[Tag] {
        self.tags()
    }

    async fn describe(ec2: &Client, filters: Vec<Filter>) -> Result<Vec<Self>, Error> {
        let described = ec2.describe_addresses().set_filters(Some(filters)).send().await;
        Ok(described.map_err(Error::aws("look for the job's address"))?.addresses.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::State;

    use super::*;

    #[test]
    fn what_aws_has_made_in_the_vpc_is_told_by_its_name() {
        let owner = Owner { stack: "mayfly", job: "a" };
        let service = "com.amazonaws.eu-central-1.guardduty-data";
        let endpoint = VpcEndpoint::builder().vpc_endpoint_id("vpce-1").service_name(service);
        let entry = |endpoint: &VpcEndpoint| {
            let Resource { state, owner, .. } = endpoint.resource(owner);
            (state, owner)
        };
        let foreign = endpoint.clone().state(State::Available).build();
        assert_eq!(entry(&foreign), ("Available".into(), Some(service.into())));
        let gone = endpoint.clone().state(State::Deleted).build();
        assert!(gone.is_gone());
        assert_eq!(entry(&gone), ("Deleted".into(), None));
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let own = endpoint.state(State::Available).tags(tag(tags::STACK, "mayfly")).tags(tag(tags::JOB, "a"));
        assert_eq!(entry(&own.build()), ("Available".into(), None));
    }
}
