//! A job of the network mode `existing` runs in the subnets and groups that it names, and in no others.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, NetworkInterface};
use aws_sdk_ecs::types::Task;
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use serde_json::{Value, json};

use crate::course::{self, sample};
use crate::harness::Harness;
use crate::history::states_entered;
use crate::made::{self, Made};
use crate::world::{self, World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("an_existing_network_is_used_as_it_is", as_it_is),
        harness.trial("there_is_no_public_address_unless_asked", no_public_address),
        harness.trial("subnets_and_groups_of_two_vpcs_are_refused", two_vpcs),
    ]
}

async fn as_it_is(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.existing.json")?.start(&world, &job).await?;
    let interface = interface(&world, &job).await?;
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
    let interface = interface(&world, &job).await?;
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
    let failure = outcome.failure.context("it is refused")?;
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

/// The network interface of the job's first task, while the task lives.
pub async fn interface(world: &World, job: &str) -> Result<NetworkInterface> {
    let id = until("the task's network interface", || async {
        let tasks = course::tasks(world, job).await?;
        let details = tasks.iter().flat_map(Task::attachments).flat_map(|attachment| attachment.details());
        let mut ids = details.filter(|detail| detail.name() == Some("networkInterfaceId"));
        Ok(ids.find_map(|detail| detail.value().map(str::to_owned)))
    })
    .await?;
    let by_id = Filter::builder().name("network-interface-id").values(&id).build();
    let found = world.ec2.describe_network_interfaces().filters(by_id).send().await?.network_interfaces;
    found.unwrap_or_default().pop().with_context(|| format!("{id} is gone"))
}

/// An interface's subnet and groups.
fn place(interface: &NetworkInterface) -> (&str, Vec<&str>) {
    let groups = interface.groups().iter().filter_map(|group| group.group_id()).collect();
    (interface.subnet_id().unwrap_or_default(), groups)
}

/// A VPC of somebody else's with a subnet and a group.
pub struct Network<'a> {
    made: Made<'a>,
    zone: String,
    vpc: String,
    subnet: String,
    group: String,
}

impl<'a> Network<'a> {
    /// One that has no way out.
    pub async fn make(world: &'a World) -> Result<Self> {
        let zone = world.zone().await?;
        let mut made = Made::nothing(world);
        let vpc = made.vpc("10.9.0.0/16").await?;
        let subnet = made.subnet(&vpc, "10.9.1.0/24", &zone).await?;
        let group = made.group(&vpc, "own").await?;
        Ok(Self { made, zone, vpc, subnet, group })
    }

    /// Gives it a way out: its subnet is routed to a NAT gateway in a public one.
    async fn open(&mut self, world: &World) -> Result<()> {
        let Self { made, zone, vpc, subnet, .. } = self;
        let gateway = made.internet_gateway(Some(vpc)).await?;
        let public = made.subnet(vpc, "10.9.2.0/24", zone).await?;
        made.default_route(vpc, &public, &gateway).await?;
        let address = made.address().await?;
        let nat = made.nat_gateway(&public, &address).await?;
        made::available(world, &nat).await?;
        made.default_route(vpc, subnet, &nat).await?;
        Ok(())
    }

    /// What a job document says that is to run here.
    pub fn document(&self) -> Value {
        json!({ "mode": "existing", "subnets": [self.subnet], "securityGroups": [self.group] })
    }

    pub async fn remove(self) -> Result<()> {
        self.made.remove().await
    }
}
