//! The calls of uploads in parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode, header};
use local_aws::policy::Context;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::S3;
use crate::access::Call;
use crate::body::{Received, document};
use crate::checksum;
use crate::error::ApiError;
use crate::faults::Fault;
use crate::headers::Kept;
use crate::listing::{PAGE, encoded, encodes, time};
use crate::object::Object;
use crate::objects::{named, quoted};
use crate::state::Bucket;
use crate::uploads::{Named, Part, Upload, wanted_checksum};
use crate::xml::{self, Elements};

/// Source: S3 user guide, "Amazon S3 multipart upload limits".
const PARTS: u16 = 10_000;
/// How often white space is sent while an object is put together, in the cloud's time. A guess: "periodically".
const WHITE_SPACE: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompleteMultipartUpload {
    #[serde(default, rename = "Part")]
    parts: Vec<CompletedPart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompletedPart {
    part_number: u16,
    #[serde(rename = "ETag")]
    e_tag: String,
    #[serde(rename = "ChecksumCRC32")]
    crc32: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    crc64nvme: Option<String>,
    #[serde(rename = "ChecksumSHA1")]
    sha1: Option<String>,
    #[serde(rename = "ChecksumSHA256")]
    sha256: Option<String>,
}

impl From<CompletedPart> for Named {
    fn from(part: CompletedPart) -> Self {
        let CompletedPart { part_number, e_tag, crc32, crc32c, crc64nvme, sha1, sha256 } = part;
        Self {
            number: part_number,
            etag: e_tag.trim_matches('"').to_owned(),
            checksum: crc32.or(crc32c).or(crc64nvme).or(sha1).or(sha256),
        }
    }
}

/// A completion that has been found in order.
struct Completion {
    s3: S3,
    bucket: String,
    id: String,
    named: Vec<Named>,
    size: Option<u64>,
    /// Where the object is, as the answer says it.
    location: String,
}

impl Bucket {
    /// The upload with this id, of this key.
    fn upload(&mut self, id: &str, key: &str) -> Result<&mut Upload, ApiError> {
        // Recorded, `test_multipart_key_validation`.
        self.uploads
            .get_mut(id)
            .filter(|upload| upload.key == key)
            .ok_or_else(|| ApiError::no_such_upload(id))
    }
}

impl S3 {
    /// Source: S3 API Reference, `CreateMultipartUpload`.
    pub(crate) async fn create_multipart_upload(
        &self,
        mut call: Call<'_>,
    ) -> Result<Response<Body>, ApiError> {
        call.query.take("uploads");
        call.query.finish()?;
        let kept = Kept::take(&mut named(&call.parts.headers))?;
        let checksum =
            wanted_checksum(call.header("x-amz-checksum-algorithm"), call.header("x-amz-checksum-type"))?;
        let (bucket, key) = (&call.target.bucket, &call.target.key);
        self.state().bucket(bucket)?;
        call.authorize("PutObject", &call.target.arn(), kept.context()).await?;
        call.authorize_kms("GenerateDataKey", &kept).await?;
        let id = format!("{:032x}{:032x}", self.random(), self.random());
        let mut elements = Elements::default();
        elements.text("Bucket", bucket).text("Key", key).text("UploadId", &id);
        let mut answer = xml::answer(&elements.root("InitiateMultipartUploadResult"));
        let mut response = kept.answer_encryption(Response::builder());
        if let Some((algorithm, kind)) = checksum {
            response = response
                .header("x-amz-checksum-algorithm", algorithm.name())
                .header("x-amz-checksum-type", kind.name());
        }
        answer.headers_mut().extend(response.body(())?.into_parts().0.headers);
        let upload = Upload {
            key: key.clone(),
            kept,
            initiated: self.now(),
            checksum,
            parts: BTreeMap::new(),
            in_flight: 0,
            aborted: false,
        };
        self.state().bucket(bucket)?.uploads.insert(id, upload);
        Ok(answer)
    }

    fn random(&self) -> u128 {
        self.config.upstream.random.value()
    }

    /// A later part of the same number takes the place of the earlier one.
    /// Source: S3 API Reference, `UploadPart`; recorded, `test_complete_multipart_parts_order`.
    pub(crate) async fn upload_part(
        &self,
        mut call: Call<'_>,
        body: &mut BodyDataStream,
    ) -> Result<Response<Body>, ApiError> {
        let id = call.query.take("uploadId").unwrap_or_default();
        let number = call.query.take("partNumber").unwrap_or_default();
        call.query.finish()?;
        let invalid = || {
            let message = format!("Part number must be an integer between 1 and {PARTS}, inclusive");
            ApiError::argument("partNumber", &number, message)
        };
        let number: u16 = number.parse().ok().filter(|n| (1..=PARTS).contains(n)).ok_or_else(invalid)?;
        let (bucket, key) = (&call.target.bucket, &call.target.key);
        self.state().bucket(bucket)?;
        call.authorize("PutObject", &call.target.arn(), Context::new()).await?;
        let headers = &call.parts.headers;
        let claimed = checksum::claimed(headers)?.map(|(algorithm, _)| algorithm);
        let kept = {
            let mut state = self.state();
            let upload = state.bucket(bucket)?.upload(&id, key)?;
            if upload.aborted {
                return Err(ApiError::no_such_upload(&id));
            }
            upload.check_algorithm(claimed)?;
            upload.kept.clone()
        };
        // Source: S3 API Reference, `UploadPart`, permissions.
        call.authorize_kms("Decrypt", &kept).await?;
        let flight = Flight::begin(self, bucket, &id)?;
        let received = self.receive(headers, &call.payload, body).await?;
        let (etag, checksum) = (received.etag(), received.checksum.clone());
        flight.land(number, received)?;
        let mut response = kept.answer_encryption(Response::builder().header("etag", quoted(&etag)));
        if let Some((checksum, _)) = &checksum {
            response = response.header(checksum.algorithm.header(), &checksum.value);
        }
        Ok(response.body(Body::empty())?)
    }

    /// Source: S3 API Reference, `CompleteMultipartUpload`. What can be seen beforehand is refused with its own status; 200 is
    /// answered before the object is put together, and then the body says how that has ended.
    pub(crate) async fn complete_multipart_upload(
        &self,
        mut call: Call<'_>,
        body: &mut BodyDataStream,
    ) -> Result<Response<Body>, ApiError> {
        let id = call.query.take("uploadId").unwrap_or_default();
        call.query.finish()?;
        let size = call.header("x-amz-mp-object-size");
        let unreadable = |_| ApiError::invalid_request("Value for x-amz-mp-object-size header is invalid.");
        let size = size.map(str::parse).transpose().map_err(unreadable)?;
        let kind = call.header("x-amz-checksum-type").map(str::to_owned);
        let document = document(&call.parts.headers, &call.payload, body).await?;
        let (bucket, key) = (call.target.bucket.clone(), call.target.key.clone());
        self.state().bucket(&bucket)?;
        call.authorize("PutObject", &call.target.arn(), Context::new()).await?;
        let host = call.header(header::HOST.as_str()).unwrap_or_default();
        let location = format!("http://{host}/{bucket}/{}", encoded(&key, true));
        let completion = {
            let mut state = self.state();
            let upload = state.bucket(&bucket)?.upload(&id, &key)?;
            let wanted: CompleteMultipartUpload =
                if document.is_empty() { CompleteMultipartUpload::default() } else { xml::read(&document)? };
            if let (Some(kind), Some((_, created))) = (kind, upload.checksum)
                && kind != created.name()
            {
                // Recorded, `test_multipart_parts_checksum_exceptions_composite`.
                return Err(ApiError::invalid_request(format!(
                    "The upload was created using the {} checksum mode. The complete request must use the same checksum \
                     mode.",
                    created.name()
                )));
            }
            let named: Vec<Named> = wanted.parts.into_iter().map(Named::from).collect();
            upload.object(&id, &named, size, self.now())?;
            Completion { s3: self.clone(), bucket, id, named, size, location }
        };
        // It goes on, whoever waits for it.
        let (said, saying) = mpsc::channel(1);
        let fault = self.config.faults.take(&key);
        tokio::spawn(completion.run(key, fault, said));
        let body = stream::unfold(saying, |mut saying| async move {
            saying.recv().await.map(|piece: Result<Bytes, std::io::Error>| (piece, saying))
        });
        let response = Response::builder().header(header::CONTENT_TYPE, "application/xml");
        Ok(response.body(Body::from_stream(body))?)
    }

    /// Parts that are on their way arrive all the same, so that it may take several calls until nothing is left; until then the
    /// upload is there, and takes no new part.
    /// Source: S3 API Reference, `AbortMultipartUpload`; there such a part "might or might not succeed", and here it does.
    pub(crate) async fn abort_multipart_upload(
        &self,
        mut call: Call<'_>,
    ) -> Result<Response<Body>, ApiError> {
        let id = call.query.take("uploadId").unwrap_or_default();
        call.query.finish()?;
        let (bucket, key) = (&call.target.bucket, &call.target.key);
        self.state().bucket(bucket)?;
        call.authorize("AbortMultipartUpload", &call.target.arn(), Context::new()).await?;
        let dropped = {
            let mut state = self.state();
            let bucket = state.bucket(bucket)?;
            let upload = bucket.upload(&id, key)?;
            upload.aborted = true;
            let parts = std::mem::take(&mut upload.parts);
            if upload.in_flight == 0 {
                bucket.uploads.remove(&id);
            }
            parts
        };
        drop(dropped);
        Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty())?)
    }

    /// Source: S3 API Reference, `ListParts`; recorded, `test_multipart_and_list_parts`.
    pub(crate) async fn list_parts(&self, mut call: Call<'_>) -> Result<Response<Body>, ApiError> {
        let id = call.query.take("uploadId").unwrap_or_default();
        let most = call.query.take_limit("max-parts", PAGE)?;
        let after = call.query.take("part-number-marker").filter(|after| !after.is_empty());
        let after: u16 = after.as_deref().map_or(Ok(0), str::parse).map_err(|_| {
            let message = "Provided part-number-marker not an integer or within integer range";
            ApiError::argument("part-number-marker", after.as_deref().unwrap_or_default(), message)
        })?;
        let encodes = encodes(&mut call)?;
        call.query.finish()?;
        let (bucket, key) = (&call.target.bucket, &call.target.key);
        self.state().bucket(bucket)?;
        call.authorize("ListMultipartUploadParts", &call.target.arn(), Context::new()).await?;
        let mut state = self.state();
        let upload = state.bucket(bucket)?.upload(&id, key)?;
        let later: Vec<(&u16, &Part)> =
            upload.parts.range(after.saturating_add(1)..).take(most.saturating_add(1)).collect();
        let (page, is_truncated) = (&later[..later.len().min(most)], later.len() > most);
        let mut elements = Elements::default();
        elements.text("Bucket", bucket).text("Key", encoded(key, encodes)).text("UploadId", &id);
        self.owners(&mut elements);
        elements.text("StorageClass", &upload.kept.storage_class).text("PartNumberMarker", after);
        elements.text("NextPartNumberMarker", page.last().map_or(0, |(number, _)| **number));
        elements.text("MaxParts", most).text("IsTruncated", is_truncated);
        elements.some("EncodingType", encodes.then_some("url"));
        if let Some((algorithm, kind)) = upload.checksum {
            elements.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", kind.name());
        }
        for (number, part) in page {
            let mut of_part = Elements::default();
            of_part.text("PartNumber", number).text("LastModified", time(part.modified));
            of_part.text("ETag", quoted(&part.etag())).text("Size", part.segment.length);
            // Of an upload without one the parts' are not told either, as recorded.
            if let (Some(_), Some((checksum, _))) = (upload.checksum, &part.checksum) {
                of_part.text(&checksum.algorithm.element(), &checksum.value);
            }
            elements.nested("Part", &of_part);
        }
        Ok(xml::answer(&elements.root("ListPartsResult")))
    }

    /// Source: S3 API Reference, `ListMultipartUploads`; recorded, `test_multipart_and_list_parts`. Those of one key come in the
    /// order in which they were begun.
    pub(crate) async fn list_multipart_uploads(
        &self,
        mut call: Call<'_>,
    ) -> Result<Response<Body>, ApiError> {
        call.query.take("uploads");
        let prefix = call.query.take("prefix");
        let most = call.query.take_limit("max-uploads", PAGE)?;
        let (key_marker, id_marker) = (call.query.take("key-marker"), call.query.take("upload-id-marker"));
        let encodes = encodes(&mut call)?;
        call.query.finish()?;
        let bucket = &call.target.bucket;
        self.state().bucket(bucket)?;
        let mut context = Context::new();
        if let Some(prefix) = &prefix {
            context.insert("s3:prefix".into(), vec![prefix.clone()]);
        }
        call.authorize("ListBucketMultipartUploads", &call.target.bucket_arn(), context).await?;
        let prefix = prefix.unwrap_or_default();
        let (key_marker, id_marker) = (key_marker.unwrap_or_default(), id_marker.unwrap_or_default());
        let mut state = self.state();
        let mut uploads: Vec<(&String, &Upload)> = state
            .bucket(bucket)?
            .uploads
            .iter()
            .filter(|(_, upload)| upload.key.starts_with(&prefix))
            .collect();
        uploads.sort_by_key(|(id, upload)| (&upload.key, upload.initiated, *id));
        // Behind the one that is named, or, without an id, behind all of the key.
        let is_marker = |(id, upload): &(&String, &Upload)| upload.key == key_marker && **id == id_marker;
        let from = match uploads.iter().position(is_marker) {
            Some(at) => at + 1,
            None => uploads.partition_point(|(_, upload)| upload.key <= key_marker && !key_marker.is_empty()),
        };
        let later = &uploads[from..];
        let page = &later[..later.len().min(most)];
        let shown = |text: &str| encoded(text, encodes);
        let mut elements = Elements::default();
        elements.text("Bucket", bucket).text("KeyMarker", shown(&key_marker));
        elements.text("UploadIdMarker", &id_marker);
        elements.text("NextKeyMarker", page.last().map_or_else(String::new, |(_, last)| shown(&last.key)));
        elements.text("NextUploadIdMarker", page.last().map_or("", |(id, _)| id.as_str()));
        elements.some("Prefix", Some(shown(&prefix)).filter(|prefix| !prefix.is_empty()));
        elements.some("EncodingType", encodes.then_some("url"));
        elements.text("MaxUploads", most).text("IsTruncated", later.len() > page.len());
        for (id, upload) in page {
            let mut of_upload = Elements::default();
            of_upload.text("Key", shown(&upload.key)).text("UploadId", id);
            self.owners(&mut of_upload);
            of_upload.text("StorageClass", &upload.kept.storage_class);
            of_upload.text("Initiated", time(upload.initiated));
            if let Some((algorithm, kind)) = upload.checksum {
                of_upload.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", kind.name());
            }
            elements.nested("Upload", &of_upload);
        }
        Ok(xml::answer(&elements.root("ListMultipartUploadsResult")))
    }

    /// Everything is the account's; its canonical id is another than the twelve digits on AWS.
    fn owners(&self, elements: &mut Elements) {
        let mut owner = Elements::default();
        owner.text("ID", &self.config.upstream.account);
        elements.nested("Initiator", &owner).nested("Owner", &owner);
    }
}

