//! The configuration of the SDK's clients, from what Lambda puts into a function's environment.
//!
//! Written by hand instead of with aws-config, whose chain of providers for credentials and Regions no function needs
//! and which makes every function a megabyte larger.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

pub use aws_types::SdkConfig;

use crate::variables::read;

/// As the SDK has it by itself.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// The roots that every certificate of AWS's leads to, outside of the European Sovereign Cloud.
/// Source: Amazon Trust Services, "Repository" (amazontrust.com/repository): those five for a trust store of one's own.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The configuration for all clients of a step, from the variables that Lambda sets. Without `retries` the SDK makes no call
/// a second time by itself.
/// Source: Lambda developer guide, "Defined runtime environment variables".
pub(crate) fn config(
    variables: &BTreeMap<String, String>,
    http: SharedHttpClient,
    time: SharedTimeSource,
    retries: bool,
) -> Result<SdkConfig, String> {
    let key: String = read(variables, "AWS_ACCESS_KEY_ID")?;
    let secret: String = read(variables, "AWS_SECRET_ACCESS_KEY")?;
    let token = variables.get("AWS_SESSION_TOKEN").cloned();
    let credentials = Credentials::new(key, secret, token, None, "Lambda");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(read::<String>(variables, "AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .time_source(time)
        .service_config(Endpoints(variables.clone()));
    config.set_endpoint_url(variables.get("AWS_ENDPOINT_URL").cloned());
    if !retries {
        config = config.retry_config(RetryConfig::disabled());
    }
    Ok(config.build())
}

/// One connector for all services, made once: the SDK by itself makes one for each client, and each twice. It trusts no roots
/// but Amazon's, since nothing but AWS is called, and to read the system's store takes several times as long as all else
/// that a start does. `AWS_CA_BUNDLE` names a file of others.
/// Source: AWS SDKs and Tools Reference Guide, "General configuration", `ca_bundle`.
pub(crate) fn http_connector(bundle: Option<&str>) -> Result<SharedHttpConnector, String> {
    let roots = match bundle {
        Some(path) => std::fs::read(path).map_err(|error| format!("AWS_CA_BUNDLE names {path}: {error}"))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(roots))
        .build()
        .map_err(|error| format!("TLS could not be set up: {error}"))?;
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .sleep_impl(TokioSleep::new())
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// A service's own endpoint, such as `AWS_ENDPOINT_URL_ECS`, of a local cloud.
/// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
#[derive(Debug)]
struct Endpoints(BTreeMap<String, String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        self.0.get(&format!("{}_{service}", key.env())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    /// The SHA-256 fingerprints of the certificates, in the order of the file.
    /// Source: Amazon Trust Services, "Repository", and Mozilla's list of included CA certificates.
    const FINGERPRINTS: [&str; 5] = [
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    ];

    #[test]
    fn the_trusted_roots_are_amazons_own() {
        let text = std::str::from_utf8(AMAZON_ROOTS).unwrap();
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let bodies = text.split(begin).skip(1).map(|rest| rest.split_once(end).unwrap().0);
        let print = |body: &str| {
            let body: String = body.split_whitespace().collect();
            hex::encode(Sha256::digest(STANDARD.decode(body).unwrap()))
        };
        assert_eq!(bodies.map(print).collect::<Vec<_>>(), FINGERPRINTS);
    }

    #[test]
    fn a_bundle_of_roots_that_cannot_be_read_is_named() {
        let error = http_connector(Some("/no/such/bundle.pem")).unwrap_err();
        assert!(error.starts_with("AWS_CA_BUNDLE names /no/such/bundle.pem: "), "{error}");
    }

    /// AWS-LC's collector is 430 million instructions of a cold start, nine tenths of all, so no build has it.
    #[test]
    fn nothing_waits_for_jitter_of_the_processor() {
        http_connector(None).unwrap();
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let program = String::from_utf8_lossy(&program);
        // In two parts, or it would be this line that is found.
        let has = |name: [&str; 2]| program.contains(&name.join("_"));
        assert!(has(["RAND", "bytes"]), "TLS is in here, and the names of its functions");
        assert!(!has(["jent", "entropy_collector_alloc"]), "see .cargo/config.toml");
    }
}
