//! The parts of the job's own network, and what AWS has put into its VPC.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Address, EgressOnlyInternetGateway, Filter, InternetGateway, NatGateway, NetworkInterface, RouteTable,
    SecurityGroup, Subnet, Vpc, VpcEndpoint,
};
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_model::inventory::Resource;
use mayfly_model::tags::Owner;
use tokio::try_join;

pub async fn parts(ec2: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let vpcs = find::owned::<Vpc>(ec2, owner).await?;
    let (addresses, gateways, egress_only, nats, subnets, tables, groups, endpoints, interfaces) = try_join!(
        owned_or_in::<Address>(ec2, owner, &vpcs),
        owned_or_in::<InternetGateway>(ec2, owner, &vpcs),
        owned_or_in::<EgressOnlyInternetGateway>(ec2, owner, &vpcs),
        owned_or_in::<NatGateway>(ec2, owner, &vpcs),
        owned_or_in::<Subnet>(ec2, owner, &vpcs),
        owned_or_in::<RouteTable>(ec2, owner, &vpcs),
        owned_or_in::<SecurityGroup>(ec2, owner, &vpcs),
        owned_or_in::<VpcEndpoint>(ec2, owner, &vpcs),
        find::inside::<NetworkInterface>(ec2, &vpcs),
    )?;
    let (vpcs, interfaces) = (entries(&vpcs, owner), entries(&interfaces, owner));
    Ok([vpcs, addresses, gateways, egress_only, nats, subnets, tables, groups, endpoints, interfaces]
        .concat())
}

async fn owned_or_in<T: Described>(
    ec2: &Client,
    owner: Owner<'_>,
    vpcs: &[Vpc],
) -> Result<Vec<Resource>, Error> {
    Ok(entries(&find::owned_or_in::<T>(ec2, owner, vpcs).await?, owner))
}

fn entries<T: Described>(found: &[T], owner: Owner<'_>) -> Vec<Resource> {
    found.iter().filter(|one| !one.is_of_vpc()).map(|one| one.resource(owner)).collect()
}

/// Those of the interfaces of the job's tasks that are still there. A filter instead of ids, because an id that is gone
/// would fail the call.
pub async fn interfaces(ec2: &Client, ids: Vec<String>) -> Result<Vec<Resource>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let by_id = Filter::builder().name("network-interface-id").set_values(Some(ids)).build();
    let found = NetworkInterface::describe(ec2, vec![by_id]).await?;
    // They carry no tags, and are the job's.
    let own = |one: &NetworkInterface| Resource::new(NetworkInterface::KIND, one.id(), one.state_name());
    Ok(found.iter().map(own).collect())
}
