//! Errors of the Step Functions API.

use local_aws::auth::Refusal;

/// An error as the API answers it, always with status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// Its name in the API reference.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
}

impl ApiError {
    /// An error of this name.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The name as SDKs for Java spell the exception, which is how a machine's errors are named.
    pub fn exception(&self) -> String {
        if self.code.ends_with("Exception") {
            self.code.to_owned()
        } else {
            format!("{}Exception", self.code)
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.in_json(), refusal.message)
    }
}
