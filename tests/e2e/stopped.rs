//! A job that is stopped, wherever it stands, leaves nothing: no Catch runs then, and the rule on its end starts a
//! teardown.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use local_ecs::{Fault, Rule};
use serde_json::{Value, json};

use crate::support::course::always;
use crate::support::documents::{by_egress, command, egress_of, service};
use crate::support::harness::Harness;
use crate::support::history::{states_entered, states_exited};
use crate::support::machines::{snake_case, states};
use crate::support::world::{World, machine, nested_arn};

/// A state may be over before the stop arrives; another job then tries again.
const TRIES: usize = 10;

/// States that no job is stopped in here. Of run-job: what comes only where there is no room for an internet gateway;
/// `quotas.rs` stops a job while it waits for one. Of tear-down: the job's own teardown does not stop the job, a job that
/// ends well has no stragglers to wait for, and what cannot be deleted is reported in some milliseconds, in
/// `leftovers.rs`.
const NOT_HERE: &[(&str, &str)] = &[
    ("run-job", "AwaitAddress"),
    ("run-job", "ReleaseAddress"),
    ("run-job", "CreateAwaitedInternetGateway"),
    ("tear-down", "StopExecution"),
    ("tear-down", "AwaitStragglers"),
    ("tear-down", "ReportLeftovers"),
];

/// What the names of the states have in them that make or delete the parts of a network.
const PARTS: [&str; 10] = [
    "Vpc",
    "Address",
    "Gateway",
    "Subnet",
    "Route",
    "Endpoint",
    "SecurityGroup",
    "Cluster",
    "DnsHostnames",
    "Ipv6",
];

/// The states that only a service comes to.
const OF_SERVICE: [&str; 7] = [
    "CreateServiceSecurityGroup",
    "AuthorizeIngress",
    "FindTask",
    "CheckService",
    "BeginService",
    "KeepService",
    "EndService",
];

/// What the names of the states have in them that only a service with a load balancer comes to, or for whose teardown there
/// is something to delete; and those of the way in that is made for it alone.
const OF_BALANCER: [&str; 6] =
    ["Balancer", "AuthorizeContainerIngress", "TargetGroups", "LoadBalancer", "Listeners", "Entry"];

/// How many private jobs are stopped side by side in one test.
const SIDE_BY_SIDE: usize = 6;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (machine, title) in [("run-job", "stopped"), ("tear-down", "stopped_in_teardown")] {
        let states = working_states(machine).map(|state| Stop::new(machine, state));
        let (in_network, others): (Vec<_>, Vec<_>) = states.partition(|stop| stop.is_private);
        // Most of the time of a private job is its NAT gateway's.
        for (stops, n) in in_network.chunks(SIDE_BY_SIDE).zip(1..) {
            let stops = stops.to_vec();
            trials.push(harness.trial(format!("{title}_in_its_network_{n}"), |world, base| async move {
                let stopped = async |stop: &Stop| {
                    let base = format!("{base}-{}", snake_case(&stop.state).replace('_', "-"));
                    stopped_at(&world, &base, stop).await.with_context(|| stop.state.clone())
                };
                try_join_all(stops.iter().map(stopped)).await?;
                Ok(())
            }));
        }
        for stop in others {
            let name = format!("{title}_at_{}", snake_case(&stop.state));
            trials
                .push(harness.trial(name, |world, job| async move { stopped_at(&world, &job, &stop).await }));
        }
    }
    trials.push(harness.trial("a_teardown_by_hand_stops_a_running_job", by_hand));
    trials.push(harness.trial("a_teardown_of_no_job_id_is_refused", of_no_job_id));
    trials
}

/// Where a job is stopped.
#[derive(Clone)]
struct Stop {
    state: String,
    /// In the teardown that the job calls.
    is_nested: bool,
    /// Only a private job comes to the state, or has something to delete there.
    is_private: bool,
    /// The job has to run for ever while the states up to its dispatch last, and has to end for the later ones.
    is_endless: bool,
}

impl Stop {
    fn new(machine: &str, state: String) -> Self {
        let is_nested = machine == "tear-down";
        let after_dispatch = ["CollectResult", "EndService", "TearDown", "ConcludeJob"];
        let is_service = has_load_balancer(&state) || !is_nested && OF_SERVICE.contains(&&*state);
        Self {
            is_nested,
            is_private: !is_service && PARTS.iter().any(|part| state.contains(part)),
            is_endless: !is_nested && !after_dispatch.contains(&&*state),
            state,
        }
    }

    /// Whether only a service comes to the state.
    fn is_service(&self) -> bool {
        has_load_balancer(&self.state) || !self.is_nested && OF_SERVICE.contains(&&*self.state)
    }
}

/// Whether only a service with a load balancer comes to the state, or has something to delete there.
fn has_load_balancer(state: &str) -> bool {
    OF_BALANCER.iter().any(|part| state.contains(part))
}

