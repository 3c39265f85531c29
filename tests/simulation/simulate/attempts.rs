//! What is tried again, on what, and how often. Where a real process works on, it is in `tests/e2e/attempts.rs`.

use anyhow::Result;
use local_ecs::{Fault, Rule, SpotStopCode, Stage};
use mayfly_model::class::Class;
use mayfly_model::turn::Provider;
use mayfly_simulation::account::JOB;
use serde_json::Value;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::{endless, endless_at_first, works};
use crate::support::documents::command;
use crate::support::world::{World, scene};

const SPOT: &str = "FARGATE_SPOT";
const ON_DEMAND: &str = "FARGATE";

/// When a container is at work: seconds since it was RUNNING.
const AT_WORK: u32 = 50;

/// As many tries in vain as end a deployment whose circuit breaker is on.
/// Source: ECS API Reference, `ServiceDeploymentCircuitBreaker`, `threshold`.
const BREAKING: u32 = 3;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_start_that_failed_once_is_no_attempt", a_start_that_failed_once),
        behaviour("attempts_are_bounded", attempts_are_bounded),
        behaviour("two_lost_spot_tasks_lead_to_on_demand", two_lost_spot_tasks),
        behaviour("no_room_on_spot_leads_to_on_demand_at_once", no_room_on_spot),
        behaviour("no_room_for_as_often_as_ends_a_deployment_is_waited_for", no_room_for_a_while),
        behaviour("no_room_after_a_lost_spot_task_is_waited_for", no_room_after_a_loss),
        behaviour("a_lost_spot_task_of_the_older_stop_code_is_no_attempt", of_the_older_stop_code),
        behaviour("a_pull_that_ecs_repeats_is_no_loss", a_pull_that_ecs_repeats),
        behaviour("a_person_who_stops_an_on_demand_task_uses_up_an_attempt", stopped_by_a_person),
        behaviour("aws_stopping_an_on_demand_task_uses_up_an_attempt", stopped_by_aws),
        behaviour("a_killed_container_uses_up_an_attempt", a_killed_container),
    ]
}

fn job(capacity: &str, attempts: u32) -> Value {
    let mut document = command();
    document["capacity"] = capacity.into();
    document["attempts"] = attempts.into();
    document
}

fn lost_after(after_seconds: u32, stop_code: SpotStopCode) -> Fault {
    Fault::SpotInterruption { after_seconds, stop_code }
}

/// How many orders the containers have taken on: one that no container came for still lies in the mailbox when the next one
/// arrives.
fn taken_on(world: &World) -> usize {
    world.run.stage.truth().lives().values().map(|life| life.starts.len()).sum()
}

async fn of_the_older_stop_code() -> Result<()> {
    let lost = Rule::once(lost_after(AT_WORK, SpotStopCode::TerminationNotice));
    let course = scene().tasks([lost]).containers(endless_at_first).run(&job("spot", 1)).await?;
    assert_eq!(course.result()?.attempt, 1);
    assert_eq!(course.starts_and_launches(), (2, 1));
    assert_eq!(course.turn()?.losses, 1);
    Ok(())
}

