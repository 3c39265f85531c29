//! A result counts however long its handling is held up, and whoever dies on the way.

use anyhow::{Context as _, Result};
use mayfly_model::class::Class;
use mayfly_model::record;
use mayfly_simulation::account::JOB;
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::works;
use crate::support::history::{has_met, refusals};
use crate::support::played::{Played, heartbeat, success};
use crate::support::world::scene;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_result_that_nobody_could_know_of_is_written_down_as_too_late", from_the_start_on),
        behaviour("a_result_after_the_longest_wait_is_written_down_as_too_late", after_the_wait),
        behaviour("a_result_that_nobody_was_told_of_counts", nobody_told),
        behaviour("a_result_held_up_until_the_attempt_is_over_counts", until_teardown),
        behaviour("a_result_held_up_until_after_the_teardown_counts", until_conclusion),
        behaviour("a_dispatch_that_is_repeated_meets_the_result", dispatch_repeated),
    ]
}

/// What handles reports.
const HANDLER: &str = "handle-report";

fn job(attempts: u32) -> Value {
    json!({ "attempts": attempts, "task": { "command": ["true"] } })
}

/// The reports are handled again as soon as the attempt is over.
async fn until_teardown() -> Result<()> {
    let played = working().await?;
    played.world.run.faults.hold_up(HANDLER);
    played.entered("TearDown").await?;
    played.world.run.faults.release(HANDLER);
    delivered(&played).await
}

/// ConcludeJob waits for reports that are on their way.
async fn until_conclusion() -> Result<()> {
    let played = working().await?;
    played.world.run.faults.hold_up(HANDLER);
    played.world.has_met(&played.execution, "ReportsPending").await?;
    played.world.run.faults.release(HANDLER);
    delivered(&played).await
}

/// The state machine takes every container for one that never came, and nothing in the table says otherwise. What others
/// have in the queue is no reason to wait.
async fn from_the_start_on() -> Result<()> {
    let played = Played::begin_in(scene(), &job(1)).await?;
    played.world.run.faults.hold_up(HANDLER);
    let course = played.course().await?;
    course.failure(Class::StartFailed, Some(1))?;
    assert!(!has_met(&course.events, "ReportsPending"));
    played.world.run.faults.release(HANDLER);
    too_late(&played).await
}

/// The container has worked, and is waited for in vain.
async fn after_the_wait() -> Result<()> {
    let played = Played::begin(&job(1)).await?;
    let container = played.container(1).await?;
    container.says(heartbeat()).await?;
    let course = played.course().await?;
    course.failure(Class::HeartbeatLost, Some(1))?;
    let waits = refusals(&course.events).filter(|refusal| refusal.error == "ReportsPending");
    assert_eq!(waits.count(), 8, "it has waited for as long as it is to wait");
    container.says(success(1.0)).await?;
    too_late(&played).await
}

/// The result is in the record, and a person is told.
async fn too_late(played: &Played) -> Result<()> {
    let item = played.record_has(|item| item.contains_key(record::RESULT)).await?;
    assert!(item.contains_key(record::CONCLUDED));
    played.said("result too late").await
}

/// A job whose container has begun and will be done in a moment.
async fn working() -> Result<Played> {
    let played = Played::begin_in(scene().containers(|_| works(30)), &job(1)).await?;
    played.record_has(|item| item.contains_key(record::PROGRESS)).await?;
    Ok(played)
}

async fn delivered(played: &Played) -> Result<()> {
    let course = played.succeeded_by(1).await?;
    assert!(course.result()?.seconds > 0.0);
    assert!(course.has_waited_in_vain(), "the state machine had given it up");
    Ok(())
}

/// handle-report has died after it stored the result, and SQS does not deliver the report again in time.
async fn nobody_told() -> Result<()> {
    let played = Played::begin(&job(2)).await?;
    let container = played.container(1).await?;
    container.stores(success(1.0)).await?;
    let course = played.succeeded_by(1).await?;
    assert!(course.has_waited_in_vain());
    assert_eq!(played.container(1).await?.turn, container.turn, "nothing was dispatched again");
    Ok(())
}

/// Step Functions retries a dispatch whose answer was lost, with a fresh token.
async fn dispatch_repeated() -> Result<()> {
    let played = Played::begin(&job(1)).await?;
    played.container(1).await?.says(success(1.0)).await?;
    let course = played.succeeded_by(1).await?;
    let item = played.item().await?;

    let parameters =
        |event: &Value| event["taskScheduledEventDetails"]["parameters"].as_str().map(str::to_owned);
    let mut scheduled = course.events.iter().filter_map(parameters);
    let dispatch = scheduled.find(|parameters| parameters.contains("\"taskToken\"")).context("a dispatch")?;
    let mut parameters: Value = serde_json::from_str(&dispatch)?;
    let payload = &mut parameters["Payload"];
    assert_eq!(payload["plan"]["job"], JOB);
    payload["taskToken"] = "fresh".into();
    let refusal = played.world.invoke("dispatch-job", payload).await?.unwrap_err();
    assert_eq!(refusal["errorType"], "AlreadyEnded", "{refusal:#}");
    assert_eq!(played.item().await?, item, "the result and its token stay");
    Ok(())
}
