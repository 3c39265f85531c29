//! Five jobs at once never see each other's messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use serde_json::json;

use crate::harness::Harness;
use crate::world::{self, World};

const JOBS: usize = 5;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("five_jobs_at_once_keep_to_themselves", five_jobs)]
}

async fn five_jobs(world: Arc<World>, base: String) -> Result<()> {
    let jobs: Vec<String> = (1..=JOBS).map(|n| format!("{base}-{n}")).collect();
    try_join_all(jobs.iter().map(|job| copy_a_file(&world, job))).await?;

    // What tells one job's messages from another's is each one's own.
    let records = try_join_all(jobs.iter().map(|job| world.record(job))).await?;
    for secret in ["mailbox", "nonce", "token", "taskArn"] {
        let different: BTreeSet<_> = records.iter().map(|record| &record[secret]).collect();
        assert_eq!(different.len(), JOBS, "{secret}: {different:#?}");
    }
    for job in &jobs {
        world.nothing_left(job).await?;
    }
    Ok(())
}

/// A job whose output is its own input.
async fn copy_a_file(world: &World, job: &str) -> Result<()> {
    let [from, to] = ["in.txt", "out.txt"].map(|file| format!("{job}/{file}"));
    let content = format!("the content of {job}");
    world.put(&from, ByteStream::from(content.clone().into_bytes())).await?;
    let document = json!({ "task": {
        "inputs": [{ "file": "in.txt", "from": format!("s3://mayfly-data/{from}") }],
        "command": ["cp", "in.txt", "out.txt"],
        "outputs": [{ "file": "out.txt", "to": format!("s3://mayfly-data/{to}") }]
    } });
    let execution = world.run_job(job, &document).await?;
    assert_eq!(execution.status(), &ExecutionStatus::Succeeded, "{job}");
    let outcome = world::outcome(&execution)?;
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    assert_eq!(String::from_utf8(world.get(&to).await?)?, content);
    // Its container took on one order, its own.
    let result = outcome.result.context("a success has a result")?;
    assert_eq!(world.record(job).await?["taskArn"], result.task_arn);
    let log = world.container_log(job).await?;
    assert_eq!(log.iter().filter(|line| line.contains("attempt started")).count(), 1, "{log:#?}");
    Ok(())
}
