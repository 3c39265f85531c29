//! What is in a mailbox and no order changes nothing: of a container that really reads it. What is in the done queue and no report
//! is in `tests/simulation/simulate/reports.rs`.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;

use crate::support::course;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::played::order;
use crate::support::world::{World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_poisoned_order_does_not_hold_up_the_job", poisoned_mailbox)]
}

async fn poisoned_mailbox(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &command(&["true"])).await?;
    let mailbox = until("the mailbox", || async {
        Ok(world.record(&job).await.ok().and_then(|mut record| record.remove("mailbox")))
    })
    .await?;
    // The good one comes last.
    let good = serde_json::to_string(&order(&world, &mailbox).await?)?;
    for body in ["not JSON", "{}", &"x".repeat(200_000), &good] {
        world.sqs.send_message().queue_url(&mailbox).message_body(body).send().await?;
    }
    assert_eq!(course::of(&world, &job).await?.result()?.exit_code, 0);
    let log = world.container_log(&job).await?;
    assert_eq!(log.iter().filter(|line| line.contains("message dropped")).count(), 3, "{log:#?}");
    Ok(())
}
