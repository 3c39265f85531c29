//! Errors as registries answer them.

use axum::body::Body;
use http::{Response, StatusCode, header};
use serde_json::json;

/// An error of the wire: a code of the specification's, and words.
/// Source: OCI distribution specification, "Error Codes"; the statuses, of which it says only that they are 4xx, are those of
/// github.com/distribution/distribution, registry/api/errcode and registry/api/v2/errors.go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The answer's status.
    pub status: StatusCode,
    /// For example `NAME_UNKNOWN`.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
    /// What the caller has to bring, for `WWW-Authenticate`.
    pub challenge: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), challenge: None }
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn unknown(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// What registries have and this stand-in does not.
    pub(crate) fn unsupported(what: &str) -> Self {
        let message = format!("the local registry does not support {what}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    /// Where this machine fails.
    pub(crate) fn of_machine(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] }).to_string();
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        if let Some(challenge) = &self.challenge {
            response = response.header(header::WWW_AUTHENTICATE, challenge);
        }
        response.body(body.into()).expect("the headers are valid")
    }
}
