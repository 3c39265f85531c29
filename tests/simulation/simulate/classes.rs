//! Classes of failure, by what ECS or a container does: what the person reads, how often it was tried, and that nothing is
//! left. Those whose cause is a real process or S3 itself are in `tests/e2e/classes.rs`.

use anyhow::{Result, ensure};
use local_ecs::{Fault, Refusal, Rule, SpotStopCode, Stage};
use mayfly_model::class::Class;
use mayfly_model::turn::SPOT_LOSSES_LIMIT;
use mayfly_simulation::account::JOB;
use mayfly_stand_ins::worker::Quirk;
use serde_json::json;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::endless;
use crate::support::documents::command;
use crate::support::made::Made;
use crate::support::world::{HEARTBEAT_SECONDS, scene};

/// When a container is at work: seconds since it was RUNNING.
const AT_WORK: u32 = 50;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("class_start_failed_no_container_ever_comes", no_container_ever_comes),
        behaviour("class_no_capacity_no_room_on_spot_until_the_time_is_up", no_room_on_spot),
        behaviour("class_spot_interrupted_more_often_than_a_job_may_lose", lost_too_often),
        behaviour("class_heartbeat_lost_a_container_that_falls_silent", falls_silent),
        behaviour("class_timed_out_a_container_that_does_not_keep_the_time", does_not_keep_the_time),
        behaviour("class_out_of_memory_the_whole_container", whole_container_out_of_memory),
        behaviour("class_image_pull_failed_an_image_that_may_not_be_pulled", image_denied),
        behaviour("class_quota_exceeded_virtual_cpus_by_whatever_event", limit_of_virtual_cpus),
        behaviour("class_internal_a_network_that_somebody_has_deleted", network_deleted),
        behaviour("class_access_denied_a_right_that_was_taken_away", right_taken_away),
    ]
}

