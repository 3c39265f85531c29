//! How a state fails, and what Retry and Catch make of it.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>

use std::time::Duration;

use local_aws::random::Random;
use serde_json::{Value, json};

use super::fault::{DATA_LIMIT_EXCEEDED, RUNTIME, TIMEOUT};
use super::fields::Fields;
use super::path::ReferencePath;

/// How a state failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The error name; SendTaskFailure may leave it out.
    pub error: Option<String>,
    /// The explanation, if there is one.
    pub cause: Option<String>,
    /// The time-out that has passed, where one has.
    pub timeout: Option<Timeout>,
}

/// The two time-outs of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// `TimeoutSeconds`.
    Total,
    /// `HeartbeatSeconds`.
    Heartbeat,
}

impl Failure {
    /// A failure with a name and an explanation.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()), timeout: None }
    }

    /// A time-out has passed. Either way the error is `States.Timeout`, without a cause (recorded;
    /// <https://states-language.net/spec.html#task-timeouts>); only ErrorEquals can tell a missed heartbeat.
    pub fn timed_out(timeout: Timeout) -> Self {
        Self { error: Some(TIMEOUT.into()), cause: None, timeout: Some(timeout) }
    }

    /// Whether it ends the execution, whatever Retry and Catch say.
    pub fn is_runtime(&self) -> bool {
        self.error.as_deref() == Some(RUNTIME)
    }

    /// Whether an entry of ErrorEquals matches.
    pub fn matches(&self, name: &str) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        match name {
            // "A States.Runtime error isn't retriable, and will always cause the execution to fail."
            _ if self.is_runtime() => false,
            // "This is a terminal error that can't be caught by the States.ALL error type." AWS was once recorded
            // catching it all the same (March 2024); the documented, stricter rule is the one to be safe under.
            "States.ALL" => error != DATA_LIMIT_EXCEEDED,
            // "States.TaskFailed acts as a wildcard that matches any known error name except for States.Timeout."
            "States.TaskFailed" => error != TIMEOUT && error != DATA_LIMIT_EXCEEDED,
            // "This error is only available inside the Catch and Retry fields." States.Timeout matches it as well:
            // "a task state either ran longer than TimeoutSeconds or failed to send a heartbeat".
            "States.HeartbeatTimeout" => self.timeout == Some(Timeout::Heartbeat),
            name => name == error,
        }
    }

    /// The error output that a catcher hands on. Without SendTaskFailure's fields it holds nulls, after a time-out
    /// an empty cause (both recorded).
    pub fn output(&self) -> Value {
        let cause = self.cause.as_deref().or(self.timeout.map(|_| ""));
        json!({ "Error": self.error, "Cause": cause })
    }
}

/// One entry of Retry.
#[derive(Clone, Debug)]
pub struct Retrier {
    errors: Vec<String>,
    interval: f64,
    max_attempts: u32,
    backoff_rate: f64,
    max_delay: Option<f64>,
    full_jitter: bool,
}

/// One entry of Catch.
#[derive(Clone, Debug)]
pub struct Catcher {
    errors: Vec<String>,
    /// The state that goes on.
    pub next: String,
    /// Where the error output goes in the state's input; nothing discards it.
    pub result_path: Option<ReferencePath>,
}

/// How often each retrier of one visit to a state has been used: each has its own counter
/// (<https://states-language.net/spec.html#retrying-after-error>).
#[derive(Debug)]
pub struct Retries<'a> {
    retriers: &'a [Retrier],
    used: Vec<u32>,
}

impl<'a> Retries<'a> {
    /// Counters at zero.
    pub fn new(retriers: &'a [Retrier]) -> Self {
        Self { retriers, used: vec![0; retriers.len()] }
    }

    /// How long to wait before the next try, if there is to be one, with jitter from `random`. The first retrier that matches
    /// decides.
    pub fn delay(&mut self, failure: &Failure, random: &Random) -> Option<Duration> {
        let at = self.retriers.iter().position(|retrier| matches(&retrier.errors, failure))?;
        let (retrier, used) = (&self.retriers[at], &mut self.used[at]);
        if *used >= retrier.max_attempts {
            return None;
        }
        let longest = retrier.interval * retrier.backoff_rate.powf(f64::from(*used));
        *used += 1;
        let longest = retrier.max_delay.map_or(longest, |max| longest.min(max));
        // JitterStrategy FULL draws the wait from between 0 and the interval.
        let seconds = if retrier.full_jitter { longest * random.value::<f64>() } else { longest };
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// The first catcher that matches.
pub fn catcher<'a>(catchers: &'a [Catcher], failure: &Failure) -> Option<&'a Catcher> {
    catchers.iter().find(|catcher| matches(&catcher.errors, failure))
}

