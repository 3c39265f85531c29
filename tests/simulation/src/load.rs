//! What a Region carries: many jobs in one account, which come in bursts and wait for room.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::Result;
use local_aws::calls::Call;
use local_states::execution::Status;
use mayfly_stand_ins::sqs::DELETION;
use serde_json::json;

use crate::account::Quotas;
use crate::draw;
use crate::left;
use crate::run::{STACK, account, start};

/// How many jobs come at once, and how often.
const BURST: usize = 50;
const BURSTS_APART: Duration = Duration::from_mins(15);
/// How long a job may wait for room, in minutes.
const QUEUE_MINUTES: u32 = 120;
/// How many vCPUs the account has, of which each job takes one: those of an account that has been used a little.
const VCPUS: u32 = 20;
/// How many functions run at a time (Lambda developer guide, "Lambda quotas").
const FUNCTIONS: usize = 1000;
/// How often it is looked whether all have ended.
const LOOK: Duration = Duration::from_mins(1);

/// What `jobs` jobs came to.
#[derive(Debug)]
pub struct Load {
    jobs: usize,
    /// How long all of them took.
    took: Duration,
    /// The longest that one took, waiting included.
    longest: Duration,
    by_status: BTreeMap<String, usize>,
    /// By action: all calls, the most of them within a minute, and those that were throttled.
    calls: BTreeMap<String, (usize, usize, usize)>,
    /// What was left.
    pub left: BTreeSet<String>,
}

impl Load {
    /// Whether every job succeeded and nothing is left.
    pub fn is_carried(&self) -> bool {
        self.left.is_empty() && self.by_status.get("Succeeded") == Some(&self.jobs)
    }
}

impl Display for Load {
    #[expect(clippy::cast_precision_loss, reason = "calls are counted in thousands")]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { jobs, took, longest, by_status, calls, left } = self;
        writeln!(f, "{:<48} {:>9} {:>13} {:>10}", "call", "per job", "most a minute", "throttled")?;
        for (action, (all, most, throttled)) in calls {
            let per_job = *all as f64 / *jobs as f64;
            writeln!(f, "{action:<48} {per_job:>9.2} {most:>13} {throttled:>10}")?;
        }
        let (hours, longest) = (took.as_secs_f64() / 3600.0, longest.as_secs_f64() / 60.0);
        writeln!(
            f,
            "{VCPUS} vCPUs of Fargate and as many of Fargate Spot, {FUNCTIONS} functions at a time; {BURST} jobs \
             of one vCPU every {} minutes",
            BURSTS_APART.as_secs() / 60
        )?;
        for (status, count) in by_status {
            write!(f, "{count} {status}, ")?;
        }
        writeln!(f, "in {hours:.1} hours; the longest took {longest:.0} minutes; {} left", left.len())?;
        left.iter().try_for_each(|what| writeln!(f, "left: {what}"))
    }
}

/// Runs `jobs` jobs.
///
/// # Errors
/// Where the account could not be set up or looked at.
pub async fn carry(jobs: usize) -> Result<Load> {
    let scenario = draw::of_mode("public", Vec::new(), Vec::new());
    let vcpus =
        local_ecs::Quotas { on_demand_vcpus: VCPUS, spot_vcpus: VCPUS, ..local_ecs::Quotas::default() };
    let quotas = Quotas { ecs: vcpus, functions: FUNCTIONS, ..Quotas::default() };
    let (account, _) = account(0, quotas, &scenario.faults, &[], scenario.director);
    let stack = account.deploy(STACK, &scenario.parameters).await?;
    let before = left::everything(&account.root()).await?;
    let deployed = account.calls.snapshot().len();

    let mut document = scenario.document;
    document["queueMinutes"] = QUEUE_MINUTES.into();
    document["container"] = json!({ "cpu": 1024, "memoryMiB": 2048 });
    let clock = account.upstream.clock;
    let begun = clock.instant();
    let mut executions = Vec::new();
    for number in 0..jobs {
        if number > 0 && number % BURST == 0 {
            clock.sleep(BURSTS_APART).await;
        }
        executions.push(start(&account, &stack, &format!("job-{number}"), &document).await?);
    }
    while executions.iter().any(|execution| execution.status() == Status::Running) {
        clock.sleep(LOOK).await;
    }
    let took = clock.instant() - begun;
    let mut by_status = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for execution in &executions {
        *by_status.entry(format!("{:?}", execution.status())).or_default() += 1;
        if let Some((_, over)) = execution.ending() {
            longest = longest.max(over.duration_since(execution.started).unsigned_abs());
        }
    }
    let calls = counted(&account.calls.snapshot()[deployed..]);
    // The last mailboxes may still be listed.
    clock.sleep(DELETION).await;
    let left = &left::everything(&account.root()).await? - &before;
    Ok(Load { jobs, took, longest, by_status, calls, left })
}

/// By action: all calls, the most of them within a minute of the clock, and those that were throttled.
fn counted(calls: &[Call]) -> BTreeMap<String, (usize, usize, usize)> {
    let mut minutes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut counted: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for Call { time, action, outcome, .. } in calls {
        let minute = time.rsplit_once(':').map_or(time.as_str(), |(minute, _)| minute);
        let within = minutes.entry((action, minute)).or_default();
        *within += 1;
        let (all, most, throttled) = counted.entry(action.clone()).or_default();
        *all += 1;
        *most = (*most).max(*within);
        *throttled +=
            usize::from(["RequestLimitExceeded", "ThrottlingException"].contains(&outcome.as_str()));
    }
    counted
}
