//! Jobs of the same or a similar name, in one stack or in two of one account, never touch each other; nor do two that come to
//! one name.

use anyhow::{Context as _, Result};
use local_states::execution::Status;
use mayfly_model::names::{is_derived, job_id};
use mayfly_simulation::account::{JOB, Quotas};
use mayfly_simulation::draw::PARAMETERS;
use mayfly_simulation::run::{STACK, start};
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::{endless, works};
use crate::support::world::{World, scene};

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_teardown_touches_no_other_job", no_other_job),
        behaviour("nobody_touches_a_job_by_a_name_like_its_id", like_an_id),
        behaviour("a_job_of_any_name_runs", of_any_name),
        behaviour("the_same_name_twice_is_one_job", twice),
    ]
}

fn command(word: &str) -> Value {
    json!({ "task": { "command": [word] } })
}

/// Waits until so many containers work: of what a job has they come last.
async fn at_work(world: &World, containers: usize) -> Result<()> {
    world
        .until("a container at work", async || {
            let lives = world.run.stage.truth().lives();
            let working = lives.values().filter(|life| !life.starts.is_empty() && life.ended.is_none());
            Ok((working.count() == containers).then_some(()))
        })
        .await
}

/// The other stack's name begins with this one's, as the other jobs' names begin with this one's.
async fn no_other_job() -> Result<()> {
    let ec2 = local_ec2::Quotas { vpcs: 20, internet_gateways: 20, ..local_ec2::Quotas::default() };
    let quotas = Quotas { ec2, ..Quotas::default() };
    let mut world = scene().quotas(quotas).containers(|_| endless()).begin().await?;
    let other = world.run.account.deploy(&format!("{STACK}-hasty"), &PARAMETERS).await?;
    world.run.stacks.push(other);
    world.run.disregard().await?;
    let private =
        json!({ "network": { "mode": "private", "egress": "nat" }, "task": { "command": ["work"] } });
    let (longer, shorter) = (format!("{JOB}-2"), &JOB[..JOB.len() - 1]);
    let mut neighbours = vec![start(&world.run.account, &world.run.stacks[1], JOB, &private).await?];
    for job in [&*longer, shorter] {
        neighbours.push(world.start(job, &private).await?);
    }
    at_work(&world, 3).await?;
    let theirs = world.run.left().await?;
    let execution = world.start(JOB, &private).await?;
    at_work(&world, 4).await?;
    let all = world.run.left().await?;
    assert!(theirs.is_subset(&all) && all.len() > theirs.len() + PARTS, "{all:#?}");

    world.run.stop(JOB);
    assert!(world.run.ended(&execution).await);
    assert_eq!(world.torn_down_by_rule(JOB).await?, Status::Succeeded);
    let look = async || Ok((world.run.left().await? == theirs).then_some(()));
    world.until("nothing of the job, and all of the others", look).await?;

    for neighbour in neighbours {
        assert_eq!(neighbour.status(), Status::Running);
        world.run.account.step_functions.engine.stop(&neighbour, None, None);
    }
    let look = async || Ok(world.run.left().await?.is_empty().then_some(()));
    world.until("the neighbours to be gone", look).await
}

/// A running private job has more than these.
const PARTS: usize = 12;

async fn like_an_id() -> Result<()> {
    let name = "anybodys.victim";
    let id = job_id(name);
    assert!(is_derived(&id));
    let mut world = scene().containers(|_| endless()).begin().await?;
    let execution = world.start(name, &command("work")).await?;
    at_work(&world, 1).await?;
    let has = world.run.left().await?;

    // What has been refused has nothing, and its end tears down nothing of another's.
    let refused = world.start(&id, &command("work")).await?;
    assert!(world.run.ended(&refused).await);
    let (ending, _) = refused.ending().context("it has ended")?;
    assert_eq!((ending.status, ending.error.as_deref()), (Status::Failed, Some("InvalidJob")));
    assert_eq!(world.torn_down_by_rule(&id).await?, Status::Failed);
    assert_eq!(world.run.left().await?, has);

    // A person who has but the id means the job.
    let teardown = world.tear_down(&id).await?;
    assert!(world.run.ended(&teardown).await && world.run.ended(&execution).await);
    assert_eq!(teardown.status(), Status::Succeeded);
    let (ending, _) = execution.ending().context("it has ended")?;
    assert_eq!((ending.status, ending.error.as_deref()), (Status::Aborted, Some("TornDown")));
    assert_eq!(world.torn_down_by_rule(name).await?, Status::Succeeded);
    world.nothing_left().await
}

/// As people write them, and as long as they may be.
async fn of_any_name() -> Result<()> {
    // A tag can hold neither `'` nor `(`.
    for name in ["one.v1".to_owned(), "Ü.it's(1)".to_owned(), format!("long.{}", "ä".repeat(75))] {
        let mut world = scene().containers(|_| works(5)).begin().await?;
        let execution = world.start(&name, &command("work")).await?;
        let (id, outcome) = (job_id(&name), world.outcome(&execution).await?);
        assert_eq!((&outcome.job, execution.status()), (&id, Status::Succeeded), "{name}");
        assert!(outcome.receipt.created.len() >= 4 && outcome.receipt.residual.is_empty(), "{outcome:#?}");
        assert!(world.record(&id).await?.is_some(), "the record of {name}");
        world.nothing_left().await?;
    }
    Ok(())
}

async fn twice() -> Result<()> {
    let mut world = scene().containers(|_| works(5)).begin().await?;
    let execution = world.start(JOB, &command("work")).await?;
    let (account, stack) = (&world.run.account, &world.run.stacks[0]);
    let again = start(account, stack, JOB, &command("work")).await?;
    assert_eq!(again.arn, execution.arn, "the running job is the answer");
    let taken = |error: &anyhow::Error| error.to_string().starts_with("ExecutionAlreadyExists");
    let refused = start(account, stack, JOB, &command("other")).await.unwrap_err();
    assert!(taken(&refused), "another document: {refused}");

    assert!(world.run.ended(&execution).await);
    assert_eq!(execution.status(), Status::Succeeded);
    let refused = start(account, stack, JOB, &command("work")).await.unwrap_err();
    assert!(taken(&refused), "after the end: {refused}");

    let machine = stack.arn("RunJobStateMachine");
    assert_eq!(account.step_functions.engine.executions(machine).len(), 1);
    let calls = account.calls.snapshot();
    assert_eq!(calls.iter().filter(|call| call.action == "ecs:CreateService").count(), 1, "one service");
    let starts: Vec<_> = world.run.stage.truth().lives().into_values().flat_map(|life| life.starts).collect();
    let jobs: Vec<_> = starts.iter().map(|start| &*start.job).collect();
    assert_eq!(jobs, [JOB], "it ran once");
    world.finish().await
}
