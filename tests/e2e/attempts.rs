//! What is tried again, on what, and how often; and that of two containers of a job only one works.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use local_ecs::{Fault, Rule, SpotStopCode, Stage};
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Loss, News, Report};
use mayfly_model::turn::{Provider, Turn};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::course::{self, AT_WORK, always, sample};
use crate::support::harness::Harness;
use crate::support::played::{Played, message, success};
use crate::support::world::{STACK, World, until};

const SPOT: &str = "FARGATE_SPOT";
const ON_DEMAND: &str = "FARGATE";

/// As many tries in vain as end a deployment whose circuit breaker is on.
/// Source: ECS API Reference, `ServiceDeploymentCircuitBreaker`, `threshold`.
const BREAKING: u32 = 3;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_container_that_works_on_is_stopped_before_the_next_attempt", works_on),
        harness.trial("a_start_that_failed_once_is_no_attempt", a_start_that_failed_once),
        harness.trial("attempts_are_bounded", attempts_are_bounded),
        harness.trial("two_lost_spot_tasks_lead_to_on_demand", two_lost_spot_tasks),
        harness.trial("no_room_on_spot_leads_to_on_demand_at_once", no_room_on_spot),
        harness.trial("no_room_for_as_often_as_ends_a_deployment_is_waited_for", no_room_for_a_while),
        harness.trial("no_room_after_a_lost_spot_task_is_waited_for", no_room_after_a_loss),
        harness.trial("a_deployment_that_has_failed_is_told_at_once", a_failed_deployment),
        harness.trial("a_lost_spot_task_is_no_attempt", a_lost_spot_task),
        harness.trial("a_lost_spot_task_of_the_older_stop_code_is_no_attempt", of_the_older_stop_code),
        harness.trial("a_pull_that_ecs_repeats_is_no_loss", a_pull_that_ecs_repeats),
        harness.trial("a_person_who_stops_an_on_demand_task_uses_up_an_attempt", stopped_by_a_person),
        harness.trial("aws_stopping_an_on_demand_task_uses_up_an_attempt", stopped_by_aws),
        harness.trial("a_killed_container_uses_up_an_attempt", a_killed_container),
    ]
}

/// A command that never ends the first time, and succeeds at once after that.
struct Endless {
    folder: PathBuf,
}

impl Endless {
    fn of(world: &World, job: &str) -> Result<Self> {
        Ok(Self { folder: shared_folder(world, job)? })
    }

    fn job(&self, capacity: &str, attempts: u32) -> Value {
        let script = format!("mkdir {}/begun && exec sleep 600; echo again", self.folder.display());
        json!({ "capacity": capacity, "attempts": attempts, "task": { "command": ["sh", "-c", script] } })
    }

    async fn begins(&self) -> Result<()> {
        let begun = self.folder.join("begun");
        until("the command to begin", || async { Ok(begun.is_dir().then_some(())) }).await
    }
}

