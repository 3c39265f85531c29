//! A teardown that cannot remove everything says so, names what is left, and the next one removes it.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use mayfly_model::inventory::{EXISTS, Kind, Receipt, Resource};
use mayfly_model::names::Names;
use mayfly_model::outcome::Status;
use mayfly_model::tags;
use serde_json::json;

use crate::support::denial::Denial;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::history::refusals;
use crate::support::made::Made;
use crate::support::world::{self, STACK, World, nested_arn};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("what_cannot_be_deleted_is_named", what_cannot_be_deleted),
        harness.trial("an_address_that_is_held_is_released_in_the_end", held_address),
        harness.trial("what_aws_has_put_into_a_jobs_vpc_is_named", put_there_by_aws),
    ]
}

async fn what_cannot_be_deleted(world: Arc<World>, job: String) -> Result<()> {
    let family = Names::new(STACK, &job).family();
    let revisions = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{family}:*");
    let action = "ecs:DeleteTaskDefinitions";
    let denial = Denial::to_function(&world, "delete-task", &job, action, &revisions).await?;
    let execution = world.run_job(&job, &command(&["true"])).await?;

    let teardown = world.ended(&nested_arn(&job)).await?;
    assert_eq!((teardown.status(), teardown.error()), (&ExecutionStatus::Failed, Some("LeftoversRemain")));
    let outcome = world::outcome(&execution)?;
    assert_eq!(outcome.end.status(), Status::Succeeded, "the job itself went well");
    let [residual] = outcome.receipt.residual.as_slice() else { panic!("{:#?}", outcome.receipt) };
    assert_eq!((residual.kind, residual.state.as_str()), (Kind::TaskDefinition, "INACTIVE"));
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    assert_eq!(outcome.receipt.deleted.len(), 4, "{:#?}", outcome.receipt);

    denial.lift(&world).await?;
    world.tear_down(&job).await?;
    world.nothing_left(&job).await
}

/// A job that has ended, and nothing of it is there: the sweeper leaves it alone for now.
async fn ended_job<'a>(world: &World, job: &'a str) -> Result<[(&'static str, &'a str); 2]> {
    let execution = world.run_job(job, &json!({})).await?;
    assert_eq!(execution.error(), Some("InvalidJob"));
    Ok([(tags::STACK, STACK), (tags::JOB, job)])
}

/// A NAT gateway of somebody else's holds the address of the job.
async fn held_address(world: Arc<World>, job: String) -> Result<()> {
    let own = ended_job(&world, &job).await?;
    let mut made = Made::nothing(&world);
    let vpc = made.vpc("10.9.0.0/16").await?;
    made.internet_gateway(Some(&vpc)).await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24", &world.zone().await?).await?;
    made.tag(&own);
    let address = made.address().await?;
    made.tag(&[]);
    made.nat_gateway(&subnet, &address).await?;

    let teardown = world.start_teardown(&job).await?;
    world.has_met(&teardown, "StillInUse").await?;
    let events = world.history(&teardown).await?;
    let refusal = refusals(&events).next().context("it has met something")?;
    assert_eq!((refusal.state, refusal.error), ("ReleaseAddress", "StillInUse"));
    assert!(refusal.cause.contains("AuthFailure"), "EC2's own word: {}", refusal.cause);
    assert_eq!(world.cloud().leftovers(&job).await?, [address]);
    made.remove_last().await?;
    assert_eq!(world.ended(&teardown).await?.status(), &ExecutionStatus::Succeeded);
    world.nothing_left(&job).await?;
    made.remove().await
}

/// As GuardDuty does where Runtime Monitoring is switched on: without the job's tags, so no function may delete it.
async fn put_there_by_aws(world: Arc<World>, job: String) -> Result<()> {
    let own = ended_job(&world, &job).await?;
    let mut made = Made::nothing(&world);
    made.tag(&own);
    let vpc = made.vpc("10.9.0.0/16").await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24", &world.zone().await?).await?;
    made.group(&vpc, "own").await?;
    made.tag(&[]);
    let name = format!("GuardDutyManagedSecurityGroup-{vpc}");
    let group = made.group(&vpc, &name).await?;

    let teardown = world.start_teardown(&job).await?;
    let ended = world.ended(&teardown).await?;
    assert_eq!((ended.status(), ended.error()), (&ExecutionStatus::Failed, Some("LeftoversRemain")));
    let receipt: Receipt = serde_json::from_str(ended.cause().context("a failure has a cause")?)?;
    let foreign = Resource { owner: Some(name), ..Resource::new(Kind::SecurityGroup, group, EXISTS) };
    assert_eq!(receipt.residual, [Resource::new(Kind::Vpc, vpc.clone(), "available"), foreign]);
    assert!(receipt.deleted.iter().any(|named| named.id == subnet), "the rest is gone: {receipt:#?}");
    assert_eq!(world.cloud().leftovers(&job).await?, [vpc], "without a look at what has no tags");

    made.remove_last().await?;
    world.tear_down(&job).await?;
    world.nothing_left(&job).await
}
