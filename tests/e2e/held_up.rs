//! A result counts however long its handling is held up, and whoever dies on the way: on a stack whose reports can wait
//! without disturbing another test.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use mayfly_common::record;
use serde_json::{Value, json};

use crate::container::{store, success};
use crate::harness::Harness;
use crate::hasty::{self, HASTY, HeldUp, reports_held_up, with_reports_held_up};
use crate::played::Played;
use crate::world::{STACK, World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    // Those that wait long come first.
    vec![
        harness.trial_in_turn(
            "a_result_held_up_from_the_start_on_counts",
            reports_held_up,
            from_the_start_on,
        ),
        harness.trial("a_result_that_nobody_was_told_of_counts", nobody_told),
        harness.trial_in_turn(
            "a_result_held_up_until_the_attempt_is_over_counts",
            reports_held_up,
            until_teardown,
        ),
        harness.trial_in_turn(
            "a_result_held_up_until_after_the_teardown_counts",
            reports_held_up,
            until_conclusion,
        ),
        harness.trial("a_dispatch_that_is_repeated_meets_the_result", dispatch_repeated),
    ]
}

/// The reports are handled again as soon as the attempt is over.
async fn until_teardown(world: Arc<World>, job: String, turn: HeldUp) -> Result<()> {
    let played = working(&world, &job).await?;
    with_reports_held_up(&world, &turn, played.entered("TearDown")).await?;
    delivered(&played).await
}

/// ConcludeJob waits for reports that are on their way.
async fn until_conclusion(world: Arc<World>, job: String, turn: HeldUp) -> Result<()> {
    let played = working(&world, &job).await?;
    with_reports_held_up(&world, &turn, reports_pending(&played)).await?;
    delivered(&played).await
}

/// The state machine takes every container for one that never came.
async fn from_the_start_on(world: Arc<World>, job: String, turn: HeldUp) -> Result<()> {
    hasty::deployed(&world).await?;
    let begun = Box::pin(async {
        let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
        let played = Played::begin_with(&world, HASTY, &job, &document, []).await?;
        reports_pending(&played).await?;
        let item = played.item().await?;
        ensure!(!item.contains_key(record::PROGRESS), "a report was handled: {:?}", item.keys());
        Ok(played)
    });
    let played = with_reports_held_up(&world, &turn, begun).await?;
    delivered(&played).await
}

/// A job whose real container has begun and will be done in a moment.
async fn working<'a>(world: &'a World, job: &str) -> Result<Played<'a>> {
    hasty::deployed(world).await?;
    let document = json!({ "attempts": 1, "task": { "command": ["sleep", "3"] } });
    let played = Played::begin_with(world, HASTY, job, &document, []).await?;
    played.record_has(|item| item.contains_key(record::PROGRESS)).await?;
    Ok(played)
}

async fn reports_pending(played: &Played<'_>) -> Result<()> {
    until("ConcludeJob to wait", || async { Ok(played.has_met("ReportsPending").await?.then_some(())) }).await
}

async fn delivered(played: &Played<'_>) -> Result<()> {
    assert!(played.succeeded().await?.seconds > 0.0);
    assert!(played.has_waited_in_vain().await?, "the state machine had given it up");
    Ok(())
}

/// handle-report has died after it stored the result, and SQS does not deliver the report again in time.
async fn nobody_told(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 2, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    let turn = played.turn().await?;
    store(&world, STACK, played.report(turn, success(1.0)).await?).await?;
    assert_eq!(played.succeeded().await?.attempt, 1);
    assert!(played.has_waited_in_vain().await?);
    assert_eq!(played.turn().await?, turn, "nothing was dispatched again");
    Ok(())
}

/// Step Functions retries a dispatch whose answer was lost, with a fresh token.
async fn dispatch_repeated(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    played.say(played.turn().await?, success(1.0)).await?;
    played.succeeded().await?;
    let item = played.item().await?;

    let pages = world.states.get_execution_history().execution_arn(&played.arn).into_paginator();
    let events = pages.items().send().collect::<Result<Vec<_>, _>>().await?;
    let mut scheduled = events.iter().filter_map(|event| event.task_scheduled_event_details());
    let dispatch = scheduled.find(|details| details.parameters().contains("\"taskToken\""));
    let mut parameters: Value = serde_json::from_str(dispatch.context("a dispatch")?.parameters())?;
    let payload = &mut parameters["Payload"];
    payload["taskToken"] = "fresh".into();
    let refusal = world.invoke(&world.function("dispatch-job").await?, payload).await?.unwrap_err();
    assert_eq!(refusal["errorType"], "AlreadyEnded", "{refusal:#}");
    assert_eq!(played.item().await?, item, "the result and its token stay");
    Ok(())
}
