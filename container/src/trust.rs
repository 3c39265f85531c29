//! Whose certificates are believed: of the authorities that lie beside this program, since not every image has them, and of
//! those that the image has.

use std::{env, fs};

use anyhow::Context;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use reqwest::{Certificate, ClientBuilder};

/// What the file with the authorities is called, as PEM.
pub const FILE: &str = "ca-certificates.crt";

/// The authorities.
#[derive(Clone, Debug)]
pub struct Trust(Vec<u8>);

impl Trust {
    /// Those beside this program, if there are any.
    pub fn beside_program() -> Self {
        let file = env::current_exe().ok().and_then(|program| fs::read(program.with_file_name(FILE)).ok());
        Self(file.unwrap_or_default())
    }

    /// `client` with these authorities.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn files(&self, client: ClientBuilder) -> anyhow::Result<ClientBuilder> {
        Ok(client.tls_certs_merge(Certificate::from_pem_bundle(&self.0).context(FILE)?))
    }

    /// The SDK's HTTP client with these authorities.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn sdk(&self) -> anyhow::Result<SharedHttpClient> {
        let store = TrustStore::default();
        let store = if self.0.is_empty() { store } else { store.with_pem_certificate(self.0.as_slice()) };
        let context = TlsContext::builder().with_trust_store(store).build().context(FILE)?;
        let provider = Provider::Rustls(CryptoMode::AwsLc);
        Ok(Builder::new().tls_provider(provider).tls_context(context).build_https())
    }
}
