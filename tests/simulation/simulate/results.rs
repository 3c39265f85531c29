//! A result that SQS has accepted is never lost, whatever happens in between; and there is one of it.

use std::time::Duration;

use anyhow::Result;
use local_ecs::{Fault, Rule};
use mayfly_model::class::Class;
use mayfly_model::message::{Finished, News};
use mayfly_model::record;
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::endless;
use crate::support::history::refusals;
use crate::support::played::{Played, failure, heartbeat, success, text};
use crate::support::world::scene;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_result_after_the_time_out_counts", after_the_time_out),
        behaviour("a_result_after_a_lost_heartbeat_counts_before_the_next_start", before_the_next_start),
        behaviour("a_result_of_an_earlier_start_counts", of_an_earlier_start),
        behaviour("a_result_during_the_teardown_counts", during_the_teardown),
        behaviour("a_result_after_the_stopped_event_counts", after_the_stopped_event),
        behaviour("a_result_after_the_loss_was_handled_counts", after_the_loss_was_handled),
        behaviour("a_result_that_arrives_twice_is_one_result", twice),
        behaviour("a_loss_that_arrives_twice_is_one_loss", a_loss_twice),
        behaviour("a_result_that_was_stored_and_not_told_is_told_later", stored_and_not_told),
    ]
}

/// A job that may be tried so often.
fn job(attempts: u32) -> Value {
    json!({ "capacity": "on-demand", "attempts": attempts, "task": { "command": ["true"] } })
}

async fn after_the_time_out() -> Result<()> {
    let mut document = job(1);
    document["timeoutMinutes"] = json!(1);
    let played = Played::begin(&document).await?;
    let container = played.container(1).await?;
    let beats = async {
        loop {
            container.reports(heartbeat()).await?;
            played.world.pass(Duration::from_secs(20)).await;
        }
    };
    let never: Result<()> = tokio::select! {
        entered = played.entered("TearDown") => entered,
        failed = beats => failed,
    };
    never?;
    container.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert!(course.has_waited_in_vain());
    Ok(())
}

async fn before_the_next_start() -> Result<()> {
    let played = Played::begin(&job(2)).await?;
    let container = played.container(1).await?;
    container.reports(heartbeat()).await?;
    played.entered("DeleteService").await?;
    container.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    let refused = refusals(&course.events).filter(|refusal| refusal.error == "AlreadyEnded");
    assert_eq!(refused.count(), 1, "nothing is dispatched any more");
    Ok(())
}

async fn of_an_earlier_start() -> Result<()> {
    let played = Played::begin(&job(2)).await?;
    let first = played.container(1).await?;
    first.reports(heartbeat()).await?;
    let second = played.container(2).await?;
    assert_eq!((second.turn.attempt, second.turn.launch), (2, 2));
    first.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    Ok(())
}

async fn during_the_teardown() -> Result<()> {
    let played = Played::begin(&job(1)).await?;
    let container = played.container(1).await?;
    container.reports(heartbeat()).await?;
    played.entered("TearDown").await?;
    container.reports(success(1.5)).await?;
    played.succeeded_by(1).await?;
    Ok(())
}

/// A job whose container is killed at work.
async fn killed() -> Result<Played> {
    let scene = scene().tasks([Rule::once(Fault::Killed { after_seconds: 30 })]).containers(|_| endless());
    Played::begin_in(scene, &job(1)).await
}

async fn after_the_stopped_event() -> Result<()> {
    let played = killed().await?;
    let container = played.container(1).await?;
    played.said("task lost").await?;
    container.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn after_the_loss_was_handled() -> Result<()> {
    let played = killed().await?;
    let container = played.container(1).await?;
    played.entered("TearDown").await?;
    assert!(text(&played.item().await?, record::LOSS)?.contains(Class::HeartbeatLost.name()));
    container.reports(success(1.5)).await?;
    played.succeeded_by(1).await?;
    Ok(())
}

async fn twice() -> Result<()> {
    let played = Played::begin(&job(1)).await?;
    let container = played.container(1).await?;
    let other = News::Finished(Finished { seconds: 9.0, exit_code: Some(0), ..Finished::default() });
    tokio::try_join!(container.reports(success(1.5)), container.reports(success(1.5)))?;
    played.succeeded_by(1).await?;
    let stored = played.item().await?;
    container.reports(success(1.5)).await?;
    container.reports(other).await?;
    assert_eq!(played.item().await?, stored, "of two results the first stays");
    Ok(())
}

async fn a_loss_twice() -> Result<()> {
    let mut document = job(1);
    document["capacity"] = json!("spot");
    let played = Played::begin(&document).await?;
    let first = played.container(1).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    let second = played.container(2).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    second.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert_eq!((course.starts_and_launches(), course.turn()?.losses), ((2, 1), 1));
    Ok(())
}

async fn stored_and_not_told() -> Result<()> {
    let played = Played::begin(&job(1)).await?;
    let container = played.container(1).await?;
    container.stores(success(1.5)).await?;
    // SQS delivers the message again, since the function has not finished with it.
    container.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert!(!course.has_waited_in_vain(), "it was told");
    Ok(())
}
