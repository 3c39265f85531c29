//! The parts of the job's own network, and what AWS has put into its VPC.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Address, Filter, InternetGateway, NatGateway, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc,
    VpcEndpoint,
};
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::pairs;
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{Kind, Resource};
use mayfly_model::tags::Owner;
use tokio::try_join;

/// What a resource is said to be that has no states.
const EXISTS: &str = "EXISTS";

/// What a resource is said to be whose state was not told.
const UNKNOWN: &str = "UNKNOWN";

pub async fn parts(ec2: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let vpcs = find::owned::<Vpc>(ec2, owner).await?;
    let (addresses, gateways, nats, subnets, tables, groups, endpoints, interfaces) = try_join!(
        find::owned::<Address>(ec2, owner),
        find::owned_or_in::<InternetGateway>(ec2, owner, &vpcs),
        find::owned_or_in::<NatGateway>(ec2, owner, &vpcs),
        find::owned_or_in::<Subnet>(ec2, owner, &vpcs),
        find::owned_or_in::<RouteTable>(ec2, owner, &vpcs),
        find::owned_or_in::<SecurityGroup>(ec2, owner, &vpcs),
        find::owned_or_in::<VpcEndpoint>(ec2, owner, &vpcs),
        find::inside::<NetworkInterface>(ec2, &vpcs),
    )?;
    let vpcs = vpcs.iter().map(|vpc| part(Kind::Vpc, vpc, vpc.state().map_or(UNKNOWN, |s| s.as_str())));
    let addresses = addresses.iter().map(|address| part(Kind::Address, address, EXISTS));
    let gateways = gateways.iter().map(|gateway| part(Kind::InternetGateway, gateway, EXISTS));
    let nats =
        nats.iter().map(|nat| part(Kind::NatGateway, nat, nat.state().map_or(UNKNOWN, |s| s.as_str())));
    let subnets = subnets
        .iter()
        .map(|subnet| part(Kind::Subnet, subnet, subnet.state().map_or(UNKNOWN, |s| s.as_str())));
    let tables = tables
        .iter()
        .filter(|table| !find::is_main(table))
        .map(|table| part(Kind::RouteTable, table, EXISTS));
    let groups = groups
        .iter()
        .filter(|group| !find::is_default(group))
        .map(|group| unless_own(group, owner, group.group_name(), part(Kind::SecurityGroup, group, EXISTS)));
    let endpoints = endpoints.iter().map(|endpoint| {
        let state = endpoint.state().map_or(UNKNOWN, |state| state.as_str());
        unless_own(endpoint, owner, endpoint.service_name(), part(Kind::VpcEndpoint, endpoint, state))
    });
    let interfaces =
        interfaces.iter().map(|each| unless_own(each, owner, each.description(), interface(each)));
    let network = vpcs.chain(addresses).chain(gateways).chain(nats).chain(subnets).chain(tables);
    Ok(network.chain(groups).chain(endpoints).chain(interfaces).collect())
}

/// Those of the interfaces that are still there. A filter instead of ids, because an id that is gone would fail the
/// call.
pub async fn interfaces(ec2: &Client, ids: Vec<String>) -> Result<Vec<Resource>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let by_id = Filter::builder().name("network-interface-id").set_values(Some(ids)).build();
    let found = NetworkInterface::describe(ec2, vec![by_id]).await?;
    Ok(found.iter().map(interface).collect())
}

fn interface(interface: &NetworkInterface) -> Resource {
    let state = interface.status().map_or(UNKNOWN, |status| status.as_str());
    part(Kind::NetworkInterface, interface, state)
}

fn part<T: Described>(kind: Kind, described: &T, state: &str) -> Resource {
    Resource { kind, id: described.id().to_owned(), state: state.to_owned() }
}

/// Adds to the state of what AWS itself has made the name that it has there, so that a person who reads of it in
/// `residual` understands whose it is.
fn unless_own<T: Described>(described: &T, owner: Owner<'_>, name: Option<&str>, part: Resource) -> Resource {
    match name.filter(|name| !name.is_empty()) {
        Some(name) if !owner.owns(pairs(described.tag_list())) && !part.is_gone() => {
            Resource { state: format!("{}: {name}", part.state), ..part }
        }
        _ => part,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{State, Tag};
    use mayfly_model::tags;

    use super::*;

    const OWNER: Owner<'_> = Owner { stack: "mayfly", job: "a" };

    fn named(endpoint: &VpcEndpoint) -> Resource {
        let state = endpoint.state().map_or(UNKNOWN, |state| state.as_str());
        unless_own(endpoint, OWNER, endpoint.service_name(), part(Kind::VpcEndpoint, endpoint, state))
    }

    #[test]
    fn what_aws_has_made_in_the_vpc_is_told_by_its_name() {
        let service = "com.amazonaws.eu-central-1.guardduty-data";
        let endpoint = VpcEndpoint::builder().vpc_endpoint_id("vpce-1").service_name(service);
        let foreign = named(&endpoint.clone().state(State::Available).build());
        assert_eq!(foreign.state, format!("Available: {service}"));
        let gone = named(&endpoint.clone().state(State::Deleted).build());
        assert!(gone.is_gone(), "{gone:?}");
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let own = endpoint.state(State::Available).tags(tag(tags::STACK, "mayfly")).tags(tag(tags::JOB, "a"));
        assert_eq!(named(&own.build()).state, "Available");
    }
}
