//! The calls of the Step Functions API that are supported here, and their fields.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html>

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::callback::Tokens;
use crate::error::ApiError;
use crate::execution::Status;

/// The calls, each with its fields; any other field is refused by name.
pub enum Call {
    StartExecution(StartExecution),
    StopExecution(StopExecution),
    DescribeExecution(OfExecution),
    DescribeStateMachineForExecution(OfExecution),
    GetExecutionHistory(GetExecutionHistory),
    ListExecutions(ListExecutions),
    DescribeStateMachine(DescribeStateMachine),
    ListStateMachines(ListStateMachines),
    SendTaskSuccess(SendTaskSuccess),
    SendTaskFailure(SendTaskFailure),
    SendTaskHeartbeat(SendTaskHeartbeat),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartExecution {
    pub state_machine_arn: String,
    pub name: Option<String>,
    pub input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopExecution {
    pub execution_arn: String,
    pub error: Option<String>,
    pub cause: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfExecution {
    pub execution_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetExecutionHistory {
    pub execution_arn: String,
    #[serde(default)]
    pub reverse_order: bool,
    pub include_execution_data: Option<bool>,
    pub max_results: Option<usize>,
    pub next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListExecutions {
    pub state_machine_arn: String,
    pub status_filter: Option<Status>,
    pub max_results: Option<usize>,
    pub next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeStateMachine {
    pub state_machine_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListStateMachines {
    pub max_results: Option<usize>,
    pub next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendTaskSuccess {
    pub task_token: String,
    pub output: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendTaskFailure {
    pub task_token: String,
    pub error: Option<String>,
    pub cause: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendTaskHeartbeat {
    pub task_token: String,
}

impl Call {
    /// Reads the call of this name.
    ///
    /// # Errors
    /// `UnknownOperationException`, or `ValidationException` for what is wrong in the body.
    pub fn parse(action: &str, body: &[u8]) -> Result<Self, ApiError> {
        fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
            serde_json::from_slice(body)
                .map_err(|error| ApiError::new("ValidationException", error.to_string()))
        }
        Ok(match action {
            "StartExecution" => Self::StartExecution(fields(body)?),
            "StopExecution" => Self::StopExecution(fields(body)?),
            "DescribeExecution" => Self::DescribeExecution(fields(body)?),
            "DescribeStateMachineForExecution" => Self::DescribeStateMachineForExecution(fields(body)?),
            "GetExecutionHistory" => Self::GetExecutionHistory(fields(body)?),
            "ListExecutions" => Self::ListExecutions(fields(body)?),
            "DescribeStateMachine" => Self::DescribeStateMachine(fields(body)?),
            "ListStateMachines" => Self::ListStateMachines(fields(body)?),
            "SendTaskSuccess" => Self::SendTaskSuccess(fields(body)?),
            "SendTaskFailure" => Self::SendTaskFailure(fields(body)?),
            "SendTaskHeartbeat" => Self::SendTaskHeartbeat(fields(body)?),
            other => {
                let message = format!("'{other}' is not a call that is supported here");
                return Err(ApiError::new("UnknownOperationException", message));
            }
        })
    }

    /// The resource that IAM judges by: the machine's or the execution's ARN; ListStateMachines knows none (Service
    /// Authorization Reference, "Actions, resources, and condition keys for AWS Step Functions"). SendTask* is judged by
    /// the machine that issued the token, as AWS's own policies have it (SAM's `StepFunctionsCallbackPolicy`, CDK's
    /// `grantTaskResponse`).
    pub fn resource(&self, tokens: &Tokens) -> String {
        let of_token = |token: &str| tokens.machine(token).unwrap_or_else(|| "*".to_owned());
        match self {
            Self::StartExecution(call) => call.state_machine_arn.clone(),
            Self::ListExecutions(call) => call.state_machine_arn.clone(),
            Self::DescribeStateMachine(call) => call.state_machine_arn.clone(),
            Self::StopExecution(call) => call.execution_arn.clone(),
            Self::DescribeExecution(call) | Self::DescribeStateMachineForExecution(call) => {
                call.execution_arn.clone()
            }
            Self::GetExecutionHistory(call) => call.execution_arn.clone(),
            Self::SendTaskSuccess(call) => of_token(&call.task_token),
            Self::SendTaskFailure(call) => of_token(&call.task_token),
            Self::SendTaskHeartbeat(call) => of_token(&call.task_token),
            Self::ListStateMachines(_) => "*".to_owned(),
        }
    }
}
