//! A job that is stopped leaves nothing: no Catch runs then, and the rule on its end starts a teardown. Every state is
//! tried in `tests/simulation/simulate/stopped.rs`; here it is the real rule, bus and functions.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::documents::{command, private};
use crate::support::harness::Harness;
use crate::support::history::{states_entered, states_exited};
use crate::support::world::{World, machine, nested_arn};

/// A state may be over before the stop arrives; another job then tries again.
const TRIES: usize = 10;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("stopped_at_check_nat_gateway", |world, base| async move {
            stopped_at(&world, &base, "CheckNatGateway", false).await
        }),
        harness.trial("stopped_in_teardown_at_delete_security_groups", |world, base| async move {
            stopped_at(&world, &base, "DeleteSecurityGroups", true).await
        }),
        harness.trial("a_teardown_by_hand_stops_a_running_job", by_hand),
        harness.trial("a_teardown_of_no_job_id_is_refused", of_no_job_id),
    ]
}

/// Stops a job with a network of its own in `state`, of the teardown that it calls where that is nested.
async fn stopped_at(world: &World, base: &str, state: &str, is_nested: bool) -> Result<()> {
    for n in 1..=TRIES {
        let job = format!("{base}-{n}");
        let arn = world.start_job(&job, &private(&["true"])).await?;
        let watched = if is_nested { nested_arn(&job) } else { arn.clone() };
        if world.entered(&watched, state).await? {
            world.stop_execution(&arn).await?;
        }
        if !was_stopped_in(world, &arn, &watched, state).await? {
            world.tear_down(&job).await?;
            continue;
        }
        world.torn_down_by_rule(&job).await?;
        // That it stays so is looked at once more at the end of all tests.
        return world.nothing_left(&job).await;
    }
    bail!("{TRIES} jobs were past {state} before they could be stopped")
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
