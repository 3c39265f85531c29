//! Reports that are stale, false or no reports at all change nothing, and do not hold up the others.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, FileSize, Finished, News, Report};
use mayfly_model::names::Names;
use serde_json::json;

use crate::support::course;
use crate::support::denial::Denial;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::played::{Played, TASK, failure, heartbeat, lost, message, order, success};
use crate::support::world::{STACK, World, job_arn, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_stale_report_changes_nothing", stale),
        harness.trial("a_report_with_a_wrong_nonce_changes_nothing", wrong_nonce),
        harness.trial("a_poisoned_report_does_not_hold_up_the_others", poisoned_batch),
        harness.trial("a_report_with_the_nonce_counts_however_much_it_says", longer_than_the_table_takes),
        harness.trial("a_flood_of_garbage_delays_nobody", flood),
        harness.trial("a_question_of_a_container_whose_job_is_over_is_dropped", over),
        harness.trial("a_question_whose_answer_is_denied_for_now_comes_back", denied_for_now),
        harness.trial("a_poisoned_order_does_not_hold_up_the_job", poisoned_mailbox),
    ]
}

fn wanted() -> News {
    News::UrlsWanted { downloads: Vec::new(), uploads: vec![FileSize { file: "out".into(), bytes: 1 }] }
}

async fn stale(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "capacity": "spot", "attempts": 1, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    let first = played.container(1).await?;
    first.reports(failure(Class::SpotInterrupted)).await?;
    let second = played.container(2).await?;
    let before = world.record(&job).await?;
    let failures = [Class::CommandFailed, Class::SpotInterrupted, Class::UploadFailed].map(failure);
    let stale = failures.into_iter().chain([heartbeat(), wanted(), lost(Class::HeartbeatLost)]);
    for news in stale {
        first.reports(news).await?;
    }
    assert_eq!(world.record(&job).await?, before);
    second.reports(success(1.5)).await?;
    let course = course::of(&world, &job).await?;
    assert_eq!((course.result()?.attempt, course.starts_and_launches()), (1, (2, 1)));
    Ok(())
}

async fn wrong_nonce(world: Arc<World>, job: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &job, &command(&["true"])).await?;
    let container = played.container(1).await?;
    let before = world.record(&job).await?;
    let mut forger = played.container(1).await?;
    for nonce in ["0".repeat(32), String::new()] {
        forger.nonce = nonce;
        let all =
            [success(1.5), failure(Class::CommandFailed), heartbeat(), wanted(), lost(Class::OutOfMemory)];
        for news in all {
            forger.reports(news).await?;
        }
    }
    assert_eq!(world.record(&job).await?, before);
    container.reports(success(1.5)).await?;
    assert_eq!(course::of(&world, &job).await?.result()?.task_arn, TASK);
    Ok(())
}

/// The mailbox is gone, and with it the tag on which the right to write to it depends.
async fn over(world: Arc<World>, base: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    // One has a result, the other nobody waits for any more.
    for (kind, last) in [("finished", Some(success(1.5))), ("silent", None)] {
        let job = format!("{base}-{kind}");
        let played = Played::begin(&world, STACK, &job, &document).await?;
        let container = played.container(1).await?;
        match last {
            Some(last) => container.reports(last).await?,
            None => container.reports(heartbeat()).await?,
        }
        world.ended(&job_arn(&job)).await?;
        container.reports(wanted()).await?;
    }
    Ok(())
}

async fn denied_for_now(world: Arc<World>, job: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &job, &command(&["true"])).await?;
    let container = played.container(1).await?;
    let mailboxes = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}*", Names::new(STACK, &job).mailbox_prefix());
    let denial = Denial::to_function(&world, "handle-report", &job, "sqs:SendMessage", &mailboxes).await?;
    let handled = played.handle(&[message(&container.report(wanted()))]).await?;
    denial.lift(&world).await?;
    assert_eq!(handled["batchItemFailures"], json!([{ "itemIdentifier": "0" }]), "{handled:#}");
    container.reports(wanted()).await?;
    container.reports(success(1.5)).await?;
    course::of(&world, &job).await?.result()?;
    Ok(())
}

async fn poisoned_batch(world: Arc<World>, job: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &job, &command(&["true"])).await?;
    let container = played.container(1).await?;
    let good = container.report(success(1.5));
    // The table refuses to look for the second and the third.
    let [nobody, empty, long] = [format!("{job}-of-nobody"), String::new(), "x".repeat(2049)]
        .map(|job| message(&Report { job, ..good.clone() }));
    let good = message(&good);
    let batch = [
        String::new(),
        "not JSON".into(),
        "x".repeat(200_000),
        "[".repeat(100_000),
        json!({ "job": job, "news": "good" }).to_string(),
        good.replace("\"finished\"", "\"dancing\""),
        nobody,
        empty,
        long,
        good,
    ];
    played.deliver(&batch).await?;
    assert_eq!(course::of(&world, &job).await?.result()?.attempt, 1);
    Ok(())
}

/// An item of DynamoDB's has at most 400 KB, and a set no empty text.
async fn longer_than_the_table_takes(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    let container = played.container(1).await?;
    let long = "long ".repeat(100_000);
    let outputs = (0..1000).map(|n| FileSize { file: format!("{n}{}", "x".repeat(400)), bytes: 1 }).collect();
    let failure =
        Failure { class: Class::CommandFailed, message: long.clone(), output: Some(long + "the end") };
    let finished = Finished { seconds: 1.5, exit_code: Some(1), outputs, failure: Some(failure) };
    let report = Report { task_arn: Some(String::new()), ..container.report(News::Finished(finished)) };
    played.deliver(&[message(&report)]).await?;
    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::CommandFailed, Some(1))?;
    assert!(failure.message.starts_with("long long "), "{}", failure.message);
    let output = failure.output.as_deref().unwrap_or_default();
    assert!(output.ends_with("long the end"), "{output}");
    Ok(())
}

/// More than all that is handled at a time, several times over.
async fn flood(world: Arc<World>, job: String) -> Result<()> {
    let played = Played::begin(&world, STACK, &job, &command(&["true"])).await?;
    let container = played.container(1).await?;
    let report = container.report(success(1.0));
    let garbage = [String::new(), "x".repeat(2049), format!("{job}-of-nobody")];
    let garbage = garbage.map(|job| Report { job, ..report.clone() });
    for report in garbage.iter().cycle().take(300) {
        played.send(&message(report)).await?;
    }
    container.says(success(1.0)).await?;
    played.succeeded().await?;
    assert!(!played.has_waited_in_vain().await?, "its result was handled before its heartbeat was missed");
    assert_eq!(played.count_in_log("it will be tried again").await?, 0);
    Ok(())
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
