//! A job that is stopped, wherever it stands, leaves nothing: no Catch runs then, and the rule on its end starts a
//! teardown.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use local_ecs::{Fault, Rule};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::draw::{ISOLATED, MODES};

use crate::support::machines::states;
use crate::{Order, clean_run, run, stopped_in};

/// States that no job is stopped in here. Of run-job: what comes only where there is no room for an internet gateway;
/// `quotas.rs` stops a job while it waits for one. Of tear-down: the job's own teardown does not stop the job, a job that
/// ends well has no stragglers to wait for, and what cannot be deleted is reported in some milliseconds, in
/// `leftovers.rs`.
const NOT_HERE: [(&str, &str); 6] = [
    ("run-job", "AwaitAddress"),
    ("run-job", "ReleaseAddress"),
    ("run-job", "CreateAwaitedInternetGateway"),
    ("tear-down", "StopExecution"),
    ("tear-down", "AwaitStragglers"),
    ("tear-down", "ReportLeftovers"),
];

/// Stops a job in every state of both machines that takes time, the teardown that the job calls included: of all modes, in
/// the one that stays there longest, and so has most to do.
pub fn everywhere() -> Result<()> {
    let mut longest: BTreeMap<(String, String), (u64, Order)> = BTreeMap::new();
    for order in clean() {
        for visit in &clean_run(&order)?.states {
            let Some(stop) = stopped_in(visit, &order) else { continue };
            let length = visit.until.unwrap_or_default() - visit.from;
            let place = (visit.machine.clone(), visit.state.clone());
            if longest.get(&place).is_none_or(|(other, _)| *other < length) {
                longest.insert(place, (length, stop));
            }
        }
    }
    for machine in ["run-job", "tear-down"] {
        let states = states(machine)?.into_iter();
        for (state, _) in states.filter(|(_, state)| matches!(state["Type"].as_str(), Some("Task" | "Wait")))
        {
            let is_put_to_the_test = longest.contains_key(&(machine.to_owned(), state.clone()));
            ensure!(
                is_put_to_the_test != NOT_HERE.contains(&(machine, &state)),
                "{machine}'s {state}: {is_put_to_the_test}"
            );
        }
    }
    let orders: Vec<_> = longest.into_values().map(|(_, order)| order).collect();
    ensure!(!run(&orders)?, "see above");
    Ok(())
}

/// A job of every mode, a service that nothing leads out of but endpoints, and a job for which there is no room on Spot: it
/// alone has a service after a service.
fn clean() -> Vec<Order> {
    let of_mode = |mode: &str| Order { mode: Some(mode.to_owned()), ..Order::default() };
    let on_spot =
        Rule { capacity_provider: Some("FARGATE_SPOT".to_owned()), ..Rule::always(Fault::NoCapacity) };
    let no_room = Order { circumstances: Some(vec![Circumstance::Tasks(on_spot)]), ..of_mode("public") };
    MODES.map(of_mode).into_iter().chain([of_mode(ISOLATED), no_room]).collect()
}
