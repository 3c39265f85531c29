//! The errors of the DynamoDB API, as they go over the wire.

use std::fmt::Display;

use local_aws::auth::Refusal;

use super::value::Item;

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, ApiError>;

/// An error of the DynamoDB API, always with HTTP 400.
#[derive(Debug)]
pub struct ApiError {
    /// As in the developer guide, "Error handling with DynamoDB", and the errors of each action.
    pub code: &'static str,
    /// The sentence for a person. Where AWS's own is known, it is that.
    pub message: String,
    /// The item that a condition does not hold for, where that was asked for.
    pub item: Option<Item>,
}

impl ApiError {
    pub fn invalid(message: impl Display) -> Self {
        Self { code: "ValidationException", message: message.to_string(), item: None }
    }

    /// What AWS may have and this stand-in does not.
    pub fn unsupported(what: impl Display) -> Self {
        let message = format!("the simulated DynamoDB does not take {what}");
        tracing::error!(message, "a call could not be judged");
        Self::invalid(message)
    }

    pub fn unknown_operation(target: &str) -> Self {
        let unsupported = Self::unsupported(format!("the call {target:?}"));
        Self { code: "UnknownOperationException", ..unsupported }
    }

    pub fn no_table() -> Self {
        let message = "Requested resource not found".to_owned();
        Self { code: "ResourceNotFoundException", message, item: None }
    }

    pub fn condition_failed(item: Option<Item>) -> Self {
        let message = "The conditional request failed".to_owned();
        Self { code: "ConditionalCheckFailedException", message, item }
    }

    /// The code with the namespace that it goes over the wire in.
    /// Source: DynamoDB developer guide, "DynamoDB low-level API", response error format.
    pub fn shape(&self) -> String {
        let namespace = match self.code {
            "ValidationException" => "com.amazon.coral.validate",
            "AccessDeniedException"
            | "InvalidSignatureException"
            | "UnknownOperationException"
            | "UnrecognizedClientException" => "com.amazon.coral.service",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        format!("{namespace}#{}", self.code)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        // Developer guide, "Error handling with DynamoDB".
        Self { code: refusal.code.in_json(), message: refusal.message, item: None }
    }
}
