//! A job's uploads in parts: which are there, and their end. No tag can be on one, so all that is known of them is what the
//! `Jobs` table remembers.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::error::ProvideErrorMetadata;
use mayfly_lambda::SdkConfig;
use mayfly_lambda::error::Error;
use mayfly_model::job::S3Uri;
use mayfly_model::parts::PartedUpload;

/// How far S3's clock may be behind that of who has begun an upload, in seconds.
const CLOCKS: i64 = 60;

/// What clients are made with. A local cloud has no host name per bucket.
pub fn config(sdk: &SdkConfig) -> Config {
    Config::from(sdk).to_builder().force_path_style(sdk.endpoint_url().is_some()).build()
}

/// The ids of what is there of `upload`: itself, and, as long as there may be one whose id nobody has learnt, what was begun for
/// this very key since.
///
/// # Errors
/// As [`Error::aws`].
pub async fn open(s3: &Client, upload: &PartedUpload) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    if let Some(id) = &upload.id
        && is_open(s3, place(upload)?, id).await?
    {
        ids.push(id.clone());
    }
    if let Some(since) = upload.unknown_since {
        let unknown = begun_since(s3, place(upload)?, since - CLOCKS).await?;
        ids.extend(unknown.into_iter().filter(|id| upload.id.as_ref() != Some(id)));
    }
    Ok(ids)
}

/// Aborts the upload of this id, if it is there.
///
/// # Errors
/// [`Error::StillInUse`] while parts that were on their way keep it; else as [`Error::aws`].
pub async fn abort(s3: &Client, upload: &PartedUpload, id: &str) -> Result<(), Error> {
    let place = place(upload)?;
    let doing = format!("abort the upload of {}", upload.to);
    let abort = s3.abort_multipart_upload().bucket(place.bucket).key(place.key).upload_id(id);
    match abort.send().await {
        Ok(_) => tracing::info!(to = upload.to, "upload aborted"),
        Err(error) if is_gone(error.code()) => return Ok(()),
        Err(error) => return Err(Error::aws(&doing)(error)),
    }
    // Parts that are on their way may arrive after it, and then it has to be aborted again.
    // Source: S3 API Reference, `AbortMultipartUpload`.
    if is_open(s3, place, id).await? {
        return Err(Error::still_in_use(doing, "parts of it are on their way"));
    }
    Ok(())
}

/// Where the upload is to make its object.
fn place(upload: &PartedUpload) -> Result<S3Uri<'_>, Error> {
    S3Uri::parse(&upload.to)
        .ok_or_else(|| Error::internal("read the job's uploads", format!("no object is {}", upload.to)))
}

async fn is_open(s3: &Client, place: S3Uri<'_>, id: &str) -> Result<bool, Error> {
    let parts = s3.list_parts().bucket(place.bucket).key(place.key).upload_id(id).max_parts(1);
    match parts.send().await {
        Ok(_) => Ok(true),
        Err(error) if is_gone(error.code()) => Ok(false),
        Err(error) => {
            Err(Error::aws(&format!("look at the upload of s3://{}/{}", place.bucket, place.key))(error))
        }
    }
}

/// Source: S3 API Reference, `ListMultipartUploads`: by key, and of one key in the order in which they were begun.
async fn begun_since(s3: &Client, place: S3Uri<'_>, since: i64) -> Result<Vec<String>, Error> {
    let doing = format!("list the uploads of s3://{}/{}", place.bucket, place.key);
    let (mut ids, mut after) = (Vec::new(), (None, None));
    loop {
        let list = s3.list_multipart_uploads().bucket(place.bucket).prefix(place.key);
        let page = list.set_key_marker(after.0).set_upload_id_marker(after.1).send().await;
        let page = match page {
            Ok(page) => page,
            Err(error) if is_gone(error.code()) => return Ok(ids),
            Err(error) => return Err(Error::aws(&doing)(error)),
        };
        for upload in page.uploads() {
            let is_new = upload.initiated().is_none_or(|initiated| initiated.secs() >= since);
            if upload.key() == Some(place.key) && is_new {
                ids.extend(upload.upload_id().map(str::to_owned));
            }
        }
        // What follows has longer keys.
        let goes_on = page.is_truncated() == Some(true) && page.next_key_marker() == Some(place.key);
        if !goes_on {
            return Ok(ids);
        }
        after = (page.next_key_marker, page.next_upload_id_marker);
    }
}

/// Source: S3 API Reference, "Error responses": an upload that was completed or aborted is unknown.
fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("NoSuchUpload" | "NoSuchBucket"))
}
