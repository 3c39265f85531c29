//! A full quota is told at once, in words that say what to do, or waited for as long as the job's `queueMinutes` last.
//! In a new account, whose quotas the tests fill by calls of its root.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_ec2::Error;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use futures_util::future::try_join;
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use serde_json::{Value, json};

use crate::support::course;
use crate::support::documents::private;
use crate::support::harness::Harness;
use crate::support::history::{has_met, refusals, states_entered};
use crate::support::made::{Made, refused};
use crate::support::world::{World, job_arn, until};

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
        harness.trial_in_new_account(
            "a_full_quota_of_vpcs_is_told_or_waited_for",
            |world, base| async move {
                let mut made = Made::nothing(&world);
                let refusal = refused(async || made.vpc("10.9.0.0/16").await).await;
                told_or_waited_for(&world, &base, &VPCS, &refusal, made).await
            },
        ),
        harness.trial_in_new_account(
            "a_full_quota_of_internet_gateways_is_told_or_waited_for",
            |world, base| async move {
                let mut made = Made::nothing(&world);
                let refusal = refused(async || made.internet_gateway(None).await).await;
                // It waits besides those that come to their end, and is stopped.
                let stopped = waits_without_an_address(&world, &base);
                let others = told_or_waited_for(&world, &base, &INTERNET_GATEWAYS, &refusal, made);
                try_join(stopped, others).await?;
                Ok(())
            },
        ),
        harness.trial_in_new_account(
            "a_full_quota_of_addresses_is_told_or_waited_for",
            |world, base| async move {
                let mut made = Made::nothing(&world);
                let refusal = refused(async || made.address().await).await;
                told_or_waited_for(&world, &base, &ADDRESSES, &refusal, made).await
            },
        ),
        harness.trial_in_new_account(
            "a_full_quota_of_nat_gateways_is_told_or_waited_for",
            |world, base| async move {
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
            },
        ),
        harness.trial_in_new_account("a_full_quota_of_virtual_cpus_is_told_or_waited_for", virtual_cpus),
        harness.trial_in_new_account("a_job_whose_queue_minutes_are_over_waits_no_longer", queue_minutes),
    ]
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
    world.start_job(&told, &private(&["true"])).await?;
    let waits_arn = world.start_job(&waits, &waiting(private(&["true"]), 30)).await?;
    refused_for(world, &told, quota).await?;
    world.has_met(&waits_arn, "QuotaFull").await?;
    made.remove_last().await?;
    course::of(world, &waits).await?.result()?;
    made.remove().await
}

/// A job that waits for quotas so long.
fn waiting(mut document: Value, minutes: u32) -> Value {
    document["queueMinutes"] = json!(minutes);
    document
}

/// Makes sure that the job has failed for this quota, in words that say what to do, and has not tried again.
async fn refused_for(world: &World, job: &str, quota: &Quota) -> Result<()> {
    let message = course::failure_of_network(world, job, Class::QuotaExceeded).await?;
    for words in [quota.code, quota.name, quota.number, "the console of Service Quotas", "queueMinutes"] {
        assert!(message.contains(words), "{message}");
    }
    let events = world.history(&job_arn(job)).await?;
    let refusals = refusals(&events).filter(|refusal| refusal.error == Class::QuotaExceeded.name());
    assert_eq!(refusals.count(), 1, "nothing is tried again");
    Ok(())
}

