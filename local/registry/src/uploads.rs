//! Blobs, as they come in.

use axum::body::Body;
use futures_util::TryStreamExt;
use http::{Response, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::error::ApiError;
use crate::{Kind, Registry};

/// A blob that is not there yet.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    repository: String,
    hash: Sha256,
    size: u64,
    /// Whether a part has come before the last.
    has_part: bool,
}

impl Registry {
    /// Begins an upload.
    /// Source: OCI distribution specification, "POST then PUT".
    pub(crate) fn begin_upload(&self, repository: &str) -> Result<Response<Body>, ApiError> {
        let mut state = self.state();
        self.repository(&state, repository)?;
        let id = state.new_name();
        state.uploads.insert(id.clone(), Upload { repository: repository.to_owned(), ..Upload::default() });
        Ok(progress(StatusCode::ACCEPTED, repository, &id, 0))
    }

    /// Takes the first part of a blob, and throws away all others, each with an answer as if it had been taken.
    /// Source: github.com/aws/containers-roadmap/issues/2831: 201 instead of 202, and a `Range` that stands still.
    pub(crate) async fn add_part(
        &self,
        repository: &str,
        id: &str,
        content: Body,
    ) -> Result<Response<Body>, ApiError> {
        let mut upload = self.take_upload(repository, id)?;
        if upload.has_part {
            let drained = content.into_data_stream().try_for_each(|_| async { Ok(()) }).await;
            drained.map_err(ApiError::of_machine)?;
        } else {
            self.append(&mut upload, id, content).await?;
            upload.has_part = true;
        }
        let size = upload.size;
        self.state().uploads.insert(id.to_owned(), upload);
        Ok(progress(StatusCode::CREATED, repository, id, size))
    }

    /// Takes the rest of a blob, which is all of it where no part has come, and keeps it if it is what its digest says.
    pub(crate) async fn end_upload(
        &self,
        repository: &str,
        id: &str,
        digest: &str,
        content: Body,
    ) -> Result<Response<Body>, ApiError> {
        let mut upload = self.take_upload(repository, id)?;
        let written = self.append(&mut upload, id, content).await;
        let file = self.folder.join(id);
        let kept = written.and_then(|()| self.check(&upload, id, digest));
        if let Err(error) = kept {
            fs::remove_file(&file).await.map_err(ApiError::of_machine)?;
            return Err(error);
        }
        fs::rename(&file, self.file(digest)).await.map_err(ApiError::of_machine)?;
        self.state().repositories.entry(repository.to_owned()).or_default().blobs.insert(digest.to_owned());
        let response = Response::builder()
            .status(StatusCode::CREATED)
            .header(header::LOCATION, format!("/v2/{repository}/blobs/{digest}"))
            .header("docker-content-digest", digest);
        Ok(response.body(Body::empty()).expect("the headers are valid"))
    }

    /// ECR's codes and words: github.com/radius-project/radius/issues/7855, github.com/abiosoft/colima/issues/1167.
    fn check(&self, upload: &Upload, id: &str, digest: &str) -> Result<(), ApiError> {
        if upload.size == 0 {
            let account = match &self.kind {
                Kind::Account { account, .. } => account,
                Kind::Public { user, .. } => user,
            };
            let message = format!(
                "The upload with id '{id}' in the repository with name '{}' in registry with id '{account}' cannot be \
                 completed because it does not have any parts.",
                upload.repository
            );
            return Err(ApiError::invalid("BLOB_UPLOAD_INVALID", message));
        }
        if format!("sha256:{}", hex::encode(upload.hash.clone().finalize())) != digest {
            let message = "None of the provided layer digests match the calculated layer digest";
            return Err(ApiError::invalid("BLOB_UPLOAD_INVALID", message));
        }
        Ok(())
    }

    fn take_upload(&self, repository: &str, id: &str) -> Result<Upload, ApiError> {
        let mut state = self.state();
        match state.uploads.remove(id) {
            Some(upload) if upload.repository == repository => Ok(upload),
            _ => Err(ApiError::unknown("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")),
        }
    }

    async fn append(&self, upload: &mut Upload, id: &str, content: Body) -> Result<(), ApiError> {
        let file = OpenOptions::new().create(true).append(true).open(self.folder.join(id)).await;
        let mut file = file.map_err(ApiError::of_machine)?;
        let mut content = content.into_data_stream();
        while let Some(part) = content.try_next().await.map_err(ApiError::of_machine)? {
            upload.hash.update(&part);
            upload.size += part.len() as u64;
            file.write_all(&part).await.map_err(ApiError::of_machine)?;
        }
        file.flush().await.map_err(ApiError::of_machine)
    }
}

fn progress(status: StatusCode, repository: &str, id: &str, size: u64) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header(header::LOCATION, format!("/v2/{repository}/blobs/uploads/{id}"))
        .header(header::RANGE, format!("0-{}", size.saturating_sub(1)))
        .header("docker-upload-uuid", id);
    response.body(Body::empty()).expect("the headers are valid")
}
