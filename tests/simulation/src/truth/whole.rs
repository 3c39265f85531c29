//! What must hold of the account as a whole, whichever jobs were in it.

use std::collections::{BTreeMap, BTreeSet};

use mayfly_stand_ins::sqs::Depth;
use mayfly_stand_ins::worker::Life;

use super::secrets;
use crate::circumstance::Circumstance;
use crate::faults::Fault;

/// How often a report is received before it is put with the dead letters: the template's `maxReceiveCount` of `DoneQueue`.
const RECEIVES: usize = 20;
/// How often Lambda runs a function that was invoked asynchronously and has failed (developer guide, "How Lambda handles errors
/// and retries with asynchronous invocation").
const RUNS: usize = 3;

/// The largest state that Step Functions keeps, in bytes (developer guide, "Service quotas").
const LARGEST_STATE: usize = 256 * 1024;
/// How many calls the functions make for a job at most, and for each of its containers: of four hundred seeds the most were
/// 2,000 of one job, while load balancing failed for twelve minutes, and a service with 646 containers made 8,000.
const CALLS: usize = 3000;
const CALLS_PER_CONTAINER: usize = 15;

/// All that is looked at.
#[derive(Debug)]
pub struct Whole<'a> {
    /// What the containers did.
    pub lives: &'a BTreeMap<String, Life>,
    /// What went wrong between functions and AWS.
    pub faults: &'a [Fault],
    /// What went wrong around them.
    pub circumstances: &'a [Circumstance],
    /// Every event of every history, as JSON.
    pub written: &'a [String],
    /// Every line of every log, and every event on the bus.
    pub said: &'a [String],
    /// Every task token.
    pub tokens: &'a BTreeSet<String>,
    /// What was touched on behalf of a job whose it is not.
    pub touched: &'a [String],
    /// How many jobs there were.
    pub jobs: usize,
    /// How many calls the functions made for them.
    pub calls: usize,
    /// The queues of the stacks, and what is in them an hour after the last fault.
    pub queues: &'a [(String, Depth)],
    /// The functions that were to be told of something and never were.
    pub given_up: &'a [String],
}

/// What does not hold, in words.
pub fn check(seen: &Whole<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    let checks: [fn(&Whole<'_>, &mut Vec<String>); 6] =
        [nothing_of_others, empty_queues, nothing_given_up, few_calls, small_states, secrets::no_secret];
    for check in checks {
        check(seen, &mut violations);
    }
    violations
}

/// What a function does for a job names nothing of another one, and changes nothing that is no job's.
fn nothing_of_others(seen: &Whole<'_>, violations: &mut Vec<String>) {
    violations.extend(seen.touched.iter().cloned());
}

/// How many faults hit the function of this folder.
fn hits(seen: &Whole<'_>, function: &str) -> usize {
    seen.faults.iter().filter(|fault| fault.at.function == function).count()
}

/// No report is left, and none is a dead letter, unless handling reports has failed as often as it takes.
fn empty_queues(seen: &Whole<'_>, violations: &mut Vec<String>) {
    for (queue, depth) in seen.queues {
        let is_dead = queue.contains("DeadLetter") && hits(seen, "handle-report") >= RECEIVES;
        if depth.visible + depth.delayed + depth.in_flight > 0 && !is_dead {
            violations.push(format!("{depth:?} is in {queue}"));
        }
    }
}

/// Every event was handled, unless its function has failed each time, by its own faults or because others did.
fn nothing_given_up(seen: &Whole<'_>, violations: &mut Vec<String>) {
    if seen.circumstances.iter().any(|circumstance| matches!(circumstance, Circumstance::Outage { .. })) {
        return;
    }
    for function in seen.given_up.iter().filter(|function| hits(seen, function) < RUNS) {
        violations.push(format!("an event for {function} was given up"));
    }
}

/// Nothing is asked without end.
fn few_calls(seen: &Whole<'_>, violations: &mut Vec<String>) {
    let most = CALLS * seen.jobs + CALLS_PER_CONTAINER * seen.lives.len();
    if seen.calls > most {
        violations.push(format!("the functions made {} calls, and {most} are allowed", seen.calls));
    }
}

/// Nothing that a machine is at or has been at is too large.
fn small_states(seen: &Whole<'_>, violations: &mut Vec<String>) {
    let sizes = seen.written.iter().map(String::len);
    if let Some(largest) = sizes.max().filter(|size| *size > LARGEST_STATE) {
        violations.push(format!("an event has {largest} bytes"));
    }
}
