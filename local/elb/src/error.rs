//! Errors as Elastic Load Balancing answers them (API reference 2015-12-01, the errors of each action and "Common Errors").

use http::StatusCode;
use local_aws::auth::Refusal;

/// An error as Elastic Load Balancing answers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// For example `LoadBalancerNotFound`.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// For a value that is none.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// For values that are fine by themselves, and not with one another.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new("InvalidConfigurationRequest", message)
    }

    /// What AWS has and this stand-in does not.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::validation(format!("the local Elastic Load Balancing does not support {what}"))
    }

    pub(crate) fn load_balancer_not_found() -> Self {
        Self::new("LoadBalancerNotFound", "One or more load balancers not found")
    }

    pub(crate) fn target_group_not_found() -> Self {
        Self::new("TargetGroupNotFound", "One or more target groups not found")
    }

    pub(crate) fn listener_not_found() -> Self {
        Self::new("ListenerNotFound", "One or more listeners not found")
    }

    /// Source: API reference, "Common Errors".
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            "AccessDenied" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => StatusCode::FORBIDDEN,
            "InternalFailure" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.in_query(), refusal.message)
    }
}

/// What EC2 says of the subnets and groups of a load balancer. Which of its codes becomes which here is what the names of
/// the codes say; the page of CreateLoadBalancer lists them without a word on the rest.
impl From<local_ec2::ApiError> for ApiError {
    fn from(error: local_ec2::ApiError) -> Self {
        let code = match error.code {
            "InvalidSubnetID.NotFound" | "InvalidSubnetId.NotFound" => "SubnetNotFound",
            "InsufficientFreeAddressesInSubnet" => "InvalidSubnet",
            "InvalidGroup.NotFound" | "InvalidGroupId.Malformed" => "InvalidSecurityGroup",
            "InternalError" => "InternalFailure",
            _ => "InvalidConfigurationRequest",
        };
        Self::new(code, error.message)
    }
}
