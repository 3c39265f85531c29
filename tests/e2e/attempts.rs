//! What is tried again; and that of two containers of a job only one works. What ECS alone decides of that is tried in
//! `tests/simulation/simulate/attempts.rs`.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Loss, News, Report};
use mayfly_model::turn::{Provider, Turn};
use serde_json::json;
use tokio::process::Command;

use crate::support::course::{self, sample};
use crate::support::harness::Harness;
use crate::support::played::{Played, message, success};
use crate::support::world::{STACK, World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_container_that_works_on_is_stopped_before_the_next_attempt", works_on),
        harness.trial("a_lost_spot_task_is_no_attempt", a_lost_spot_task),
        harness.trial("a_deployment_that_has_failed_is_told_at_once", a_failed_deployment),
    ]
}

/// The files of this name that containers have, wherever it is in theirs.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    // A container may end meanwhile.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path(), name),
        Ok(_) if entry.file_name() == name => vec![entry.path()],
        _ => Vec::new(),
    });
    found.collect()
}

/// The worker of a job, by its program and its variables.
fn worker_of(job: &str) -> Result<Option<String>> {
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        let program = std::fs::read_link(process.path().join("exe")).unwrap_or_default();
        let variables = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let variable = format!("MAYFLY_JOB={job}");
        let mut variables = variables.split(|byte| *byte == 0);
        if program.ends_with("mayfly-worker") && variables.any(|one| one == variable.as_bytes()) {
            return Ok(process.file_name().into_string().ok());
        }
    }
    Ok(None)
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

/// The worker is stopped, and so says nothing any more; its command works on.
async fn works_on(world: Arc<World>, job: String) -> Result<()> {
    let (times, tasks) = (format!("{job}.times"), world.folder().join("tasks"));
    // Its user may be another one than ours, who looks at its files.
    let script = format!("chmod 777 .; while [ ! -e end ]; do date +%s.%N >> {times}; sleep 0.1; done");
    let document = json!({ "attempts": 2, "task": { "command": ["sh", "-c", script] } });
    world.start_job(&job, &document).await?;
    let first = until("the command to begin", async || Ok(files(&tasks, &times).pop())).await?;
    let worker = until("its worker", async || worker_of(&job)).await?;
    let stopped = Command::new("kill").args(["-STOP", &worker]).status().await?;
    assert!(stopped.success());

    // The first one's files go with it.
    let mut last = String::new();
    let (second, begun) = until("the command to begin again", async || {
        last = std::fs::read_to_string(&first).unwrap_or(mem::take(&mut last));
        let has_begun = |file: PathBuf| {
            let times = std::fs::read_to_string(&file).ok().filter(|times| times.contains('\n'))?;
            // While it is removed, the first one's is elsewhere.
            (times.lines().next() != last.lines().next()).then_some((file, times))
        };
        Ok(files(&tasks, &times).into_iter().filter(|file| *file != first).find_map(has_begun))
    })
    .await?;
    std::fs::write(second.with_file_name("end"), "")?;
    let course = course::of(&world, &job).await?;
    assert_eq!(course.result()?.attempt, 2);
    assert_eq!(course.starts_and_launches(), (2, 2));
    course.assert_one_service_at_a_time();

    let lost = course.events.iter().find(|event| event.task_timed_out_event_details().is_some());
    let lost = lost.context("the heartbeat was lost")?.timestamp().as_secs_f64();
    let time = |line: Option<&str>| -> Result<f64> { Ok(line.context("a time")?.parse()?) };
    // Its last line may not be whole.
    let whole = last.rsplit_once('\n').and_then(|(lines, _)| lines.lines().last());
    let (last, second) = (time(whole)?, time(begun.lines().next())?);
    assert!(lost < last, "it worked on: heartbeat lost at {lost}, last sign at {last}");
    assert!(last < second, "it was stopped first: last sign at {last}, next attempt at {second}");
    Ok(())
}
