//! What the events of an execution's history mean to a person: steps that are entered, stumble and are left.
//!
//! Pure, and for one execution; events go in in their order. Shown are Task and Wait states; Choice, Pass and
//! Parallel states are bookkeeping.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use jiff::Timestamp;
use mayfly_model::ending::Ending;
use serde::Deserialize;

use crate::events::{failure, time};
use crate::turns;

/// The state after which it is known what the plan opens to whom.
const PLAN_JOB: &str = "PlanJob";
/// The state after which it is known how a start has ended.
const COLLECT_RESULT: &str = "CollectResult";

/// The state that waits for a service's end, which comes by its time-out unless somebody else brings it about.
const KEEP_SERVICE: &str = "KeepService";

/// The steps of one execution.
#[derive(Default)]
pub struct Steps {
    open: BTreeMap<StepId, Step>,
    /// Where each event belongs. Branches of a Parallel state interleave in the history, but in each of them an event
    /// names the previous one.
    places: HashMap<i64, Place>,
    /// The Parallel states that were entered.
    parallels: HashMap<ParallelId, Parallel>,
}

struct Parallel {
    name: String,
    /// The Parallel state around it.
    around: Option<ParallelId>,
}

/// The id of the event with which the state was entered.
pub type StepId = i64;
/// The same of a Parallel state.
type ParallelId = i64;

#[derive(Clone, Copy, Default)]
struct Place {
    step: Option<StepId>,
    /// The innermost Parallel state around it.
    parallel: Option<ParallelId>,
}

struct Step {
    name: String,
    parallel: Option<ParallelId>,
    entered: Timestamp,
    tries: u32,
    /// Why the latest try failed, while no other has begun.
    failure: Option<String>,
    /// Every retry for one reason is told once.
    told: Option<String>,
    waits_for_callback: bool,
}

/// Something that happened to a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The step.
    pub step: StepId,
    /// The state's name.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What can happen to a step.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The state was entered.
    Entered,
    /// A try failed, for this reason; the machine may try again.
    Stumbled(String),
    /// It says, in these words, how the job goes on, or what a person should know of it.
    Said(String),
    /// The state was left.
    Left {
        /// In which way.
        how: Leaving,
        /// How long it took, in seconds.
        seconds: f64,
        /// How many tries it took.
        tries: u32,
    },
}

/// The ways to leave a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It did what it is for.
    Done,
    /// Its last try failed.
    Failed,
    /// Something else ended it: the failure of a sibling, or the end of the execution.
    Stopped,
}

