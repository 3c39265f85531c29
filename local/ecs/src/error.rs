//! The errors of the ECS API, as they go over the wire.

use std::fmt::Display;

use local_aws::auth::Refusal;

/// The outcome of a call.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// An error of the ECS API; the wire has the code in `__type` and the sentence in `message`, always with HTTP
/// 400.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ApiError {
    /// As in the API Reference, "Common Errors" and the errors of each action.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
}

impl ApiError {
    pub fn new(code: &'static str, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub fn client(message: impl Display) -> Self {
        Self::new("ClientException", message)
    }

    pub fn invalid_parameter(message: impl Display) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub fn cluster_not_found() -> Self {
        Self::new("ClusterNotFoundException", "Cluster not found.")
    }

    /// Of a cluster that is deleted and still known.
    pub fn cluster_inactive() -> Self {
        Self::new("ClusterNotFoundException", "The referenced cluster was inactive.")
    }

    pub fn service_not_found() -> Self {
        Self::new("ServiceNotFoundException", "Service not found.")
    }

    /// What AWS has and this stand-in does not.
    pub fn unsupported(what: impl Display) -> Self {
        Self::new("UnsupportedFeatureException", format!("the local ECS does not support {what}"))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        // API Reference, "Common Errors" of the JSON 1.1 protocol.
        Self { code: refusal.code.in_json(), message: refusal.message }
    }
}
