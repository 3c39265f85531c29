//! A result counts however long its handling is held up, and whoever dies on the way: on a stack whose reports can wait
//! without disturbing another test.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use mayfly_model::class::Class;
use mayfly_model::message::News;
use mayfly_model::names::Names;
use mayfly_model::record;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::denial::Denial;
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY, HeldUp, reports_held_up, with_reports_held_up};
use crate::support::history::refusals;
use crate::support::played::{Played, heartbeat, success};
use crate::support::world::{STACK, World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    // Those that wait long come first.
    vec![
        harness.trial_in_turn(
            "a_result_that_nobody_could_know_of_is_written_down_as_too_late",
            reports_held_up,
            from_the_start_on,
        ),
        harness.trial("a_result_after_the_longest_wait_is_written_down_as_too_late", after_the_wait),
        harness.trial("a_report_whose_handling_failed_comes_back_within_seconds", comes_back),
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

/// The state machine takes every container for one that never came, and nothing in the table says otherwise. What others
/// have in the queue is no reason to wait.
async fn from_the_start_on(world: Arc<World>, job: String, turn: HeldUp) -> Result<()> {
    hasty::deployed(&world).await?;
    let begun = Box::pin(async {
        let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
        let played = Played::begin_with(&world, HASTY, &job, &document, []).await?;
        assert_eq!(world.ended(&played.arn).await?.error(), Some(Class::StartFailed.name()));
        Ok(played)
    });
    let played = with_reports_held_up(&world, &turn, begun).await?;
    assert!(!played.has_met("ReportsPending").await?);
    too_late(&played).await
}

/// The container has worked, and is waited for in vain.
async fn after_the_wait(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    let container = played.container(1).await?;
    container.says(heartbeat()).await?;
    assert_eq!(world.ended(&played.arn).await?.error(), Some(Class::HeartbeatLost.name()));
    let history = played.history().await?;
    let waits = refusals(&history).filter(|refusal| refusal.error == "ReportsPending");
    assert_eq!(waits.count(), 8, "it has waited for as long as it is to wait");
    container.says(success(1.0)).await?;
    too_late(&played).await
}

/// The result is in the record, and a person is told.
async fn too_late(played: &Played<'_>) -> Result<()> {
    let item = played.record_has(|item| item.contains_key(record::RESULT)).await?;
    assert!(item.contains_key(record::CONCLUDED));
    until("a word that it is too late", || async {
        Ok((played.count_in_log("result too late").await? > 0).then_some(()))
    })
    .await
}

/// The first answer is denied.
async fn comes_back(world: Arc<World>, job: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &job, &json!({ "task": { "command": ["true"] } })).await?;
    let mailboxes = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}*", Names::new(STACK, &job).mailbox_prefix());
    let denial = Denial::to_function(&world, "handle-report", &job, "sqs:SendMessage", &mailboxes).await?;
    let container = played.container(1).await?;
    container.says(News::UrlsWanted { downloads: Vec::new(), uploads: Vec::new() }).await?;
    until("the failure", || async {
        Ok((played.count_in_log("it will be tried again").await? > 0).then_some(()))
    })
    .await?;
    denial.lift(&world).await?;
    let answered =
        until("the answer", || async { Ok((played.count_in_log("urls sent").await? > 0).then_some(())) });
    // A report whose handler has died comes back after three minutes.
    timeout(Duration::from_mins(1), answered).await.context("within a minute")??;
    container.says(success(1.0)).await?;
    played.succeeded().await?;
    Ok(())
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
    let container = played.container(1).await?;
    container.stores(success(1.0)).await?;
    assert_eq!(played.succeeded().await?.attempt, 1);
    assert!(played.has_waited_in_vain().await?);
    assert_eq!(played.container(1).await?.turn, container.turn, "nothing was dispatched again");
    Ok(())
}

/// Step Functions retries a dispatch whose answer was lost, with a fresh token.
async fn dispatch_repeated(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    played.container(1).await?.says(success(1.0)).await?;
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
