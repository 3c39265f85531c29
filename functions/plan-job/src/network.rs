//! Refuses subnets and security groups that do not exist or are not of one VPC, which ECS would refuse when half of the
//! job has been made.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Filter;
use mayfly_lambda::error::Error;
use mayfly_model::job::{Network, NetworkMode};

pub async fn check(ec2: &Client, network: Option<&Network>) -> Result<(), Error> {
    let Some(network) = network.filter(|network| network.mode == NetworkMode::Existing) else {
        return Ok(());
    };
    let mut vpcs = BTreeSet::new();
    let subnets = network.subnets.as_deref().unwrap_or_default();
    let found = subnet_vpcs(ec2, subnets).await?;
    vpcs.extend(all_found("network.subnets", "a subnet", subnets, found)?);
    let groups = network.security_groups.as_deref().unwrap_or_default();
    let found = group_vpcs(ec2, groups).await?;
    vpcs.extend(all_found("network.securityGroups", "a security group", groups, found)?);
    if vpcs.len() > 1 {
        return Err(Error::InvalidJob(format!(
            "network: given subnets and security groups of the VPCs {}; allowed: all of one VPC",
            vpcs.into_iter().collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(())
}

/// An id and its VPC, for each that exists.
type Found = Vec<(String, String)>;

/// A filter instead of ids, because an id that does not exist would fail the call without the others' answers.
fn by_id(name: &str, ids: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(ids.to_vec())).build()
}

async fn subnet_vpcs(ec2: &Client, ids: &[String]) -> Result<Found, Error> {
    let described = ec2
        .describe_subnets()
        .filters(by_id("subnet-id", ids))
        .send()
        .await
        .map_err(Error::aws("look at the job's subnets"))?;
    let found = described.subnets.unwrap_or_default().into_iter();
    Ok(found.filter_map(|subnet| Some((subnet.subnet_id?, subnet.vpc_id?))).collect())
}

async fn group_vpcs(ec2: &Client, ids: &[String]) -> Result<Found, Error> {
    let described = ec2
        .describe_security_groups()
        .filters(by_id("group-id", ids))
        .send()
        .await
        .map_err(Error::aws("look at the job's security groups"))?;
    let found = described.security_groups.unwrap_or_default().into_iter();
    Ok(found.filter_map(|group| Some((group.group_id?, group.vpc_id?))).collect())
}

/// The VPCs of all `ids`, or which of them does not exist.
fn all_found(field: &str, what: &str, ids: &[String], found: Found) -> Result<Vec<String>, Error> {
    match ids.iter().find(|id| !found.iter().any(|(known, _)| known == *id)) {
        Some(missing) => Err(Error::InvalidJob(format!(
            "{field}: given {missing}; allowed: {what} that exists in this account and Region"
        ))),
        None => Ok(found.into_iter().map(|(_, vpc)| vpc).collect()),
    }
}
