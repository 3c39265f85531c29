//! Manifests and tags.

use std::collections::BTreeSet;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::Value;

use crate::access::Caller;
use crate::error::ApiError;
use crate::{Kind, Registry, Repository, State, digest};

/// Source: ECR API Reference, PutImage, `imageManifest`: at most 4,194,304 characters.
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// An image's manifest, or an index.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its `Content-Type`.
    pub media_type: String,
    /// The bytes that its digest is of.
    pub content: Bytes,
}

impl Repository {
    /// Adds a manifest, and returns its digest.
    pub(crate) fn put(&mut self, tag: Option<&str>, manifest: Manifest) -> String {
        let digest = digest(&manifest.content);
        self.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }
}

impl Registry {
    /// A manifest, by tag or digest.
    pub(crate) fn get_manifest(
        &self,
        caller: Caller,
        repository: &str,
        reference: &str,
    ) -> Result<Response<Body>, ApiError> {
        self.count_pull(caller)?;
        let state = self.state();
        let found = self.repository(&state, repository)?;
        let digest = found.tags.get(reference).map_or(reference, String::as_str);
        let Some(Manifest { media_type, content }) = found.manifests.get(digest) else {
            return Err(ApiError::unknown("MANIFEST_UNKNOWN", "manifest unknown"));
        };
        let mut response = Response::builder().header(header::CONTENT_TYPE, media_type);
        // ECR does not say it. Source: github.com/aws/containers-roadmap/issues/1931.
        if matches!(self.kind, Kind::Public { .. }) {
            response = response.header("docker-content-digest", digest);
        }
        Ok(response.body(content.clone().into()).expect("the headers are valid"))
    }

    /// Takes a manifest that names only what is there.
    pub(crate) fn put_manifest(
        &self,
        headers: &HeaderMap,
        repository: &str,
        reference: &str,
        content: Bytes,
    ) -> Result<Response<Body>, ApiError> {
        let invalid = |message: &str| ApiError::invalid("MANIFEST_INVALID", message);
        let parsed: Value =
            serde_json::from_slice(&content).map_err(|_| invalid("manifest invalid: no JSON"))?;
        let media_type =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Source: OCI distribution specification, "Pushing manifests": the two MUST agree where the manifest has the field.
        if parsed.get("mediaType").is_some_and(|own| own != media_type) || media_type.is_empty() {
            return Err(invalid("manifest invalid: mediaType is not the Content-Type"));
        }
        let mut state = self.state();
        let found = self.repository(&state, repository)?;
        // Source: OCI distribution specification, "Pushing manifests": MANIFEST_BLOB_UNKNOWN. ECR's words for an index:
        // github.com/int128/docker-manifest-create-action/pull/63; for an image: ECR API Reference, PutImage,
        // LayersNotFoundException.
        let Kind::Account { account, .. } = &self.kind else {
            return Err(ApiError::unsupported("writing to a public registry"));
        };
        let place = format!("repository with name '{repository}' in the registry with id '{account}'");
        let named = |list: &str| digests(parsed[list].as_array().into_iter().flatten());
        let images = missing(&named("manifests"), |digest| found.manifests.contains_key(digest));
        if !images.is_empty() {
            let message = format!(
                "Images with digests '[{images}]' required for pushing image into {place} do not exist"
            );
            return Err(ApiError::invalid("MANIFEST_BLOB_UNKNOWN", message));
        }
        let mut blobs = named("layers");
        blobs.extend(digests(parsed.get("config").into_iter()));
        let blobs = missing(&blobs, |digest| found.blobs.contains(digest));
        if !blobs.is_empty() {
            let message = format!("The specified layers could not be found in the {place}: {blobs}");
            return Err(ApiError::invalid("MANIFEST_BLOB_UNKNOWN", message));
        }
        let tag = (!reference.contains(':')).then_some(reference);
        if tag.is_none() && digest(&content) != reference {
            return Err(ApiError::invalid(
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            ));
        }
        let manifest = Manifest { media_type: media_type.to_owned(), content };
        state.repositories.entry(repository.to_owned()).or_default().put(tag, manifest);
        // Without saying where it is. Source: github.com/apple/swift-container-plugin/pull/27.
        let response = Response::builder().status(StatusCode::CREATED);
        Ok(response.body(Body::empty()).expect("the headers are valid"))
    }

    pub(crate) fn repository<'a>(&self, state: &'a State, name: &str) -> Result<&'a Repository, ApiError> {
        state.repositories.get(name).ok_or_else(|| {
            // ECR's words: github.com/aws-actions/amazon-ecr-login/issues/166.
            ApiError::unknown(
                "NAME_UNKNOWN",
                match &self.kind {
                    Kind::Account { account, .. } => format!(
                        "The repository with name '{name}' does not exist in the registry with id '{account}'"
                    ),
                    Kind::Public { .. } => "repository name not known to registry".to_owned(),
                },
            )
        })
    }
}

fn digests<'a>(named: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    named.map(|named| named["digest"].as_str().unwrap_or_default()).collect()
}

fn missing(named: &BTreeSet<&str>, is_there: impl Fn(&str) -> bool) -> String {
    let missing: Vec<_> = named.iter().copied().filter(|digest| !is_there(digest)).collect();
    missing.join(", ")
}