/// The service that comes to the state.
fn service_for(stop: &Stop) -> Value {
    let mut document = service("exec python3 -m http.server 8080", if stop.is_endless { 60 } else { 1 });
    if has_load_balancer(&stop.state) {
        document["service"]["loadBalancer"] = json!(true);
    }
    if stop.state.contains("Entry") {
        document["network"] = json!({ "mode": "private", "egress": "endpoints" });
        let registry = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com");
        document["container"]["image"] = json!(format!("{registry}/library/python:3.13-slim"));
    }
    document
}

/// The egress of the job whose teardown has something to delete in the state.
fn nested_egress(state: &str) -> &'static str {
    match state {
        "DeleteEgressOnlyInternetGateway" => "ipv6",
        "DeleteEndpoints" => "endpoints",
        _ => "nat",
    }
}

/// The states of a machine that take time, in the file's order.
fn working_states(machine: &str) -> impl Iterator<Item = String> {
    let takes_time = |state: &Value| matches!(state["Type"].as_str(), Some("Task" | "Wait"));
    let states = states(machine).into_iter().filter(move |(_, state)| takes_time(state));
    states.map(|(name, _)| name).filter(move |name| !NOT_HERE.contains(&(machine, name)))
}

async fn stopped_at(world: &World, base: &str, stop: &Stop) -> Result<()> {
    let words: &[&str] = if stop.is_endless { &["sleep", "600"] } else { &["true"] };
    let egress = if stop.is_nested { nested_egress(&stop.state) } else { egress_of(&stop.state) };
    let mut document = match stop {
        stop if stop.is_service() => service_for(stop),
        Stop { is_private: true, .. } => by_egress(egress, words),
        _ => command(words),
    };
    // On the way to another service only.
    let is_relaunch = !stop.is_nested && stop.state == "DeleteService";
    document["capacity"] = json!(if is_relaunch { "spot-then-on-demand" } else { "spot" });
    for n in 1..=TRIES {
        let job = format!("{base}-{n}");
        if is_relaunch {
            let [rule] = always(Fault::NoCapacity);
            world
                .cloud()
                .ecs_faults()
                .add(&job, [Rule { capacity_provider: Some("FARGATE_SPOT".into()), ..rule }]);
        }
        let arn = world.start_job(&job, &document).await?;
        let watched = if stop.is_nested { nested_arn(&job) } else { arn.clone() };
        if world.entered(&watched, &stop.state).await? {
            world.stop_execution(&arn).await?;
        }
        if !was_stopped_in(world, &arn, &watched, &stop.state).await? {
            world.tear_down(&job).await?;
            continue;
        }
        world.torn_down_by_rule(&job).await?;
        // That it stays so is looked at once more at the end of all tests.
        return world.nothing_left(&job).await;
    }
    bail!("{TRIES} jobs were past {} before they could be stopped", stop.state)
}

/// Whether the stop came while the state lasted. The nested teardown is stopped with the job, a moment later.
async fn was_stopped_in(world: &World, arn: &str, watched: &str, state: &str) -> Result<bool> {
    for arn in [arn, watched] {
        if *world.ended(arn).await?.status() != ExecutionStatus::Aborted {
            return Ok(false);
        }
    }
    let events = world.history(watched).await?;
    let entered = states_entered(&events).filter(|name| *name == state).count();
    Ok(entered > states_exited(&events).filter(|name| *name == state).count())
}

async fn by_hand(world: Arc<World>, job: String) -> Result<()> {
    let arn = world.start_job(&job, &command(&["sleep", "600"])).await?;
    ensure!(world.entered(&arn, "DispatchJob").await?, "the job runs");
    world.tear_down(&job).await?;
    let execution = world.ended(&arn).await?;
    assert_eq!((execution.status(), execution.error()), (&ExecutionStatus::Aborted, Some("TornDown")));
    world.nothing_left(&job).await?;
    // The stopped job starts one more, by the rule; both end well.
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

/// `*` is every job to a filter of EC2; here it is no job at all.
async fn of_no_job_id(world: Arc<World>, name: String) -> Result<()> {
    let bystander = format!("{name}-bystander");
    let arn = world.start_job(&bystander, &command(&["sleep", "600"])).await?;
    ensure!(world.entered(&arn, "DispatchJob").await?, "the job runs");

    let teardown = world.try_start(&machine("tear-down"), &name, &json!({ "job": "*" })).await?;
    let teardown = world.ended(&teardown).await?;
    assert_eq!((teardown.status(), teardown.error()), (&ExecutionStatus::Failed, Some("InvalidJob")));
    let cause = teardown.cause().context("a failure has a cause")?;
    assert!(cause.contains("the execution's name: given *; allowed: 1 to 80"), "{cause}");
    let events = world.history(teardown.execution_arn()).await?;
    let deleted =
        states_entered(&events).find(|state| state.starts_with("Delete") || state.starts_with("Release"));
    assert_eq!(deleted, None, "nothing was deleted");
    let events = world.history(&arn).await?;
    assert!(!events.iter().any(|event| event.execution_aborted_event_details().is_some()));

    world.stop_execution(&arn).await?;
    world.torn_down_by_rule(&bystander).await?;
    world.nothing_left(&bystander).await
}
