//! Reports that are stale, false or no reports at all change nothing, and do not hold up the others.

use std::time::Duration;

use anyhow::Result;
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, FileSize, Finished, News, Report};
use mayfly_model::names::Names;
use mayfly_simulation::account::{ACCOUNT, JOB, REGION};
use mayfly_simulation::run::STACK;
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::played::{Played, TASK, failure, heartbeat, lost, message, success};
use crate::support::world::World;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_stale_report_changes_nothing", stale),
        behaviour("a_report_with_a_wrong_nonce_changes_nothing", wrong_nonce),
        behaviour("a_poisoned_report_does_not_hold_up_the_others", poisoned_batch),
        behaviour("a_report_with_the_nonce_counts_however_much_it_says", longer_than_the_table_takes),
        behaviour("a_flood_of_garbage_delays_nobody", flood),
        behaviour("a_question_of_a_container_whose_job_is_over_is_dropped", over),
        behaviour("a_question_whose_answer_is_denied_for_now_comes_back", denied_for_now),
        behaviour("a_report_whose_handling_failed_comes_back_within_seconds", comes_back),
    ]
}

/// A job that may be tried once.
fn job() -> Value {
    json!({ "attempts": 1, "task": {
        "command": ["true"],
        "outputs": [{ "file": "out", "to": "s3://mayfly-data/out" }],
    } })
}

fn wanted() -> News {
    News::UrlsWanted { downloads: Vec::new(), uploads: vec![FileSize { file: "out".into(), bytes: 1 }] }
}

async fn stale() -> Result<()> {
    let mut document = job();
    document["capacity"] = json!("spot");
    let played = Played::begin(&document).await?;
    let first = played.container(1).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    let second = played.container(2).await?;
    let before = played.item().await?;
    let failures = [Class::CommandFailed, Class::SpotInterrupted, Class::UploadFailed].map(failure);
    let stale = failures.into_iter().chain([heartbeat(), wanted(), lost(Class::HeartbeatLost)]);
    for news in stale {
        first.reports(news).await?;
    }
    assert_eq!(played.item().await?, before);
    second.reports(success(1.5)).await?;
    let course = played.succeeded_by(1).await?;
    assert_eq!(course.starts_and_launches(), (2, 1));
    Ok(())
}

async fn wrong_nonce() -> Result<()> {
    let played = Played::begin(&job()).await?;
    let container = played.container(1).await?;
    let before = played.item().await?;
    let mut forger = played.container(1).await?;
    for nonce in ["0".repeat(32), String::new()] {
        forger.nonce = nonce;
        let all =
            [success(1.5), failure(Class::CommandFailed), heartbeat(), wanted(), lost(Class::OutOfMemory)];
        for news in all {
            forger.reports(news).await?;
        }
    }
    assert_eq!(played.item().await?, before);
    container.reports(success(1.5)).await?;
    assert_eq!(played.succeeded_by(1).await?.result()?.task_arn, TASK);
    Ok(())
}

async fn poisoned_batch() -> Result<()> {
    let played = Played::begin(&job()).await?;
    let container = played.container(1).await?;
    let good = container.report(success(1.5));
    // The table refuses to look for the second and the third.
    let [nobody, empty, long] = ["of-nobody".to_owned(), String::new(), "x".repeat(2049)]
        .map(|job| message(&Report { job, ..good.clone() }));
    let good = message(&good);
    let batch = [
        String::new(),
        "not JSON".into(),
        "x".repeat(200_000),
        "[".repeat(100_000),
        json!({ "job": JOB, "news": "good" }).to_string(),
        good.replace("\"finished\"", "\"dancing\""),
        nobody,
        empty,
        long,
        good,
    ];
    played.deliver(&batch).await?;
    played.succeeded_by(1).await?;
    Ok(())
}

