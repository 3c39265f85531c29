//! The named errors that a function fails with and the state machines match.

use std::fmt::Display;
use std::iter::successors;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lambda_runtime::Diagnostic;
use strum::{IntoStaticStr, VariantNames};

/// The most of somebody else's words that an error repeats, in characters: longer than any refusal of AWS that is known, and
/// short enough for the history, whose causes have at most 32,768.
/// Source: Step Functions API reference, `LambdaFunctionFailedEventDetails`.
const DETAIL_LIMIT: usize = 4_000;

/// What was not done, and why.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}: {detail}")]
pub struct Undone {
    doing: String,
    detail: String,
}

impl Undone {
    /// `doing` is a bare verb phrase, such as `create the job's VPC`.
    pub fn new(doing: impl Into<String>, detail: impl Display) -> Self {
        Self { doing: doing.into(), detail: detail.to_string().chars().take(DETAIL_LIMIT).collect() }
    }
}

/// What a function fails with. The variant's name is the `errorType` that the state machines match.
#[derive(Debug, thiserror::Error, IntoStaticStr, VariantNames)]
pub enum Error {
    /// The job document was refused; the message names the field, what was given and what is allowed.
    #[error("{0}")]
    InvalidJob(String),
    /// AWS denied an action to the function's role.
    #[error("{0}; give the function's role this right in template.yaml")]
    AccessDenied(Undone),
    /// A quota of the account is used up, and the job does not wait for it; the message says which quota it is, its
    /// number and where it can be raised.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The same, and the job's `queueMinutes` are not over yet; the state machine tries again.
    #[error("{0}")]
    QuotaFull(String),
    /// Something that was just created is not known everywhere yet; the state machine tries again.
    /// Source: EC2 developer guide, "Ensuring consistency" (eventual-consistency).
    #[error("{0}")]
    NotVisibleYet(Undone),
    /// The NAT gateway is not available yet; the state machine looks again.
    #[error("{0}")]
    NatPending(String),
    /// The endpoints are not all available yet; the state machine looks again.
    #[error("{0}")]
    EndpointsPending(String),
    /// The VPC has no IPv6 addresses yet; the state machine looks again.
    #[error("{0}")]
    BlockPending(String),
    /// The load balancer does not answer callers yet; the state machine looks again.
    #[error("{0}")]
    LoadBalancerPending(String),
    /// Something that is being deleted is still there; the state machine looks again.
    #[error("{0}")]
    StillInUse(String),
    /// The service's tasks have no addresses yet; the state machine looks again.
    #[error("{0}")]
    TaskStarting(String),
    /// The service is not ready yet; the state machine looks again.
    #[error("{0}")]
    ServiceStarting(String),
    /// What was to be waited for has ended before: a report of the start has come, or the service is over.
    #[error("{0}")]
    AlreadyEnded(String),
    /// Reports are on their way that may hold the job's result; the state machine looks again.
    #[error("{0}")]
    ReportsPending(String),
    /// AWS was busy or out of reach; the state machine tries again.
    #[error("{0}")]
    Unavailable(Undone),
    /// Anything else.
    #[error("{0}")]
    Internal(Undone),
}

impl Error {
    /// The names of all errors.
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;

    /// A fault that no AWS call reported.
    pub fn internal(doing: impl Into<String>, detail: impl Display) -> Self {
        Self::Internal(Undone::new(doing, detail))
    }

    /// What was just made is not known to the one who was asked.
    pub fn not_visible_yet(doing: impl Into<String>, detail: impl Display) -> Self {
        Self::NotVisibleYet(Undone::new(doing, detail))
    }

    /// AWS has refused a deletion because of something else, which will go.
    pub fn still_in_use(doing: impl Display, detail: impl Display) -> Self {
        Self::StillInUse(Undone::new(format!("{doing} yet"), detail).to_string())
    }

    /// AWS was busy, by other signs than [`Error::aws`] knows.
    pub fn unavailable(doing: impl Into<String>, detail: impl Display) -> Self {
        Self::Unavailable(Undone::new(doing, detail))
    }

