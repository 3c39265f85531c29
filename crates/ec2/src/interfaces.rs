//! Network interfaces of tasks.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, NetworkInterface};
use mayfly_lambda::error::Error;

use crate::find::Described;

/// The public addresses of the network interfaces `ids`, of those that have one: ECS itself does not tell them.
/// Source: ECS developer guide, "Fargate task networking", public IP addresses.
///
/// # Errors
/// As [`Error::aws`].
pub async fn public_addresses(ec2: &Client, ids: Vec<String>) -> Result<BTreeMap<String, String>, Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A filter instead of ids, because an id that is gone would fail the call.
    let by_id = Filter::builder().name("network-interface-id").set_values(Some(ids)).build();
    let found = NetworkInterface::describe(ec2, vec![by_id]).await?;
    let address = |interface: NetworkInterface| {
        Some((interface.network_interface_id?, interface.association?.public_ip?))
    };
    Ok(found.into_iter().filter_map(address).collect())
}
