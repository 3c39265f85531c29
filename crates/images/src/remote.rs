//! An image in its registry, and the way in.

use std::net::Ipv4Addr;
use std::time::Duration;
use std::{fmt, io};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use crate::error::Error;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a registry may be silent while something is read.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// The manifests that are understood.
const MANIFESTS: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];

/// Who asks a registry.
#[derive(Clone)]
pub enum Credentials {
    /// Anybody.
    Anonymous,
    /// Somebody who has an account there.
    Password {
        /// The account's name.
        user: String,
        /// Its password, or a token that stands for it.
        password: String,
    },
}

impl Credentials {
    /// What ECR's GetAuthorizationToken gives out, as it is.
    /// Source: ECR API Reference, AuthorizationData: `user:password` in base64.
    pub fn of_ecr(token: &str) -> Result<Self, Error> {
        let text = BASE64_STANDARD.decode(token).map_err(|_| Error::Token)?;
        let text = String::from_utf8(text).map_err(|_| Error::Token)?;
        let (user, password) = text.split_once(':').ok_or(Error::Token)?;
        Ok(Self::Password { user: user.to_owned(), password: password.to_owned() })
    }
}

/// An image's place in a registry, whether it is there yet or not. Registries are called by https, but for one on this
/// machine's loopback.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Remote").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl Remote {
    /// The image called `reference`, to be read.
    pub fn source(reference: &str, credentials: Credentials) -> Result<Self, Error> {
        Self::new(reference, credentials, Some(SILENCE_LIMIT))
    }

    /// The image called `reference`, to be written.
    pub fn target(reference: &str, credentials: Credentials) -> Result<Self, Error> {
        // The client's limit would count from the first byte of an upload to its answer, which may take an hour.
        Self::new(reference, credentials, None)
    }

    fn new(reference: &str, credentials: Credentials, silence: Option<Duration>) -> Result<Self, Error> {
        let reference = parsed(reference)?;
        let registry = reference.resolve_registry();
        let protocol = if is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            // ECR answers 201 to each chunk, and drops all but the first; large blobs it takes whole.
            // Source: github.com/aws/containers-roadmap/issues/2831, github.com/kitops-ml/kitops/pull/822.
            use_monolithic_push: true,
            platform_resolver: None,
            connect_timeout: Some(CONNECT_LIMIT),
            read_timeout: silence,
            user_agent: concat!("mayfly/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| Error::of(&reference, error))?;
        let auth = match credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Password { user, password } => RegistryAuth::Basic(user, password),
        };
        Ok(Self { client, reference, auth })
    }

    /// The reference in full, with the registry's host.
    pub fn name(&self) -> String {
        self.reference.whole()
    }

    /// Says who is asking, as the registry wants it.
    pub(crate) async fn sign_in(&self, operation: RegistryOperation) -> Result<(), Error> {
        let signed_in = self.client.auth(&self.reference, &self.auth, operation).await;
        signed_in.map(drop).map_err(|error| Error::of(&self.reference, error))
    }

    /// The manifest, or that with `digest` in the same repository, and its digest.
    pub(crate) async fn manifest(&self, digest: Option<&str>) -> Result<(Bytes, String), Error> {
        let reference = digest.map_or_else(
            || self.reference.clone(),
            |digest| self.reference.clone_with_digest(digest.to_owned()),
        );
        let pulled = self.client.pull_manifest_raw(&reference, &self.auth, &MANIFESTS).await;
        pulled.map_err(|error| Error::of(&reference, error))
    }

    /// Whether the repository has the blob.
    pub(crate) async fn has_blob(&self, digest: &str) -> Result<bool, Error> {
        self.client
            .blob_exists(&self.reference, digest)
            .await
            .map_err(|error| Error::of(&self.reference, error))
    }

    /// The blob's content, which fails at its end if it is not what `digest` says.
    pub(crate) async fn blob(
        &self,
        digest: &str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, Error> {
        // By the digest alone, and not by the URLs that a manifest may name besides: a registry has what it offers.
        let blob = self.client.pull_blob_stream(&self.reference, digest).await;
        Ok(blob.map_err(|error| Error::of(&self.reference, error))?.stream)
    }

    /// A blob's content in memory.
    pub(crate) async fn small_blob(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let append = async |mut content: Vec<u8>, part: Bytes| {
            content.extend_from_slice(&part);
            Ok(content)
        };
        let content = self.blob(digest).await?.try_fold(Vec::new(), append).await;
        content.map_err(|error| Error::broken(&self.reference, error))
    }

    /// Writes a blob of `size` bytes.
    pub(crate) async fn push_blob(
        &self,
        digest: &str,
        size: u64,
        content: impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static,
    ) -> Result<(), Error> {
        match self.client.push_blob_stream(&self.reference, content, digest, Some(size)).await {
            // Where it is now is all that such an answer does not say.
            Ok(_) | Err(OciDistributionError::RegistryNoLocationError) => Ok(()),
            Err(error) => Err(Error::of(&self.reference, error)),
        }
    }

    /// Writes a manifest: under its digest, or under the reference itself.
    pub(crate) async fn push_manifest(
        &self,
        digest: Option<&str>,
        media_type: &str,
        manifest: Bytes,
    ) -> Result<(), Error> {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        let name = digest.or(self.reference.tag()).unwrap_or("latest");
        // As a tag even if it is a digest, which is the same URL: ECR says not where the manifest is
        // (github.com/apple/swift-container-plugin/pull/27), and then the client looks for a tag at the URL's end.
        let reference = Reference::with_tag(registry.to_owned(), repository.to_owned(), name.to_owned());
        let media_type = media_type.parse().map_err(|_| Error::NoImage { image: self.reference.whole() })?;
        let pushed = self.client.push_manifest_raw(&reference, manifest, media_type).await;
        pushed.map(drop).map_err(|error| Error::of(&self.reference, error))
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }
}

/// A reference, with the registry and the tag that it leaves out.
pub fn parsed(given: &str) -> Result<Reference, Error> {
    let reference: Result<Reference, _> = given.parse();
    reference.map_err(|error| Error::Reference {
        given: mayfly_model::shown::shown(given),
        why: error.to_string(),
    })
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called_without_tls() {
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9"] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in ["docker.io", "127.0.0.1.example.com", "10.0.0.1:5000", "localhost.example:80"] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }

    #[test]
    fn a_token_of_ecr_is_a_user_and_a_password() {
        let token = BASE64_STANDARD.encode("AWS:pass:word");
        let credentials = Credentials::of_ecr(&token).expect("a token");
        let Credentials::Password { user, password } = credentials else { panic!("a password") };
        assert_eq!((user.as_str(), password.as_str()), ("AWS", "pass:word"));
        for wrong in ["*", &BASE64_STANDARD.encode("AWS")] {
            assert!(matches!(Credentials::of_ecr(wrong), Err(Error::Token)), "{wrong}");
        }
    }
}
