//! A teardown that cannot remove everything says so, names what is left, and the next one removes it.

use std::sync::Arc;

use anyhow::Result;
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use mayfly_common::inventory::Kind;
use mayfly_common::names::Names;
use mayfly_common::outcome::Status;

use crate::denial::Denial;
use crate::harness::Harness;
use crate::world::{self, STACK, World, nested_arn};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("what_cannot_be_deleted_is_named", what_cannot_be_deleted)]
}

async fn what_cannot_be_deleted(world: Arc<World>, job: String) -> Result<()> {
    let family = Names::new(STACK, &job).family();
    let revisions = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{family}:*");
    let action = "ecs:DeleteTaskDefinitions";
    let denial = Denial::to_function(&world, "delete-task", &job, action, &revisions).await?;
    let execution = world.run_job(&job, &world::command(&["true"])).await?;

    let teardown = world.ended(&nested_arn(&job)).await?;
    assert_eq!((teardown.status(), teardown.error()), (&ExecutionStatus::Failed, Some("LeftoversRemain")));
    let outcome = world::outcome(&execution)?;
    assert_eq!(outcome.status, Status::Succeeded, "the job itself went well");
    let [residual] = outcome.receipt.residual.as_slice() else { panic!("{:#?}", outcome.receipt) };
    assert_eq!((residual.kind, residual.state.as_str()), (Kind::TaskDefinition, "INACTIVE"));
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    assert_eq!(outcome.receipt.deleted.len(), 4, "{:#?}", outcome.receipt);

    denial.lift(&world).await?;
    world.tear_down(&job).await?;
    world.nothing_left(&job).await
}