/// A folder that outlives the job's containers; the command may be another user's.
fn shared_folder(world: &World, job: &str) -> Result<PathBuf> {
    let folder = world.folder().join(job);
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn lost_after(after_seconds: u32, stop_code: SpotStopCode) -> Fault {
    Fault::SpotInterruption { after_seconds, stop_code }
}

/// The turn in the job's record, and its token.
async fn turn_and_token(world: &World, job: &str) -> Result<(Turn, String)> {
    let record = world.record(job).await?;
    Ok((serde_json::from_str(&record["turn"])?, record["token"].clone()))
}

async fn a_lost_spot_task(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.spot-lost.json")?.start(&world, &job).await?;
    let (turn, token) =
        until("the first order", || async { Ok(turn_and_token(&world, &job).await.ok()) }).await?;
    assert_eq!((turn.attempt, turn.start), (1, 1));

    let course = course::of(&world, &job).await?;
    let result = course.result()?;
    assert_eq!((result.attempt, result.capacity), (1, Provider::Spot));
    assert_eq!(course.starts_and_launches(), (2, 1), "the service starts its next task by itself");
    let (turn, fresh) = turn_and_token(&world, &job).await?;
    assert_eq!(turn, Turn { start: 2, losses: 1, ..Turn::first(Provider::Spot) });
    assert_ne!(token, fresh, "each start has a token of its own");
    assert_eq!(course.tasks.iter().filter_map(|task| task.task_arn()).nth(1), Some(result.task_arn.as_str()));
    assert_eq!(world.get("spot-lost.mp4").await?.len() as u64, result.outputs[0].bytes);
    Ok(())
}

async fn of_the_older_stop_code(world: Arc<World>, job: String) -> Result<()> {
    let document = Endless::of(&world, &job)?.job("spot", 1);
    let fault = lost_after(AT_WORK, SpotStopCode::TerminationNotice);
    let course = course::run(&world, &job, &document, [Rule::once(fault)]).await?;
    assert_eq!(course.result()?.attempt, 1);
    assert_eq!(course.starts_and_launches(), (2, 1));
    assert_eq!(course.turn.losses, 1);
    Ok(())
}

async fn two_lost_spot_tasks(world: Arc<World>, job: String) -> Result<()> {
    let document =
        json!({ "capacity": "spot-then-on-demand", "attempts": 1, "task": { "command": ["sleep", "3"] } });
    let faults = always(lost_after(15, SpotStopCode::default()));
    let course = course::run(&world, &job, &document, faults).await?;
    let result = course.result()?;
    assert_eq!((result.attempt, result.capacity), (1, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (3, 2));
    assert_eq!(course.turn.losses, 2);
    assert_eq!(course.providers().last(), Some(&ON_DEMAND));
    assert_eq!(course.providers().iter().filter(|provider| **provider == ON_DEMAND).count(), 1);
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn no_room_on_spot(world: Arc<World>, job: String) -> Result<()> {
    let document =
        json!({ "capacity": "spot-then-on-demand", "attempts": 1, "task": { "command": ["true"] } });
    let [fault] = always(Fault::NoCapacity);
    let fault = Rule { capacity_provider: Some(SPOT.into()), ..fault };
    let course = course::run(&world, &job, &document, [fault]).await?;
    let result = course.result()?;
    assert_eq!((result.attempt, result.capacity), (1, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (2, 2));
    assert_eq!(course.providers(), [ON_DEMAND], "there was never a task on Spot");
    assert!(!course.has_waited_in_vain(), "at once");
    assert_one_order_was_carried_out(&world, &job).await?;
    let calls = world.calls(&job);
    let services: Vec<_> = calls
        .iter()
        .filter(|call| matches!(call.action.as_str(), "ecs:CreateService" | "ecs:DeleteService"))
        .filter(|call| call.outcome == "OK")
        .map(|call| call.action.as_str())
        .collect();
    let expected = ["ecs:CreateService", "ecs:DeleteService", "ecs:CreateService", "ecs:DeleteService"];
    assert_eq!(services, expected, "one after the other");
    Ok(())
}

async fn no_room_for_a_while(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "capacity": "spot", "attempts": 1, "task": { "command": ["true"] } });
    let faults = [Rule { tasks: BREAKING, ..Rule::once(Fault::NoCapacity) }];
    let course = course::run(&world, &job, &document, faults).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (1, Provider::Spot));
    assert_eq!(course.starts_and_launches(), (1, 1), "ECS goes on looking by itself");
    Ok(())
}

/// The deployment is completed by then.
async fn no_room_after_a_loss(world: Arc<World>, job: String) -> Result<()> {
    let document = Endless::of(&world, &job)?.job("spot", 1);
    let lost = Rule::once(lost_after(AT_WORK, SpotStopCode::default()));
    let no_room = Rule { tasks: BREAKING, ..Rule::once(Fault::NoCapacity) };
    let course = course::run(&world, &job, &document, [lost, no_room]).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (1, Provider::Spot));
    assert_eq!(course.starts_and_launches(), (2, 1), "ECS goes on looking by itself");
    assert_eq!(course.turn.losses, 1, "want of room is no loss");
    Ok(())
}

/// Somebody has turned the breaker on: nothing comes of that service any more.
async fn a_failed_deployment(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "capacity": "spot", "attempts": 2, "task": { "command": ["true"] } });
    let played = Played::begin(&world, STACK, &job, &document).await?;
    let first = played.container(1).await?;
    for given_up in [false, true] {
        assert_eq!(turn_and_token(&world, &job).await?.0.start, 1, "ECS still looks for room");
        let failure = Failure { class: Class::NoCapacity, message: "in words".into(), output: None };
        let no_room = first.report(News::Lost(Loss { failure, given_up }));
        let no_room = Report { task_arn: None, ..no_room };
        played.deliver(&[message(&no_room)]).await?;
    }
    let second = played.container(2).await?;
    assert_eq!((second.turn.attempt, second.turn.launch), (2, 2));
    second.reports(success(1.5)).await?;
    let course = course::of(&world, &job).await?;
    assert_eq!((course.result()?.attempt, course.starts_and_launches()), (2, (2, 2)));
    assert!(!course.has_waited_in_vain(), "beside a service that is dead");
    Ok(())
}

async fn a_start_that_failed_once(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["true"] } });
    let faults = [Rule::once(Fault::NeverStarts { stage: Stage::Pending })];
    let course = course::run(&world, &job, &document, faults).await?;
    assert_eq!(course.result()?.attempt, 1);
    assert_eq!(course.starts_and_launches(), (2, 2));
    assert_eq!(course.turn.failed_starts, 1);
    course.assert_one_service_at_a_time();
    assert_one_order_was_carried_out(&world, &job).await
}

