//! The sweeper finds what every other teardown has missed.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use mayfly_model::names::{Names, SECRET_LENGTH};
use mayfly_model::tags;
use serde_json::json;

use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::made::Made;
use crate::support::sweep::{Turn, names, sweep, turn};
use crate::support::world::{STACK, World, job_arn};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const LONG_AHEAD: &str = "2100-01-01T00:00:00Z";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_in_turn("what_a_forgotten_job_has_left_is_torn_down", turn, a_forgotten_job),
        harness.trial_in_turn("what_a_forgotten_network_has_left_is_torn_down", turn, a_forgotten_network),
        harness.trial_in_turn("a_job_past_its_expiry_is_stopped", turn, an_expired_job),
        harness.trial_in_turn("a_sweep_goes_on_past_a_tag_that_is_no_id_and_says_so", turn, a_stray),
    ]
}

async fn a_forgotten_job(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    make_mailbox(&world, &job, LONG_AHEAD).await?;
    swept_and_torn_down(&world, &[&job]).await
}

/// Each of these jobs has but one part of a network left; a service, its group in a VPC that is not its own.
async fn a_forgotten_network(world: Arc<World>, base: String, _turn: Turn) -> Result<()> {
    let [of_vpc, of_gateway, of_address, of_nat, of_group] =
        ["vpc", "gateway", "address", "nat", "group"].map(|part| format!("{base}-{part}"));
    let arns = [&of_vpc, &of_gateway, &of_address, &of_nat, &of_group].map(|job| job_arn(job));
    let [arn_of_vpc, arn_of_gateway, arn_of_address, arn_of_nat, arn_of_group] = arns.each_ref();
    let tags = |job, arn| {
        [(tags::STACK, STACK), (tags::JOB, job), (tags::EXECUTION, arn), (tags::EXPIRY, LONG_AHEAD)]
    };
    let mut others = Made::nothing(&world);
    let vpc = others.vpc("10.9.0.0/16").await?;
    others.internet_gateway(Some(&vpc)).await?;
    let subnet = others.subnet(&vpc, "10.9.1.0/24", &world.zone().await?).await?;
    let address = others.address().await?;
    let mut jobs = Made::nothing(&world);
    jobs.tag(&tags(&of_vpc, arn_of_vpc));
    jobs.vpc("10.9.0.0/16").await?;
    jobs.tag(&tags(&of_gateway, arn_of_gateway));
    jobs.internet_gateway(None).await?;
    jobs.tag(&tags(&of_address, arn_of_address));
    jobs.address().await?;
    jobs.tag(&tags(&of_nat, arn_of_nat));
    jobs.nat_gateway(&subnet, &address).await?;
    jobs.tag(&tags(&of_group, arn_of_group));
    jobs.group(&vpc, "own").await?;
    swept_and_torn_down(&world, &[&of_vpc, &of_gateway, &of_address, &of_nat, &of_group]).await?;
    others.remove().await
}

/// Sweeps, and waits for the teardowns of these jobs.
async fn swept_and_torn_down(world: &World, jobs: &[&str]) -> Result<()> {
    let swept = sweep(world).await?;
    for job in jobs {
        assert!(names(&swept, "tornDown").contains(job), "{swept:#}");
        let teardowns = world.teardowns(job).await?;
        let [teardown] = teardowns.as_slice() else { panic!("{teardowns:#?}") };
        assert_eq!(teardown.caller, "sweep-expired");
        assert_eq!(world.ended(&teardown.arn).await?.status(), &ExecutionStatus::Succeeded);
        world.nothing_left(job).await?;
    }
    let again = sweep(world).await?;
    assert!(!jobs.iter().any(|job| names(&again, "tornDown").contains(job)), "{again:#}");
    Ok(())
}

async fn an_expired_job(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    let arn = world.start_job(&job, &command(&["sleep", "600"])).await?;
    assert!(world.entered(&arn, "DispatchJob").await?);
    let before = sweep(&world).await?;
    assert!(!names(&before, "stopped").contains(&job.as_str()), "{before:#}");
    make_mailbox(&world, &job, LONG_AGO).await?;
    let swept = sweep(&world).await?;
    assert!(names(&swept, "stopped").contains(&job.as_str()), "{swept:#}");
    let ended = world.ended(&arn).await?;
    assert_eq!((ended.status(), ended.error()), (&ExecutionStatus::Aborted, Some("Expired")));
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

/// Nobody knows what job this is of, so it stays; what another has left goes all the same.
async fn a_stray(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    let name = format!("{STACK}-{job}-stray");
    let tags = [(tags::STACK, STACK), (tags::JOB, "two words")];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let stray = world.sqs.create_queue().queue_name(name).set_tags(Some(tags.into())).send().await?;
    let stray = stray.queue_url.context("a queue has a URL")?;
    make_mailbox(&world, &job, LONG_AHEAD).await?;
    swept_and_torn_down(&world, &[&job]).await?;
    let swept = sweep(&world).await?;
    let words = format!("{stray} has the tag mayfly:job with \"two words\", which is no job's id");
    assert_eq!(swept["strays"], json!([words]), "{swept:#}");
    world.sqs.delete_queue().queue_url(stray).send().await?;
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
