//! What the error codes of Elastic Load Balancing mean. One code has opposite meanings: `NotFound` of something that was
//! just created is to be tried again, and of something that is to be deleted it is success.
//! Source: Elastic Load Balancing API Reference 2015-12-01, the errors of each action.

use std::error::Error as StdError;
use std::fmt::Debug;

use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use jiff::Timestamp;
use mayfly_lambda::error::Error;
use mayfly_model::plan::Plan;

use crate::quota;

/// The codes for what does not exist.
const NOT_FOUND: [&str; 5] = [
    "LoadBalancerNotFound",
    "TargetGroupNotFound",
    "ListenerNotFound",
    "SubnetNotFound",
    "InvalidSecurityGroup",
];

/// The codes for a certificate that is none of this account's and Region's, or that is not issued: of the API reference, and
/// as met where Certificate Manager waited for the proof of its names (hashicorp/terraform-provider-aws#41789).
const NO_CERTIFICATE: [&str; 2] = ["CertificateNotFound", "UnsupportedCertificate"];

/// What is in the message of a code that says little, where something that was just made is not seen yet: the VPC of a
/// target group, and the internet gateway of the VPC.
const NOT_SEEN: [(&str, &str); 2] =
    [("ValidationError", "is not found"), ("InvalidSubnet", "has no internet gateway")];

/// Turns the failure of a call that creates or connects something into an error, for `map_err`.
pub fn creating<E, R>(doing: &str, plan: &Plan, now: Timestamp) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default();
        let told = error.message().unwrap_or(code);
        if is_not_found(code) || NOT_SEEN.iter().any(|(known, word)| code == *known && told.contains(word)) {
            return Error::not_visible_yet(doing, told);
        }
        if NO_CERTIFICATE.contains(&code) {
            return Error::InvalidJob(format!(
                "service.loadBalancer.certificateArn: {told}; name a certificate that Certificate Manager has issued in this \
                 Region and account"
            ));
        }
        match quota::of(code) {
            Some(quota) => quota.error(doing, code, plan.waits_for_quotas(now), told),
            None => Error::aws(doing)(error),
        }
    }
}

/// What the answer to a call that deletes something means: that it is gone already is success, and it is `StillInUse` while
/// something else refers to it.
///
/// # Errors
/// As [`Error::aws`].
pub fn deleting<O, E, R>(doing: &str, answer: Result<O, SdkError<E, R>>) -> Result<(), Error>
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    let Err(error) = answer else { return Ok(()) };
    match error.code().unwrap_or_default() {
        code if is_not_found(code) => Ok(()),
        code @ "ResourceInUse" => {
            let told = error.message().unwrap_or_default();
            Err(Error::still_in_use(doing, format!("{code}: {told}")))
        }
        _ => Err(Error::aws(doing)(error)),
    }
}

pub(crate) fn is_not_found(code: &str) -> bool {
    NOT_FOUND.contains(&code)
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::error::ErrorMetadata;
    use aws_sdk_elasticloadbalancingv2::operation::create_load_balancer::CreateLoadBalancerError;

    use super::*;

    fn refusal(code: &str, message: &str) -> SdkError<CreateLoadBalancerError, ()> {
        let told = ErrorMetadata::builder().code(code).message(message).build();
        SdkError::service_error(CreateLoadBalancerError::generic(told), ())
    }

    #[test]
    fn what_was_just_made_and_is_not_seen_yet_is_tried_again() {
        let plan = serde_json::from_str(include_str!("../../../events/plan.private.json")).expect("a plan");
        for (code, message, name) in [
            ("SubnetNotFound", "", "NotVisibleYet"),
            ("ValidationError", "The VPC ID 'vpc-1' is not found", "NotVisibleYet"),
            ("ValidationError", "The name is too long", "Internal"),
            ("InvalidSubnet", "VPC vpc-1 has no internet gateway", "NotVisibleYet"),
            ("InvalidSubnet", "Not enough IP space available in subnet-1.", "Internal"),
            ("TooManyLoadBalancers", "", "QuotaExceeded"),
            ("TooManyTargetGroups", "", "QuotaExceeded"),
            ("CertificateNotFound", "Certificate 'arn' not found", "InvalidJob"),
            ("ThrottlingException", "Rate exceeded", "Unavailable"),
            ("AccessDenied", "", "AccessDenied"),
        ] {
            let error = creating("do it", &plan, Timestamp::MAX)(refusal(code, message));
            assert_eq!(error.name(), name, "{code} {message}");
        }
    }

    #[test]
    fn a_deletion_of_what_is_gone_succeeds_and_of_what_is_in_use_is_tried_again() {
        let name = |code| deleting::<(), _, _>("do it", Err(refusal(code, ""))).map_err(|error| error.name());
        assert_eq!(name("TargetGroupNotFound"), Ok(()));
        assert_eq!(name("ResourceInUse"), Err("StillInUse"));
        assert_eq!(name("OperationNotPermitted"), Err("Internal"));
    }
}
