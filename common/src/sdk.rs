//! The configuration of the SDK's clients, from what Lambda puts into a function's environment.
//!
//! Written by hand instead of with aws-config, whose chain of providers for credentials and Regions no function needs
//! and which makes every function a megabyte larger.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

pub use aws_types::SdkConfig;

use crate::settings::setting;

/// The configuration for all clients of this function.
/// Source: Lambda developer guide, "Defined runtime environment variables".
///
/// # Errors
/// When a variable that Lambda sets is absent.
pub fn config() -> Result<SdkConfig, String> {
    let key: String = setting("AWS_ACCESS_KEY_ID")?;
    let secret: String = setting("AWS_SECRET_ACCESS_KEY")?;
    let token = std::env::var("AWS_SESSION_TOKEN").ok();
    let credentials = Credentials::new(key, secret, token, None, "Lambda");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(setting::<String>("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Endpoints);
    config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL").ok());
    Ok(config.build())
}

/// The configuration for calls that take no client token, so that AWS would take them for two where the SDK tries a
/// second time by itself because the first answer was lost: the state machine tries again, and then the function looks
/// for what is there first.
/// Source: EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests"; ECS developer guide, "Ensuring
/// idempotency in Amazon ECS API requests".
///
/// # Errors
/// As [`config`].
pub fn config_without_retries() -> Result<SdkConfig, String> {
    Ok(config()?.into_builder().retry_config(RetryConfig::disabled()).build())
}

/// A service's own endpoint, such as `AWS_ENDPOINT_URL_ECS`, of a local cloud.
/// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        std::env::var(format!("{}_{service}", key.env())).ok()
    }
}
