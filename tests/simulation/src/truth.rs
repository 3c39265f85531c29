//! What must hold of every run, told from what happened in the account and in the containers, never from what the product
//! says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

mod bounds;
mod class;
mod clean;
mod delivered;
mod quotas;
mod secrets;
mod whole;

use jiff::{SignedDuration, Timestamp};
use local_states::execution::{Execution, Status};
use mayfly_model::class::Class;
use mayfly_model::inventory::{Kind, Named};
use mayfly_model::message::Assignment;
use mayfly_model::outcome::{End, Outcome, Success};
use mayfly_stand_ins::sqs::TAGS_SEEN;
use mayfly_stand_ins::worker::{Life, Start};
use serde_json::Value;

use crate::circumstance::Circumstance;
use crate::faults::{Fault, What};
use crate::witness::{Creation, Refusal, UPLOAD};

pub use crate::truth::whole::{Whole, check as check_whole};

/// The longest history that Step Functions keeps (developer guide, "Service quotas").
const MOST_EVENTS: usize = 25_000;

/// How long after the last work the job may still be tearing down.
const TEARDOWN: SignedDuration = SignedDuration::from_mins(60);

/// When ECS may have forgotten a service that was deleted (local/ecs/src/services.rs).
const FORGOTTEN: Duration = Duration::from_hours(1);

/// How often a teardown tries to search before it goes on without: FindLeftovers' `MaxAttempts`, and once.
const SEARCHES: usize = 7;

/// What is paid for by the hour and is never needed twice.
const ONCE: [&str; 4] = ["AllocateAddress", "CreateLoadBalancer", "CreateNatGateway", "CreateVpc"];

/// All that is looked at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The job's id.
    pub job: &'a str,
    /// Its document.
    pub document: &'a Value,
    /// Its execution.
    pub execution: &'a Execution,
    /// Those that tore it down.
    pub teardowns: &'a [Arc<Execution>],
    /// Whether its containers do what they should.
    pub is_clean: bool,
    /// Whether somebody was to stop it.
    pub is_stopped: bool,
    /// Whether somebody has taken a right away from a function, or made something with a job's tags.
    pub is_disturbed: bool,
    /// What it ended with.
    pub outcome: Option<&'a Outcome>,
    /// What all jobs ended with, this one too; nothing of those that did not tell.
    pub all: &'a [Option<Outcome>],
    /// What is there before a sweep, and was not before the job.
    pub left: &'a BTreeSet<String>,
    /// What the containers did.
    pub lives: &'a BTreeMap<&'a str, &'a Life>,
    /// The orders that SQS has handed out once more than it should.
    pub repeats: &'a [Assignment],
    /// What was created.
    pub creations: &'a [Creation],
    /// What was refused for want of room.
    pub refusals: &'a [Refusal],
    /// What went wrong between functions and AWS.
    pub faults: &'a [Fault],
    /// What went wrong around them.
    pub circumstances: &'a [Circumstance],
}

