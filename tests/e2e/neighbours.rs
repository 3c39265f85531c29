//! Jobs of the same or a similar name, in one stack or in two of one account, never touch each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use local_cloud::leftovers::Belonging;

use crate::support::documents::private;
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY};
use crate::support::world::{STACK, World, machine_of, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_in_turn("a_teardown_touches_no_other_job", hasty::reports_needed, no_other_job)]
}

/// The other stack's name begins with this one's, as the other jobs' names begin with this one's.
async fn no_other_job(world: Arc<World>, job: String, _turn: hasty::Needed) -> Result<()> {
    hasty::deployed(&world).await?;
    let (longer, shorter) = (format!("{job}-2"), job[..job.len() - 1].to_owned());
    let jobs = [(STACK, &job), (STACK, &longer), (STACK, &shorter), (HASTY, &job)];
    let start = async |(stack, job): &(&str, &String)| {
        let arn = world.try_start(&machine_of(stack, "run-job"), job, &private(&["sleep", "600"])).await?;
        anyhow::ensure!(world.entered(&arn, "DispatchJob").await?, "{arn} runs");
        // Its container is what appears last.
        until("a task", || async {
            let theirs = belongings(&world, stack, job).await?;
            Ok(theirs.iter().any(|belonging| belonging.id.contains(":task/")).then_some(()))
        })
        .await?;
        anyhow::Ok(arn)
    };
    let arns = try_join_all(jobs.iter().map(start)).await?;
    let neighbours = &jobs[1..];
    let look =
        async || try_join_all(neighbours.iter().map(|(stack, job)| belongings(&world, stack, job))).await;
    let before = look().await?;
    assert!(before.iter().all(|theirs| theirs.len() > PARTS), "{before:#?}");

    world.stop_execution(&arns[0]).await?;
    world.torn_down_by_rule(&job).await?;
    assert_eq!(belongings(&world, STACK, &job).await?, BTreeSet::new());
    assert_eq!(look().await?, before);

    try_join_all(arns[1..].iter().map(|arn| world.stop_execution(arn))).await?;
    until("the neighbours to be gone", || async {
        Ok(look().await?.iter().all(BTreeSet::is_empty).then_some(()))
    })
    .await
}

/// A running private job has more than these.
const PARTS: usize = 12;

/// What a job of a stack has, by exact tags.
async fn belongings(world: &World, stack: &str, job: &str) -> Result<BTreeSet<Belonging>> {
    let mut all = world.belongings().await?;
    all.retain(|belonging| {
        belonging.is_of(job) && belonging.tags.get("mayfly:stack").is_some_and(|of| of == stack)
    });
    Ok(all.into_iter().collect())
}
