//! The service integrations that a Task may name, and their parameters.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html>

use super::template::Template;

/// What a Task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Invokes a function and takes its result.
    Invoke,
    /// Invokes a function and waits for somebody to send the token back.
    InvokeForToken,
    /// Starts an execution and goes on.
    StartExecution,
    /// Starts an execution and waits for its end; the output is JSON.
    StartExecutionSync,
    /// The SDK's StopExecution.
    StopExecution,
    /// The SDK's DescribeExecution.
    DescribeExecution,
    /// Puts events on a bus.
    PutEvents,
}

/// The ARN, what it is, the history's `resourceType` and `resource`, the parameters that must be there and those that
/// may.
type Row = (&'static str, Resource, [&'static str; 2], &'static [&'static str], &'static [&'static str]);

const TABLE: [Row; 7] = [
    (
        "arn:aws:states:::lambda:invoke",
        Resource::Invoke,
        ["lambda", "invoke"],
        &["FunctionName"],
        &["Payload"],
    ),
    (
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        Resource::InvokeForToken,
        ["lambda", "invoke.waitForTaskToken"],
        &["FunctionName"],
        &["Payload"],
    ),
    (
        "arn:aws:states:::states:startExecution",
        Resource::StartExecution,
        ["states", "startExecution"],
        &["StateMachineArn"],
        &["Name", "Input"],
    ),
    (
        "arn:aws:states:::states:startExecution.sync:2",
        Resource::StartExecutionSync,
        ["states", "startExecution.sync:2"],
        &["StateMachineArn"],
        &["Name", "Input"],
    ),
    (
        "arn:aws:states:::aws-sdk:sfn:stopExecution",
        Resource::StopExecution,
        ["aws-sdk:sfn", "stopExecution"],
        &["ExecutionArn"],
        &["Error", "Cause"],
    ),
    (
        "arn:aws:states:::aws-sdk:sfn:describeExecution",
        Resource::DescribeExecution,
        ["aws-sdk:sfn", "describeExecution"],
        &["ExecutionArn"],
        &[],
    ),
    ("arn:aws:states:::events:putEvents", Resource::PutEvents, ["events", "putEvents"], &["Entries"], &[]),
];

impl Resource {
    /// The integration of this ARN.
    ///
    /// # Errors
    /// A sentence that names the ARN where it is not one of ours.
    pub fn parse(arn: &str) -> Result<Self, String> {
        TABLE
            .iter()
            .find(|row| row.0 == arn)
            .map(|row| row.1)
            .ok_or_else(|| format!("'{arn}' is not a service integration that is supported here"))
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.1 == self).expect("every resource has its row")
    }

    /// `resourceType` and `resource` as the history has them.
    pub fn names(self) -> [&'static str; 2] {
        self.row().2
    }

    /// Refuses parameters that the integration does not take, and a lack of those that it needs.
    pub fn check(self, parameters: Option<&Template>) -> Result<(), String> {
        let (_, _, _, needed, possible) = self.row();
        let given: Vec<&str> = parameters.into_iter().flat_map(Template::names).collect();
        if let Some(missing) = needed.iter().find(|name| !given.contains(*name)) {
            return Err(format!("field 'Parameters': '{missing}' is missing"));
        }
        match given.iter().find(|name| !needed.contains(*name) && !possible.contains(*name)) {
            Some(unknown) => Err(format!("field 'Parameters': '{unknown}' is not supported here")),
            None => Ok(()),
        }
    }
}
