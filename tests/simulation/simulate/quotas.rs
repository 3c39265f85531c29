//! A full quota is told at once, in words that say what to do, or waited for as long as the job's `queueMinutes` last.
//! In a new account, whose quotas the tests fill by calls of its root.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_ec2::Error;
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use local_states::execution::Execution;
use mayfly_model::class::Class;
use mayfly_simulation::account::{JOB, Quotas};
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::{endless, works};
use crate::support::documents::{command, private};
use crate::support::history::{has_met, history, refusals, states_entered};
use crate::support::made::{Made, refused};
use crate::support::world::{Scene, World, scene};

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

/// A job beside the first one, whose id is [`JOB`].
const OTHER: &str = "job-1";
/// Two that run for ever.
const ENDLESS: [&str; 2] = ["job-2", "job-3"];

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_full_quota_of_vpcs_is_told_or_waited_for", vpcs),
        behaviour("a_full_quota_of_internet_gateways_is_told_or_waited_for", internet_gateways),
        behaviour("a_full_quota_of_addresses_is_told_or_waited_for", addresses),
        behaviour("a_full_quota_of_nat_gateways_is_told_or_waited_for", nat_gateways),
        behaviour("a_full_quota_of_virtual_cpus_is_told_or_waited_for", virtual_cpus),
        behaviour("a_job_that_waits_for_an_internet_gateway_has_no_address", waits_without_an_address),
        behaviour("a_job_whose_queue_minutes_are_over_waits_no_longer", queue_minutes),
        behaviour("a_job_waits_for_virtual_cpus_no_longer_than_its_queue_minutes", minutes_for_virtual_cpus),
    ]
}

async fn vpcs() -> Result<()> {
    let world = scene().begin().await?;
    let mut made = Made::nothing(&world);
    let refusal = refused(async || made.vpc("10.9.0.0/16").await).await;
    told_or_waited_for(world, &VPCS, &refusal, made).await
}

async fn internet_gateways() -> Result<()> {
    let world = scene().begin().await?;
    let mut made = Made::nothing(&world);
    let refusal = refused(async || made.internet_gateway(None).await).await;
    told_or_waited_for(world, &INTERNET_GATEWAYS, &refusal, made).await
}

async fn addresses() -> Result<()> {
    let world = scene().begin().await?;
    let mut made = Made::nothing(&world);
    let refusal = refused(async || made.address().await).await;
    told_or_waited_for(world, &ADDRESSES, &refusal, made).await
}

/// The gateways of a full quota hold five addresses, and without two more none would be left for the jobs that are to meet
/// it.
async fn nat_gateways() -> Result<()> {
    let usual = Quotas::default();
    let ec2 = local_ec2::Quotas { addresses: usual.ec2.addresses + 2, ..usual.ec2 };
    let world = scene().quotas(Quotas { ec2, ..usual }).begin().await?;
    let mut made = Made::nothing(&world);
    let vpc = made.vpc("10.9.0.0/16").await?;
    made.internet_gateway(Some(&vpc)).await?;
    let subnet = made.subnet(&vpc, "10.9.1.0/24").await?;
    let refusal = refused(async || {
        let address = made.address().await?;
        made.nat_gateway(&subnet, &address).await
    })
    .await;
    // The address of the one that was refused.
    made.remove_last(&world).await?;
    told_or_waited_for(world, &NAT_GATEWAYS, &refusal, made).await
}

/// One job does not wait for the quota, and one does, until somebody takes away what he has `made`.
async fn told_or_waited_for(mut world: World, quota: &Quota, refusal: &Error, mut made: Made) -> Result<()> {
    ensure!(refusal.code() == Some(quota.code), "{refusal:?}");
    world.run.disregard().await?;
    world.start(JOB, &private()).await?;
    let waits = world.start(OTHER, &waiting(private(), 30)).await?;
    refused_for(&world, quota).await?;
    world.has_met(&waits, "QuotaFull").await?;
    made.remove_last(&world).await?;
    world.course(OTHER).await?.result()?;
    made.remove(&world).await?;
    world.finish().await
}

/// A job that waits for quotas so long.
fn waiting(mut document: Value, minutes: u32) -> Value {
    document["queueMinutes"] = json!(minutes);
    document
}

/// Makes sure that the job has failed for this quota, in words that say what to do, and has not tried again.
async fn refused_for(world: &World, quota: &Quota) -> Result<()> {
    let course = world.course(JOB).await?;
    let message = &course.failure(Class::QuotaExceeded, None)?.message;
    for words in [quota.code, quota.name, quota.number, "the console of Service Quotas", "queueMinutes"] {
        assert!(message.contains(words), "{message}");
    }
    let refusals = refusals(&course.events).filter(|refusal| refusal.error == Class::QuotaExceeded.name());
    assert_eq!(refusals.count(), 1, "nothing is tried again");
    Ok(())
}

