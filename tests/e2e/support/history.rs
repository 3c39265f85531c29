//! What the history of an execution tells: where it was, and what it has met.

use std::iter::successors;

use aws_sdk_sfn::types::HistoryEvent;

/// Whether a step has failed with `error`.
pub fn has_met(events: &[HistoryEvent], error: &str) -> bool {
    refusals(events).any(|refusal| refusal.error == error)
}

/// A try of a state that has failed.
pub struct Refusal<'a> {
    pub state: &'a str,
    pub error: &'a str,
}

/// All tries that have failed, in order.
pub fn refusals(events: &[HistoryEvent]) -> impl Iterator<Item = Refusal<'_>> {
    // An event's id is its place, from 1 on (API Reference, `HistoryEvent`, `id` and `previousEventId`).
    let place = |id: i64| usize::try_from(id).ok()?.checked_sub(1);
    let before = move |event: &HistoryEvent| events.get(place(event.previous_event_id())?);
    events.iter().filter_map(move |event| {
        let failed = event.task_failed_event_details()?;
        let mut earlier = successors(Some(event), move |event| before(event));
        let state = earlier.find_map(|event| event.state_entered_event_details())?.name();
        Some(Refusal { state, error: failed.error().unwrap_or_default() })
    })
}

/// The states entered, in order.
pub fn states_entered(events: &[HistoryEvent]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(|event| Some(event.state_entered_event_details()?.name()))
}

/// The states left, in order.
pub fn states_exited(events: &[HistoryEvent]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(|event| Some(event.state_exited_event_details()?.name()))
}
