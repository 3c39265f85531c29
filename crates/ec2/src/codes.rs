//! What EC2's codes mean. One code has opposite meanings: `NotFound` of something that was just created is to be tried
//! again, and of something that is to be deleted it is success.
//! Source: EC2 API Reference, "Error codes" (errors-overview).

use std::error::Error as StdError;
use std::fmt::Debug;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::UnsuccessfulItem;
use jiff::Timestamp;
use mayfly_lambda::error::Error;
use mayfly_model::plan::Plan;

use crate::quota;

/// The codes for what does not exist that do not end in `.NotFound`.
const NOT_FOUND: [&str; 2] = ["NatGatewayNotFound", "InvalidSubnet"];

/// The codes for what something else still needs.
const IN_USE: [&str; 4] =
    ["DependencyViolation", "InvalidGroup.InUse", "InvalidIPAddress.InUse", "InvalidNetworkInterface.InUse"];

/// What EC2 says to an endpoint with a private name where it does not see yet that the VPC gives host names; the code is
/// one for many things.
/// Source: the GuardDuty user guide quotes it; EC2 API Reference, `CreateVpcEndpoint`, `PrivateDnsEnabled`.
const DNS_NOT_SEEN: [&str; 2] = ["enableDnsHostnames", "enableDnsSupport"];

/// Turns the failure of a call that creates or connects something into an error, for `map_err`.
pub fn creating<E, R>(doing: &str, plan: &Plan, now: Timestamp) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default();
        let told = error.message().unwrap_or(code);
        if is_not_found(code) || DNS_NOT_SEEN.iter().any(|attribute| told.contains(attribute)) {
            return Error::not_visible_yet(doing, told);
        }
        match quota::of(code) {
            Some(quota) => quota.error(doing, code, plan.waits_for_quotas(now), told),
            None => Error::aws(doing)(error),
        }
    }
}

/// As [`creating`], for an egress-only internet gateway. AWS documents no code for its quota, so whatever ends as the codes of
/// the other quotas do is taken for it, but for the one that says how often EC2 may be called.
pub fn creating_egress_only_gateway<E, R>(
    doing: &str,
    plan: &Plan,
    now: Timestamp,
) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default();
        if !code.ends_with("LimitExceeded") || code == "RequestLimitExceeded" {
            return creating(doing, plan, now)(error);
        }
        let told = format!("{} {}", error.message().unwrap_or(code), quota::FOLLOWS_VPCS);
        quota::VPCS.error(doing, code, plan.waits_for_quotas(now), &told)
    }
}

/// As [`creating`], for a call that answers `made_already` where an earlier try has made the same thing: the look-up
/// before the call did not see that yet, and will when the state machine tries again.
pub fn creating_once<E, R>(
    doing: &str,
    plan: &Plan,
    now: Timestamp,
    made_already: &'static str,
) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    move |error| {
        if error.code() == Some(made_already) {
            return Error::not_visible_yet(doing, error.message().unwrap_or(made_already));
        }
        creating(doing, plan, now)(error)
    }
}

/// Turns the failure of a call that deletes something into an error, for `map_err`: `StillInUse` where something else
/// needs it. Whether it is gone already is for [`is_gone`] to say first.
pub fn deleting<E, R>(doing: &str) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default();
        if IN_USE.contains(&code) {
            let told = error.message().unwrap_or(code);
            return Error::still_in_use(doing, format!("{code}: {told}"));
        }
        Error::aws(doing)(error)
    }
}

/// What the answer to a call that deletes something means: that it is gone already is success.
///
/// # Errors
/// As [`deleting`].
pub fn deleted<O, E, R>(doing: &str, answer: Result<O, SdkError<E, R>>) -> Result<(), Error>
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    match answer {
        Err(error) if !is_gone(&error) => Err(deleting(doing)(error)),
        _ => Ok(()),
    }
}

/// What an item means that a call names which has succeeded all the same.
/// Source: EC2 API Reference, `DeleteVpcEndpoints`, `unsuccessful`.
///
/// # Errors
/// [`Error::Internal`] with EC2's words, unless it is gone already.
pub fn unsuccessful(doing: &str, item: &UnsuccessfulItem) -> Result<(), Error> {
    let error = item.error();
    let code = error.and_then(|error| error.code()).unwrap_or_default();
    if is_not_found(code) {
        return Ok(());
    }
    let told = error.and_then(|error| error.message()).unwrap_or_default();
    let id = item.resource_id().unwrap_or_default();
    Err(Error::internal(doing, format!("{id}: {code}: {told}")))
}

/// Whether a delete failed only because the resource is not there any more.
pub fn is_gone<E, R>(error: &SdkError<E, R>) -> bool
where
    E: ProvideErrorMetadata,
{
    error.code().is_some_and(is_not_found)
}