/// A job that waits for an internet gateway gives its address back meanwhile, and leaves nothing when it is stopped.
async fn waits_without_an_address() -> Result<()> {
    for state in ["ReleaseAddress", "CreateAwaitedInternetGateway", "AwaitAddress"] {
        let mut world = scene().begin().await?;
        let mut made = Made::nothing(&world);
        refused(async || made.internet_gateway(None).await).await;
        world.run.disregard().await?;
        let execution = world.start(JOB, &waiting(private(), 30)).await?;
        if state != "ReleaseAddress" {
            world.entered(&execution, "CreateAwaitedInternetGateway").await?;
            let left = world.run.left().await?;
            let has = |kind| left.iter().any(|what| what.starts_with(kind));
            assert!(has("vpc ") && !has("address ") && !has("internet gateway "), "{left:#?}");
        }
        if state == "AwaitAddress" {
            made.remove_last(&world).await?;
        }
        world.entered(&execution, state).await?;
        assert!(states_entered(&history(&execution)).any(|state| state == "AllocateAddress"));
        world.run.stop(JOB);
        made.remove(&world).await?;
        world.finish().await?;
    }
    Ok(())
}

/// Fargate's quota of vCPUs on demand is 6, and two jobs take them all. Of those that wait, one does so with a network of
/// its own.
async fn virtual_cpus() -> Result<()> {
    let ([large, small], public, own) = (ENDLESS, OTHER, "job-4");
    let mut world = some_endless().begin().await?;
    takes(&mut world, large, 4).await?;
    takes(&mut world, small, 2).await?;
    let document = on_demand(1);
    let mut in_own_network = document.clone();
    in_own_network["network"] = private()["network"].take();
    for (job, document) in [(public, document.clone()), (own, in_own_network)] {
        world.start(job, &waiting(document, 30)).await?;
    }
    world.start(JOB, &document).await?;

    let course = world.course(JOB).await?;
    let failure = course.failure(Class::QuotaExceeded, Some(1))?;
    for words in ["limit on the number of vCPUs", "L-3032A538", "the console of Service Quotas"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    assert!(!course.has_waited_in_vain(), "it is told at once");
    for job in [public, own] {
        let execution = world.run.job(job).context("it was started")?;
        world.has_met(&execution, Class::QuotaExceeded.name()).await?;
    }
    for job in [large, small] {
        world.run.stop(job);
    }
    for job in [public, own] {
        let course = world.course(job).await?;
        assert_eq!(course.result()?.attempt, 1, "to wait is no attempt");
        assert_eq!(course.starts_and_launches().1, 1, "its service has waited");
    }
    world.finish().await
}

/// A job on demand with so many vCPUs.
fn on_demand(vcpus: u32) -> Value {
    let mut document = command();
    document["container"] = json!({ "cpu": vcpus * 1024, "memoryMiB": vcpus * 2048 });
    document["capacity"] = "on-demand".into();
    document
}

/// A scene in which two jobs run for ever.
fn some_endless() -> Scene {
    scene().containers(|order| if ENDLESS.contains(&&*order.job) { endless() } else { works(5) })
}

/// Starts a job that runs for ever, and waits for its task.
async fn takes(world: &mut World, job: &str, vcpus: u32) -> Result<()> {
    world.start(job, &on_demand(vcpus)).await?;
    world.until("a task", async || Ok(world.tasks(job).await?.pop())).await?;
    Ok(())
}

async fn queue_minutes() -> Result<()> {
    let mut world = scene().begin().await?;
    let mut made = Made::nothing(&world);
    let refusal = refused(async || made.vpc("10.9.0.0/16").await).await;
    ensure!(refusal.code() == Some(VPCS.code), "{refusal:?}");
    world.run.disregard().await?;
    // The truth has a full quota only where there is another job; this one does without a network.
    world.start(OTHER, &command()).await?;
    let execution = world.start(JOB, &waiting(private(), 1)).await?;
    refused_for(&world, &VPCS).await?;
    has_waited_a_minute(&execution)?;
    assert!(has_met(&history(&execution), "QuotaFull"));
    made.remove(&world).await?;
    world.finish().await
}

async fn minutes_for_virtual_cpus() -> Result<()> {
    let [has, _] = ENDLESS;
    let mut world = some_endless().begin().await?;
    takes(&mut world, has, 4).await?;
    let execution = world.start(JOB, &waiting(on_demand(4), 1)).await?;
    let course = world.course(JOB).await?;
    let failure = course.failure(Class::QuotaExceeded, Some(1))?;
    for words in ["vCPUs", "the console of Service Quotas"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    has_waited_a_minute(&execution)?;
    assert_eq!(course.starts_and_launches().1, 1, "its service has waited");
    assert!(course.tasks.is_empty());
    world.run.stop(has);
    world.finish().await
}

fn has_waited_a_minute(execution: &Execution) -> Result<()> {
    let (_, ended) = execution.ending().context("it has ended")?;
    let seconds = ended.duration_since(execution.started).as_secs_f64();
    ensure!(seconds >= 60.0, "it has ended after {seconds} s");
    Ok(())
}
