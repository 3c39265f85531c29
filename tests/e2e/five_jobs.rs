//! Five jobs at once never see each other's messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use mayfly_model::record::Stored;
use serde_json::json;

use crate::support::account::SPARE_ADDRESSES;
use crate::support::course;
use crate::support::documents::{by_egress, private};
use crate::support::harness::Harness;
use crate::support::history::{has_met, refusals};
use crate::support::made::{self, Made};
use crate::support::world::{self, World};

const JOBS: usize = 5;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("five_jobs_at_once_keep_to_themselves", five_jobs),
        harness.trial("five_jobs_with_ipv6_at_once_wait_for_nobody", five_with_ipv6),
        harness.trial_in_new_account(
            "five_private_jobs_at_once_share_a_new_account",
            |world, base| async move {
                let mut spare = Made::nothing(&world);
                for _ in 0..SPARE_ADDRESSES {
                    spare.address().await?;
                }
                five_private_jobs(&world, &base).await?;
                spare.remove().await
            },
        ),
        harness.trial_in_new_account(
            "five_private_jobs_at_once_share_what_is_left",
            |world, base| async move {
                // There is room for three VPCs. Of them only two can have a gateway, and only two an address.
                let (mut gateways, mut addresses) = (Made::nothing(&world), Made::nothing(&world));
                made::refused(async || gateways.internet_gateway(None).await).await;
                made::refused(async || addresses.address().await).await;
                for made in [&mut gateways, &mut addresses] {
                    made.remove_last().await?;
                    made.remove_last().await?;
                }
                five_private_jobs(&world, &base).await?;
                gateways.remove().await?;
                addresses.remove().await
            },
        ),
    ]
}

async fn five_jobs(world: Arc<World>, base: String) -> Result<()> {
    let jobs: Vec<String> = (1..=JOBS).map(|n| format!("{base}-{n}")).collect();
    let tasks = try_join_all(jobs.iter().map(|job| copy_a_file(&world, job))).await?;
    assert_eq!(BTreeSet::from_iter(&tasks).len(), JOBS, "{tasks:#?}");

    // What tells one job's messages from another's is each one's own.
    let records = try_join_all(jobs.iter().map(|job| world.record(job))).await?;
    for secret in ["mailbox", "nonce", "token"] {
        let different: BTreeSet<_> = records.iter().map(|record| &record[secret]).collect();
        assert_eq!(different.len(), JOBS, "{secret}: {different:#?}");
    }
    for job in &jobs {
        world.nothing_left(job).await?;
    }
    Ok(())
}

/// Runs a job whose output is its own input, and gives the task that it ran in.
async fn copy_a_file(world: &World, job: &str) -> Result<String> {
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
    let result = outcome.end.result().context("a success has a result")?;
    let stored: Stored = serde_json::from_str(&world.record(job).await?["result"])?;
    assert_eq!(stored.task_arn.as_ref(), Some(&result.task_arn));
    let log = world.container_log(job).await?;
    assert_eq!(log.iter().filter(|line| line.contains("assignment taken on")).count(), 1, "{log:#?}");
    Ok(result.task_arn.clone())
}

/// Nothing that they need is short but VPCs, of which a new account has room for three: none meets a quota or a throttle, so
/// that each takes as long as one alone, but for this machine's own time.
async fn five_with_ipv6(world: Arc<World>, base: String) -> Result<()> {
    let run = async |name: String| {
        let job = format!("{base}-{name}");
        world.start_job(&job, &by_egress("ipv6", &["true"])).await?;
        let course = course::of(&world, &job).await?;
        course.result()?;
        let refused = refusals(&course.events).map(|refusal| refusal.error.to_owned());
        // The VPC's addresses are waited for by one as by five.
        let waited: Vec<_> =
            refused.filter(|error| error != "BlockPending" && error != "StillInUse").collect();
        assert!(waited.is_empty(), "{job}: {waited:?}");
        anyhow::Ok(())
    };
    try_join_all((1..=JOBS).map(|n| run(n.to_string()))).await?;
    Ok(())
}

/// Not all of them can have what they need at once: some wait, none for ever.
async fn five_private_jobs(world: &World, base: &str) -> Result<()> {
    let mut document = private(&["true"]);
    document["queueMinutes"] = json!(30);
    let run = async |n: usize| {
        let job = format!("{base}-{n}");
        world.start_job(&job, &document).await?;
        let course = course::of(world, &job).await?;
        course.result()?;
        anyhow::Ok(has_met(&course.events, "QuotaFull"))
    };
    let have_waited = try_join_all((1..=JOBS).map(run)).await?;
    assert!(have_waited.contains(&true));
    Ok(())
}
