//! Every class of failure, by a real cause: what the person reads, how often it was tried, and that nothing is left.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::Message;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use local_ecs::{Fault, Refusal, Rule, SpotStopCode, Stage};
use mayfly_model::class::Class;
use mayfly_model::message::Order;
use mayfly_model::names::Names;
use mayfly_model::turn::SPOT_LOSSES_LIMIT;
use serde_json::json;

use crate::support::course::{self, AT_WORK, always, sample};
use crate::support::denial::Denial;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::machines::snake_case;
use crate::support::network::Network;
use crate::support::world::{HEARTBEAT_SECONDS, STACK, World, until};

/// The classes that other files are about: `invalid_documents.rs`, `command_fails.rs`, and the worker's `command.rs`, where
/// a test can play the disk.
const ELSEWHERE: [Class; 3] = [Class::InvalidJob, Class::CommandFailed, Class::DiskFull];

pub fn trials(harness: &Harness) -> Vec<Trial> {
    // Those that wait long come first.
    let mut trials = vec![
        harness.trial("class_start_failed_no_container_ever_comes", no_container_ever_comes),
        harness.trial("class_no_capacity_no_room_on_spot_until_the_time_is_up", no_room_on_spot),
        harness.trial("class_spot_interrupted_more_often_than_a_job_may_lose", lost_too_often),
        harness.trial("class_heartbeat_lost_a_container_that_falls_silent", falls_silent),
        harness.trial("class_timed_out_a_container_that_does_not_keep_the_time", does_not_keep_the_time),
        harness.trial("class_internal_a_network_that_somebody_has_deleted", network_deleted),
        harness.trial("class_heartbeat_lost_a_worker_that_is_killed", worker_killed),
        harness.trial("class_out_of_memory_the_whole_container", whole_container_out_of_memory),
        harness.trial("class_timed_out_a_command_that_takes_too_long", command_takes_too_long),
        harness.trial("class_out_of_memory_a_command_that_takes_all", command_takes_all),
        harness.trial("class_image_pull_failed_an_image_that_does_not_exist", image_does_not_exist),
        harness.trial("class_image_pull_failed_an_image_that_may_not_be_pulled", image_denied),
        harness.trial("class_quota_exceeded_virtual_cpus_by_whatever_event", limit_of_virtual_cpus),
        harness.trial("class_input_unavailable_an_object_that_does_not_exist", object_does_not_exist),
        harness.trial("class_upload_failed_a_place_that_is_closed", place_is_closed),
        harness.trial("class_upload_failed_an_output_too_large_for_a_post", output_too_large),
        harness.trial("class_access_denied_a_right_that_was_taken_away", right_taken_away),
    ];
    let names: Vec<_> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(harness.trial("every_class_has_a_test", |_, _| async move {
        for class in Class::ALL.iter().filter(|class| !ELSEWHERE.contains(class)) {
            let start = format!("class_{}_", snake_case(class.name()));
            assert!(names.iter().any(|name| name.starts_with(&start)), "no test is about {class}");
        }
        Ok(())
    }));
    trials
}

async fn image_does_not_exist(world: Arc<World>, job: String) -> Result<()> {
    let course = sample("run-job.image-missing.json")?.run(&world, &job).await?;
    let failure = course.failure(Class::ImagePullFailed, Some(1))?;
    assert_eq!(
        failure.message,
        "Fargate could not pull the image: CannotPullContainerError: pull image manifest has been retried 1 time(s): \
         failed to resolve ref mayfly/no-such-image:latest: mayfly/no-such-image:latest: not found"
    );
    assert_eq!(course.starts_and_launches(), (1, 1), "it will not exist the next time either");
    Ok(())
}

