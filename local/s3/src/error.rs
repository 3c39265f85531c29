//! Errors as S3 answers them (S3 API Reference, "Error responses"; most sentences as recorded, since the page words them
//! otherwise).

use std::fmt::Display;
use std::io;

use http::StatusCode;
use local_aws::auth::{Code, Refusal};

/// An error as S3 answers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// For example `NoSuchKey`.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
    /// Elements that only this error has, by name.
    pub details: Vec<(&'static str, String)>,
}

impl ApiError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    pub fn argument(name: &str, value: &str, message: impl Into<String>) -> Self {
        Self::new("InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequest", message)
    }

    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", message)
    }

    /// What AWS has and this stand-in does not.
    pub fn unsupported(what: &str) -> Self {
        Self::new("NotImplemented", format!("the local S3 does not support {what}"))
    }

    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new("NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
    }

    pub fn no_such_key(key: &str) -> Self {
        Self::new("NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    /// Recorded, `test_multipart_no_such_upload`.
    pub fn no_such_upload(id: &str) -> Self {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                       aborted or completed.";
        Self::new("NoSuchUpload", message).with("UploadId", id)
    }

    /// Recorded, `test_s3_get_object_preconditions`.
    pub fn precondition_failed(condition: &str) -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new("PreconditionFailed", message).with("Condition", condition)
    }

    /// Recorded by others: github.com/versity/versitygw/issues/2041.
    pub fn too_large(proposed: u64, most: u64) -> Self {
        Self::new("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
            .with("ProposedSize", proposed)
            .with("MaxSizeAllowed", most)
    }

    /// Recorded by others: github.com/versity/versitygw/issues/2040.
    pub fn too_small(proposed: u64, least: u64) -> Self {
        Self::new("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
            .with("ProposedSize", proposed)
            .with("MinSizeAllowed", least)
    }

    pub fn malformed_xml() -> Self {
        let message =
            "The XML you provided was not well-formed or did not validate against our published schema";
        Self::new("MalformedXML", message)
    }

    pub fn incomplete_body() -> Self {
        let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
        Self::new("IncompleteBody", message)
    }

    /// Source: S3 API Reference, "Error responses", the list of codes.
    pub fn status(&self) -> StatusCode {
        match self.code {
            "AccessDenied"
            | "InvalidAccessKeyId"
            | "InvalidObjectState"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch" => StatusCode::FORBIDDEN,
            "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" => StatusCode::NOT_FOUND,
            "MethodNotAllowed" => StatusCode::METHOD_NOT_ALLOWED,
            "BucketAlreadyOwnedByYou" => StatusCode::CONFLICT,
            "MissingContentLength" => StatusCode::LENGTH_REQUIRED,
            "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
            "InvalidRange" => StatusCode::RANGE_NOT_SATISFIABLE,
            "NotModified" => StatusCode::NOT_MODIFIED,
            "InternalError" => StatusCode::INTERNAL_SERVER_ERROR,
            "NotImplemented" => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            Code::AccessDenied => Self::access_denied(refusal.message),
            Code::ExpiredToken => Self::new("ExpiredToken", "The provided token has expired."),
            Code::InvalidSignature => Self::new("SignatureDoesNotMatch", refusal.message),
            Code::UnknownKey => Self::new(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
        }
    }
}

impl From<http::Error> for ApiError {
    fn from(error: http::Error) -> Self {
        tracing::error!(%error, "an answer has no headers");
        Self::new("InternalError", "We encountered an internal error. Please try again.")
    }
}

/// The disk that bodies are kept on.
impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "a body could not be kept");
        Self::new("InternalError", "We encountered an internal error. Please try again.")
    }
}
