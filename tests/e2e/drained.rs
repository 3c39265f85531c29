//! A stack is deleted only when nothing of any job is left: what nobody tears down any more bills for ever.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::support::cli::mayfly;
use crate::support::documents::private;
use crate::support::harness::Harness;
use crate::support::world::{World, machine_of, repository};

/// A stack of its own, which does not outlive the test.
const LEAVING: &str = "mayfly-leaving";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_stack_with_a_running_job_is_drained_and_deleted", a_running_job)]
}

/// As `make delete ARGS=--stop` does.
async fn a_running_job(world: Arc<World>, job: String) -> Result<()> {
    world.cloud().deploy(repository(), LEAVING, &[]).await?;
    let arn = world.try_start(&machine_of(LEAVING, "run-job"), &job, &private(&["sleep", "600"])).await?;
    ensure!(world.entered(&arn, "AwaitNatGateway").await?, "the job has a NAT gateway");

    let drained = mayfly(&world, &["drain", "--stack", LEAVING, "--stop"]).await?;
    assert_eq!(drained.code, Some(0), "{}{}", drained.output, drained.error);
    assert!(drained.output.starts_with(&format!("stopping {job}\n")), "{}", drained.output);
    world.nothing_left(&job).await?;

    let deleted =
        world.command("sam").args(["delete", "--no-prompts", "--stack-name", LEAVING]).output().await?;
    ensure!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let gone = mayfly(&world, &["drain", "--stack", LEAVING]).await?;
    assert!(gone.error.contains("there is no stack"), "{}{}", gone.output, gone.error);
    world.nothing_left(&job).await
}