    /// Turns the failure of an AWS call into an error, for `map_err`.
    pub fn aws<E, R>(doing: &str) -> impl FnOnce(SdkError<E, R>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug + 'static,
    {
        move |error| {
            let code = error.code().unwrap_or_default();
            if is_access_denied(code) {
                // AWS's own words, which name the action and the resource.
                return Self::AccessDenied(Undone::new(doing, error.message().unwrap_or(code)));
            }
            // All of AWS's own refusals have a code: what has none is an answer that was cut off, or somebody else's.
            let is_transient =
                is_transient(code) || code.is_empty() || !matches!(error, SdkError::ServiceError(_));
            let undone = Undone::new(doing, told(&error));
            if is_transient { Self::Unavailable(undone) } else { Self::Internal(undone) }
        }
    }

    /// The `errorType` that Step Functions sees.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error.to_string() }
    }
}

/// What AWS's answer holds in `field`.
///
/// # Errors
/// [`Error::Internal`] where it holds nothing: an empty id would fail only in a later step.
pub fn given<T>(doing: &str, field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::internal(doing, format!("AWS's answer has no {field}")))
}

/// What AWS has said, or what kept that from being understood: without the answer itself, in which there may be credentials.
fn told<E, R>(error: &SdkError<E, R>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    if let (Some(code), Some(message)) = (error.code(), error.message()) {
        return format!("{code}: {message}");
    }
    let causes = successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The spellings of a denial in EC2 (`UnauthorizedOperation`), the JSON services and the query services.
fn is_access_denied(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "AuthorizationError"
            | "UnauthorizedOperation"
            | "Forbidden"
    )
}

/// The codes that AWS documents as "try again": EC2's `errors-overview` and the SDKs' throttling codes.
fn is_transient(code: &str) -> bool {
    matches!(
        code,
        "EC2ThrottledException"
            | "InternalError"
            | "InternalFailure"
            | "InternalServerError"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "ServerException"
            | "ServiceUnavailable"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "Unavailable"
    )
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn an_error_is_told_by_its_variants_name() {
        let diagnostic = Diagnostic::from(Error::StillInUse("1 task is still stopping".into()));
        assert_eq!(diagnostic.error_type, "StillInUse");
        assert_eq!(diagnostic.error_message, "1 task is still stopping");
    }

    #[test]
    fn what_cannot_be_read_is_asked_for_again_and_a_refusal_is_not() {
        let told = |metadata: ErrorMetadata| {
            Error::aws("make it")(SdkError::service_error(Told(metadata), ())).name()
        };
        assert_eq!(told(ErrorMetadata::builder().build()), "Unavailable");
        assert_eq!(told(ErrorMetadata::builder().code("InvalidParameterValue").build()), "Internal");
    }

    #[test]
    fn no_answer_is_repeated_whole_and_none_that_could_not_be_read_at_all() {
        let metadata =
            ErrorMetadata::builder().code("InvalidParameterValue").message("no\u{1f980}".repeat(1 << 20));
        let error = Error::aws("make it")(SdkError::service_error(Told(metadata.build()), ()));
        let message = error.to_string();
        assert!(message.starts_with("could not make it: InvalidParameterValue: no"), "{message}");
        assert!(message.chars().count() < DETAIL_LIMIT + 100, "{} characters", message.chars().count());
        let unread = SdkError::<Told, _>::response_error("it ends early", "SecretAccessKey");
        let message = Error::aws("make it")(unread).to_string();
        assert!(message.contains("it ends early") && !message.contains("SecretAccessKey"), "{message}");
    }

    /// An error of some operation.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(ErrorMetadata);

    impl ProvideErrorMetadata for Told {
        fn meta(&self) -> &ErrorMetadata {
            &self.0
        }
    }

    #[test]
    fn an_answer_without_an_id_is_no_success() {
        assert_eq!(given("make it", "vpcId", Some("vpc-1")).unwrap(), "vpc-1");
        let error = given::<String>("make it", "vpcId", None).unwrap_err();
        assert_eq!(error.name(), "Internal");
        assert_eq!(error.to_string(), "could not make it: AWS's answer has no vpcId");
    }
}
