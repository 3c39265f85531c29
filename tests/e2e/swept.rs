//! The sweeper finds what every other teardown has missed. What it finds of a network, of a job that runs too long and of nobody's is
//! in `tests/simulation/simulate/swept.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use mayfly_model::names::{Names, SECRET_LENGTH};
use mayfly_model::tags;

use crate::support::harness::Harness;
use crate::support::sweep::{Turn, names, sweep, turn};
use crate::support::world::{STACK, World, job_arn};

const LONG_AHEAD: &str = "2100-01-01T00:00:00Z";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_in_turn("what_a_forgotten_job_has_left_is_torn_down", turn, a_forgotten_job)]
}

async fn a_forgotten_job(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    make_mailbox(&world, &job, LONG_AHEAD).await?;
    let swept = sweep(&world).await?;
    assert!(names(&swept, "tornDown").contains(&&*job), "{swept:#}");
    let teardowns = world.teardowns(&job).await?;
    let [teardown] = teardowns.as_slice() else { panic!("{teardowns:#?}") };
    assert_eq!(teardown.caller, "sweep-expired");
    assert_eq!(world.ended(&teardown.arn).await?.status(), &ExecutionStatus::Succeeded);
    world.nothing_left(&job).await?;
    let again = sweep(&world).await?;
    assert!(!names(&again, "tornDown").contains(&&*job), "{again:#}");
    Ok(())
}

async fn make_mailbox(world: &World, job: &str, expiry: &str) -> Result<()> {
    let execution = job_arn(job);
    let tags =
        [(tags::STACK, STACK), (tags::JOB, job), (tags::EXECUTION, &execution), (tags::EXPIRY, expiry)];
    let tags: HashMap<String, String> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = Names::new(STACK, job).mailbox(&"x".repeat(SECRET_LENGTH));
    world.sqs.create_queue().queue_name(name).set_tags(Some(tags)).send().await?;
    Ok(())
}
