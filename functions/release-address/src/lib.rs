//! ReleaseAddress: the job's Elastic IP addresses, which cost until EC2 describes them no more: only that proves it.

use std::fmt::Debug;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::release_address::ReleaseAddressError;
use aws_sdk_ec2::types::Address;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{deleting, is_gone, most_retryable};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<ReleaseAddress>();

/// The step.
pub struct ReleaseAddress {
    ec2: Client,
    stack: String,
}

impl Step for ReleaseAddress {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let addresses = find::owned::<Address>(ec2, owner).await?;
        if addresses.is_empty() {
            return Ok(Deleted { deleted: 0 });
        }
        let mut errors = Vec::new();
        for address in &addresses {
            match ec2.release_address().allocation_id(address.id()).send().await {
                Ok(_) => tracing::info!(allocation_id = address.id(), "address released"),
                Err(error) => errors.push(refused(error)),
            }
        }
        let left = find::owned::<Address>(ec2, owner).await?;
        if left.is_empty() {
            return Ok(Deleted { deleted: addresses.len() });
        }
        let ids: Vec<&str> = left.iter().map(Address::id).collect();
        let released = || Error::StillInUse(format!("released, but not gone yet: {}", ids.join(", ")));
        Err(most_retryable(errors).unwrap_or_else(released))
    }
}

/// What it means that an address was not released: no code proves that it is gone. While a NAT gateway holds it, EC2
/// answers `AuthFailure` and for a moment after that `InvalidNetworkInterfaceID.NotFound`.
/// Source: kubernetes/kops issue 1604; hashicorp/terraform-provider-aws issue 49299.
fn refused<R: Debug + 'static>(error: SdkError<ReleaseAddressError, R>) -> Error {
    const DOING: &str = "release the job's address";
    let code = error.code().unwrap_or_default();
    if code == "AuthFailure" || is_gone(&error) {
        return Error::StillInUse(format!(
            "could not {DOING} yet: {code}: {}",
            error.message().unwrap_or_default()
        ));
    }
    deleting(DOING)(error)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::error::ErrorMetadata;

    use super::*;

    #[test]
    fn no_refusal_proves_that_an_address_is_gone() {
        for (code, name) in [
            ("AuthFailure", "StillInUse"),
            ("InvalidIPAddress.InUse", "StillInUse"),
            ("InvalidNetworkInterfaceID.NotFound", "StillInUse"),
            ("InvalidAllocationID.NotFound", "StillInUse"),
            ("UnauthorizedOperation", "AccessDenied"),
            ("RequestLimitExceeded", "Unavailable"),
            ("InvalidParameterValue", "Internal"),
        ] {
            let told = ErrorMetadata::builder().code(code).message("Told so.").build();
            let error = SdkError::service_error(ReleaseAddressError::generic(told), ());
            assert_eq!(refused(error).name(), name, "{code}");
        }
    }
}
