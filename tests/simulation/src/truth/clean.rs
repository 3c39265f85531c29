//! What holds of a run in which nothing goes wrong, or nothing that a job cannot bear.

use local_states::execution::{Event, Status};

use super::{Seen, creations, refusals};
use crate::circumstance::{Circumstance, Mishap};

/// By what names a step says that it has to be tried again, although nothing is wrong.
const NOT_YET: [&str; 8] = [
    "BlockPending",
    "EndpointsPending",
    "LoadBalancerPending",
    "NatPending",
    "NotVisibleYet",
    "ServiceStarting",
    "StillInUse",
    "TaskStarting",
];

/// How many seconds a job that waits for room looks apart at most: QuotaFull's `MaxDelaySeconds`, and some.
const LAST_LOOK: u64 = 700;

/// What else fails where nothing is wrong: a new account runs ten functions at a time and makes four endpoints at once, and the
/// end of a service is the end of a wait.
const USUAL: [&str; 3] = ["Lambda.TooManyRequestsException", "Unavailable", "States.Timeout"];

/// Whether neither the job's containers nor its functions nor a person did anything wrong, and nobody had the room that it
/// needs, unless that is one of its circumstances.
fn is_calm(seen: &Seen<'_>) -> bool {
    let has_room = !seen.circumstances.is_empty() || refusals(seen).next().is_none();
    seen.is_clean && !seen.is_stopped && !seen.is_disturbed && has_room && seen.faults.is_empty()
}

/// The job succeeds whatever is wrong around it, where that is something that it is to bear.
pub(super) fn borne(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let is_borne = |circumstance: &Circumstance| match circumstance {
        Circumstance::Full { until, .. } => {
            let queue = seen.document["queueMinutes"].as_u64().unwrap_or_default() * 60;
            until + LAST_LOOK < queue
        }
        Circumstance::Sweep(_)
        | Circumstance::Sweeps(_)
        | Circumstance::Clocks(_)
        | Circumstance::GuardDuty(_)
        | Circumstance::Older(_)
        | Circumstance::Redeploy(_)
        | Circumstance::Neighbour { .. }
        | Circumstance::Events(Mishap::Twice(..)) => true,
        _ => false,
    };
    let status = seen.execution.status();
    if is_calm(seen) && seen.circumstances.iter().all(is_borne) && status != Status::Succeeded {
        let end = seen.outcome.map(|outcome| &outcome.end);
        violations.push(format!("nothing went wrong that matters, and the job {status:?}: {end:?}"));
    }
}

/// Where nothing goes wrong but in the containers, the job's own teardown comes to its end in one round: what it deletes it
/// deletes when nothing uses it any more, and it waits until that is gone. One that follows it, as after each failed job, may
/// meet the mailbox that was deleted, which for a minute some calls of SQS's find and others do not.
/// Source: SQS API Reference, `DeleteQueue`.
pub(super) fn one_round(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let is_wrong = !seen.faults.is_empty() || !seen.circumstances.is_empty();
    if seen.is_stopped || seen.is_disturbed || is_wrong {
        return;
    }
    let is_count = |event: &Event| event.view(false)["stateEnteredEventDetails"]["name"] == "CountRound";
    // The latest comes first.
    if let Some(teardown) = seen.teardowns.last() {
        let rounds = teardown.events().iter().filter(|event| is_count(event)).count();
        if rounds != 1 {
            violations.push(format!("nothing went wrong, and the teardown took {rounds} rounds"));
        }
    }
}

/// There is one teardown, nothing fails but what waits, no state is left through its Catch, and nothing is deleted
/// twice.
pub(super) fn nothing_in_vain(seen: &Seen<'_>, violations: &mut Vec<String>) {
    if !is_calm(seen) || !seen.circumstances.is_empty() {
        return;
    }
    let [teardown] = seen.teardowns else {
        violations.push(format!("nothing went wrong, and there were {} teardowns", seen.teardowns.len()));
        return;
    };
    if teardown.status() != Status::Succeeded {
        violations.push(format!("nothing went wrong, and the teardown {:?}", teardown.status()));
    }
    let events = seen.execution.events().into_iter().chain(teardown.events());
    for event in events.map(|event| event.view(true)) {
        let error =
            ["taskFailedEventDetails", "taskTimedOutEventDetails", "lambdaFunctionFailedEventDetails"]
                .into_iter()
                .find_map(|details| event[details]["error"].as_str());
        if let Some(error) = error.filter(|error| !NOT_YET.contains(error) && !USUAL.contains(error)) {
            violations.push(format!("nothing went wrong, and a step failed by {error}: {event}"));
        }
        // What a Catch notes is under this name in both machines.
        let input = event["stateEnteredEventDetails"]["input"].as_str().unwrap_or_default();
        if input.contains("\"problem\":") {
            violations.push(format!("nothing went wrong, and a state was left through its Catch: {event}"));
        }
    }
    for creation in creations(seen).filter(|creation| creation.deletions > 1) {
        let (id, deletions) = (&creation.id, creation.deletions);
        violations.push(format!("nothing went wrong, and {id} was deleted {deletions} times"));
    }
}
