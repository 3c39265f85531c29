//! The certificates that listeners of TLS show. Certificate Manager gives no private key away, so they are made here, in
//! memory: by an authority of this run's own, for the names that the certificate in Certificate Manager has.

use std::sync::Arc;

use aws_sdk_acm::Client;
use aws_sdk_acm::error::DisplayErrorContext;
use aws_sdk_acm::types::CertificateStatus;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use crate::Elb;
use crate::error::ApiError;

/// Who vouches for the certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Self {
        let mut root = CertificateParams::default();
        // Another name than a listener's, or OpenSSL takes that one's certificate for self-signed.
        root.distinguished_name.push(DnType::CommonName, "local Elastic Load Balancing");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(root, key));
        Self(signed.expect("the defaults make a certificate"))
    }

    /// A server under these names that speaks these versions of TLS, and no protocol of an ALPN policy's.
    fn server(
        &self,
        names: Vec<String>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<ServerConfig> {
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key.into())?)
    }
}

impl Elb {
    /// The root that the certificates lead to, in PEM.
    pub fn root_certificate(&self) -> String {
        self.authority.0.pem()
    }

    /// What a listener speaks TLS by. Whoever makes the listener needs no right at Certificate Manager's (Service
    /// Authorization Reference, "API operations defined by Elastic Load Balancing V2", CreateListener).
    pub(crate) async fn server(
        &self,
        certificate: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<ServerConfig>, ApiError> {
        let missing =
            || ApiError::new("CertificateNotFound", format!("Certificate '{certificate}' not found"));
        let failure = |why: String| ApiError::new("InternalFailure", why);
        let (region, account) = (&self.upstream.region, &self.upstream.account);
        if !certificate.starts_with(&format!("arn:aws:acm:{region}:{account}:certificate/")) {
            return Err(missing());
        }
        let acm = Client::new(&self.upstream.root_config());
        let described = acm.describe_certificate().certificate_arn(certificate).send().await;
        let described = described.map_err(|error| match error.as_service_error() {
            Some(known) if known.is_resource_not_found_exception() => missing(),
            _ => failure(DisplayErrorContext(&error).to_string()),
        })?;
        let found = described.certificate.ok_or_else(missing)?;
        // The API reference has no error for that. This one others have met, with these words, while Certificate Manager
        // waited for the proof that the names were theirs (DataBiosphere/azul#8321, hashicorp/terraform-provider-aws#41789).
        if found.status() != Some(&CertificateStatus::Issued) {
            return Err(ApiError::new(
                "UnsupportedCertificate",
                format!(
                    "The certificate '{certificate}' must have a fully-qualified domain name, a supported signature, and \
                     a supported key size."
                ),
            ));
        }
        // `DomainName` is among them (Certificate Manager API reference, `CertificateDetail`).
        let names = found.subject_alternative_names.unwrap_or_default();
        let server = self.authority.server(names, versions).map_err(|error| failure(format!("{error:#}")))?;
        Ok(Arc::new(server))
    }
}