/// The order that no container came for still lies in the mailbox when the next one arrives.
async fn assert_one_order_was_carried_out(world: &World, job: &str) -> Result<()> {
    let log = world.container_log(job).await?;
    assert_eq!(log.iter().filter(|line| line.contains("assignment taken on")).count(), 1, "{log:#?}");
    Ok(())
}

/// ECS says that the first task has failed when the second one works already.
async fn a_pull_that_ecs_repeats(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 1, "task": { "command": ["sleep", "8"] } });
    let course = course::run(&world, &job, &document, [Rule::once(Fault::PullTimesOut)]).await?;
    assert_eq!(course.result()?.task_arn.as_str(), course.tasks[1].task_arn().unwrap_or_default());
    assert_eq!(course.starts_and_launches(), (1, 1));
    let log = world.log("functions", "").await?;
    let dropped = log.iter().filter(|line| line.contains("loss dropped") && line.contains(&job));
    assert_eq!(dropped.count(), 1, "the loss was told while the second task worked");
    Ok(())
}

/// The worker is stopped, and so says nothing any more; its command works on.
async fn works_on(world: Arc<World>, job: String) -> Result<()> {
    let folder = shared_folder(&world, &job)?;
    let script = format!(
        "cd {}; if mkdir first; then echo $PPID > first/worker; while date +%s.%N >> first/times; do sleep 0.1; done; \
         else date +%s.%N > times; fi",
        folder.display()
    );
    let document = json!({ "attempts": 2, "task": { "command": ["sh", "-c", script] } });
    world.start_job(&job, &document).await?;
    let worker = until("the command to begin", || async {
        let worker = std::fs::read_to_string(folder.join("first/worker")).unwrap_or_default();
        Ok(worker.ends_with('\n').then(|| worker.trim().to_owned()))
    })
    .await?;
    let stopped = Command::new("kill").args(["-STOP", &worker]).status().await?;
    assert!(stopped.success());

    let course = course::of(&world, &job).await?;
    assert_eq!(course.result()?.attempt, 2);
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();

    let lost = course.events.iter().find(|event| event.task_timed_out_event_details().is_some());
    let lost = lost.context("the heartbeat was lost")?.timestamp().as_secs_f64();
    let last_time = |file: &str| -> Result<f64> {
        let times = std::fs::read_to_string(folder.join(file))?;
        Ok(times.lines().last().context("a time")?.parse()?)
    };
    let (last, second) = (last_time("first/times")?, last_time("times")?);
    assert!(lost < last, "it worked on: heartbeat lost at {lost}, last sign at {last}");
    assert!(last < second, "it was stopped first: last sign at {last}, next attempt at {second}");
    Ok(())
}

async fn attempts_are_bounded(world: Arc<World>, job: String) -> Result<()> {
    let document = json!({ "attempts": 2, "task": { "command": ["sleep", "600"] } });
    let course = course::run(&world, &job, &document, always(Fault::Killed { after_seconds: 20 })).await?;
    course.failure(Class::HeartbeatLost, Some(2))?;
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn a_killed_container(world: Arc<World>, job: String) -> Result<()> {
    let document = Endless::of(&world, &job)?.job("spot", 2);
    let faults = [Rule::once(Fault::Killed { after_seconds: AT_WORK })];
    let course = course::run(&world, &job, &document, faults).await?;
    assert_eq!((course.result()?.attempt, course.turn.losses), (2, 0));
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();
    Ok(())
}

async fn stopped_by_a_person(world: Arc<World>, job: String) -> Result<()> {
    let endless = Endless::of(&world, &job)?;
    world.start_job(&job, &endless.job("on-demand", 2)).await?;
    endless.begins().await?;
    let tasks = course::tasks(&world, &job).await?;
    let stop = world.ecs.stop_task().cluster(world.cluster().await?);
    stop.set_task(tasks[0].task_arn.clone()).send().await?;

    let course = course::of(&world, &job).await?;
    assert_eq!((course.result()?.attempt, course.result()?.capacity), (2, Provider::OnDemand));
    assert_eq!(course.starts_and_launches(), (2, 2), "it is no lost Spot task");
    assert_eq!(course.turn.losses, 0);
    course.assert_one_service_at_a_time();
    Ok(())
}

/// The container reports that it was told to stop; it cannot know by whom.
async fn stopped_by_aws(world: Arc<World>, job: String) -> Result<()> {
    let document = Endless::of(&world, &job)?.job("on-demand", 1);
    let faults = [Rule::once(Fault::Maintenance { after_seconds: AT_WORK })];
    let course = course::run(&world, &job, &document, faults).await?;
    let failure = course.failure(Class::HeartbeatLost, Some(1))?;
    assert_eq!(
        failure.message,
        "the container was stopped from outside: by a person, or by AWS for its own maintenance"
    );
    assert_eq!(course.starts_and_launches(), (1, 1));
    Ok(())
}
