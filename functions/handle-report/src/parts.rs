//! Uploads in parts: begun on request, one for each place, and signed part by part. Which place it is comes from the table, and
//! of a file in a folder also from its name, which must be one of those that the output has there.
//!
//! `CreateMultipartUpload` takes no client token, and what it makes carries no tag. So it is written down that an upload is
//! about to be begun before S3 is asked, and its id before the worker hears of it; whoever finds that the answer of another was
//! lost looks for what that has made, and ends it, before it begins anew.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use mayfly_jobs::signing::{Access, Signer};
use mayfly_jobs::{DataRole, Jobs, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, SdkConfig};
use mayfly_model::job::{Output, S3Uri};
use mayfly_model::message::kind_of;
use mayfly_model::parts::{Cut, PartedUpload, PartsWanted, SignedParts};
use mayfly_model::shown::shown;

/// What it takes to begin an upload.
pub struct Beginner<'a> {
    pub role: &'a DataRole,
    pub jobs: &'a Jobs,
    pub sdk: &'a SdkConfig,
    pub clock: &'a Clock,
}

/// How many uploads a job may have: an item of its table, of 400 KB, has room for them. Files of folders go up in parts only from
/// 5 GB on, and a task's disk has room for 40 of those.
const MOST: usize = 100;

/// A file that is to go up in parts.
struct Wanted<'a> {
    file: &'a str,
    output: &'a Output,
    to: &'a str,
    uri: S3Uri<'a>,
    bytes: u64,
}

impl Beginner<'_> {
    /// The answer to `wanted`; none where the job has no such output, or no upload for it may be begun any more.
    pub async fn answer(&self, job: &Record, wanted: &PartsWanted) -> Result<Option<SignedParts>, Error> {
        let name = wanted.output.as_ref().unwrap_or(&wanted.file);
        let output = job.work.outputs.iter().find(|output| output.file == *name);
        let to = output.and_then(|output| place(output, &wanted.file));
        let uri = to.as_deref().and_then(S3Uri::parse);
        let (Some(output), Some(to), Some(uri)) = (output, &to, uri) else {
            tracing::warn!(file = shown(&wanted.file), "no parts signed: the job has no such output");
            return Ok(None);
        };
        if Cut::of(wanted.bytes).batch(wanted.from).next().is_none() {
            tracing::warn!(bytes = wanted.bytes, from = wanted.from, "no parts signed: the file has none");
            return Ok(None);
        }
        // One key is one session's.
        let signers = self.role.signers(job.hosts, Access::Parts, [uri.clone()]).await?;
        let Some((signer, _)) = signers.into_iter().next() else { return Ok(None) };
        let meant = Wanted { file: &wanted.file, output, to, uri: uri.clone(), bytes: wanted.bytes };
        let Some(id) = self.upload(job, &self.client(&signer), &meant).await? else { return Ok(None) };
        signer.parts(&uri, &id, wanted, job.turn.start).map(Some)
    }

    /// One that makes no call a second time by itself, and may do what the signer may.
    fn client(&self, signer: &Signer<'_>) -> Client {
        let config = mayfly_s3::config(self.sdk).to_builder();
        let config = config.credentials_provider(signer.credentials.clone());
        // Else S3 would want a checksum of each part, which nobody has when they are signed.
        let config = config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// The id of the upload that this start has for the file, which is begun where there is none.
    async fn upload(&self, job: &Record, s3: &Client, wanted: &Wanted<'_>) -> Result<Option<String>, Error> {
        let known = job.uploads.iter().find(|upload| upload.to == wanted.to);
        let is_it = |upload: &&PartedUpload| upload.start == job.turn.start && upload.bytes == wanted.bytes;
        if let Some(id) = known.filter(is_it).and_then(|upload| upload.id.as_ref()) {
            return Ok(Some(id.clone()));
        }
        let doing = || format!("begin the upload of {}", wanted.to);
        let now = self.clock.now().as_second();
        if known.is_some_and(|upload| upload.is_being_begun(now)) {
            return Err(Error::unavailable(doing(), "another function may be about to"));
        }
        if known.is_none() && job.uploads.len() >= MOST {
            tracing::warn!(to = wanted.to, "no upload begun: the job has {MOST}");
            return Ok(None);
        }
        if let Some(known) = known {
            for id in mayfly_s3::open(s3, known).await? {
                mayfly_s3::abort(s3, known, &id).await?;
            }
        }
        let unknown = known.and_then(|upload| upload.unknown_since);
        let intent = PartedUpload {
            file: wanted.file.to_owned(),
            to: wanted.to.to_owned(),
            start: job.turn.start,
            bytes: wanted.bytes,
            id: None,
            asked: now,
            unknown_since: Some(unknown.unwrap_or(now)),
        };
        let Some(job) = self.written(job, intent.clone()).await? else {
            tracing::info!("no upload begun: the start is over, or another function is about to");
            return Ok(None);
        };
        match create(s3, wanted).await {
            Ok(Some(id)) => {
                let begun = PartedUpload { id: Some(id.clone()), unknown_since: unknown, ..intent.clone() };
                if self.written(&job, begun.clone()).await?.is_none() && !self.is_known(&job, &begun).await? {
                    // It is over for the worker as well.
                    mayfly_s3::abort(s3, &intent, &id).await?;
                    return Ok(None);
                }
                tracing::info!(to = wanted.to, "upload begun");
                Ok(Some(id))
            }
            Ok(None) => Err(Error::internal(doing(), "S3's answer has no id")),
            Err(error) => {
                // Nobody is at it any more. What S3 itself refuses, it has not made.
                let status = error.raw_response().map(|response| response.status());
                let is_refused =
                    error.code().is_some() && status.is_some_and(|status| status.is_client_error());
                let unknown_since = if is_refused { unknown } else { intent.unknown_since };
                self.written(&job, PartedUpload { asked: 0, unknown_since, ..intent }).await?;
                Err(Error::aws(&doing())(error))
            }
        }
    }

    /// Whether this upload is written down, as it is where the answer to that was lost and the SDK has tried once more.
    async fn is_known(&self, job: &Record, upload: &PartedUpload) -> Result<bool, Error> {
        let stored = self.jobs.get(&job.job).await?;
        Ok(stored.is_some_and(|stored| stored.uploads.contains(upload)))
    }

    /// The job with this upload in place of the one that it had for the place; none where it is not its time any more.
    async fn written(&self, job: &Record, upload: PartedUpload) -> Result<Option<Record>, Error> {
        let mut uploads = job.uploads.clone();
        uploads.retain(|other| other.to != upload.to);
        uploads.push(upload);
        let is_stored = self.jobs.store_uploads(job, &uploads).await?;
        Ok(is_stored.then(|| Record { uploads, ..job.clone() }))
    }
}

