//! What goes wrong inside the interpreter itself, as opposed to in what a Task state calls.
//!
//! Names: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>

/// The execution cannot go on; ends it whatever its Retry and Catch say.
pub const RUNTIME: &str = "States.Runtime";
/// A payload has become larger than [`PAYLOAD_LIMIT`].
pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
/// A task took too long, or its heartbeat was missed.
pub const TIMEOUT: &str = "States.Timeout";
/// A ResultPath cannot be applied to the state's input.
pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
/// An intrinsic function was called with what it cannot take.
pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";

/// The most bytes of UTF-8 that an input, output or result may have (Service quotas, "Maximum input or output size").
pub const PAYLOAD_LIMIT: usize = 262_144;

/// An error name and a sentence, not yet placed in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of the names above.
    pub error: &'static str,
    /// What happened, without the state's name.
    pub message: String,
}

impl Fault {
    /// A fault that no Catch stops. AWS uses this name, not `States.ParameterPathFailure`, for a path that leads
    /// nowhere ("The JSONPath '$.no_such_jsonpath' specified for the field 'value.$' could not be found in the input
    /// …" was recorded as `States.Runtime`).
    pub fn runtime(message: impl Into<String>) -> Self {
        Self { error: RUNTIME, message: message.into() }
    }

    /// A fault of an intrinsic function.
    pub fn intrinsic(message: impl Into<String>) -> Self {
        Self { error: INTRINSIC_FAILURE, message: message.into() }
    }
}
