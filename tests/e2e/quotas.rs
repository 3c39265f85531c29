//! A full quota is told at once, in words that say what to do, or waited for as long as the job's `queueMinutes` last.
//! In a new account, whose quotas the tests fill by calls of its root.

use std::sync::Arc;

use anyhow::{Result, ensure};
use aws_sdk_ec2::Error;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use futures_util::future::try_join;
use libtest_mimic::Trial;
use mayfly_common::error::Class;
use serde_json::{Value, json};

use crate::course;
use crate::harness::Harness;
use crate::made::Made;
use crate::private::{failure_of_network, private};
use crate::world::{World, states_entered, until};

/// A quota that jobs may wait for, as Service Quotas calls it.
struct Quota {
    /// EC2's code when it is full.
    code: &'static str,
    name: &'static str,
    number: &'static str,
}

const VPCS: Quota = Quota { code: "VpcLimitExceeded", name: "VPCs per Region", number: "L-F678F1CE" };
const INTERNET_GATEWAYS: Quota = Quota {
    code: "InternetGatewayLimitExceeded",
    name: "Internet gateways per Region",
    number: "L-A4707A72",
};
const ADDRESSES: Quota =
    Quota { code: "AddressLimitExceeded", name: "EC2-VPC Elastic IPs", number: "L-0263D0A3" };
const NAT_GATEWAYS: Quota = Quota {
    code: "NatGatewayLimitExceeded",
    name: "NAT gateways per Availability Zone",
    number: "L-FE5A380F",
};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_in_new_account("a_full_quota_of_vpcs", |world, base| async move {
            let mut made = Made::nothing(&world);
            let refusal = refused(async || made.vpc("10.9.0.0/16").await).await;
            told_or_waited_for(&world, &base, &VPCS, &refusal, made).await
        }),
        harness.trial_in_new_account("a_full_quota_of_internet_gateways", |world, base| async move {
            let mut made = Made::nothing(&world);
            let refusal = refused(async || made.internet_gateway(None).await).await;
            // It waits besides those that come to their end, and is stopped.
            let stopped = waits_without_an_address(&world, &base);
            let others = told_or_waited_for(&world, &base, &INTERNET_GATEWAYS, &refusal, made);
            try_join(stopped, others).await?;
            Ok(())
        }),
        harness.trial_in_new_account("a_full_quota_of_addresses", |world, base| async move {
            let mut made = Made::nothing(&world);
            let refusal = refused(async || made.address().await).await;
            told_or_waited_for(&world, &base, &ADDRESSES, &refusal, made).await
        }),
        harness.trial_in_new_account("a_full_quota_of_nat_gateways", |world, base| async move {
            let zone = world.zone().await?;
            let mut made = Made::nothing(&world);
            let vpc = made.vpc("10.9.0.0/16").await?;
            made.internet_gateway(Some(&vpc)).await?;
            let subnet = made.subnet(&vpc, "10.9.1.0/24", &zone).await?;
            let refusal = refused(async || {
                let address = made.address().await?;
                made.nat_gateway(&subnet, &address).await
            })
            .await;
            // The address of the one that was refused.
            made.remove_last().await?;
            told_or_waited_for(&world, &base, &NAT_GATEWAYS, &refusal, made).await
        }),
        harness.trial_in_new_account("a_full_quota_of_virtual_cpus", virtual_cpus),
    ]
}

/// Makes as many as the account may have, and gives the refusal of one more.
pub async fn refused(mut make: impl AsyncFnMut() -> Result<String, Error>) -> Error {
    loop {
        if let Err(error) = make().await {
            return error;
        }
    }
}

/// One job does not wait for the quota, and one does, until somebody takes away what he has `made`.
async fn told_or_waited_for(
    world: &World,
    base: &str,
    quota: &Quota,
    refusal: &Error,
    mut made: Made<'_>,
) -> Result<()> {
    ensure!(refusal.code() == Some(quota.code), "{refusal:?}");
    let (told, waits) = (format!("{base}-told"), format!("{base}-waits"));
    let told_arn = world.start_job(&told, &private(&["true"])).await?;
    let waits_arn = world.start_job(&waits, &waiting(private(&["true"]))).await?;

    let message = failure_of_network(world, &told, Class::QuotaExceeded).await?;
    for words in [quota.code, quota.name, quota.number, "the console of Service Quotas", "queueMinutes"] {
        assert!(message.contains(words), "{message}");
    }
    let events = world.history(&told_arn).await?;
    let refusals = events.iter().filter_map(|event| event.task_failed_event_details()?.error());
    assert_eq!(refusals.filter(|error| *error == "QuotaExceeded").count(), 1, "nothing is tried again");

    world.has_met(&waits_arn, "QuotaFull").await?;
    made.remove_last().await?;
    course::of(world, &waits).await?.result()?;
    made.remove().await
}

/// A job that waits for quotas.
fn waiting(mut document: Value) -> Value {
    document["queueMinutes"] = json!(30);
    document
}

/// A job that waits for an internet gateway gives its address back meanwhile, and leaves nothing when it is stopped.
async fn waits_without_an_address(world: &World, base: &str) -> Result<()> {
    let job = format!("{base}-stopped");
    let arn = world.start_job(&job, &waiting(private(&["true"]))).await?;
    ensure!(world.entered(&arn, "CreateAwaitedInternetGateway").await?, "it waits");
    let events = world.history(&arn).await?;
    assert!(states_entered(&events).any(|state| state == "AllocateAddress"));
    let mut belongings = world.belongings().await?;
    belongings.retain(|belonging| belonging.is_of(&job));
    let has = |prefix| belongings.iter().any(|belonging| belonging.id.starts_with(prefix));
    assert!(has("vpc-") && !has("eipalloc-") && !has("igw-"), "{belongings:#?}");
    world.stop_execution(&arn).await?;
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

/// Fargate's quota of vCPUs on demand is 6, and each of these jobs takes 4.
async fn virtual_cpus(world: Arc<World>, base: String) -> Result<()> {
    let document = |command: &[&str]| {
        json!({
            "container": { "cpu": 4096, "memoryMiB": 8192 },
            "capacity": "on-demand",
            "task": { "command": command },
        })
    };
    let [has, told, waits] = ["has", "told", "waits"].map(|what| format!("{base}-{what}"));
    let has_arn = world.start_job(&has, &document(&["sleep", "600"])).await?;
    until("a task", || async { Ok(course::tasks(&world, &has).await?.pop()) }).await?;
    let waits_arn = world.start_job(&waits, &waiting(document(&["true"]))).await?;
    world.start_job(&told, &document(&["true"])).await?;

    let course = course::of(&world, &told).await?;
    let failure = course.failure(Class::QuotaExceeded, Some(1))?;
    for words in ["limit on the number of vCPUs", "L-3032A538", "the console of Service Quotas"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    assert!(!course.has_waited_in_vain(), "it is told at once");
    world.has_met(&waits_arn, "QuotaExceeded").await?;
    world.stop_execution(&has_arn).await?;
    world.torn_down_by_rule(&has).await?;
    let course = course::of(&world, &waits).await?;
    assert_eq!(course.result()?.attempt, 1, "to wait is no attempt");
    assert_eq!(course.starts_and_launches().1, 1, "its service has waited");
    Ok(())
}
