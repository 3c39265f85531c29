//! What the history of an execution tells: where it was.

use aws_sdk_sfn::types::HistoryEvent;

/// The states entered, in order.
pub fn states_entered(events: &[HistoryEvent]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(|event| Some(event.state_entered_event_details()?.name()))
}

/// The states left, in order.
pub fn states_exited(events: &[HistoryEvent]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(|event| Some(event.state_exited_event_details()?.name()))
}
