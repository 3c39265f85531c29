//! Signed URLs expire for real, and a job that outlives them several times over delivers all the same: as a job of 24
//! hours does, with the clocks shortened.
//!
//! Who enforces what here: the local S3 refuses a GET past its `X-Amz-Expires` ("Request has expired") and a POST past its
//! policy's `expiration` ("Policy expired."), as S3 does. It also refuses a session that has expired (`ExpiredToken`), but
//! no session of STS is shorter than 15 minutes: that a worker takes this for an expired URL too is tested with a server
//! that says so, in `container/tests/worker/download.rs`.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use mayfly_model::names::Names;

use crate::support::documents::{CONTENT, copy};
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY, URL_LIFETIME, no_room_yet};
use crate::support::played::Played;
use crate::support::world::World;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_job_that_outlives_its_urls_delivers", outlives)]
}

/// The input's URL expires before the container has come, and as much time passes again before there is an output.
async fn outlives(world: Arc<World>, job: String) -> Result<()> {
    hasty::deployed(&world).await?;
    let seconds = URL_LIFETIME.as_secs() + 1;
    let document = copy(&world, &job, &format!("sleep {seconds}; cp in.txt out.txt")).await?;
    let played = Played::begin_with(&world, HASTY, &job, &document, no_room_yet()).await?;
    let result = played.succeeded().await?;
    assert_eq!((result.attempt, result.outputs[0].bytes), (1, CONTENT.len() as u64));
    assert_eq!(String::from_utf8(world.get(&format!("{job}/out.txt")).await?)?, CONTENT);
    assert!(played.count_in_log("urls sent").await? >= 2, "for the input and for the output");
    let log = world.log_of(HASTY, "jobs", &format!("{}/", Names::new(HASTY, &job).base())).await?;
    let has_asked = log.iter().any(|line| line.contains("signature refused, asking for a fresh one"));
    assert!(has_asked, "the worker has met an expired URL: {log:#?}");
    Ok(())
}
