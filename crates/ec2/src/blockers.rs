//! Names what keeps a part of a VPC from being deleted, since EC2's `DependencyViolation` never does.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{NetworkInterface, RouteTable, SecurityGroup, Subnet, VpcEndpoint};
use mayfly_lambda::error::Error;
use mayfly_model::tags::Owner;

use crate::find::{Described, owned_or_inside};

/// Adds to a [`Error::StillInUse`] what is in the job's VPCs, and logs it; any other error passes as it is.
pub async fn name_blockers(ec2: &Client, owner: Owner<'_>, error: Error) -> Error {
    let Error::StillInUse(message) = error else { return error };
    match blockers(ec2, owner).await {
        Ok(blockers) if blockers.is_empty() => Error::StillInUse(message),
        Ok(blockers) => {
            tracing::warn!(job = owner.job, ?blockers, "delete blocked");
            Error::StillInUse(format!("{message}; in the VPC are {}", blockers.join(", ")))
        }
        Err(unknown) => {
            tracing::warn!(job = owner.job, %unknown, "delete blocked, and it cannot be told by what");
            Error::StillInUse(message)
        }
    }
}

/// Everything in the job's VPCs that a delete may wait for, in words.
async fn blockers(ec2: &Client, owner: Owner<'_>) -> Result<Vec<String>, Error> {
    let interfaces = owned_or_inside::<NetworkInterface>(ec2, owner).await?;
    let mut named: Vec<String> = interfaces.iter().map(interface).collect();
    let endpoints = owned_or_inside::<VpcEndpoint>(ec2, owner).await?;
    named.extend(endpoints.iter().filter(|endpoint| !endpoint.is_gone()).map(|endpoint| {
        let service = endpoint.service_name().unwrap_or_default();
        format!("endpoint {} of {service}, {}", endpoint.id(), endpoint.state_name())
    }));
    let groups = owned_or_inside::<SecurityGroup>(ec2, owner).await?;
    named.extend(
        groups.iter().filter(|group| !group.is_of_vpc()).map(|group| {
            format!("security group {} ({})", group.id(), group.group_name().unwrap_or_default())
        }),
    );
    let tables = owned_or_inside::<RouteTable>(ec2, owner).await?;
    let own = tables.iter().filter(|table| !table.is_of_vpc());
    named.extend(own.map(|table| format!("route table {}", table.id())));
    let subnets = owned_or_inside::<Subnet>(ec2, owner).await?;
    named.extend(subnets.iter().map(|subnet| format!("subnet {}", subnet.id())));
    Ok(named)
}

/// The owner is AWS's service where it is not the job's task.
fn interface(interface: &NetworkInterface) -> String {
    format!(
        "network interface {} ({}, {}) of {}: {}",
        interface.id(),
        interface.interface_type().map_or("", |kind| kind.as_str()),
        interface.status().map_or("", |status| status.as_str()),
        interface.requester_id().unwrap_or_default(),
        interface.description().unwrap_or_default()
    )
}
