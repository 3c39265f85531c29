//! The critical path of an execution: the chain of events without which its container could not have been started.
//!
//! Each event of a history names the one before it, and what follows a Parallel state names the branch that was the last
//! to be done. So the chain is read backwards from the service's creation, and every moment is in it once.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};

/// The state after which it is for ECS to start the container.
const LAST_STATE: &str = "CreateService";

/// From when until when, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: f64,
    pub to: f64,
}

impl Span {
    pub fn seconds(self) -> f64 {
        self.to - self.from
    }

    fn overlap(self, other: Self) -> f64 {
        (self.to.min(other.to) - self.from.max(other.from)).max(0.0)
    }
}

/// One state on the path, from the end of the one before it.
#[derive(Default)]
pub struct Step {
    pub name: String,
    /// How often its function was called.
    pub tries: usize,
    stretches: Vec<Stretch>,
}

/// From one event to the next.
struct Stretch {
    span: Span,
    /// Whether the machine does nothing until a time has passed.
    waits: bool,
}

impl Step {
    /// Its seconds, all in all and of three sorts: in one of AWS's `delays`, and of the rest those of waiting and others.
    pub fn times(&self, delays: &[Span]) -> [f64; 4] {
        let mut times = [0.0; 4];
        for Stretch { span, waits } in &self.stretches {
            let aws: f64 = delays.iter().map(|delay| span.overlap(*delay)).sum();
            let rest = span.seconds() - aws;
            let (waiting, calls) = if *waits { (rest, 0.0) } else { (0.0, rest) };
            times.iter_mut().zip([span.seconds(), aws, waiting, calls]).for_each(|(sum, time)| *sum += time);
        }
        times
    }
}

/// The path from the execution's start to its container, which was RUNNING at `running`, in seconds since 1970.
pub fn to_container(history: &[HistoryEvent], running: f64) -> Result<Vec<Step>> {
    let chain = chain(history)?;
    let (mut steps, mut step) = (Vec::new(), Step::default());
    let mut before = chain[0];
    for event in &chain[1..] {
        let span = Span { from: before.timestamp.as_secs_f64(), to: event.timestamp.as_secs_f64() };
        let waits = matches!(before.r#type, Type::TaskFailed | Type::TaskTimedOut | Type::WaitStateEntered);
        step.stretches.push(Stretch { span, waits });
        match event.r#type {
            Type::TaskScheduled => step.tries += 1,
            Type::TaskStateExited | Type::WaitStateExited => {
                let details = event.state_exited_event_details();
                step.name = details.map(|details| details.name.clone()).unwrap_or_default();
                steps.push(std::mem::take(&mut step));
            }
            _ => {}
        }
        before = event;
    }
    let span = Span { from: before.timestamp.as_secs_f64(), to: running };
    let start = Stretch { span, waits: true };
    steps.push(Step { name: "(the container starts)".into(), tries: 0, stretches: vec![start] });
    Ok(steps)
}

/// The events that led to the last state's end, from the execution's start on.
fn chain(history: &[HistoryEvent]) -> Result<Vec<&HistoryEvent>> {
    let by_id: HashMap<_, _> = history.iter().map(|event| (event.id, event)).collect();
    let is_last = |event: &&HistoryEvent| {
        event.state_exited_event_details().is_some_and(|details| details.name == LAST_STATE)
    };
    let last = history.iter().find(is_last).with_context(|| format!("{LAST_STATE} was not left"))?;
    let mut chain: Vec<_> =
        std::iter::successors(Some(last), |event| by_id.get(&event.previous_event_id).copied()).collect();
    // What comes right after the start does not name it.
    chain.extend(history.first());
    chain.reverse();
    Ok(chain)
}
