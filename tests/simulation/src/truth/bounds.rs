//! That a job is tried so often and so long as its document says, and no more.

use local_states::execution::Status;

use super::{Seen, creations, starts};
use crate::witness::UPLOAD;

/// Of a job whose document does not say it: the template's `DefaultAttempts`.
const ATTEMPTS: u64 = 2;
/// How many Spot tasks a job loses at most (docs/ARCHITECTURE.md, "Attempts, starts, launches").
const LOSSES: u64 = 5;
/// The starts that use up no attempt besides: one whose container never came, and the move to Fargate where Spot has no room
/// (the same page).
const MOVES: u64 = 2;
/// How many services a job has at most: as many as they have possible names (the same page, "Decisions").
const LAUNCHES: usize = 10;

/// No more attempts, starts, losses and services than the document and the product's own limits let there be.
pub(super) fn bounded_turns(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let number = |name: &str| seen.document[name].as_u64();
    let attempts = number("attempts").unwrap_or(ATTEMPTS);
    // A start waits up to an hour for a full quota, and the last one for what is left.
    let waits = number("queueMinutes").filter(|minutes| *minutes > 0).map_or(0, |minutes| minutes / 60 + 2);
    for start in starts(seen) {
        let turn = start.turn;
        if u64::from(turn.attempt) > attempts || u64::from(turn.losses) > LOSSES {
            violations
                .push(format!("{attempts} attempts and {LOSSES} losses are allowed, and {turn:?} began"));
        }
    }
    let entered = |name: &str| {
        let events = seen.execution.events();
        events.iter().filter(|event| event.view(false)["stateEnteredEventDetails"]["name"] == name).count()
    };
    let (starts, most) = (entered("DispatchJob") as u64, attempts + LOSSES + MOVES + waits);
    if starts > most {
        violations.push(format!("the job was started {starts} times, and {most} are allowed"));
    }
    let launches = entered("CreateService");
    if launches > LAUNCHES {
        violations.push(format!("the job had {launches} services"));
    }
}

/// The execution is over by the time that all of its resources are tagged with.
pub(super) fn over_in_time(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let expiry = creations(seen).filter_map(|creation| creation.expiry).min();
    let over = seen.execution.ending().map(|(_, over)| over);
    if let Some(expiry) = expiry
        && over.is_none_or(|over| over > expiry)
        && seen.execution.status() != Status::Aborted
    {
        violations.push(format!("the job expired at {expiry}, and its execution was over at {over:?}"));
    }
}

/// Each of the job's things says when the job expires, if it can say anything.
pub(super) fn all_expire(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let silent = creations(seen).filter(|creation| creation.expiry.is_none() && creation.action != UPLOAD);
    for creation in silent {
        violations.push(format!("{} has created {} without an expiry", creation.action, creation.id));
    }
}