async fn image_denied() -> Result<()> {
    let course = scene().tasks([Rule::always(Fault::PullDenied)]).run(&command()).await?;
    let failure = course.failure(Class::ImagePullFailed, Some(1))?;
    assert!(failure.message.starts_with("Fargate could not pull the image: "), "{}", failure.message);
    assert!(failure.message.contains("pull access denied"), "{}", failure.message);
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn no_container_ever_comes() -> Result<()> {
    let stages = [Stage::Provisioning, Stage::Pending];
    let faults = stages.map(|stage| Rule::once(Fault::NeverStarts { stage }));
    let course = scene().tasks(faults).run(&command()).await?;
    let failure = course.failure(Class::StartFailed, Some(1))?;
    let message = format!("no container reported for work within {HEARTBEAT_SECONDS} seconds");
    assert_eq!(failure.message, message);
    assert_eq!(course.starts_and_launches(), (2, 2), "one more service, and no attempt used up by it");
    assert_eq!(course.turn()?.failed_starts, 1);
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn no_room_on_spot() -> Result<()> {
    let document = json!({ "capacity": "spot", "attempts": 2, "task": { "command": ["work"] } });
    let course = scene().tasks([Rule::always(Fault::NoCapacity)]).run(&document).await?;
    let failure = course.failure(Class::NoCapacity, Some(2))?;
    assert!(failure.message.starts_with("Fargate placed no container: "), "{}", failure.message);
    assert!(failure.message.contains("Capacity is unavailable at this time"), "{}", failure.message);
    assert_eq!(course.starts_and_launches(), (2, 2));
    let in_vain = course.events.iter().filter(|event| event.get("taskTimedOutEventDetails").is_some());
    assert_eq!(in_vain.count(), 2, "ECS could look for room until the start's time was up");
    assert!(course.tasks.is_empty());
    Ok(())
}

async fn limit_of_virtual_cpus() -> Result<()> {
    let events = [
        Refusal::ServiceTaskPlacementFailure,
        Refusal::ServiceTaskConfigurationFailure,
        Refusal::ServiceTaskStartImpaired,
    ];
    for event_name in events {
        let document = json!({ "capacity": "on-demand", "task": { "command": ["work"] } });
        let course = scene().tasks([Rule::always(Fault::QuotaReached { event_name })]).run(&document).await?;
        let failure = course.failure(Class::QuotaExceeded, Some(1))?;
        assert!(failure.message.contains("limit on the number of vCPUs"), "{}", failure.message);
        assert_eq!(course.starts_and_launches(), (1, 1));
        assert!(!course.has_waited_in_vain(), "it is told at once");
    }
    Ok(())
}

async fn lost_too_often() -> Result<()> {
    let fault = Fault::SpotInterruption { after_seconds: 25, stop_code: SpotStopCode::default() };
    let document = json!({ "capacity": "spot", "attempts": 1, "task": { "command": ["work"] } });
    let course = scene().tasks([Rule::always(fault)]).containers(|_| endless()).run(&document).await?;
    let failure = course.failure(Class::SpotInterrupted, Some(1))?;
    assert!(failure.message.contains("Spot capacity"), "{}", failure.message);
    assert_eq!(
        course.starts_and_launches(),
        (SPOT_LOSSES_LIMIT as usize + 1, 1),
        "all of them on one service"
    );
    assert_eq!(course.turn()?.losses, SPOT_LOSSES_LIMIT, "those that it got over");
    Ok(())
}

/// Only ECS can tell, and the exit code that it tells with it is not always the one of SIGKILL.
async fn whole_container_out_of_memory() -> Result<()> {
    for exit_code in [Some(137), Some(0), None] {
        let fault = Fault::OutOfMemory { after_seconds: 10, exit_code };
        let course = scene().tasks([Rule::always(fault)]).containers(|_| endless()).run(&command()).await?;
        let failure = course.failure(Class::OutOfMemory, Some(1))?;
        assert_eq!(
            failure.message,
            "the container was killed for want of memory: Essential container in task exited; \
             OutOfMemoryError: Container killed due to memory usage"
        );
        assert_eq!(course.starts_and_launches(), (1, 1));
    }
    Ok(())
}

async fn does_not_keep_the_time() -> Result<()> {
    let document = json!({ "timeoutMinutes": 1, "task": { "command": ["work"] } });
    let course = scene().containers(|_| endless().with(Quirk::IgnoresTime)).run(&document).await?;
    let failure = course.failure(Class::TimedOut, Some(1))?;
    assert_eq!(failure.message, "the attempt took longer than 1 minute (timeoutMinutes)");
    assert_eq!(course.starts_and_launches(), (1, 1), "what takes too long once does so again");
    Ok(())
}

async fn falls_silent() -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["work"] } });
    let silent = [Rule::always(Fault::Silence { after_seconds: AT_WORK })];
    let course = scene().tasks(silent).containers(|_| endless()).run(&document).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(failure.message, format!("the container has not reported for {HEARTBEAT_SECONDS} seconds"));
    assert_eq!(failure.task_arn.as_deref(), course.tasks[0].task_arn(), "the task that it was");
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}

async fn right_taken_away() -> Result<()> {
    let mut world = scene().begin().await?;
    world.deny("create-service", "ecs:CreateService", "*")?;
    world.start(JOB, &command()).await?;
    let course = world.course(JOB).await?;
    let failure = course.failure(Class::AccessDenied, None)?;
    for words in
        ["could not create the job's service", "ecs:CreateService", "give the function's role this right"]
    {
        ensure!(failure.message.contains(words), "{}", failure.message);
    }
    world.finish().await
}

/// There is no room on Spot, and when the service for Fargate is to be made, its network is gone.
async fn network_deleted() -> Result<()> {
    let mut world = scene().tasks([Rule::always(Fault::NoCapacity)]).begin().await?;
    let mut made = Made::nothing(&world);
    let vpc = made.vpc("10.9.0.0/16").await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24").await?;
    let group = made.group(&vpc, "own").await?;
    world.run.disregard().await?;
    let document = json!({
        "network": { "mode": "existing", "subnets": [subnet], "securityGroups": [group] },
        "capacity": "spot-then-on-demand",
        "task": { "command": ["work"] }
    });
    world.start(JOB, &document).await?;
    world.until("the first order", async || world.turn(JOB).await).await?;
    made.remove(&world).await?;

    let course = world.course(JOB).await?;
    let failure = course.failure(Class::Internal, None)?;
    assert!(failure.message.starts_with("could not create the job's service: "), "{}", failure.message);
    assert!(failure.message.contains("InvalidParameterException"), "ECS's own words: {}", failure.message);
    assert_eq!(course.starts_and_launches(), (1, 2), "the second one could not be made");
    world.finish().await
}
