//! What endpoints can be made for, and what they can be given.

use crate::error::ApiError;

/// The services with interface endpoints that a job may need, and the one that GuardDuty makes an endpoint for. They are tried
/// by the ends of their names.
const INTERFACE: [&str; 10] = [
    "ecr.api",
    "ecr.dkr",
    "guardduty-data",
    "kms",
    "logs",
    "secretsmanager",
    "sqs",
    "ssm",
    "ssmmessages",
    "sts",
];

/// The services that have gateway endpoints, and interface endpoints too (AWS PrivateLink guide, "Gateway endpoints").
const GATEWAY: [&str; 2] = ["s3", "dynamodb"];

/// The two kinds of endpoints that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointType {
    Gateway,
    Interface,
}

impl EndpointType {
    /// "Default: Gateway" (EC2 API reference, CreateVpcEndpoint, `VpcEndpointType`).
    pub fn named(name: Option<&str>) -> Result<Self, ApiError> {
        match name {
            None | Some("Gateway") => Ok(Self::Gateway),
            Some("Interface") => Ok(Self::Interface),
            Some(other) => {
                let message = format!("the local cloud knows no {other} endpoints");
                Err(ApiError::new("UnsupportedOperation", message))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "Gateway",
            Self::Interface => "Interface",
        }
    }

    /// The service of which this is the whole name, `ecr.api` of `com.amazonaws.eu-west-1.ecr.api`.
    pub fn service<'a>(self, name: &'a str, region: &str) -> Result<&'a str, ApiError> {
        let service = name.strip_prefix(&format!("com.amazonaws.{region}.")).unwrap_or_default();
        match self {
            Self::Gateway if service == "s3" => Ok(service),
            Self::Interface if INTERFACE.contains(&service) => Ok(service),
            // hashicorp/terraform-provider-aws#2697.
            Self::Gateway if INTERFACE.contains(&service) => {
                Err(invalid("Endpoint type (Gateway) does not match service type (Interface)."))
            }
            _ if GATEWAY.contains(&service) => {
                let kind = self.name();
                let message = format!(
                    "the local cloud knows S3's gateway endpoint only, not a {kind} endpoint for {name}"
                );
                Err(ApiError::new("UnsupportedOperation", message))
            }
            _ => {
                let message = format!("The Vpc Endpoint Service '{name}' does not exist");
                Err(ApiError::new("InvalidServiceName", message))
            }
        }
    }

    /// Refuses what only the other kind can be given: ansible-collections/amazon.aws#576, nanlabs/terraform-aws-starter#18;
    /// the words about groups and private DNS are guesses after those.
    pub fn check(
        self,
        tables: &[String],
        subnets: &[String],
        groups: &[String],
        private_dns: bool,
    ) -> Result<(), ApiError> {
        let message = match self {
            Self::Interface if !tables.is_empty() => {
                "Route table IDs are only supported for Gateway type VPC Endpoint."
            }
            Self::Gateway if !subnets.is_empty() => {
                "Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints."
            }
            Self::Gateway if !groups.is_empty() => {
                "Security group IDs are only supported for Interface type VPC Endpoint."
            }
            Self::Gateway if private_dns => "Private DNS is only supported for Interface type VPC Endpoint.",
            _ => return Ok(()),
        };
        Err(invalid(message))
    }
}

/// The name that is resolved to an interface endpoint instead: `api.ecr.eu-west-1.amazonaws.com`
/// (hashicorp/terraform-provider-aws#37694).
pub fn private_name(service: &str, region: &str) -> String {
    let labels: Vec<_> = service.rsplit('.').collect();
    format!("{}.{region}.amazonaws.com", labels.join("."))
}

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameter", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_whole_name_and_kind() {
        use EndpointType::{Gateway, Interface};
        let service = |kind: EndpointType, name: &'static str| {
            kind.service(name, "eu-west-1").map_err(|error| error.code)
        };
        for (kind, name, expected) in [
            (Gateway, "com.amazonaws.eu-west-1.s3", Ok("s3")),
            (Interface, "com.amazonaws.eu-west-1.ecr.api", Ok("ecr.api")),
            (Interface, "com.amazonaws.eu-west-1.s3", Err("UnsupportedOperation")),
            (Gateway, "com.amazonaws.eu-west-1.dynamodb", Err("UnsupportedOperation")),
            (Gateway, "com.amazonaws.eu-west-1.logs", Err("InvalidParameter")),
            (Interface, "com.amazonaws.eu-west-1.ecr", Err("InvalidServiceName")),
            (Interface, "com.amazonaws.us-east-1.logs", Err("InvalidServiceName")),
            (Interface, "logs", Err("InvalidServiceName")),
        ] {
            assert_eq!(service(kind, name), expected, "{kind:?} {name}");
        }
        assert_eq!(private_name("ecr.api", "eu-west-1"), "api.ecr.eu-west-1.amazonaws.com");
    }
}