impl Steps {
    /// Takes in the next event; returns what it changes.
    pub fn apply(&mut self, event: &HistoryEvent) -> Vec<Change> {
        use HistoryEventType as Type;
        let mut place = self.places.get(&event.previous_event_id).copied().unwrap_or_default();
        let mut changes = Vec::new();
        match event.r#type {
            Type::TaskStateEntered | Type::WaitStateEntered => {
                place.step = Some(event.id);
                changes.push(self.enter(event, place.parallel));
            }
            Type::TaskStateExited | Type::WaitStateExited => {
                changes.extend(place.step.and_then(|step| self.leave(step, event, Leaving::Done)));
                changes.extend(place.step.into_iter().flat_map(|step| words(step, event)));
            }
            Type::ParallelStateEntered => {
                let name = event.state_entered_event_details().map(|details| details.name.clone());
                let parallel = Parallel { name: name.unwrap_or_default(), around: place.parallel };
                self.parallels.insert(event.id, parallel);
                place = Place { step: None, parallel: Some(event.id) };
            }
            // What was aborted beside the branch that failed is not said: each `…StateAborted` follows the failure as
            // well. So does the Started of a retry, with no ParallelStateFailed before it (both recorded on AWS).
            Type::ParallelStateStarted | Type::ParallelStateFailed => {
                if let Some(parallel) = place.parallel {
                    changes = self.stop_all(event, |steps, step| steps.is_within(step.parallel, parallel));
                    if event.r#type == Type::ParallelStateFailed {
                        place.parallel = self.around(parallel);
                    }
                }
            }
            // It follows ParallelStateFailed, which has left the state already, or the last event of a branch, passing
            // ParallelStateSucceeded by (recorded on AWS).
            Type::ParallelStateExited => {
                let name = event.state_exited_event_details().map(|details| details.name.as_str());
                let left = |id: &ParallelId| self.parallels.get(id).map(|left| left.name.as_str()) == name;
                if let Some(parallel) = place.parallel.filter(left) {
                    place.parallel = self.around(parallel);
                }
            }
            Type::ExecutionSucceeded
            | Type::ExecutionFailed
            | Type::ExecutionAborted
            | Type::ExecutionTimedOut => {
                changes = self.stop_all(event, |_, _| true);
            }
            _ => {
                let step = place.step.and_then(|id| Some((id, self.open.get_mut(&id)?)));
                changes.extend(step.and_then(|(id, step)| step.go_on(id, event)));
            }
        }
        self.places.insert(event.id, place);
        changes
    }

    /// The open step that waits for the container to call back.
    pub fn waiting_for_container(&self) -> Option<StepId> {
        self.open.iter().find(|(_, step)| step.waits_for_callback).map(|(id, _)| *id)
    }

    fn enter(&mut self, event: &HistoryEvent, parallel: Option<ParallelId>) -> Change {
        let name =
            event.state_entered_event_details().map(|details| details.name.clone()).unwrap_or_default();
        let at = time(event);
        let step = Step {
            name: name.clone(),
            parallel,
            entered: at,
            tries: 1,
            failure: None,
            told: None,
            waits_for_callback: false,
        };
        self.open.insert(event.id, step);
        Change { step: event.id, name, at, what: What::Entered }
    }

    fn leave(&mut self, id: StepId, event: &HistoryEvent, how: Leaving) -> Option<Change> {
        let Step { name, entered, tries, failure, .. } = self.open.remove(&id)?;
        let how = if failure.is_some() { Leaving::Failed } else { how };
        let at = time(event);
        let seconds = at.duration_since(entered).as_secs_f64();
        Some(Change { step: id, name, at, what: What::Left { how, seconds, tries } })
    }

    fn stop_all(&mut self, event: &HistoryEvent, which: impl Fn(&Self, &Step) -> bool) -> Vec<Change> {
        let ids: Vec<_> = self.open.iter().filter(|(_, step)| which(self, step)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.leave(id, event, Leaving::Stopped)).collect()
    }

    fn around(&self, parallel: ParallelId) -> Option<ParallelId> {
        self.parallels.get(&parallel)?.around
    }

    fn is_within(&self, inner: Option<ParallelId>, outer: ParallelId) -> bool {
        std::iter::successors(inner, |id| self.around(*id)).any(|id| id == outer)
    }
}

/// What a state that has been left has to say: the one that plans, what the plan opens; the one that collects a start's
/// result, how the job goes on, unless it is over.
fn words(step: StepId, event: &HistoryEvent) -> Vec<Change> {
    let Some(exited) = event.state_exited_event_details() else { return Vec::new() };
    let data: Data = exited.output().and_then(|output| serde_json::from_str(output).ok()).unwrap_or_default();
    let said = match exited.name.as_str() {
        PLAN_JOB => data.planned.map(|planned| planned.plan.notes).unwrap_or_default(),
        COLLECT_RESULT => {
            data.collected.and_then(|collected| turns::told(&collected.ending)).into_iter().collect()
        }
        _ => Vec::new(),
    };
    let change = |words| Change { step, name: exited.name.clone(), at: time(event), what: What::Said(words) };
    said.into_iter().map(change).collect()
}

/// What of the machine's data is of interest.
#[derive(Default, Deserialize)]
struct Data {
    planned: Option<Planned>,
    collected: Option<Collected>,
}

#[derive(Deserialize)]
struct Planned {
    plan: Notes,
}