impl Completion {
    /// Puts the object together, and says in pieces of the answer's body how that goes.
    async fn run(self, key: String, fault: Option<Fault>, said: mpsc::Sender<Result<Bytes, std::io::Error>>) {
        // Nobody may be there any more to hear it.
        let say = async |piece: String| {
            let _ = said.send(Ok(piece.into())).await;
        };
        say(xml::DECLARATION.to_owned()).await;
        if let Some(Fault::Slow(left) | Fault::Fails(left)) = fault {
            let mut left = left;
            while !left.is_zero() {
                let pause = left.min(WHITE_SPACE);
                self.s3.config.upstream.clock.sleep(pause).await;
                left -= pause;
                say(" ".to_owned()).await;
            }
        }
        let made = match fault {
            Some(Fault::Fails(_)) => {
                Err(ApiError::new("InternalError", "We encountered an internal error. Please try again."))
            }
            _ => self.make(&key),
        };
        if fault == Some(Fault::AnswerLost) {
            let _ = said.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
            return;
        }
        let random = &self.s3.config.upstream.random;
        say(match made {
            Ok(object) => self.document(&key, &object),
            Err(error) => xml::error_document(
                &error,
                &format!("{:016X}", random.value::<u64>()),
                &format!("{:032x}", random.value::<u128>()),
            ),
        })
        .await;
    }