async fn image_denied(world: Arc<World>, job: String) -> Result<()> {
    let course = course::run(&world, &job, &command(&["true"]), always(Fault::PullDenied)).await?;
    let failure = course.failure(Class::ImagePullFailed, Some(1))?;
    assert!(failure.message.starts_with("Fargate could not pull the image: "), "{}", failure.message);
    assert!(failure.message.contains("pull access denied"), "{}", failure.message);
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn no_container_ever_comes(world: Arc<World>, job: String) -> Result<()> {
    let stages = [Stage::Provisioning, Stage::Pending];
    let faults = stages.map(|stage| Rule::once(Fault::NeverStarts { stage }));
    let course = course::run(&world, &job, &command(&["true"]), faults).await?;
    let failure = course.failure(Class::StartFailed, Some(1))?;
    let message = format!("no container reported for work within {HEARTBEAT_SECONDS} seconds");
    assert_eq!(failure.message, message);
    assert_eq!(course.starts_and_launches(), (2, 2), "one more service, and no attempt used up by it");
    assert_eq!(course.turn.failed_starts, 1);
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn no_room_on_spot(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "capacity": "spot", "attempts": 2, "task": { "command": ["true"] } });
    let course = course::run(&world, &job, &document, always(Fault::NoCapacity)).await?;
    let failure = course.failure(Class::NoCapacity, Some(2))?;
    assert!(failure.message.starts_with("Fargate placed no container: "), "{}", failure.message);
    assert!(failure.message.contains("Capacity is unavailable at this time"), "{}", failure.message);
    assert_eq!(course.starts_and_launches(), (2, 2));
    let in_vain = course.events.iter().filter(|event| event.task_timed_out_event_details().is_some());
    assert_eq!(in_vain.count(), 2, "ECS could look for room until the start's time was up");
    assert!(course.tasks.is_empty());
    Ok(())
}

async fn limit_of_virtual_cpus(world: Arc<World>, base: String) -> Result<()> {
    let told_by = |(i, event_name)| {
        let (world, job) = (&world, format!("{base}-{i}"));
        async move {
            let document = json!({ "capacity": "on-demand", "task": { "command": ["true"] } });
            let faults = always(Fault::QuotaReached { event_name });
            let course = course::run(world, &job, &document, faults).await?;
            let failure = course.failure(Class::QuotaExceeded, Some(1))?;
            assert!(failure.message.contains("limit on the number of vCPUs"), "{}", failure.message);
            assert_eq!(course.starts_and_launches(), (1, 1));
            assert!(!course.has_waited_in_vain(), "it is told at once");
            anyhow::Ok(())
        }
    };
    let events = [
        Refusal::ServiceTaskPlacementFailure,
        Refusal::ServiceTaskConfigurationFailure,
        Refusal::ServiceTaskStartImpaired,
    ];
    try_join_all(events.into_iter().enumerate().map(told_by)).await?;
    Ok(())
}

