//! A result that SQS has accepted is never lost, whatever happens in between; and there is one of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::Trial;
use local_ecs::{Fault, Rule};
use mayfly_model::class::Class;
use mayfly_model::message::{Finished, News};
use mayfly_model::record::Stored;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::support::course::{self, Course, tasks};
use crate::support::harness::Harness;
use crate::support::played::{Played, failure, heartbeat, success};
use crate::support::world::{STACK, World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_result_after_the_time_out_counts", after_the_time_out),
        harness.trial("a_result_after_a_lost_heartbeat_counts_before_the_next_start", before_the_next_start),
        harness.trial("a_result_of_an_earlier_start_counts", of_an_earlier_start),
        harness.trial("a_result_during_the_teardown_counts", during_the_teardown),
        harness.trial("a_result_after_the_stopped_event_counts", after_the_stopped_event),
        harness.trial("a_result_after_the_loss_was_handled_counts", after_the_loss_was_handled),
        harness.trial("a_result_that_arrives_twice_is_one_result", twice),
        harness.trial("a_loss_that_arrives_twice_is_one_loss", a_loss_twice),
        harness.trial("a_result_that_was_stored_and_not_told_is_told_later", stored_and_not_told),
    ]
}

/// A job that may be tried so often.
fn job(attempts: u32) -> Value {
    json!({ "capacity": "on-demand", "attempts": attempts, "task": { "command": ["true"] } })
}

/// Makes sure that the job has succeeded by the result of this attempt, and that the table has just that result.
async fn succeeded_by(world: &World, job: &str, attempt: u32) -> Result<Course> {
    let course = course::of(world, job).await?;
    assert_eq!(course.result()?.attempt, attempt, "{:#?}", course.outcome);
    let stored: Stored = serde_json::from_str(&world.record(job).await?["result"])?;
    assert_eq!((stored.turn.attempt, stored.finished.failure), (attempt, None));
    Ok(course)
}

async fn after_the_time_out(world: Arc<World>, name: String) -> Result<()> {
    let mut document = job(1);
    document["timeoutMinutes"] = json!(1);
    let played = Played::begin(&world, STACK, &name, &document).await?;
    let container = played.container(1).await?;
    let beats = async {
        let mut pace = interval(Duration::from_secs(2));
        loop {
            pace.tick().await;
            container.reports(heartbeat()).await?;
        }
    };
    let never: Result<()> = tokio::select! {
        entered = played.entered("TearDown") => entered,
        failed = beats => failed,
    };
    never?;
    container.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert!(course.has_waited_in_vain());
    Ok(())
}

async fn before_the_next_start(world: Arc<World>, name: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &name, &job(2)).await?;
    let container = played.container(1).await?;
    container.reports(heartbeat()).await?;
    played.entered("DeleteService").await?;
    container.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    let refused = course.events.iter().filter_map(|event| event.task_failed_event_details()?.error());
    assert_eq!(refused.filter(|error| *error == "AlreadyEnded").count(), 1, "nothing is dispatched any more");
    Ok(())
}

async fn of_an_earlier_start(world: Arc<World>, name: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &name, &job(2)).await?;
    let first = played.container(1).await?;
    first.reports(heartbeat()).await?;
    let second = played.container(2).await?;
    assert_eq!((second.turn.attempt, second.turn.launch), (2, 2));
    first.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    Ok(())
}

async fn during_the_teardown(world: Arc<World>, name: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &name, &job(1)).await?;
    let container = played.container(1).await?;
    container.reports(heartbeat()).await?;
    played.entered("TearDown").await?;
    container.reports(success(1.5)).await?;
    succeeded_by(&world, &name, 1).await?;
    Ok(())
}

/// Starts a job whose container is killed at work, and waits until its task has stopped.
async fn killed<'a>(world: &'a World, name: &str) -> Result<Played<'a>> {
    let mut document = job(1);
    document["task"]["command"] = json!(["sleep", "600"]);
    let faults = [Rule::once(Fault::Killed { after_seconds: 30 })];
    let played = Played::begin_with(world, STACK, name, &document, faults).await?;
    until(&format!("the end of the task of {name}"), || async {
        let tasks = tasks(world, name).await?;
        Ok(tasks.first().filter(|task| task.last_status() == Some("STOPPED")).map(|_| ()))
    })
    .await?;
    Ok(played)
}

async fn after_the_stopped_event(world: Arc<World>, name: String) -> Result<()> {
    let played = killed(&world, &name).await?;
    let container = played.container(1).await?;
    until("handle-stopped-task to see the task", || async {
        let log = world.log("functions", "").await?;
        let seen = |line: &String| line.contains("task lost") && line.contains(&format!("\"{name}\""));
        Ok(log.iter().any(seen).then_some(()))
    })
    .await?;
    container.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn after_the_loss_was_handled(world: Arc<World>, name: String) -> Result<()> {
    let played = killed(&world, &name).await?;
    let container = played.container(1).await?;
    played.entered("TearDown").await?;
    assert!(world.record(&name).await?["loss"].contains(Class::HeartbeatLost.name()));
    container.reports(success(1.5)).await?;
    succeeded_by(&world, &name, 1).await?;
    Ok(())
}

async fn twice(world: Arc<World>, name: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &name, &job(1)).await?;
    let container = played.container(1).await?;
    let other =
        News::Finished(Finished { seconds: 9.0, exit_code: Some(0), outputs: Vec::new(), failure: None });
    tokio::try_join!(container.reports(success(1.5)), container.reports(success(1.5)))?;
    succeeded_by(&world, &name, 1).await?;
    let stored = world.record(&name).await?;
    container.reports(success(1.5)).await?;
    container.reports(other).await?;
    assert_eq!(world.record(&name).await?, stored, "of two results the first stays");
    Ok(())
}

async fn a_loss_twice(world: Arc<World>, name: String) -> Result<()> {
    let mut document = job(1);
    document["capacity"] = json!("spot");
    let played = Played::begin(&world, STACK, &name, &document).await?;
    let first = played.container(1).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    let second = played.container(2).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    second.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert_eq!((course.starts_and_launches(), course.turn.losses), ((2, 1), 1));
    Ok(())
}

async fn stored_and_not_told(world: Arc<World>, name: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &name, &job(1)).await?;
    let container = played.container(1).await?;
    container.stores(success(1.5)).await?;
    // SQS delivers the message again, since the function has not finished with it.
    container.reports(success(1.5)).await?;
    let course = succeeded_by(&world, &name, 1).await?;
    assert!(!course.has_waited_in_vain(), "it was told");
    Ok(())
}
