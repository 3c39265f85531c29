//! A teardown that cannot remove everything says so, names what is left, and the next one removes it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use local_states::execution::{Execution, Status};
use mayfly_model::inventory::{EXISTS, Kind, Receipt, Resource};
use mayfly_model::outcome;
use mayfly_simulation::account::JOB;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::documents::command;
use crate::support::history::{history, refusals};
use crate::support::made::Made;
use crate::support::world::{World, scene};

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("what_cannot_be_deleted_is_named", what_cannot_be_deleted),
        behaviour("an_address_that_is_held_is_released_in_the_end", held_address),
        behaviour("what_aws_has_put_into_a_jobs_vpc_is_named", put_there_by_aws),
    ]
}

async fn what_cannot_be_deleted() -> Result<()> {
    let mut world = scene().begin().await?;
    world.deny("delete-task", "ecs:DeleteTaskDefinitions", "*")?;
    let execution = world.start(JOB, &command()).await?;
    let outcome = world.outcome(&execution).await?;

    let (teardown, _) = world.teardown(JOB).await?.ending().context("it has ended")?;
    assert_eq!((teardown.status, teardown.error.as_deref()), (Status::Failed, Some("LeftoversRemain")));
    assert_eq!(outcome.end.status(), outcome::Status::Succeeded, "the job itself went well");
    let [residual] = outcome.receipt.residual.as_slice() else { panic!("{:#?}", outcome.receipt) };
    assert_eq!((residual.kind, residual.state.as_str()), (Kind::TaskDefinition, "INACTIVE"));
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    assert_eq!(outcome.receipt.deleted.len(), 4, "{:#?}", outcome.receipt);

    world.lift();
    torn_down(&world).await?;
    world.finish().await
}

/// Tears the job down once more, which has to succeed.
async fn torn_down(world: &World) -> Result<()> {
    let teardown = world.tear_down(JOB).await?;
    ensure!(world.run.ended(&teardown).await && teardown.status() == Status::Succeeded, "{teardown:#?}");
    Ok(())
}

/// A job that has ended, and nothing of it is there.
async fn ended_job() -> Result<World> {
    let mut world = scene().begin().await?;
    world.start(JOB, &command()).await?;
    world.course(JOB).await?;
    Ok(world)
}

/// A NAT gateway of somebody else's holds the address of the job.
async fn held_address() -> Result<()> {
    let mut world = ended_job().await?;
    let mut made = Made::nothing(&world);
    let vpc = made.vpc("10.9.0.0/16").await?;
    made.internet_gateway(Some(&vpc)).await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24").await?;
    made.tag(&mut world, JOB);
    let address = made.address().await?;
    made.untag();
    made.nat_gateway(&subnet, &address).await?;

    let teardown = world.tear_down(JOB).await?;
    world.has_met(&teardown, "StillInUse").await?;
    let events = history(&teardown);
    let refusal = refusals(&events).next().context("it has met something")?;
    assert_eq!((refusal.state, refusal.error), ("ReleaseAddress", "StillInUse"));
    assert!(refusal.cause.contains("AuthFailure"), "EC2's own word: {}", refusal.cause);
    assert!(is_there(&world, &address).await?);
    made.remove_last(&world).await?;
    ensure!(world.run.ended(&teardown).await && teardown.status() == Status::Succeeded, "{teardown:#?}");
    assert!(!is_there(&world, &address).await?);
    made.remove(&world).await?;
    world.finish().await
}

async fn is_there(world: &World, id: &str) -> Result<bool> {
    Ok(world.run.left().await?.iter().any(|what| what.ends_with(id)))
}

/// As GuardDuty does where Runtime Monitoring is switched on: without the job's tags, so no function may delete it.
async fn put_there_by_aws() -> Result<()> {
    let mut world = ended_job().await?;
    let mut made = Made::nothing(&world);
    made.tag(&mut world, JOB);
    let vpc = made.vpc("10.9.0.0/16").await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24").await?;
    made.group(&vpc, "own").await?;
    made.untag();
    let name = format!("GuardDutyManagedSecurityGroup-{vpc}");
    let group = made.group(&vpc, &name).await?;

    let teardown: Arc<Execution> = world.tear_down(JOB).await?;
    ensure!(world.run.ended(&teardown).await, "it ends");
    let (ending, _) = teardown.ending().context("it has ended")?;
    assert_eq!((ending.status, ending.error.as_deref()), (Status::Failed, Some("LeftoversRemain")));
    let receipt: Receipt = serde_json::from_str(&ending.cause.context("a failure has a cause")?)?;
    let foreign = Resource { owner: Some(name), ..Resource::new(Kind::SecurityGroup, group, EXISTS) };
    assert_eq!(receipt.residual, [Resource::new(Kind::Vpc, vpc.clone(), "available"), foreign]);
    assert!(receipt.deleted.iter().any(|named| named.id == subnet), "the rest is gone: {receipt:#?}");
    assert!(is_there(&world, &vpc).await?);

    made.remove_last(&world).await?;
    torn_down(&world).await?;
    world.finish().await
}