/// Where a file of this output goes; none where it is none.
fn place(output: &Output, file: &str) -> Option<String> {
    let Some(pattern) = output.pattern() else { return (output.file == file).then(|| output.to.clone()) };
    let name = file.strip_prefix(pattern.folder())?;
    let leads_elsewhere = name.split('/').any(|part| matches!(part, "" | "." | ".."));
    (pattern.names(name) && !leads_elsewhere).then(|| format!("{}{name}", output.to))
}

type Creation = aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadError;

/// Type, class, key of KMS and metadata are those of the whole object, and so are said here.
/// Source: S3 API Reference, `CreateMultipartUpload`.
async fn create(s3: &Client, wanted: &Wanted<'_>) -> Result<Option<String>, SdkError<Creation>> {
    let Wanted { output, to, uri, .. } = wanted;
    let kind = output.content_type.clone().or_else(|| kind_of(to).map(str::to_owned));
    let encryption = output.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms);
    let mut create = s3
        .create_multipart_upload()
        .bucket(uri.bucket)
        .key(uri.key)
        .set_content_type(kind)
        .set_cache_control(output.cache_control.clone())
        .set_storage_class(output.storage_class.map(|class| StorageClass::from(class.name())))
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(output.kms_key.clone());
    for (name, value) in &output.metadata {
        create = create.metadata(name, value);
    }
    create.send().await.map(|made| made.upload_id)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_goes_where_its_output_says_and_nowhere_else() {
        let place = |file: &str, to: &str, wanted: &str| {
            let output = serde_json::json!({ "file": file, "to": to });
            super::place(&serde_json::from_value(output).expect("an output"), wanted)
        };
        assert_eq!(place("a.mp4", "s3://b/x", "a.mp4").as_deref(), Some("s3://b/x"));
        assert_eq!(place("a.mp4", "s3://b/x", "b.mp4"), None);
        assert_eq!(place("hls/", "s3://b/show/", "hls/deep/1.ts").as_deref(), Some("s3://b/show/deep/1.ts"));
        assert_eq!(place("hls/*.ts", "s3://b/show/", "hls/1.ts").as_deref(), Some("s3://b/show/1.ts"));
        for file in ["hls/1.mp4", "hls/deep/1.ts", "other/1.ts"] {
            assert_eq!(place("hls/*.ts", "s3://b/show/", file), None, "{file}");
        }
        for file in ["hls/", "hls/../1.ts", "hls/a/./1.ts", "hls//1.ts", "hls/deep/"] {
            assert_eq!(place("hls/", "s3://b/show/", file), None, "{file}");
        }
    }
}
