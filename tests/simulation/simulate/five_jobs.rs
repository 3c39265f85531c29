//! Five jobs at once never see each other's messages.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use mayfly_model::record::Stored;
use mayfly_simulation::account::Quotas;
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::documents::{by_egress, private};
use crate::support::history::{has_met, refusals};
use crate::support::made::{Made, refused};
use crate::support::world::{World, scene};

const JOBS: [&str; 5] = ["job-0", "job-1", "job-2", "job-3", "job-4"];

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("five_jobs_at_once_keep_to_themselves", five_jobs),
        behaviour("five_jobs_with_ipv6_at_once_wait_for_nobody", five_with_ipv6),
        behaviour("five_private_jobs_at_once_share_a_new_account", share_a_new_account),
        behaviour("five_private_jobs_at_once_share_what_is_left", share_what_is_left),
    ]
}

async fn five_jobs() -> Result<()> {
    let mut world = scene().begin().await?;
    for job in JOBS {
        let document = json!({ "task": {
            "inputs": [{ "file": "in.txt", "from": format!("s3://mayfly-data/{job}/in.txt") }],
            "command": ["cp", "in.txt", "out.txt"],
            "outputs": [{ "file": "out.txt", "to": format!("s3://mayfly-data/{job}/out.txt") }]
        } });
        world.start(job, &document).await?;
    }
    let mut tasks = BTreeSet::new();
    let mut secrets: BTreeSet<(&str, String)> = BTreeSet::new();
    for job in JOBS {
        let course = world.course(job).await?;
        let result = course.result()?;
        assert_eq!(course.outcome.receipt.created.len(), 5, "{:#?}", course.outcome.receipt);
        let record = world.record(job).await?.context("a record")?;
        let text = |name: &str| record.get(name).and_then(|value| value.as_s().ok()).cloned();
        let stored: Stored = serde_json::from_str(&text("result").context("a result")?)?;
        assert_eq!(stored.task_arn.as_ref(), Some(&result.task_arn));
        // What tells one job's messages from another's is each one's own.
        for name in ["mailbox", "nonce", "token"] {
            secrets.insert((name, text(name).with_context(|| name.to_owned())?));
        }
        keeps_to_itself(&world, job);
        tasks.insert(result.task_arn.clone());
    }
    assert_eq!((tasks.len(), secrets.len()), (JOBS.len(), 3 * JOBS.len()), "{tasks:#?} {secrets:#?}");
    world.finish().await
}

/// The job's container took on one order, its own, and used no file of another's.
fn keeps_to_itself(world: &World, job: &str) {
    let lives = world.run.stage.truth().lives();
    let own = lives.values().filter(|life| life.job.as_deref() == Some(job));
    let starts: Vec<_> = own.flat_map(|life| &life.starts).collect();
    let [start] = starts[..] else { panic!("{starts:#?}") };
    assert_eq!(start.job, job);
    let folder = format!("{job}/");
    assert_eq!((start.signed.len(), start.stored.len()), (2, 1), "{start:#?}");
    let mut places =
        start.signed.iter().map(|signed| &signed.place).chain(start.stored.iter().map(|s| &s.place));
    assert!(places.all(|place| place.contains(&folder)), "{start:#?}");
}

/// Nothing that they need is short: none meets a quota or a throttle, so that each takes as long as one alone.
async fn five_with_ipv6() -> Result<()> {
    let usual = Quotas::default();
    let ec2 = local_ec2::Quotas { vpcs: 100, egress_only_gateways: 100, ..usual.ec2 };
    let mut world = scene().quotas(Quotas { ec2, functions: 1000, ..usual }).begin().await?;
    for job in JOBS {
        world.start(job, &by_egress("ipv6")).await?;
    }
    for job in JOBS {
        let course = world.course(job).await?;
        course.result()?;
        let refused = refusals(&course.events).map(|refusal| refusal.error.to_owned());
        // What is new, and the VPC's addresses, are waited for by one as by five.
        let by_one = ["BlockPending", "NotVisibleYet", "StillInUse"];
        let waited: Vec<_> = refused.filter(|error| !by_one.contains(&&**error)).collect();
        assert!(waited.is_empty(), "{job}: {waited:?}");
    }
    world.finish().await
}

async fn share_a_new_account() -> Result<()> {
    let mut world = scene().begin().await?;
    five_private_jobs(&mut world).await?;
    world.finish().await
}

/// There is room for three VPCs. Of them only two can have a gateway, and only two an address.
async fn share_what_is_left() -> Result<()> {
    let mut world = scene().begin().await?;
    let (mut gateways, mut addresses) = (Made::nothing(&world), Made::nothing(&world));
    refused(async || gateways.internet_gateway(None).await).await;
    refused(async || addresses.address().await).await;
    for made in [&mut gateways, &mut addresses] {
        made.remove_last(&world).await?;
        made.remove_last(&world).await?;
    }
    world.run.disregard().await?;
    five_private_jobs(&mut world).await?;
    gateways.remove(&world).await?;
    addresses.remove(&world).await?;
    world.finish().await
}

/// Not all of them can have what they need at once: some wait, none for ever.
async fn five_private_jobs(world: &mut World) -> Result<()> {
    let mut document: Value = private();
    document["queueMinutes"] = json!(30);
    for job in JOBS {
        world.start(job, &document).await?;
    }
    let mut has_waited = false;
    for job in JOBS {
        let course = world.course(job).await?;
        course.result()?;
        has_waited |= has_met(&course.events, "QuotaFull");
    }
    assert!(has_waited);
    Ok(())
}