/// What does not hold, in words.
pub fn check(seen: &Seen<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    let checks: [fn(&Seen<'_>, &mut Vec<String>); 21] = [
        has_outcome,
        no_lost_result,
        no_untrue_result,
        delivered::is_there,
        no_untrue_service,
        class::true_class,
        no_untold_remains,
        whole_receipt,
        all_tagged,
        no_second_network,
        none_outlives,
        soon_over,
        one_at_a_time,
        short_history,
        bounds::bounded_turns,
        bounds::over_in_time,
        bounds::all_expire,
        quotas::taken_in_order,
        clean::one_round,
        clean::nothing_in_vain,
        clean::borne,
    ];
    for check in checks {
        check(seen, &mut violations);
    }
    violations
}

fn starts<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Start> {
    seen.lives.values().flat_map(|life| &life.starts)
}

/// What was created for the job.
fn creations<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Creation> {
    seen.creations.iter().filter(|creation| creation.job.as_deref() == Some(seen.job))
}

/// What the job was refused for want of room.
fn refusals<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Refusal> {
    seen.refusals.iter().filter(|refusal| refusal.job.as_deref() == Some(seen.job))
}

/// Whether a start's result is one that SQS has taken.
fn has_told(start: &Start) -> bool {
    start.result.is_some() && start.sent.iter().any(|sent| sent.accepted.is_some())
}

/// An execution that nobody stopped ends with an outcome.
fn has_outcome(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let status = seen.execution.status();
    if !seen.is_stopped && !matches!(status, Status::Succeeded | Status::Failed) {
        violations.push(format!("nobody has stopped the execution, and it is {status:?}"));
    }
    if matches!(status, Status::Succeeded | Status::Failed) && seen.outcome.is_none() {
        let ending = seen.execution.ending().map(|(ending, _)| ending);
        violations.push(format!("the execution ended without an outcome: {ending:?}"));
    }
    let succeeded = seen.outcome.is_some_and(|outcome| matches!(outcome.end, End::Succeeded(_)));
    if succeeded != (status == Status::Succeeded) {
        violations.push(format!("the execution is {status:?} and its outcome says otherwise"));
    }
}

/// A success that was reported is the job's result.
fn no_lost_result(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(outcome) = seen.outcome else { return };
    let succeeded = |start: &&Start| {
        start.result.as_ref().is_some_and(|finished| finished.failure.is_none()) && has_told(start)
    };
    if let Some(start) = starts(seen).find(succeeded)
        && let End::Failed(failure) = &outcome.end
    {
        violations
            .push(format!("lost result: start {:?} succeeded, and the outcome is {failure:?}", start.turn));
    }
}

/// Nothing is told that did not happen.
fn no_untrue_result(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(outcome) = seen.outcome else { return };
    let worked = starts(seen).any(|start| start.result.as_ref().is_some_and(|end| end.failure.is_none()));
    if matches!(outcome.end, End::Succeeded(Success::Work(_))) && !worked {
        violations.push("untrue outcome: a success, and no container has succeeded".to_owned());
    }
    let Some(result) = outcome.end.result() else { return };
    let id = result.task_arn.rsplit('/').next().unwrap_or_default();
    let told = seen.lives.get(id).into_iter().flat_map(|life| &life.starts);
    let mut told = told.filter(|start| start.turn.attempt == result.attempt);
    let is_it = |start: &Start| {
        start.turn.provider == result.capacity
            && start.result.as_ref().is_some_and(|end| {
                end.failure.is_none()
                    && end.exit_code == Some(result.exit_code)
                    && end.outputs.len() + end.folders.len() == result.outputs.len()
            })
    };
    if !told.any(is_it) {
        violations.push(format!("untrue outcome: no container came to {result:?}"));
    }
}

/// A service that ended well has been there, and had as many containers as are told.
fn no_untrue_service(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(End::Succeeded(Success::Service(service))) = seen.outcome.map(|outcome| &outcome.end) else {
        return;
    };
    let Ok(begun) = service.begun.parse::<Timestamp>() else {
        violations.push(format!("untrue outcome: a service begun at {:?}", service.begun));
        return;
    };
    // It is told in whole seconds.
    let until = begun + SignedDuration::from_secs(1);
    let lived = |life: &&Life| life.began < until && life.ended.is_none_or(|(ended, _)| ended >= begun);
    if !seen.lives.values().any(lived) {
        violations.push(format!("untrue outcome: no container served at {begun}"));
    }
    if service.containers > seen.lives.len() as u64 {
        violations.push(format!(
            "untrue outcome: {} containers have run, and {} are told",
            seen.lives.len(),
            service.containers
        ));
    }
}

/// Whether the receipt says that it may not know all.
fn is_unproven(outcome: &Outcome) -> bool {
    outcome.receipt.residual.iter().any(|resource| resource.kind == Kind::Unproven)
}

/// What is told as created is all that was, unless the first search was denied, in vain or an older one, or a queue was too new
/// for it, or ECS has forgotten a service, or an address was given back because there was no room for an internet gateway, or an
/// upload has made room for another; and each of it is told as deleted or as left.
fn whole_receipt(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(outcome) = seen.outcome else { return };
    let receipt = &outcome.receipt;
    for Named { kind, id } in &receipt.created {
        let is_deleted = receipt.deleted.iter().any(|named| named.id == *id);
        let is_left = receipt.residual.iter().any(|resource| resource.id == *id);
        if is_deleted == is_left {
            violations
                .push(format!("untrue receipt: {kind:?} {id} is told as deleted and left, or as neither"));
        }
    }
    let of_searches: Vec<_> =
        seen.faults.iter().filter(|fault| fault.at.function == "find-leftovers").collect();
    let is_in_vain =
        of_searches.len() >= SEARCHES || of_searches.iter().any(|fault| fault.what == What::Denied);
    let is_out = |circumstance: &Circumstance| {
        matches!(circumstance, Circumstance::Outage { .. } | Circumstance::Older(_))
    };
    if is_unproven(outcome) || is_in_vain || seen.circumstances.iter().any(is_out) {
        return;
    }
    let is_new = |creation: &Creation| creation.listed.is_some_and(|age| age < TAGS_SEEN);
    let has_waited = refusals(seen).next().is_some();
    let is_returned =
        |creation: &Creation| has_waited && creation.action == "AllocateAddress" && creation.gone.is_some();
    let last = creations(seen).filter_map(|creation| creation.gone).max();
    let is_forgotten = |creation: &Creation| {
        let is_long_gone = last.zip(creation.gone).is_some_and(|(last, gone)| last - gone > FORGOTTEN);
        is_long_gone && creation.action == "CreateService"
    };
    // What handle-report has found that another one had begun, or for an earlier start, which may have completed it.
    let last_upload = creations(seen).filter(|creation| creation.action == UPLOAD).last();
    let is_replaced = |creation: &Creation| {
        let is_last = last_upload.is_some_and(|last| last.id == creation.id);
        let is_by_handle_report = creation.gone_by.as_deref() == Some("handle-report");
        creation.action == UPLOAD && (is_by_handle_report || creation.gone.is_none() && !is_last)
    };
    let told = creations(seen).filter(|creation| {
        !is_new(creation) && !is_returned(creation) && !is_forgotten(creation) && !is_replaced(creation)
    });
    for Creation { action, id, .. } in told {
        if !receipt.created.iter().any(|named| named.id.ends_with(id)) {
            violations.push(format!("untrue receipt: {action} has created {id}, which is not told"));
        }
    }
}

/// Every call that creates says whose it is.
fn all_tagged(seen: &Seen<'_>, violations: &mut Vec<String>) {
    for Creation { action, id, .. } in seen.creations.iter().filter(|creation| creation.job.is_none()) {
        violations.push(format!("{action} has created {id} without a tag"));
    }
}

/// What is paid for by the hour is there once at a time, unless a call came late, or what it made was not seen for a while.
fn no_second_network(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let unknown = |fault: &Fault| matches!(fault.what, What::Slow(_) | What::Late(_));
    let unseen = |circumstance: &Circumstance| {
        matches!(
            circumstance,
            Circumstance::Networks(local_ec2::Fault::Unseen { .. })
                | Circumstance::Balancers(local_elb::Fault::Unseen { .. })
        )
    };
    if seen.faults.iter().any(unknown) || seen.circumstances.iter().any(unseen) {
        return;
    }
    for action in ONCE {
        let made: Vec<_> = creations(seen).filter(|creation| creation.action == action).collect();
        for pair in made.windows(2) {
            let [one, other] = pair else { continue };
            // What was asked for twice may be answered as one.
            if one.id != other.id && one.gone.is_none_or(|gone| gone > other.at) {
                violations.push(format!("{action} has created {} beside {}", other.id, one.id));
            }
        }
    }
}

/// What is paid for is gone soon after the last work, unless that was to be done again and the job has waited for room in vain,
/// for as long as its document says.
fn soon_over(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let (Some(outcome), Some((_, over))) = (seen.outcome, seen.execution.ending()) else { return };
    let class = outcome.end.failure().map(|failure| failure.error);
    if matches!(class, Some(Class::NoCapacity | Class::QuotaExceeded)) {
        return;
    }
    let worked = starts(seen).filter(|start| start.result.is_some()).filter_map(|start| start.ended);
    if let Some(last) = worked.max()
        && over.duration_since(last) > TEARDOWN
    {
        violations.push(format!("the last work was over at {last}, the job at {over}"));
    }
}

/// No container lives on when its job is over, unless it is told that something of it is left.
fn none_outlives(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let (Some(outcome), Some((_, over))) = (seen.outcome, seen.execution.ending()) else { return };
    if !outcome.receipt.residual.is_empty() {
        return;
    }
    for (task, life) in seen.lives {
        if life.ended.is_none_or(|(ended, _)| ended > over) {
            violations.push(format!("the container of {task} lived on when the job was over at {over}"));
        }
    }
}

/// What is left before a sweep is named, or the outcome says that it cannot tell.
fn no_untold_remains(seen: &Seen<'_>, violations: &mut Vec<String>) {
    // Of a job that was stopped nobody tells.
    let all: Option<Vec<_>> = seen.all.iter().map(Option::as_ref).collect();
    let Some(all) = all else { return };
    if all.iter().any(|outcome| is_unproven(outcome)) {
        return;
    }
    for what in seen.left {
        let is_it =
            |outcome: &&Outcome| outcome.receipt.residual.iter().any(|resource| what.ends_with(&resource.id));
        if !all.iter().any(is_it) {
            violations.push(format!("left and not told: {what}"));
        }
    }
}

/// No two containers work at a time; and on the same start only where its order has come again.
fn one_at_a_time(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let mut by_start: BTreeMap<String, usize> = BTreeMap::new();
    for start in starts(seen) {
        *by_start.entry(format!("{:?}", start.turn)).or_default() += 1;
        if start.job != seen.job {
            violations.push(format!("a container of {} has taken an order of {}", seen.job, start.job));
        }
    }
    let mut work: Vec<_> = starts(seen).map(|start| (start.began, start.ended, start.turn)).collect();
    work.sort_by_key(|(began, ..)| *began);
    for pair in work.windows(2) {
        let [(_, ended, turn), (began, _, next)] = pair else { continue };
        if ended.is_none_or(|ended| ended > *began) {
            violations.push(format!("{next:?} was worked on at {began}, and {turn:?} until {ended:?}"));
        }
    }
    for (turn, containers) in by_start {
        let is_it = |order: &&Assignment| order.job == seen.job && format!("{:?}", order.turn) == turn;
        if containers > 1 + seen.repeats.iter().filter(is_it).count() {
            violations.push(format!("{containers} containers worked on {turn}"));
        }
    }
}

fn short_history(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let events = seen.execution.events().len();
    if events >= MOST_EVENTS {
        violations.push(format!("the history has {events} events"));
    }
}
