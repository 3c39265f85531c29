//! A job of the network mode `existing` runs in the subnets and groups that it names, and in no others.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::NetworkInterface;
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use serde_json::json;

use crate::support::course::{self, sample};
use crate::support::harness::Harness;
use crate::support::history::states_entered;
use crate::support::network::Network;
use crate::support::world::{self, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("an_existing_network_is_used_as_it_is", as_it_is),
        harness.trial("there_is_no_public_address_unless_asked", no_public_address),
        harness.trial("subnets_and_groups_of_two_vpcs_are_refused", two_vpcs),
    ]
}

async fn as_it_is(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.existing.json")?.start(&world, &job).await?;
    let interface = course::interface(&world, &job).await?;
    let mut filled = [String::new(), String::new()];
    for (filled, name) in filled.iter_mut().zip(["${SUBNET}", "${SECURITY_GROUP}"]) {
        *filled = world.cloud().fill_in(name, world::STACK).await?;
    }
    let [subnet, group] = filled;
    assert_eq!(place(&interface), (subnet.as_str(), vec![group.as_str()]));
    assert!(interface.association().is_some(), "a public address, as asked");
    let course = course::of(&world, &job).await?;
    assert_eq!(course.result()?.attempt, 1);
    Ok(())
}

/// A network of somebody else's, which the stack knows nothing of.
async fn no_public_address(world: Arc<World>, job: String) -> Result<()> {
    let mut network = Network::make(&world).await?;
    network.open(&world).await?;
    let document = json!({ "network": network.document(), "task": { "command": ["true"] } });
    world.start_job(&job, &document).await?;
    let interface = course::interface(&world, &job).await?;
    assert_eq!(place(&interface), (network.subnet.as_str(), vec![network.group.as_str()]));
    assert!(interface.association().is_none(), "no public address");
    course::of(&world, &job).await?.result()?;
    network.remove().await
}

async fn two_vpcs(world: Arc<World>, job: String) -> Result<()> {
    let (network, other) = (Network::make(&world).await?, Network::make(&world).await?);
    let mut document = json!({ "network": network.document(), "task": { "command": ["true"] } });
    document["network"]["securityGroups"] = json!([other.group]);
    let execution = world.run_job(&job, &document).await?;
    let outcome = world::outcome(&execution)?;
    let failure = outcome.end.failure().context("it is refused")?;
    assert_eq!(failure.error, Class::InvalidJob);
    let mut vpcs = [network.vpc.as_str(), &other.vpc];
    vpcs.sort_unstable();
    assert_eq!(
        failure.message,
        format!(
            "network: given subnets and security groups of the VPCs {}; allowed: all of one VPC",
            vpcs.join(", ")
        )
    );
    let events = world.history(execution.execution_arn()).await?;
    assert_eq!(states_entered(&events).find(|state| *state == "RunPlan"), None, "nothing was created");
    world.nothing_left(&job).await?;
    network.remove().await?;
    other.remove().await
}

/// An interface's subnet and groups.
fn place(interface: &NetworkInterface) -> (&str, Vec<&str>) {
    let groups = interface.groups().iter().filter_map(|group| group.group_id()).collect();
    (interface.subnet_id().unwrap_or_default(), groups)
}