/// What of a plan is of interest.
#[derive(Deserialize)]
struct Notes {
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Collected {
    ending: Ending,
}

impl Step {
    fn go_on(&mut self, id: StepId, event: &HistoryEvent) -> Option<Change> {
        if let Some(scheduled) = event.task_scheduled_event_details() {
            self.tries += u32::from(self.failure.take().is_some());
            self.waits_for_callback = scheduled.resource().ends_with(".waitForTaskToken");
        }
        if self.name == KEEP_SERVICE && event.task_timed_out_event_details().is_some() {
            return None;
        }
        let failure = failure(event)?;
        self.failure = Some(failure.clone());
        let is_news = self.told.as_ref() != Some(&failure);
        self.told = Some(failure.clone());
        let change =
            Change { step: id, name: self.name.clone(), at: time(event), what: What::Stumbled(failure) };
        is_news.then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::builders::HistoryEventBuilder;
    use aws_sdk_sfn::types::{
        StateEnteredEventDetails, StateExitedEventDetails, TaskFailedEventDetails, TaskScheduledEventDetails,
        TaskTimedOutEventDetails,
    };
    use mayfly_model::turn::{Provider, Turn};
    use serde_json::json;

    use super::*;
    use HistoryEventType as Type;

    /// The event `id`, after the event `previous` of its branch, `id` seconds into the test.
    fn event(id: i64, previous: i64, kind: Type) -> HistoryEventBuilder {
        HistoryEvent::builder()
            .id(id)
            .previous_event_id(previous)
            .r#type(kind)
            .timestamp(DateTime::from_secs(id))
    }

    fn entered(id: i64, previous: i64, name: &str) -> HistoryEventBuilder {
        let details = StateEnteredEventDetails::builder().name(name).build().unwrap();
        event(id, previous, Type::TaskStateEntered).state_entered_event_details(details)
    }

    fn parallel_entered(id: i64, previous: i64, name: &str) -> HistoryEventBuilder {
        entered(id, previous, name).r#type(Type::ParallelStateEntered)
    }

    fn parallel_exited(id: i64, previous: i64, name: &str) -> HistoryEventBuilder {
        let details = StateExitedEventDetails::builder().name(name).build().unwrap();
        event(id, previous, Type::ParallelStateExited).state_exited_event_details(details)
    }

    fn scheduled(id: i64, previous: i64, resource: &str) -> HistoryEventBuilder {
        let details = TaskScheduledEventDetails::builder()
            .resource_type("lambda")
            .resource(resource)
            .region("eu-west-1")
            .parameters("{}")
            .build()
            .unwrap();
        event(id, previous, Type::TaskScheduled).task_scheduled_event_details(details)
    }

    fn failed(id: i64, previous: i64, error: &str, cause: &str) -> HistoryEventBuilder {
        let details = TaskFailedEventDetails::builder()
            .resource_type("lambda")
            .resource("invoke")
            .error(error)
            .cause(cause)
            .build()
            .unwrap();
        event(id, previous, Type::TaskFailed).task_failed_event_details(details)
    }

    /// The changes in short: `name what`.
    fn told(events: Vec<HistoryEventBuilder>) -> Vec<String> {
        let mut steps = Steps::default();
        let changes = events.into_iter().flat_map(|event| steps.apply(&event.build().unwrap()));
        changes
            .map(|Change { name, what, .. }| match what {
                What::Entered => format!("{name} entered"),
                What::Stumbled(why) => format!("{name} stumbled, {why}"),
                What::Said(words) => words,
                What::Left { how, seconds, tries } => format!("{name} {how:?} in {seconds} s, {tries} tries"),
            })
            .collect()
    }

    #[test]
    fn a_step_is_entered_and_left_with_its_duration() {
        let changes = told(vec![
            event(1, 0, Type::ExecutionStarted),
            entered(2, 0, "PlanJob"),
            scheduled(3, 2, "invoke"),
            event(4, 3, Type::TaskStarted),
            event(5, 4, Type::TaskSucceeded),
            event(6, 5, Type::TaskStateExited),
        ]);
        assert_eq!(changes, ["PlanJob entered", "PlanJob Done in 4 s, 1 tries"]);
    }

    #[test]
    fn a_service_whose_time_is_over_has_not_failed() {
        let timed_out = |id, previous| {
            let details = TaskTimedOutEventDetails::builder()
                .resource_type("lambda")
                .resource("invoke.waitForTaskToken")
                .error("States.Timeout");
            event(id, previous, Type::TaskTimedOut).task_timed_out_event_details(details.build().unwrap())
        };
        let wait = |name| {
            told(vec![
                entered(2, 0, name),
                scheduled(3, 2, "invoke.waitForTaskToken"),
                timed_out(4, 3),
                event(5, 4, Type::TaskStateExited),
            ])
        };
        assert_eq!(wait(KEEP_SERVICE), ["KeepService entered", "KeepService Done in 3 s, 1 tries"]);
        assert_eq!(wait("DispatchJob")[1], "DispatchJob stumbled, States.Timeout");
    }

    #[test]
    fn branches_that_interleave_are_told_apart() {
        let changes = told(vec![
            parallel_entered(2, 0, "Both"),
            event(3, 2, Type::ParallelStateStarted),
            entered(4, 3, "CreateQueue"),
            entered(5, 3, "RegisterTask"),
            scheduled(6, 5, "invoke"),
            scheduled(7, 4, "invoke"),
            event(8, 6, Type::TaskSucceeded),
            event(9, 7, Type::TaskSucceeded),
            event(10, 8, Type::TaskStateExited),
            event(12, 9, Type::TaskStateExited),
        ]);
        assert_eq!(
            changes,
            [
                "CreateQueue entered",
                "RegisterTask entered",
                "RegisterTask Done in 5 s, 1 tries",
                "CreateQueue Done in 8 s, 1 tries"
            ]
        );
    }

    #[test]
    fn retries_are_counted_and_one_reason_is_told_once() {
        let still = r#"{"errorType":"StillInUse","errorMessage":"1 task is still stopping"}"#;
        let changes = told(vec![
            entered(2, 0, "DeleteTask"),
            scheduled(3, 2, "invoke"),
            failed(4, 3, "StillInUse", still),
            scheduled(5, 4, "invoke"),
            failed(6, 5, "StillInUse", still),
            scheduled(7, 6, "invoke"),
            event(8, 7, Type::TaskSucceeded),
            event(9, 8, Type::TaskStateExited),
        ]);
        assert_eq!(
            changes,
            [
                "DeleteTask entered",
                "DeleteTask stumbled, StillInUse: 1 task is still stopping",
                "DeleteTask Done in 7 s, 3 tries"
            ]
        );
    }

    #[test]
    fn a_step_whose_last_try_failed_has_failed_even_where_the_error_is_caught() {
        let caught = vec![
            entered(2, 0, "PlanJob"),
            failed(3, 2, "InvalidJob", "no"),
            event(4, 3, Type::TaskStateExited),
        ];
        assert_eq!(told(caught)[2], "PlanJob Failed in 2 s, 1 tries");
    }

    #[test]
    fn a_branch_that_fails_stops_the_steps_beside_it_and_no_others() {
        let changes = told(vec![
            parallel_entered(2, 0, "Outer"),
            event(3, 2, Type::ParallelStateStarted),
            entered(4, 3, "Outside"),
            parallel_entered(5, 3, "Inner"),
            event(6, 5, Type::ParallelStateStarted),
            entered(7, 6, "Beside"),
            entered(8, 6, "Failing"),
            failed(9, 8, "X", "no"),
            // As recorded on AWS: one for each branch, all after the failure.
            event(10, 9, Type::TaskStateAborted),
            event(11, 9, Type::TaskStateAborted),
            event(12, 9, Type::ParallelStateFailed),
            parallel_exited(13, 12, "Inner"),
            entered(14, 13, "After"),
            failed(15, 14, "Y", "no"),
            event(16, 15, Type::ParallelStateFailed),
        ]);
        assert_eq!(
            changes[3..],
            [
                "Failing stumbled, X: no",
                "Beside Stopped in 5 s, 1 tries",
                "Failing Failed in 4 s, 1 tries",
                "After entered",
                "After stumbled, Y: no",
                "Outside Stopped in 12 s, 1 tries",
                "After Failed in 2 s, 1 tries"
            ]
        );
    }

    #[test]
    fn a_step_after_a_parallel_state_is_outside_of_it() {
        let changes = told(vec![
            parallel_entered(2, 0, "Outer"),
            event(3, 2, Type::ParallelStateStarted),
            entered(4, 3, "Outside"),
            parallel_entered(5, 3, "Inner"),
            event(6, 5, Type::ParallelStateStarted),
            parallel_entered(7, 6, "Innermost"),
            event(8, 7, Type::ParallelStateStarted),
            entered(9, 8, "Step"),
            event(10, 9, Type::TaskStateExited),
            event(11, 10, Type::ParallelStateSucceeded),
            // As recorded on AWS: what was entered last is left last, and nothing follows a ParallelStateSucceeded.
            parallel_exited(12, 10, "Innermost"),
            event(13, 12, Type::ParallelStateSucceeded),
            parallel_exited(14, 12, "Inner"),
            entered(15, 14, "After"),
            failed(16, 15, "X", "no"),
            event(17, 16, Type::ParallelStateFailed),
        ]);
        assert_eq!(
            changes[4..],
            ["After stumbled, X: no", "Outside Stopped in 13 s, 1 tries", "After Failed in 2 s, 1 tries"]
        );
    }

    #[test]
    fn a_parallel_state_that_is_tried_again_ends_the_steps_of_the_try_before() {
        let changes = told(vec![
            parallel_entered(2, 0, "Both"),
            event(3, 2, Type::ParallelStateStarted),
            entered(4, 3, "Beside"),
            entered(5, 3, "Failing"),
            failed(6, 5, "X", "no"),
            event(7, 6, Type::TaskStateAborted),
            event(8, 6, Type::TaskStateAborted),
            // As recorded on AWS: without a ParallelStateFailed.
            event(9, 6, Type::ParallelStateStarted),
            entered(10, 9, "Beside"),
            event(11, 10, Type::TaskStateExited),
            event(12, 11, Type::ParallelStateSucceeded),
            parallel_exited(13, 11, "Both"),
        ]);
        assert_eq!(
            changes[2..],
            [
                "Failing stumbled, X: no",
                "Beside Stopped in 5 s, 1 tries",
                "Failing Failed in 4 s, 1 tries",
                "Beside entered",
                "Beside Done in 1 s, 1 tries"
            ]
        );
    }

    #[test]
    fn the_end_of_the_execution_stops_every_open_step() {
        let changes = told(vec![entered(2, 0, "A"), entered(3, 0, "B"), event(5, 3, Type::ExecutionAborted)]);
        assert_eq!(changes[2..], ["A Stopped in 3 s, 1 tries", "B Stopped in 2 s, 1 tries"]);
    }

    #[test]
    fn only_the_step_that_collects_the_result_says_how_the_job_goes_on() {
        let turn = Turn { start: 2, losses: 1, ..Turn::first(Provider::Spot) };
        let failure = json!({ "error": "SpotInterrupted", "message": "in words", "attempt": 1 });
        let ending = json!({ "next": "DISPATCH", "turn": turn, "reported": false, "failure": failure });
        let output = json!({ "job": "j", "collected": { "ending": ending } }).to_string();
        let exited = |id, name| {
            let details = StateExitedEventDetails::builder().name(name).output(&output).build().unwrap();
            event(id, id - 1, Type::TaskStateExited).state_exited_event_details(details)
        };
        let changes = told(vec![
            entered(2, 0, "CollectResult"),
            exited(3, "CollectResult"),
            // The machine's data keeps the ending.
            entered(4, 3, "DeleteService"),
            exited(5, "DeleteService"),
        ]);
        assert_eq!(
            changes,
            [
                "CollectResult entered",
                "CollectResult Done in 1 s, 1 tries",
                "Spot capacity was taken back; start 2 waits for its container",
                "DeleteService entered",
                "DeleteService Done in 1 s, 1 tries",
            ]
        );
    }

    #[test]
    fn a_step_waits_for_the_container_while_its_callback_is_open() {
        let mut steps = Steps::default();
        let mut apply = |event: HistoryEventBuilder| {
            steps.apply(&event.build().unwrap());
            steps.waiting_for_container()
        };
        assert_eq!(apply(entered(2, 0, "DispatchJob")), None);
        assert_eq!(apply(scheduled(3, 2, "invoke.waitForTaskToken")), Some(2));
        assert_eq!(apply(event(4, 3, Type::TaskSucceeded)), Some(2));
        assert_eq!(apply(event(5, 4, Type::TaskStateExited)), None);
    }
}
