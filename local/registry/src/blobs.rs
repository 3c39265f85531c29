//! Blobs, as they are asked for and fetched.

use axum::body::Body;
use futures_util::TryStreamExt;
use http::{HeaderMap, Response, StatusCode, header};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::Registry;
use crate::error::ApiError;

impl Registry {
    /// Whether the repository has a blob, and how large it is.
    /// Source: OCI distribution specification, "Checking if content exists in the registry".
    pub(crate) async fn head_blob(&self, repository: &str, digest: &str) -> Result<Response<Body>, ApiError> {
        self.has_blob(repository, digest)?;
        let size = self.open(digest).await?.metadata().await.map_err(ApiError::of_machine)?.len();
        let response =
            Response::builder().header(header::CONTENT_LENGTH, size).header("docker-content-digest", digest);
        Ok(response.body(Body::empty()).expect("the headers are valid"))
    }

    /// Where a blob is fetched: at the store behind the registry, which is S3 for ECR, by a signed URL.
    /// Source: OCI distribution specification, "Pulling blobs"; of ECR: github.com/open-policy-agent/opa/pull/6728.
    pub(crate) fn get_blob(
        &self,
        store: &str,
        repository: &str,
        digest: &str,
    ) -> Result<Response<Body>, ApiError> {
        self.has_blob(repository, digest)?;
        let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(
            header::LOCATION,
            format!("http://{store}/{digest}?X-Amz-Signature={}", signature(digest)),
        );
        Ok(response.body(Body::empty()).expect("the headers are valid"))
    }

    /// A blob's content, from the store.
    pub(crate) async fn fetch(
        &self,
        headers: &HeaderMap,
        digest: &str,
        query: &str,
    ) -> Result<Response<Body>, ApiError> {
        // Who keeps the registry's credentials on the way to S3 meets this.
        // Source: github.com/open-policy-agent/opa/issues/6580, of ECR.
        if headers.contains_key(header::AUTHORIZATION) {
            return Err(ApiError::invalid("InvalidArgument", "Only one auth mechanism allowed"));
        }
        if query.strip_prefix("X-Amz-Signature=") != Some(&signature(digest)) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"));
        }
        let file = self.open(digest).await?;
        let size = file.metadata().await.map_err(ApiError::of_machine)?.len();
        let content = Body::from_stream(ReaderStream::new(file).map_err(std::io::Error::other));
        let response = Response::builder().header(header::CONTENT_LENGTH, size);
        Ok(response.body(content).expect("the headers are valid"))
    }

    fn has_blob(&self, repository: &str, digest: &str) -> Result<(), ApiError> {
        let state = self.state();
        let found = self.repository(&state, repository)?;
        if found.blobs.contains(digest) {
            return Ok(());
        }
        Err(ApiError::unknown("BLOB_UNKNOWN", "blob unknown to registry"))
    }

    async fn open(&self, digest: &str) -> Result<File, ApiError> {
        File::open(self.file(digest)).await.map_err(ApiError::of_machine)
    }
}

/// What opens a blob's URL at the store.
fn signature(digest: &str) -> String {
    crate::digest(digest.as_bytes()).replace(':', "")
}
