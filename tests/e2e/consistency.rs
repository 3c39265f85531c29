//! A network is made and deleted all the same while EC2 does not know everywhere what it has just made, and while it
//! lets only so many calls pass.

use std::sync::Arc;

use anyhow::Result;
use aws_sdk_ec2::config::retry::RetryConfig;
use futures_util::future::try_join;
use libtest_mimic::Trial;
use local_ec2::Fault;
use serde_json::json;

use crate::course;
use crate::harness::Harness;
use crate::private::private;
use crate::world::{World, has_met, until};

/// So many that the pause between two looks does not matter.
const CALLS_PER_LOOK: usize = 50;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("what_is_not_seen_at_once_is_waited_for", not_seen),
        harness.trial("calls_that_are_throttled_are_made_again", throttled),
    ]
}

/// Nothing of the job is seen for a while after its creation, by any call.
async fn not_seen(world: Arc<World>, job: String) -> Result<()> {
    world.cloud().ec2_faults().add(&job, Fault::Unseen { seconds: 8 });
    let mut document = private(&["true"]);
    document["network"]["egressPorts"] = json!([80, 443]);
    world.start_job(&job, &document).await?;
    let course = course::of(&world, &job).await?;
    course.result()?;
    assert!(has_met(&course.events, "NotVisibleYet"));
    Ok(())
}

/// Somebody else's calls leave the jobs none, until each kind of call of theirs was refused.
async fn throttled(world: Arc<World>, base: String) -> Result<()> {
    let jobs = [1, 2].map(|n| format!("{base}-{n}"));
    for job in &jobs {
        world.start_job(job, &private(&["true"])).await?;
    }
    // One that takes no for an answer. The calls are wrong, and count all the same.
    let config = world.ec2.config().to_builder().retry_config(RetryConfig::disabled()).build();
    let ec2 = aws_sdk_ec2::Client::from_conf(config);
    let make_endpoint = || ec2.create_vpc_endpoint().vpc_id("vpc-0").service_name("none").send();
    let make_gateway = || ec2.create_nat_gateway().subnet_id("subnet-0").send();
    try_join(
        exhaust(&world, "ec2:CreateVpcEndpoint", async || _ = make_endpoint().await),
        exhaust(&world, "ec2:CreateNatGateway", async || _ = make_gateway().await),
    )
    .await?;
    for job in &jobs {
        course::of(&world, job).await?.result()?;
    }
    Ok(())
}

/// Calls so often that a function's call is refused.
async fn exhaust(world: &World, action: &str, call: impl AsyncFn()) -> Result<()> {
    let before = world.cloud().calls().snapshot().len();
    until(&format!("a function's {action} to be refused"), || async {
        for _ in 0..CALLS_PER_LOOK {
            call().await;
        }
        let calls = world.cloud().calls().snapshot().into_iter().skip(before);
        let mut refused =
            calls.filter(|call| call.action == action && call.outcome == "RequestLimitExceeded");
        Ok(refused.any(|call| call.caller.contains(":assumed-role/")).then_some(()))
    })
    .await
}
