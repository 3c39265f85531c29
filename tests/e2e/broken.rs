//! A local cloud that has lost a part of itself says so, and ends.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::support::harness::Harness;
use crate::support::processes::{Process, kill};
use crate::support::world::World;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_local_cloud_whose_ministack_has_died_says_what_to_do", ministack_dies)]
}

async fn ministack_dies(world: Arc<World>, _: String) -> Result<()> {
    let mut cloud = world
        .command("mayfly-cloud")
        .arg("--tools")
        .arg(&world.cloud().options().tools)
        .arg("up")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(cloud.stderr.take().context("standard error")?);
    // Its first line ends when MiniStack answers; the deployment takes longer than the kill.
    let mut told = String::new();
    output.read_line(&mut told).await?;
    ensure!(told.starts_with("Starting the local cloud ... "), "{told}");
    let cloud_id = cloud.id().context("it runs")?;
    let is_its_ministack = |process: &Process| {
        process.parent().is_some_and(|parent| parent.is(cloud_id))
            && process.command_line().contains("ministack")
    };
    let ministack = Process::all()?.find(is_its_ministack).context("the local cloud has no MiniStack")?;
    kill(&[ministack]).await?;
    output.read_to_string(&mut told).await?;
    assert_eq!(cloud.wait().await?.code(), Some(1), "{told}");
    let error = told.lines().find(|line| line.starts_with("Error: ")).context(told.clone())?;
    assert!(error.contains("MiniStack") && error.contains("SIGKILL"), "{error}");
    assert!(error.contains("start the local cloud again"), "{error}");
    Ok(())
}
