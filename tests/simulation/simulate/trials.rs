//! What `make test` runs of it. `make simulate` does the rest.

use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use mayfly_simulation::draw::{MODES, RESTARTED};
use serde_json::json;

use crate::support::behaviour::Behaviour;
use crate::{
    Order, attempts, classes, consistency, elsewhere, expiry, five_jobs, held_up, leftovers, matrix, mutants,
    neighbours, networks, quotas, refused, reports, results, run, seeds, services, slow_to_go, stopped,
    swept,
};

/// How many seeds.
const SEEDS: u64 = 300;

/// The mode whose whole matrix is run.
const MATRIX: &str = "public";

pub fn all_trials() -> Vec<Trial> {
    let behaviours = behaviours().into_iter().map(Behaviour::trial);
    let mut trials: Vec<_> = behaviours.collect();
    trials.extend([
        trial("a_job_in_every_mode_leaves_nothing", every_mode),
        trial(
            "a_service_that_is_restarted_five_hundred_times_ends_by_its_time_with_a_short_history",
            restarted,
        ),
        trial("what_was_found_once_is_mended", found_once),
        trial("an_upload_is_not_given_up_where_the_answer_to_its_note_is_lost", noted),
        trial("one_seed_gives_one_trace", one_trace),
        trial("every_mistake_can_still_be_made", mutants::can_be_made),
        trial("a_job_that_is_stopped_in_any_state_leaves_nothing", stopped::everywhere),
        trial("every_fault_and_every_stop_of_a_job_leaves_nothing_and_loses_no_result", whole_matrix),
        trial("whatever_goes_wrong_leaves_nothing_and_loses_no_result", whatever),
    ]);
    trials
}

/// The behaviours of all files.
pub fn behaviours() -> Vec<Behaviour> {
    let files = [
        attempts::behaviours,
        classes::behaviours,
        consistency::behaviours,
        expiry::behaviours,
        five_jobs::behaviours,
        held_up::behaviours,
        leftovers::behaviours,
        neighbours::behaviours,
        networks::behaviours,
        quotas::behaviours,
        refused::behaviours,
        reports::behaviours,
        results::behaviours,
        services::behaviours,
        slow_to_go::behaviours,
        swept::behaviours,
    ];
    files.iter().flat_map(|of_file| of_file()).collect()
}

fn trial(name: &str, run: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
}

fn every_mode() -> Result<()> {
    for mode in MODES {
        let (_, report) = elsewhere(&Order { mode: Some(mode.to_owned()), ..Order::default() })?;
        ensure!(report.violations.is_empty(), "{mode}: {report:#?}");
    }
    Ok(())
}

fn restarted() -> Result<()> {
    let (_, report) = elsewhere(&Order { mode: Some(RESTARTED.to_owned()), ..Order::default() })?;
    let containers = report.outcome.as_ref().and_then(|outcome| outcome["result"]["containers"].as_u64());
    let states = report.states.len();
    ensure!(report.violations.is_empty(), "{report:#?}");
    ensure!(containers > Some(500) && states < 60, "{containers:?} containers, {states} states");
    Ok(())
}

/// Runs in which something did not hold, once.
const FOUND: [&str; 5] = [
    // The cluster came so late that it was still PROVISIONING when the service was to be made in it.
    r#"{"seed":0,"mode":"ipv6","faults":[{"at":{"function":"create-cluster","visit":0,"call":null},"what":"dies"}]}"#,
    // An answer that was none of AWS's was taken for a refusal, and the first search for what was created was given up.
    r#"{"seed":3,"faults":[{"at":{"function":"find-leftovers","visit":0,"call":20},"what":"garbled"}]}"#,
    // What a function made whose job had failed meanwhile was deleted, and the receipt did not know of it.
    r#"{"seed":0,"mode":"nat","faults":[{"at":{"function":"allocate-address","visit":0,"call":1},"what":{"slow":25}},{"at":{"function":"register-task","visit":0,"call":1},"what":"denied"}]}"#,
    // A service without tasks was deleted, the answer lost, and the next deletion denied.
    r#"{"seed":0,"mode":"public","circumstances":[{"tasks":{"fault":{"neverStarts":{"stage":"PENDING"}},"tasks":1,"capacityProvider":null}}],"faults":[{"at":{"function":"delete-service","visit":0,"call":2},"what":"answerLost"}]}"#,
    // ConcludeJob never had an answer, and what the machine itself put together had an error that is no class.
    r#"{"seed":0,"mode":"public","circumstances":[{"outage":{"service":"dynamodb","after":120,"lasts":900}}]}"#,
];

fn found_once() -> Result<()> {
    for order in FOUND {
        let (_, report) = elsewhere(&serde_json::from_str(order)?)?;
        ensure!(report.violations.is_empty(), "{order}: {:#?}", report.violations);
    }
    Ok(())
}

/// The fourth call of a report that wants an upload begun writes down its id; no other report has so many.
fn noted() -> Result<()> {
    let mut lost = 0;
    for visit in 0..24 {
        let at = json!({ "function": "handle-report", "visit": visit, "call": 4 });
        let order = json!({ "seed": 0, "mode": "large", "faults": [{ "at": at, "what": "answerLost" }] });
        let (_, report) = elsewhere(&serde_json::from_value(order)?)?;
        ensure!(report.status == "Succeeded" && report.violations.is_empty(), "{visit}: {report:#?}");
        lost += report.faults.len();
    }
    ensure!(lost > 0, "no answer was lost");
    Ok(())
}

fn one_trace() -> Result<()> {
    let order = Order { seed: 6, with_trace: true, ..Order::default() };
    let (one, report) = elsewhere(&order)?;
    let (other, _) = elsewhere(&order)?;
    ensure!(!report.faults.is_empty(), "nothing went wrong, which is easy to do twice");
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    ensure!(one == other, "the traces differ, first in {differs:#?}");
    Ok(())
}

fn whole_matrix() -> Result<()> {
    ensure!(!matrix::run(MATRIX)?, "see above");
    Ok(())
}

fn whatever() -> Result<()> {
    ensure!(!run(&seeds(1, SEEDS))?, "see above");
    Ok(())
}