    /// Makes the object of the parts as they are now, and ends the upload.
    fn make(&self, key: &str) -> Result<Arc<Object>, ApiError> {
        let (object, replaced, upload) = {
            let mut state = self.s3.state();
            let bucket = state.bucket(&self.bucket)?;
            let upload = bucket.upload(&self.id, key)?;
            let object = Arc::new(upload.object(&self.id, &self.named, self.size, self.s3.now())?);
            let upload = bucket.uploads.remove(&self.id);
            (Arc::clone(&object), bucket.objects.insert(key.to_owned(), object), upload)
        };
        // Their files go where nobody waits for the state.
        drop((replaced, upload));
        Ok(object)
    }

    fn document(&self, key: &str, object: &Object) -> String {
        let mut elements = Elements::default();
        elements.text("Location", &self.location).text("Bucket", &self.bucket).text("Key", key);
        elements.text("ETag", quoted(&object.etag));
        if let Some(checksum) = &object.checksum {
            elements.text(&checksum.algorithm.element(), &checksum.value);
            elements.text("ChecksumType", checksum.kind.name());
        }
        elements.root("CompleteMultipartUploadResult")
    }
}

/// A part on its way. It counts until it has landed, or is given up.
struct Flight<'a> {
    s3: &'a S3,
    bucket: &'a str,
    id: &'a str,
}

impl<'a> Flight<'a> {
    fn begin(s3: &'a S3, bucket: &'a str, id: &'a str) -> Result<Self, ApiError> {
        let mut state = s3.state();
        let upload = state.bucket(bucket)?.uploads.get_mut(id);
        upload.ok_or_else(|| ApiError::no_such_upload(id))?.in_flight += 1;
        Ok(Self { s3, bucket, id })
    }

    fn land(self, number: u16, received: Received) -> Result<(), ApiError> {
        let part = Part::new(received, self.s3.now());
        let replaced = {
            let mut state = self.s3.state();
            // It may have been completed meanwhile, without this part.
            let upload = state.bucket(self.bucket)?.uploads.get_mut(self.id);
            upload.ok_or_else(|| ApiError::no_such_upload(self.id))?.parts.insert(number, part)
        };
        drop(replaced);
        Ok(())
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.s3.state();
        let Ok(bucket) = state.bucket(self.bucket) else { return };
        let Some(upload) = bucket.uploads.get_mut(self.id) else { return };
        upload.in_flight -= 1;
        if upload.aborted && upload.in_flight == 0 && upload.parts.is_empty() {
            bucket.uploads.remove(self.id);
        }
    }
}
