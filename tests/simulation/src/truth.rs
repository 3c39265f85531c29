//! What must hold of every run, told from what happened in the account and in the containers, never from what the product
//! says of it.

use std::collections::{BTreeMap, BTreeSet};

mod class;

use jiff::{SignedDuration, Timestamp};
use local_states::execution::{Execution, Status};
use mayfly_model::inventory::{Kind, Named};
use mayfly_model::outcome::{End, Outcome, Success};

use crate::circumstance::Circumstance;
use crate::faults::{Fault, What};
use crate::sqs::TAGS_SEEN;
use crate::witness::Creation;
use crate::worker::{Life, Start};

/// The longest history and the largest state that Step Functions keeps (developer guide, "Service quotas").
const MOST_EVENTS: usize = 25_000;
const LARGEST_STATE: usize = 256 * 1024;

/// How long after the last work the job may still be tearing down.
const TEARDOWN: SignedDuration = SignedDuration::from_mins(60);

/// What only signed URLs and forms have in them.
const SECRETS: [&str; 3] = ["X-Amz-Signature", "x-amz-signature", "X-Amz-Security-Token"];

/// What is paid for by the hour and is never needed twice.
const ONCE: [&str; 4] = ["AllocateAddress", "CreateLoadBalancer", "CreateNatGateway", "CreateVpc"];

/// All that is looked at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The job's id.
    pub job: &'a str,
    /// Its execution.
    pub execution: &'a Execution,
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
    /// What was created.
    pub creations: &'a [Creation],
    /// What went wrong between functions and AWS.
    pub faults: &'a [Fault],
    /// What went wrong around them.
    pub circumstances: &'a [Circumstance],
    /// Every event of every history, as JSON.
    pub written: &'a [String],
}

/// What does not hold, in words.
pub fn check(seen: &Seen<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    let checks: [fn(&Seen<'_>, &mut Vec<String>); 15] = [
        has_outcome,
        no_lost_result,
        no_untrue_result,
        no_untrue_service,
        class::true_class,
        no_untold_remains,
        whole_receipt,
        all_tagged,
        no_second_network,
        none_outlives,
        soon_over,
        one_round,
        one_at_a_time,
        short_history,
        no_secret,
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
                    && end.outputs.len() == result.outputs.len()
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

/// Whether the job has given its address back while it waited for an internet gateway. It took another one later.
fn has_released(seen: &Seen<'_>) -> bool {
    let events = seen.execution.events();
    events.iter().any(|event| event.view(false)["stateExitedEventDetails"]["name"] == "ReleaseAddress")
}

/// What is told as created is all that was and stayed, unless the first search was denied, or a queue was too new for it; and
/// each of it is told as deleted or as left.
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
    let is_denied = |fault: &Fault| fault.what == What::Denied && fault.at.function == "find-leftovers";
    if is_unproven(outcome) || seen.faults.iter().any(is_denied) {
        return;
    }
    let is_past = |creation: &&Creation| creation.action == "AllocateAddress" && has_released(seen);
    let is_new = |creation: &&Creation| creation.listed.is_some_and(|age| age < TAGS_SEEN);
    for Creation { action, id, .. } in creations(seen).filter(|made| !is_new(made) && !is_past(made)) {
        if !receipt.created.iter().any(|named| named.id == *id) {
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

/// What is paid for by the hour is created once, unless a call came late, or what it made was not seen for a while.
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
        let made = creations(seen).filter(|creation| creation.action == action);
        // What was asked for twice may be answered as one.
        let ids: BTreeSet<_> = made.map(|creation| &creation.id).collect();
        if ids.len() > 1 && !(action == "AllocateAddress" && has_released(seen)) {
            violations.push(format!("{action} has created {ids:?}"));
        }
    }
}

/// What is paid for is gone soon after the last work.
fn soon_over(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let (Some(_), Some((_, over))) = (seen.outcome, seen.execution.ending()) else { return };
    let worked = starts(seen).filter(|start| start.result.is_some()).filter_map(|start| start.ended);
    if let Some(last) = worked.max()
        && over.duration_since(last) > TEARDOWN
    {
        violations.push(format!("the last work was over at {last}, the job at {over}"));
    }
}

/// How a second round of a teardown is written down.
const SECOND_ROUND: &str = r#"\"round\":2"#;

/// Where nothing goes wrong, a teardown comes to its end in one round: what it deletes it deletes when nothing uses it any more,
/// and it waits until that is gone.
fn one_round(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let is_wrong = !seen.faults.is_empty() || !seen.circumstances.is_empty();
    if seen.is_stopped || seen.is_disturbed || is_wrong {
        return;
    }
    if seen.written.iter().any(|event| event.contains(SECOND_ROUND)) {
        violations.push("nothing went wrong, and a teardown has taken a second round".to_owned());
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

/// No two containers work on the same start, and none works on one while another does on the next.
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
    for (turn, containers) in by_start.into_iter().filter(|(_, containers)| *containers > 1) {
        violations.push(format!("{containers} containers worked on {turn}"));
    }
}

fn short_history(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let events = seen.execution.events().len();
    if events >= MOST_EVENTS {
        violations.push(format!("the history has {events} events"));
    }
    if let Some(largest) = seen.written.iter().map(String::len).max().filter(|size| *size > LARGEST_STATE) {
        violations.push(format!("an event has {largest} bytes"));
    }
}

/// Nobody who may look at an execution can do with it what its workers can.
fn no_secret(seen: &Seen<'_>, violations: &mut Vec<String>) {
    for secret in SECRETS {
        if let Some(event) = seen.written.iter().find(|event| event.contains(secret)) {
            violations.push(format!("{secret} is in {event}"));
        }
    }
}
