//! What can go wrong with a registry, in words that say what to do.

use std::error::Error as StdError;
use std::io;

use mayfly_model::shown::shown;
use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};

/// Why an image was not copied or pushed. Nothing of it repeats a signed URL or a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the name of an image.
    #[error("{given} names no image: {why}; an image is called as in docker.io/library/nginx:1.29")]
    Reference {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// No registry gives this token out.
    #[error("ECR's authorization token is none: it is USER:PASSWORD in base64")]
    Token,
    /// The registry has no such repository, tag or digest.
    #[error("there is no {image}{said}; look for a mistake in its name, tag or digest")]
    NotFound {
        /// The image.
        image: String,
        /// The registry's words, after a comma.
        said: String,
    },
    /// The registry does not let the caller do this. Of an image that is not there Docker Hub says the same.
    #[error(
        "the registry denies {image}{said}; either it does not exist, or it takes the credentials of somebody who may \
         have it"
    )]
    Denied {
        /// The image.
        image: String,
        /// The registry's words, after a comma.
        said: String,
    },
    /// The caller has asked for too much.
    #[error(
        "the limit of {registry} is met{said}; try again later, or with the credentials of an account there"
    )]
    Limit {
        /// The registry's host.
        registry: String,
        /// The registry's words, after a comma.
        said: String,
    },
    /// Nothing in the image is for what was asked for.
    #[error("{image} is not for {wanted}, but for {offered}; choose among these")]
    NoSuchPlatform {
        /// The image.
        image: String,
        /// The platforms that were asked for.
        wanted: String,
        /// Those that there are.
        offered: String,
    },
    /// Neither an image nor an index of images.
    #[error(
        "{image} is no image that can be copied: its manifest is neither OCI's nor Docker's version 2, schema 2; take a \
         newer version of it"
    )]
    NoImage {
        /// The image.
        image: String,
    },
    /// The content is not what its digest says.
    #[error(
        "what the registry has for {image} is damaged: {said}; try again, or take another version of the image"
    )]
    Damaged {
        /// The image.
        image: String,
        /// Which digest was found.
        said: String,
    },
    /// The registry has said no for some other reason.
    #[error("the registry refuses {image}{said}")]
    Refused {
        /// The image.
        image: String,
        /// The registry's words, after a comma.
        said: String,
    },
    /// No answer, or only a part of it.
    #[error("the connection to {registry} has failed; try again: what has arrived is not sent twice")]
    Connection {
        /// The registry's host.
        registry: String,
        /// What has failed.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A program that would not run in an image of its own.
    #[error("the program for {platform} is {what}; build it with `make worker`")]
    Program {
        /// The platform it was given for.
        platform: String,
        /// What it is instead.
        what: &'static str,
    },
}

impl Error {
    /// What the client's error says about `image`.
    pub(crate) fn of(image: &Reference, error: OciDistributionError) -> Self {
        match error {
            OciDistributionError::ServerError { code, message, .. } => {
                let said = match serde_json::from_str::<OciEnvelope>(&message) {
                    Ok(envelope) => words(&envelope),
                    Err(_) => message.trim().to_owned(),
                };
                Self::answered(image, code, &said)
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                Self::answered(image, status(&envelope), &words(&envelope))
            }
            OciDistributionError::UnauthorizedError { .. } => Self::answered(image, 401, ""),
            // The client keeps the words, and not the status.
            OciDistributionError::AuthenticationFailure(reason) => {
                let envelope = serde_json::from_str::<OciEnvelope>(&reason).ok();
                let is_limit = envelope.as_ref().map(status) == Some(429)
                    || reason.to_lowercase().contains("too many requests");
                let said = envelope.as_ref().map_or(reason, words);
                Self::answered(image, if is_limit { 429 } else { 401 }, &said)
            }
            OciDistributionError::RequestError(error) => Self::request(image, error),
            OciDistributionError::IoError(error) => Self::broken(image, error),
            OciDistributionError::DigestError(error) => {
                Self::Damaged { image: image.whole(), said: error.to_string() }
            }
            other => Self::answered(image, 400, &other.to_string()),
        }
    }

    /// What has broken off a blob of `image`.
    pub(crate) fn broken(image: &Reference, error: io::Error) -> Self {
        let cause = match error.downcast::<reqwest::Error>() {
            Ok(error) => return Self::request(image, error),
            Err(error) => error,
        };
        match cause.downcast::<oci_client::errors::DigestError>() {
            Ok(error) => Self::Damaged { image: image.whole(), said: error.to_string() },
            Err(error) => Self::connection(image, error),
        }
    }

    fn request(image: &Reference, error: reqwest::Error) -> Self {
        match error.status() {
            Some(status) => Self::answered(image, status.as_u16(), ""),
            // The URL of a blob may be a signed one, of the store behind the registry.
            None => Self::connection(image, error.without_url()),
        }
    }

    fn connection(image: &Reference, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Connection { registry: image.registry().to_owned(), source: error.into() }
    }

    fn answered(image: &Reference, status: u16, said: &str) -> Self {
        let said = if said.is_empty() { String::new() } else { format!(", {}", shown(said)) };
        let (registry, image) = (image.registry().to_owned(), image.whole());
        match status {
            404 => Self::NotFound { image, said },
            401 | 403 => Self::Denied { image, said },
            429 => Self::Limit { registry, said },
            _ => Self::Refused { image, said },
        }
    }
}

/// The first error's code and message.
fn words(envelope: &OciEnvelope) -> String {
    let Some(error) = envelope.errors.first() else { return String::new() };
    let code = serde_json::to_value(&error.code).ok();
    let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or_default();
    if error.message.is_empty() { code.to_owned() } else { format!("{code}: {}", error.message) }
}

/// The status that goes with the first error's code, which the client does not tell.
/// Source: OCI distribution specification, "Error Codes"; statuses: github.com/distribution/distribution,
/// registry/api/errcode and registry/api/v2/errors.go.
fn status(envelope: &OciEnvelope) -> u16 {
    match envelope.errors.first().map(|error| &error.code) {
        Some(
            OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound,
        ) => 404,
        Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => 403,
        Some(OciErrorCode::Toomanyrequests) => 429,
        _ => 400,
    }
}