async fn lost_too_often(world: Arc<World>, job: String) -> Result<()> {
    // Long enough for each container to take on its order on a busy machine.
    let fault = Fault::SpotInterruption { after_seconds: 25, stop_code: SpotStopCode::default() };
    let document = json!({ "capacity": "spot", "attempts": 1, "task": { "command": ["sleep", "600"] } });
    let course = course::run(&world, &job, &document, always(fault)).await?;
    let failure = course.failure(Class::SpotInterrupted, Some(1))?;
    assert!(failure.message.contains("Spot capacity"), "{}", failure.message);
    assert_eq!(
        course.starts_and_launches(),
        (SPOT_LOSSES_LIMIT as usize + 1, 1),
        "all of them on one service"
    );
    assert_eq!(course.turn.losses, SPOT_LOSSES_LIMIT, "those that it got over");
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

/// Only ECS can tell, and the exit code that it tells with it is not always the one of SIGKILL.
async fn whole_container_out_of_memory(world: Arc<World>, base: String) -> Result<()> {
    let killed_with = |exit_code: Option<i32>| {
        let (world, base) = (&world, &base);
        async move {
            let job = format!("{base}-{}", exit_code.map_or("none".into(), |code| code.to_string()));
            let fault = Fault::OutOfMemory { after_seconds: 10, exit_code };
            let course = course::run(world, &job, &command(&["sleep", "600"]), always(fault)).await?;
            let failure = course.failure(Class::OutOfMemory, Some(1))?;
            assert_eq!(
                failure.message,
                "the container was killed for want of memory: Essential container in task exited; \
                 OutOfMemoryError: Container killed due to memory usage"
            );
            assert_eq!(course.starts_and_launches(), (1, 1));
            anyhow::Ok(())
        }
    };
    try_join_all([Some(137), Some(0), None].map(killed_with)).await?;
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

/// The file is a hole, which takes no room.
async fn output_too_large(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "task": {
        "command": ["truncate", "-s", "6G", "out.bin"],
        "outputs": [{ "file": "out.bin", "to": format!("s3://mayfly-data/{job}/out.bin") }]
    } });
    let course = course::run(&world, &job, &document, []).await?;
    let failure = course.failure(Class::UploadFailed, Some(1))?;
    assert_eq!(
        failure.message,
        "the output out.bin has 6.0 GB (6442450944 bytes); S3 takes at most 5 GB in one POST; split it"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

/// A container lives in real time, where a minute is longer than the whole wait of the machine.
async fn does_not_keep_the_time(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "timeoutMinutes": 1, "task": { "command": ["sleep", "600"] } });
    let course = course::run(&world, &job, &document, []).await?;
    let failure = course.failure(Class::TimedOut, Some(1))?;
    assert_eq!(failure.message, "the attempt took longer than 1 minute (timeoutMinutes)");
    assert_eq!(course.starts_and_launches(), (1, 1), "what takes too long once does so again");
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

async fn falls_silent(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["sleep", "600"] } });
    let course =
        course::run(&world, &job, &document, always(Fault::Silence { after_seconds: AT_WORK })).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(failure.message, format!("the container has not reported for {HEARTBEAT_SECONDS} seconds"));
    assert_eq!(failure.task_arn.as_deref(), course.tasks[0].task_arn(), "the task that it was");
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn worker_killed(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["sleep", "600"] } });
    let course = course::run(&world, &job, &document, always(Fault::Killed { after_seconds: 20 })).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(
        failure.message,
        "the container ended with code 137 and without a report: Essential container in task exited"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert!(!course.has_waited_in_vain(), "ECS has told it");
    Ok(())
}

async fn right_taken_away(world: Arc<World>, job: String) -> Result<()> {
    let family = Names::new(STACK, &job).family();
    let services = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/*/{family}-*");
    let denial = Denial::to_function(&world, "create-service", &job, "ecs:CreateService", &services).await?;
    let execution = world.run_job(&job, &command(&["true"])).await?;
    denial.lift(&world).await?;
    let outcome = crate::support::world::outcome(&execution)?;
    assert_eq!(execution.error(), Some("AccessDenied"));
    let failure = outcome.end.failure().context("a failure has a reason")?;
    assert_eq!((failure.error, failure.attempt), (Class::AccessDenied, None), "no attempt was made");
    for words in
        ["could not create the job's service", "ecs:CreateService", "give the function's role this right"]
    {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    assert_eq!(outcome.receipt.residual, []);
    assert_eq!(outcome.receipt.deleted, outcome.receipt.created);
    world.nothing_left(&job).await
}

/// There is no room on Spot, and when the service for Fargate is to be made, its network is gone.
async fn network_deleted(world: Arc<World>, job: String) -> Result<()> {
    let network = Network::make(&world).await?;
    let document = json!({
        "network": network.document(),
        "capacity": "spot-then-on-demand",
        "task": { "command": ["true"] }
    });
    world.cloud().ecs_faults().add(&job, always(Fault::NoCapacity));
    world.start_job(&job, &document).await?;
    until("the first order", || async { Ok(world.record(&job).await.ok()) }).await?;
    network.remove().await?;

    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::Internal, None)?;
    assert!(failure.message.starts_with("could not create the job's service: "), "{}", failure.message);
    assert!(failure.message.contains("InvalidParameterException"), "ECS's own words: {}", failure.message);
    assert_eq!(course.starts_and_launches(), (1, 2), "the second one could not be made");
    Ok(())
}
