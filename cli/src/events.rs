//! What a single event of an execution's history says.

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use jiff::Timestamp;
use mayfly_model::ending::Ending;
use mayfly_model::outcome;
use serde_json::Value;

/// The longest text of a failure, in characters; a cause may be 32 KB long.
const TEXT_LIMIT: usize = 300;

/// Why a try failed, if that is what `event` says.
pub fn failure(event: &HistoryEvent) -> Option<String> {
    let (error, cause) = if let Some(details) = event.task_failed_event_details() {
        (details.error(), details.cause())
    } else if let Some(details) = event.task_timed_out_event_details() {
        (details.error(), details.cause())
    } else if let Some(details) = event.task_start_failed_event_details() {
        (details.error(), details.cause())
    } else {
        let details = event.task_submit_failed_event_details()?;
        (details.error(), details.cause())
    };
    Some(one_line(error, cause))
}

/// An error and its cause in one line.
fn one_line(error: Option<&str>, cause: Option<&str>) -> String {
    let error = error.unwrap_or("failed");
    let text = match cause.map(message_in) {
        Some(message) if !message.is_empty() => format!("{error}: {message}"),
        _ => error.to_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// The sentence in a cause: a function's `errorMessage`, a job's `message`, another execution's own error and cause,
/// or plain text. Other JSON is not for people.
fn message_in(cause: &str) -> String {
    let Ok(Value::Object(cause)) = serde_json::from_str(cause) else { return cause.to_owned() };
    let text = |key| cause.get(key).and_then(Value::as_str);
    match (text("errorMessage").or(text("message")), text("Error")) {
        (Some(message), _) => message.to_owned(),
        (None, Some(error)) => one_line(Some(error), text("Cause")),
        (None, None) => String::new(),
    }
}

/// The execution that `event` says was started on behalf of a `startExecution.sync:2` state.
pub fn child(event: &HistoryEvent) -> Option<String> {
    let submitted = event.task_submitted_event_details()?;
    if !submitted.resource().starts_with("startExecution.sync") {
        return None;
    }
    let output: Value = serde_json::from_str(submitted.output()?).ok()?;
    Some(output.get("ExecutionArn")?.as_str()?.to_owned())
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// In which status.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// The output of a successful execution, the cause of any other.
    pub document: Option<String>,
    /// The error's name.
    pub error: Option<String>,
}

/// The final statuses of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It reached its end.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it.
    Aborted,
    /// It was out of time.
    TimedOut,
}

impl Status {
    /// The status in Step Functions' own word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// How the execution ended, if that is what `event` says.
///
/// The event has the whole output or cause, and unlike `DescribeExecution` it is not eventually consistent with the
/// rest of the history.
pub fn end(event: &HistoryEvent) -> Option<End> {
    use HistoryEventType as Type;
    let (status, error, document) = match event.r#type {
        Type::ExecutionSucceeded => {
            let output = event.execution_succeeded_event_details().and_then(|details| details.output());
            (Status::Succeeded, None, output)
        }
        Type::ExecutionFailed => {
            let details = event.execution_failed_event_details();
            (Status::Failed, details.and_then(|d| d.error()), details.and_then(|d| d.cause()))
        }
        Type::ExecutionAborted => {
            let details = event.execution_aborted_event_details();
            (Status::Aborted, details.and_then(|d| d.error()), details.and_then(|d| d.cause()))
        }
        Type::ExecutionTimedOut => {
            let details = event.execution_timed_out_event_details();
            (Status::TimedOut, details.and_then(|d| d.error()), details.and_then(|d| d.cause()))
        }
        _ => return None,
    };
    Some(End { status, at: time(event), document: document.map(Into::into), error: error.map(Into::into) })
}

/// What the job has come to, if `event` is the begin of its teardown. A report that comes late may still change a failure.
pub fn come_to(event: &HistoryEvent) -> Option<outcome::End> {
    let entered = event.state_entered_event_details().filter(|entered| entered.name() == "TearDown")?;
    let input: Value = serde_json::from_str(entered.input()?).ok()?;
    let ending: Ending = serde_json::from_value(input["collected"]["ending"].clone()).ok()?;
    Some(ending.end)
}

/// When `event` happened.
pub fn time(event: &HistoryEvent) -> Timestamp {
    Timestamp::from_nanosecond(event.timestamp.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::{ExecutionAbortedEventDetails, TaskSubmittedEventDetails};

    use super::*;

    fn submitted(resource: &str, output: &str) -> HistoryEvent {
        let details =
            TaskSubmittedEventDetails::builder().resource_type("states").resource(resource).output(output);
        HistoryEvent::builder()
            .id(5)
            .timestamp(DateTime::from_secs(5))
            .r#type(HistoryEventType::TaskSubmitted)
            .task_submitted_event_details(details.build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn a_nested_execution_is_found_in_its_submission() {
        let arn = "arn:aws:states:eu-west-1:111111111111:execution:tear-down:x";
        let output = format!(r#"{{"ExecutionArn":"{arn}","StartDate":1}}"#);
        assert_eq!(child(&submitted("startExecution.sync:2", &output)).as_deref(), Some(arn));
        assert_eq!(child(&submitted("invoke.waitForTaskToken", &output)), None);
    }

    #[test]
    fn the_end_has_its_error_and_cause() {
        let aborted = HistoryEvent::builder()
            .id(9)
            .timestamp(DateTime::from_millis(9500))
            .r#type(HistoryEventType::ExecutionAborted)
            .execution_aborted_event_details(
                ExecutionAbortedEventDetails::builder().error("Stopped").cause("by alice").build(),
            )
            .build()
            .unwrap();
        let expected = End {
            status: Status::Aborted,
            at: Timestamp::from_millisecond(9500).unwrap(),
            document: Some("by alice".into()),
            error: Some("Stopped".into()),
        };
        assert_eq!(end(&aborted), Some(expected));
    }

    #[test]
    fn a_cause_is_told_by_the_sentence_in_it() {
        let function = r#"{"errorMessage":"queue\n is gone","errorType":"X","stackTrace":[]}"#;
        assert_eq!(one_line(Some("X"), Some(function)), "X: queue is gone");
        let nested = r#"{"Error":"Y","Cause":"{\"message\":\"1 task is left\"}","Status":"FAILED"}"#;
        assert_eq!(one_line(Some("States.TaskFailed"), Some(nested)), "States.TaskFailed: Y: 1 task is left");
        let receipt = r#"{"created":[],"deleted":[],"residual":[]}"#;
        assert_eq!(one_line(Some("LeftoversRemain"), Some(receipt)), "LeftoversRemain");
        assert_eq!(one_line(Some("States.Timeout"), None), "States.Timeout");
        assert_eq!(one_line(None, Some(&"é".repeat(400))).chars().count(), TEXT_LIMIT + 3);
    }
}