fn matches(errors: &[String], failure: &Failure) -> bool {
    errors.iter().any(|name| failure.matches(name))
}

/// Takes Retry out of a state's fields. The bounds are those of
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error>.
pub(super) fn take_retriers(state: &mut Fields) -> Result<Vec<Retrier>, String> {
    each(state, "Retry", |fields, last| {
        let errors = take_errors(fields, last)?;
        let interval: u32 = fields.take("IntervalSeconds")?.unwrap_or(1);
        let max_attempts: u32 = fields.take("MaxAttempts")?.unwrap_or(3);
        let backoff_rate: f64 = fields.take("BackoffRate")?.unwrap_or(2.0);
        let max_delay: Option<u32> = fields.take("MaxDelaySeconds")?;
        let jitter: Option<String> = fields.take("JitterStrategy")?;
        if !(1..=99_999_999).contains(&interval) || max_attempts > 99_999_999 {
            return Err(fields.error("IntervalSeconds must be 1 to 99999999 and MaxAttempts 0 to 99999999"));
        }
        if backoff_rate < 1.0 {
            return Err(fields.error("BackoffRate must be at least 1.0"));
        }
        if max_delay.is_some_and(|max| max <= interval || max >= 31_622_400) {
            return Err(
                fields.error("MaxDelaySeconds must be greater than IntervalSeconds and less than 31622400")
            );
        }
        let full_jitter = match jitter.as_deref() {
            None | Some("NONE") => false,
            Some("FULL") => true,
            Some(other) => {
                return Err(fields.error(&format!("JitterStrategy is FULL or NONE, not '{other}'")));
            }
        };
        let (interval, max_delay) = (f64::from(interval), max_delay.map(f64::from));
        Ok(Retrier { errors, interval, max_attempts, backoff_rate, max_delay, full_jitter })
    })
}

/// Takes Catch out of a state's fields.
pub(super) fn take_catchers(state: &mut Fields) -> Result<Vec<Catcher>, String> {
    each(state, "Catch", |fields, last| {
        let errors = take_errors(fields, last)?;
        let next = fields.need("Next")?;
        let result_path = take_result_path(fields)?;
        Ok(Catcher { errors, next, result_path })
    })
}

/// Takes a ResultPath: absent is `$`, null discards.
pub(super) fn take_result_path(fields: &mut Fields) -> Result<Option<ReferencePath>, String> {
    fields
        .take_with("ResultPath", |text: Option<String>| text.as_deref().map(ReferencePath::parse).transpose())
        .map(|path| path.unwrap_or_else(|| Some(ReferencePath::default())))
}

fn each<T>(
    state: &mut Fields,
    name: &str,
    mut read: impl FnMut(&mut Fields, bool) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let entries: Vec<Value> = state.take(name)?.unwrap_or_default();
    let count = entries.len();
    let mut list = Vec::with_capacity(count);
    for (at, entry) in entries.into_iter().enumerate() {
        let mut fields = Fields::of(entry, format!("{}, {name}[{at}]", state.place()))?;
        fields.take::<String>("Comment")?;
        list.push(read(&mut fields, at + 1 == count)?);
        fields.finish()?;
    }
    Ok(list)
}

/// "The reserved name States.ALL … must appear alone in the ErrorEquals array and must appear in the last retrier" or
/// catcher.
fn take_errors(fields: &mut Fields, last: bool) -> Result<Vec<String>, String> {
    let errors: Vec<String> = fields.need("ErrorEquals")?;
    if errors.is_empty() {
        return Err(fields.error("field 'ErrorEquals' is empty"));
    }
    if errors.iter().any(|error| error == "States.ALL") && (errors.len() > 1 || !last) {
        return Err(fields.error("field 'ErrorEquals': 'States.ALL' must be alone and in the last entry"));
    }
    Ok(errors)
}
