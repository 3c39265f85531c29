//! Classes of failure, by a real cause: what the person reads, how often it was tried, and that nothing is left. Those
//! whose cause is ECS's or a container's to play are in `tests/simulation/simulate/classes.rs`.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::Message;
use libtest_mimic::Trial;
use local_ecs::{Fault, Rule};
use mayfly_model::class::Class;
use mayfly_model::message::Order;
use serde_json::json;

use crate::support::course::{self, sample};
use crate::support::denial::Denial;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::world::{World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    // Those that wait long come first.
    vec![
        harness.trial("class_heartbeat_lost_a_worker_that_is_killed", worker_killed),
        harness.trial("class_timed_out_a_command_that_takes_too_long", command_takes_too_long),
        harness.trial("class_out_of_memory_a_command_that_takes_all", command_takes_all),
        harness.trial("class_invalid_job_an_image_that_the_registry_does_not_have", image_does_not_exist),
        harness.trial("class_input_unavailable_an_object_that_does_not_exist", object_does_not_exist),
        harness.trial("class_upload_failed_a_place_that_is_closed", place_is_closed),
    ]
}

async fn image_does_not_exist(world: Arc<World>, job: String) -> Result<()> {
    let course = sample("run-job.image-missing.json")?.run(&world, &job).await?;
    let failure = course.failure(Class::InvalidJob, None)?;
    assert_eq!(
        failure.message,
        "container.image: given 123456789012.dkr.ecr.eu-central-1.amazonaws.com/no-such-image:latest, an image that the \
         account's registry does not have; allowed: one that was pushed"
    );
    assert_eq!((course.outcome.receipt.created.len(), course.starts_and_launches()), (0, (0, 0)));
    Ok(())
}

/// The stand-in plays the kernel, and kills what really holds the memory.
async fn command_takes_all(world: Arc<World>, job: String) -> Result<()> {
    let course = sample("run-job.out-of-memory.json")?.run(&world, &job).await?;
    let failure = course.failure(Class::OutOfMemory, Some(1))?;
    assert_eq!(
        failure.message,
        "the kernel killed the command `tail`, or a part of it, for want of memory; raise container.memoryMiB"
    );
    assert_eq!(failure.exit_code, None, "it was killed");
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn object_does_not_exist(world: Arc<World>, job: String) -> Result<()> {
    let course = sample("run-job.input-missing.json")?.run(&world, &job).await?;
    let failure = course.failure(Class::InputUnavailable, Some(1))?;
    assert!(
        failure.message.starts_with("the input in.mp4 could not be downloaded from "),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("/no-such-video.mp4"), "it tells from where: {}", failure.message);
    assert!(!failure.message.contains("X-Amz"), "but no signature: {}", failure.message);
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn place_is_closed(world: Arc<World>, job: String) -> Result<()> {
    let role = world.settings("handle-report").await?.remove("DATA_ROLE_ARN").context("the data role")?;
    let place = format!("mayfly-data/{job}/out.txt");
    let denial =
        Denial::to_role(&world, &role, &job, "s3:PutObject", &format!("arn:aws:s3:::{place}")).await?;
    let document = json!({ "task": {
        "command": ["touch", "out.txt"],
        "outputs": [{ "file": "out.txt", "to": format!("s3://{place}") }]
    } });
    let course = course::run(&world, &job, &document, []).await?;
    denial.lift(&world).await?;
    let failure = course.failure(Class::UploadFailed, Some(1))?;
    assert!(
        failure.message.starts_with("the output out.txt could not be uploaded: HTTP 403"),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("AccessDenied"), "S3's own word: {}", failure.message);
    assert_eq!(failure.exit_code, Some(0));
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

/// The least `timeoutMinutes` is a minute of the container's real time, so the order is changed on its way to it.
async fn command_takes_too_long(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &command(&["sleep", "600"])).await?;
    let mailbox = until("the order", || async { Ok(world.record(&job).await.ok()) }).await?;
    let mailbox = &mailbox["mailbox"];
    let Message { body, receipt_handle, .. } = until("the order", || async {
        let received = world.sqs.receive_message().queue_url(mailbox).send().await?;
        Ok(received.messages.unwrap_or_default().pop())
    })
    .await?;
    let Order::Run(mut order) = serde_json::from_str(&body.unwrap_or_default())? else {
        panic!("the first order is to run")
    };
    order.timeout_seconds = 2;
    let order = serde_json::to_string(&Order::Run(order))?;
    world.sqs.send_message().queue_url(mailbox).message_body(order).send().await?;
    world.sqs.delete_message().queue_url(mailbox).set_receipt_handle(receipt_handle).send().await?;

    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::TimedOut, Some(1))?;
    assert_eq!(
        failure.message,
        "the attempt took longer than 2 s (timeoutMinutes); it was stopped while the command ran"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert!(!course.has_waited_in_vain(), "the container itself has kept the time");
    Ok(())
}

async fn worker_killed(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["sleep", "600"] } });
    let course =
        course::run(&world, &job, &document, [Rule::always(Fault::Killed { after_seconds: 20 })]).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(
        failure.message,
        "the container ended with code 137 and without a report: Essential container in task exited"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert!(!course.has_waited_in_vain(), "ECS has told it");
    Ok(())
}
