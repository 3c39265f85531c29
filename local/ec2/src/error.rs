//! Errors as EC2 answers them (EC2 API reference, "Error codes").

use http::StatusCode;
use local_aws::auth::{Code, Refusal};

/// An error as EC2 answers it. EC2's model declares none, so callers compare the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// For example `InvalidSubnetID.NotFound`.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn unknown_parameter(name: &str) -> Self {
        Self::new("UnknownParameter", format!("The parameter {name} is not recognized"))
    }

    /// For `value` of the parameter `name`, and what would have been right.
    pub(crate) fn invalid_value(name: &str, value: &str, expected: &str) -> Self {
        Self::new(
            "InvalidParameterValue",
            format!("Value ( {value} ) for parameter {name} is invalid. {expected}"),
        )
    }

    /// For what cannot be deleted, or detached, while something else needs it. The message never names the blocker.
    pub(crate) fn dependency_violation(kind: &str, id: &str) -> Self {
        Self::new("DependencyViolation", format!("The {kind} '{id}' has dependencies and cannot be deleted."))
    }

    /// What MiniStack's EC2 answered instead of the stack's network.
    pub(crate) fn ministack(error: &(impl std::error::Error + 'static)) -> Self {
        let error = aws_sdk_ec2::error::DisplayErrorContext(error).to_string();
        tracing::error!(error, "MiniStack's EC2 could not be read");
        Self::new("InternalError", format!("the local cloud cannot read the stack's network: {error}"))
    }

    /// Client errors are 400 but for those that the page lists otherwise. `AuthFailure` is 401 only for a caller who
    /// cannot be authenticated; of an address it is 400 (genevieve/leftovers#33,
    /// hashicorp/terraform-provider-aws#3572).
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            "UnauthorizedOperation" => StatusCode::FORBIDDEN,
            "DryRunOperation" => StatusCode::PRECONDITION_FAILED,
            "InternalError" => StatusCode::INTERNAL_SERVER_ERROR,
            "RequestLimitExceeded" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, sentence) = match refusal.code {
            Code::InvalidSignature | Code::UnknownKey => {
                ("AuthFailure", "AWS was not able to validate the provided access credentials:")
            }
            // The page says so of requests that are too old; of sessions that are, nothing.
            Code::ExpiredToken => ("RequestExpired", "Request has expired."),
            Code::AccessDenied => {
                ("UnauthorizedOperation", "You are not authorized to perform this operation.")
            }
        };
        Self::new(code, format!("{sentence} {}", refusal.message))
    }
}