/// A job that waits for an internet gateway gives its address back meanwhile, and leaves nothing when it is stopped.
async fn waits_without_an_address(world: &World, base: &str) -> Result<()> {
    let job = format!("{base}-stopped");
    let arn = world.start_job(&job, &waiting(private(&["true"]), 30)).await?;
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

/// Fargate's quota of vCPUs on demand is 6, and two jobs take them all. Of those that wait, one does so with a network of
/// its own.
async fn virtual_cpus(world: Arc<World>, base: String) -> Result<()> {
    let [large, small, told, public, own] =
        ["large", "small", "told", "public", "private"].map(|what| format!("{base}-{what}"));
    let (large_arn, small_arn) = try_join(takes(&world, &large, 4), takes(&world, &small, 2)).await?;
    let document = on_demand(1, &["true"]);
    let mut in_own_network = document.clone();
    in_own_network["network"] = private(&[])["network"].take();
    for (job, document) in [(&public, document.clone()), (&own, in_own_network)] {
        world.start_job(job, &waiting(document, 30)).await?;
    }
    world.start_job(&told, &document).await?;

    let course = course::of(&world, &told).await?;
    let failure = course.failure(Class::QuotaExceeded, Some(1))?;
    for words in ["limit on the number of vCPUs", "L-3032A538", "the console of Service Quotas"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    assert!(!course.has_waited_in_vain(), "it is told at once");
    for job in [&public, &own] {
        world.has_met(&job_arn(job), Class::QuotaExceeded.name()).await?;
    }
    for (job, arn) in [(&large, large_arn), (&small, small_arn)] {
        world.stop_execution(&arn).await?;
        world.torn_down_by_rule(job).await?;
    }
    for job in [&public, &own] {
        let course = course::of(&world, job).await?;
        assert_eq!(course.result()?.attempt, 1, "to wait is no attempt");
        assert_eq!(course.starts_and_launches().1, 1, "its service has waited");
    }
    Ok(())
}

/// A job on demand with so many vCPUs.
fn on_demand(vcpus: u32, command: &[&str]) -> Value {
    json!({
        "container": { "cpu": vcpus * 1024, "memoryMiB": vcpus * 2048 },
        "capacity": "on-demand",
        "task": { "command": command },
    })
}

/// Starts a job that runs for ever, and waits for its task.
async fn takes(world: &World, job: &str, vcpus: u32) -> Result<String> {
    let arn = world.start_job(job, &on_demand(vcpus, &["sleep", "600"])).await?;
    until("a task", || async { Ok(course::tasks(world, job).await?.pop()) }).await?;
    Ok(arn)
}

/// The shortest wait that a job can ask for is a minute of real time, since functions look at the real clock.
async fn queue_minutes(world: Arc<World>, base: String) -> Result<()> {
    let [network, has, waits] = ["network", "has", "waits"].map(|what| format!("{base}-{what}"));
    let for_network = async {
        let mut made = Made::nothing(&world);
        let refusal = refused(async || made.vpc("10.9.0.0/16").await).await;
        ensure!(refusal.code() == Some(VPCS.code), "{refusal:?}");
        let execution = world.run_job(&network, &waiting(private(&["true"]), 1)).await?;
        refused_for(&world, &network, &VPCS).await?;
        has_waited_a_minute(&execution)?;
        assert!(has_met(&world.history(execution.execution_arn()).await?, "QuotaFull"));
        made.remove().await
    };
    let for_virtual_cpus = async {
        let has_arn = takes(&world, &has, 4).await?;
        let execution = world.run_job(&waits, &waiting(on_demand(4, &["true"]), 1)).await?;
        let course = course::of(&world, &waits).await?;
        let failure = course.failure(Class::QuotaExceeded, Some(1))?;
        for words in ["vCPUs", "the console of Service Quotas"] {
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        has_waited_a_minute(&execution)?;
        assert_eq!(course.starts_and_launches().1, 1, "its service has waited");
        assert!(course.tasks.is_empty());
        world.stop_execution(&has_arn).await?;
        world.torn_down_by_rule(&has).await
    };
    try_join(for_network, for_virtual_cpus).await?;
    Ok(())
}

fn has_waited_a_minute(execution: &DescribeExecutionOutput) -> Result<()> {
    let ended = execution.stop_date().context("it has ended")?.as_secs_f64();
    let seconds = ended - execution.start_date().as_secs_f64();
    ensure!(seconds >= 60.0, "it has ended after {seconds} s");
    Ok(())
}
