//! A job's resources in EC2: those that carry its tags, compared exactly after the describe, and for a teardown also
//! whatever is in its VPCs.

use std::collections::BTreeSet;
use std::future::Future;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Address, Filter, InternetGateway, NatGateway, NatGatewayState, NetworkInterface, RouteTable,
    SecurityGroup, State, Subnet, Tag, Vpc, VpcEndpoint,
};
use mayfly_lambda::error::Error;
use mayfly_model::tags;

use crate::tags::{filters, pairs};
use mayfly_model::tags::Owner;

/// A kind of resource that EC2 describes.
pub trait Described: Sized {
    /// The filter by the VPC that a resource is in; none where it is in no VPC.
    const VPC_FILTER: Option<&'static str>;

    /// Its id.
    fn id(&self) -> &str;

    /// Its tags.
    fn tag_list(&self) -> &[Tag];

    /// All that the filters let pass, on all pages.
    fn describe(ec2: &Client, filters: Vec<Filter>) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;
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
    found.retain(|nat| matches!(nat.state(), Some(NatGatewayState::Pending | NatGatewayState::Available)));
    Ok(found)
}

/// Whether the group came with its VPC and goes with it.
pub fn is_default(group: &SecurityGroup) -> bool {
    group.group_name() == Some("default")
}

/// Whether the route table came with its VPC and goes with it.
pub fn is_main(table: &RouteTable) -> bool {
    table.associations().iter().any(|association| association.main() == Some(true))
}

/// Whether the endpoint is described, as for a while after its end, and is gone all the same. The wire has the states in
/// lower case, and the model does not.
pub fn is_deleted(endpoint: &VpcEndpoint) -> bool {
    is_in(endpoint, &State::Deleted)
}

/// Whether the endpoint is being deleted.
pub fn is_deleting(endpoint: &VpcEndpoint) -> bool {
    is_in(endpoint, &State::Deleting)
}

fn is_in(endpoint: &VpcEndpoint, state: &State) -> bool {
    endpoint.state().is_some_and(|actual| actual.as_str().eq_ignore_ascii_case(state.as_str()))
}

macro_rules! described {
    ($kind:ty, $call:ident.$set_filters:ident, $id:ident, $tags:ident, $vpc:expr, $what:literal) => {
        impl Described for $kind {
            const VPC_FILTER: Option<&'static str> = $vpc;

            fn id(&self) -> &str {
                self.$id().unwrap_or_default()
            }

            fn tag_list(&self) -> &[Tag] {
                self.$tags()
            }

            async fn describe(ec2: &Client, filters: Vec<Filter>) -> Result<Vec<Self>, Error> {
                let pages = ec2.$call().$set_filters(Some(filters)).into_paginator().items().send();
                pages.try_collect().await.map_err(Error::aws(concat!("look for the job's ", $what)))
            }
        }
    };
}

described!(Vpc, describe_vpcs.set_filters, vpc_id, tags, None, "VPC");
described!(Subnet, describe_subnets.set_filters, subnet_id, tags, Some("vpc-id"), "subnets");
described!(
    InternetGateway,
    describe_internet_gateways.set_filters,
    internet_gateway_id,
    tags,
    Some("attachment.vpc-id"),
    "internet gateway"
);
described!(
    SecurityGroup,
    describe_security_groups.set_filters,
    group_id,
    tags,
    Some("vpc-id"),
    "security groups"
);
described!(
    RouteTable,
    describe_route_tables.set_filters,
    route_table_id,
    tags,
    Some("vpc-id"),
    "route tables"
);
described!(NatGateway, describe_nat_gateways.set_filter, nat_gateway_id, tags, Some("vpc-id"), "NAT gateway");
described!(
    VpcEndpoint,
    describe_vpc_endpoints.set_filters,
    vpc_endpoint_id,
    tags,
    Some("vpc-id"),
    "VPC endpoints"
);
described!(
    NetworkInterface,
    describe_network_interfaces.set_filters,
    network_interface_id,
    tag_set,
    Some("vpc-id"),
    "network interfaces"
);

/// Addresses come on one page and are in no VPC.
impl Described for Address {
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