async fn two_lost_spot_tasks() -> Result<()> {
    let lost = [Rule::always(lost_after(15, SpotStopCode::default()))];
    let document = job("spot-then-on-demand", 1);
    let course = scene().tasks(lost).containers(|_| works(60)).run(&document).await?;
    let result = course.result()?;
    assert_eq!((result.attempt, result.capacity), (1, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (3, 2));
    assert_eq!(course.turn()?.losses, 2);
    assert_eq!(course.providers().last(), Some(&ON_DEMAND));
    assert_eq!(course.providers().iter().filter(|provider| **provider == ON_DEMAND).count(), 1);
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn no_room_on_spot() -> Result<()> {
    let fault = Rule::always(Fault::NoCapacity);
    let fault = Rule { capacity_provider: Some(SPOT.into()), ..fault };
    let mut world = scene().tasks([fault]).begin().await?;
    world.start(JOB, &job("spot-then-on-demand", 1)).await?;
    let course = world.course(JOB).await?;
    let result = course.result()?;
    assert_eq!((result.attempt, result.capacity), (1, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (2, 2));
    assert_eq!(course.providers(), [ON_DEMAND], "there was never a task on Spot");
    assert!(!course.has_waited_in_vain(), "at once");
    assert_eq!(taken_on(&world), 1);
    let calls = world.run.account.calls.snapshot();
    let services: Vec<_> = calls
        .iter()
        .filter(|call| matches!(call.action.as_str(), "ecs:CreateService" | "ecs:DeleteService"))
        .filter(|call| call.outcome == "OK")
        .map(|call| call.action.as_str())
        .collect();
    let expected = ["ecs:CreateService", "ecs:DeleteService", "ecs:CreateService", "ecs:DeleteService"];
    assert_eq!(services, expected, "one after the other");
    world.finish().await
}

async fn no_room_for_a_while() -> Result<()> {
    let no_room = Rule { tasks: BREAKING, ..Rule::once(Fault::NoCapacity) };
    let course = scene().tasks([no_room]).run(&job("spot", 1)).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (1, Provider::Spot));
    assert_eq!(course.starts_and_launches(), (1, 1), "ECS goes on looking by itself");
    Ok(())
}

/// The deployment is completed by then.
async fn no_room_after_a_loss() -> Result<()> {
    let lost = Rule::once(lost_after(AT_WORK, SpotStopCode::default()));
    let no_room = Rule { tasks: BREAKING, ..Rule::once(Fault::NoCapacity) };
    let course = scene().tasks([lost, no_room]).containers(endless_at_first).run(&job("spot", 1)).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (1, Provider::Spot));
    assert_eq!(course.starts_and_launches(), (2, 1), "ECS goes on looking by itself");
    assert_eq!(course.turn()?.losses, 1, "want of room is no loss");
    Ok(())
}

async fn a_start_that_failed_once() -> Result<()> {
    let fault = Rule::once(Fault::NeverStarts { stage: Stage::Pending });
    let mut world = scene().tasks([fault]).begin().await?;
    let mut document = command();
    document["attempts"] = 1.into();
    world.start(JOB, &document).await?;
    let course = world.course(JOB).await?;
    assert_eq!(course.result()?.attempt, 1);
    assert_eq!(course.starts_and_launches(), (2, 2));
    assert_eq!(course.turn()?.failed_starts, 1);
    course.assert_one_service_at_a_time();
    assert_eq!(taken_on(&world), 1);
    world.finish().await
}

/// ECS says that the first task has failed when the second one works already.
async fn a_pull_that_ecs_repeats() -> Result<()> {
    let mut document = command();
    document["attempts"] = 1.into();
    let scene = scene().tasks([Rule::once(Fault::PullTimesOut)]).containers(|_| works(80));
    let mut world = scene.begin().await?;
    world.start(JOB, &document).await?;
    let course = world.course(JOB).await?;
    assert_eq!(course.result()?.task_arn.as_str(), course.tasks[1].task_arn().unwrap_or_default());
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert_eq!(world.said("loss dropped"), 1, "the loss was told while the second task worked");
    world.finish().await
}

async fn attempts_are_bounded() -> Result<()> {
    let mut document = command();
    document["attempts"] = 2.into();
    let killed = [Rule::always(Fault::Killed { after_seconds: 20 })];
    let course = scene().tasks(killed).containers(|_| endless()).run(&document).await?;
    course.failure(Class::HeartbeatLost, Some(2))?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn a_killed_container() -> Result<()> {
    let killed = Rule::once(Fault::Killed { after_seconds: AT_WORK });
    let course = scene().tasks([killed]).containers(endless_at_first).run(&job("spot", 2)).await?;
    assert_eq!((course.result()?.attempt, course.turn()?.losses), (2, 0));
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn stopped_by_a_person() -> Result<()> {
    let mut world = scene().containers(endless_at_first).begin().await?;
    world.start(JOB, &job("on-demand", 2)).await?;
    world.until("the command to begin", async || Ok((taken_on(&world) > 0).then_some(()))).await?;
    let tasks = world.tasks(JOB).await?;
    let stop = aws_sdk_ecs::Client::new(&world.run.account.root()).stop_task();
    let stop = stop.cluster(world.run.stacks[0].arn("Cluster"));
    stop.set_task(tasks[0].task_arn.clone()).send().await?;

    let course = world.course(JOB).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (2, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (2, 2), "it is no lost Spot task");
    assert_eq!(course.turn()?.losses, 0);
    course.assert_one_service_at_a_time();
    world.finish().await
}

/// The container reports that it was told to stop; it cannot know by whom.
async fn stopped_by_aws() -> Result<()> {
    let maintenance = Rule::once(Fault::Maintenance { after_seconds: AT_WORK });
    let course = scene().tasks([maintenance]).containers(|_| endless()).run(&job("on-demand", 1)).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(
        failure.message,
        "the container was stopped from outside: by a person, or by AWS for its own maintenance"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}
