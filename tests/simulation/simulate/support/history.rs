//! What the history of an execution tells: where it was, and what it has met.

use std::iter::successors;

use local_states::execution::{Event, Execution};
use serde_json::Value;

/// All events of an execution, as `GetExecutionHistory` has them.
pub fn history(execution: &Execution) -> Vec<Value> {
    execution.events().iter().map(|event: &Event| event.view(true)).collect()
}

/// Whether a step has failed with `error`.
pub fn has_met(events: &[Value], error: &str) -> bool {
    refusals(events).any(|refusal| refusal.error == error)
}

/// A try of a state that has failed.
pub struct Refusal<'a> {
    pub state: &'a str,
    pub error: &'a str,
    pub cause: &'a str,
}

/// All tries that have failed, in order.
pub fn refusals(events: &[Value]) -> impl Iterator<Item = Refusal<'_>> {
    // An event's id is its place, from 1 on (API Reference, `HistoryEvent`, `id` and `previousEventId`).
    let place = |id: u64| usize::try_from(id).ok()?.checked_sub(1);
    let before = move |event: &Value| events.get(place(event["previousEventId"].as_u64()?)?);
    events.iter().filter_map(move |event| {
        let failed = event.get("taskFailedEventDetails")?;
        let mut earlier = successors(Some(event), move |event| before(event));
        let state = earlier.find_map(entered)?;
        let text = |name: &str| failed[name].as_str().unwrap_or_default();
        Some(Refusal { state, error: text("error"), cause: text("cause") })
    })
}

/// The states entered, in order.
pub fn states_entered(events: &[Value]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(entered)
}

fn entered(event: &Value) -> Option<&str> {
    event["stateEnteredEventDetails"]["name"].as_str()
}