/// EC2 has two spellings of some: `InvalidSubnetID.NotFound` and `InvalidSubnetId.NotFound`,
/// `InvalidVpcEndpoint.NotFound` and `InvalidVpcEndpointId.NotFound`, …; all end alike.
pub(crate) fn is_not_found(code: &str) -> bool {
    let lower = code.to_ascii_lowercase();
    lower.ends_with(".notfound") || NOT_FOUND.iter().any(|known| known.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::error::ErrorMetadata;
    use aws_sdk_ec2::operation::create_subnet::CreateSubnetError;
    use aws_sdk_ec2::types::UnsuccessfulItemError;

    use super::*;

    #[test]
    fn both_spellings_of_what_does_not_exist_are_known() {
        for code in [
            "InvalidSubnetID.NotFound",
            "InvalidSubnetId.NotFound",
            "InvalidRouteTableID.NotFound",
            "InvalidRouteTableId.NotFound",
            "InvalidVpcEndpoint.NotFound",
            "InvalidVpcEndpointId.NotFound",
            "InvalidInternetGatewayID.NotFound",
            "InvalidInternetGateway.NotFound",
            "InvalidElasticIpID.NotFound",
            "InvalidAllocationID.NotFound",
            "InvalidNatGatewayID.NotFound",
            "NatGatewayNotFound",
            "InvalidSubnet",
        ] {
            assert!(is_not_found(code), "{code}");
        }
        for code in
            ["", "DependencyViolation", "AuthFailure", "InvalidSubnet.Conflict", "InvalidGroup.Duplicate"]
        {
            assert!(!is_not_found(code), "{code}");
        }
    }

    #[test]
    fn a_create_call_that_meets_its_own_first_try_is_tried_again() {
        let plan = serde_json::from_str(include_str!("../../../events/plan.private.json")).expect("a plan");
        let refusal = |code| {
            let told = ErrorMetadata::builder().code(code).message("Told so.").build();
            SdkError::service_error(CreateSubnetError::generic(told), ())
        };
        for (code, name) in [
            ("InvalidSubnet.Conflict", "NotVisibleYet"),
            ("InvalidVpcID.NotFound", "NotVisibleYet"),
            ("SubnetLimitExceeded", "QuotaExceeded"),
            ("RequestLimitExceeded", "Unavailable"),
            ("UnauthorizedOperation", "AccessDenied"),
        ] {
            let error =
                creating_once("do it", &plan, Timestamp::MAX, "InvalidSubnet.Conflict")(refusal(code));
            assert_eq!(error.name(), name, "{code}");
        }
        let other = creating("do it", &plan, Timestamp::MAX)(refusal("InvalidSubnet.Conflict"));
        assert_eq!(other.name(), "Internal");
    }

    #[test]
    fn a_private_name_waits_for_the_vpc_to_give_host_names() {
        let plan = serde_json::from_str(include_str!("../../../events/plan.private.json")).expect("a plan");
        let refusal = |words: &str| {
            let told = ErrorMetadata::builder().code("InvalidParameter").message(words).build();
            creating("do it", &plan, Timestamp::MAX)(SdkError::service_error(
                CreateSubnetError::generic(told),
                (),
            ))
        };
        let words = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true \
                     for vpc-1";
        assert_eq!(refusal(words).name(), "NotVisibleYet");
        assert_eq!(refusal("There is a conflicting DNS domain").name(), "Internal");
    }

    #[test]
    fn whatever_code_the_quota_of_egress_only_gateways_has_it_is_known() {
        let plan = serde_json::from_str(include_str!("../../../events/plan.private.json")).expect("a plan");
        let refusal = |code: &str| {
            let told = ErrorMetadata::builder().code(code).message("Told so.").build();
            let refusal = SdkError::service_error(CreateSubnetError::generic(told), ());
            creating_egress_only_gateway("do it", &plan, Timestamp::MAX)(refusal)
        };
        for code in ["EgressOnlyInternetGatewayLimitExceeded", "GatewayLimitExceeded", "VpcLimitExceeded"] {
            let error = refusal(code);
            let words = format!(
                "could not do it: {code}: Told so. The quota of egress-only internet gateways (L-45FE3B85) follows that of \
                 VPCs, which is the one to raise. The quota \"VPCs per Region\" (L-F678F1CE, 5 by default)"
            );
            assert_eq!(error.name(), "QuotaExceeded");
            assert!(error.to_string().starts_with(&words), "{error}");
        }
        assert_eq!(refusal("RequestLimitExceeded").name(), "Unavailable");
        assert_eq!(refusal("InvalidVpcID.NotFound").name(), "NotVisibleYet");
    }

    #[test]
    fn an_endpoint_that_was_not_deleted_is_an_error_unless_it_is_gone() {
        let item = |code: &str| {
            let error = UnsuccessfulItemError::builder().code(code).message("Told so.").build();
            UnsuccessfulItem::builder().resource_id("vpce-1").error(error).build()
        };
        for gone in ["InvalidVpcEndpoint.NotFound", "InvalidVpcEndpointId.NotFound"] {
            assert!(unsuccessful("delete it", &item(gone)).is_ok(), "{gone}");
        }
        let error = unsuccessful("delete it", &item("InvalidParameter")).unwrap_err();
        assert_eq!(error.to_string(), "could not delete it: vpce-1: InvalidParameter: Told so.");
    }
}