/// An item of DynamoDB's has at most 400 KB, and a set no empty text.
async fn longer_than_the_table_takes() -> Result<()> {
    let played = Played::begin(&job()).await?;
    let container = played.container(1).await?;
    let long = "long ".repeat(100_000);
    let outputs = (0..1000).map(|n| FileSize { file: format!("{n}{}", "x".repeat(400)), bytes: 1 }).collect();
    let failure =
        Failure { class: Class::CommandFailed, message: long.clone(), output: Some(long + "the end") };
    let finished =
        Finished { seconds: 1.5, exit_code: Some(1), outputs, failure: Some(failure), ..Finished::default() };
    let report = Report { task_arn: Some(String::new()), ..container.report(News::Finished(finished)) };
    played.deliver(&[message(&report)]).await?;
    let course = played.course().await?;
    let failure = course.failure(Class::CommandFailed, Some(1))?;
    assert!(failure.message.starts_with("long long "), "{}", failure.message);
    let output = failure.output.as_deref().unwrap_or_default();
    assert!(output.ends_with("long the end"), "{output}");
    Ok(())
}

/// More than all that is handled at a time, several times over.
async fn flood() -> Result<()> {
    let played = Played::begin(&job()).await?;
    let container = played.container(1).await?;
    let report = container.report(success(1.0));
    let garbage = [String::new(), "x".repeat(2049), "of-nobody".to_owned()];
    let garbage = garbage.map(|job| Report { job, ..report.clone() });
    for report in garbage.iter().cycle().take(300) {
        played.send(&message(report)).await?;
    }
    container.says(success(1.0)).await?;
    let course = played.succeeded_by(1).await?;
    assert!(!course.has_waited_in_vain(), "its result was handled before its heartbeat was missed");
    assert_eq!(played.world.said("it will be tried again"), 0);
    Ok(())
}

/// The mailbox is gone, and with it the tag on which the right to write to it depends.
async fn over() -> Result<()> {
    // One has a result, the other nobody waits for any more.
    for last in [Some(success(1.5)), None] {
        let played = Played::begin(&job()).await?;
        let container = played.container(1).await?;
        container.reports(last.unwrap_or_else(heartbeat)).await?;
        played.course().await?;
        container.reports(wanted()).await?;
        assert_eq!(played.world.said("urls dropped: the job is being torn down"), 1);
    }
    Ok(())
}

/// handle-report may not answer the job's container.
fn unanswered(world: &mut World) -> Result<()> {
    let mailboxes = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}*", Names::new(STACK, JOB).mailbox_prefix());
    world.deny("handle-report", "sqs:SendMessage", &mailboxes)
}

async fn denied_for_now() -> Result<()> {
    let mut played = Played::begin(&job()).await?;
    let question = message(&played.container(1).await?.report(wanted()));
    unanswered(&mut played.world)?;
    let handled = played.handle(std::slice::from_ref(&question)).await?;
    played.world.lift();
    assert_eq!(handled["batchItemFailures"], json!([{ "itemIdentifier": "0" }]), "{handled:#}");
    // Like AWS, the account takes a moment to notice.
    played.world.pass(Duration::from_secs(5)).await;
    played.deliver(&[question]).await?;
    played.container(1).await?.reports(success(1.5)).await?;
    played.succeeded_by(1).await?;
    Ok(())
}

/// A report whose handler has died comes back after three minutes.
async fn comes_back() -> Result<()> {
    let mut played = Played::begin(&job()).await?;
    unanswered(&mut played.world)?;
    played.container(1).await?.says(wanted()).await?;
    played.said("it will be tried again").await?;
    played.world.lift();
    let clock = played.world.run.account.upstream.clock;
    let lifted = clock.now();
    played.said("urls sent").await?;
    let took = clock.now().duration_since(lifted);
    assert!(took.as_secs() < 60, "it took {took}");
    played.container(1).await?.says(success(1.0)).await?;
    played.succeeded_by(1).await?;
    Ok(())
}
