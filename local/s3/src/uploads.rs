//! Uploads in parts, as they are kept until they are completed or aborted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest, Md5};

use crate::body::Received;
use crate::checksum::{self, Algorithm, Checksum, Kind};
use crate::content::{Content, Segment};
use crate::error::ApiError;
use crate::headers::Kept;
use crate::object::Object;

/// The least bytes of a part that is not the last: "5 MiB".
/// Source: S3 user guide, "Amazon S3 multipart upload limits".
const SMALLEST: u64 = 5 << 20;

/// An upload that goes on.
#[derive(Debug)]
pub struct Upload {
    pub key: String,
    pub kept: Kept,
    pub initiated: Timestamp,
    /// Of what the whole gets a checksum.
    pub checksum: Option<(Algorithm, Kind)>,
    pub parts: BTreeMap<u16, Part>,
    /// How many parts are on their way.
    pub in_flight: usize,
    /// Whether it takes no new part any more.
    pub aborted: bool,
}

/// A part that has arrived.
#[derive(Clone, Debug)]
pub struct Part {
    pub segment: Arc<Segment>,
    md5: [u8; 16],
    pub checksum: Option<(Checksum, Bytes)>,
    pub modified: Timestamp,
}

/// A part as the caller names it who completes the upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub number: u16,
    /// Without quotes.
    pub etag: String,
    pub checksum: Option<String>,
}

impl Part {
    pub fn new(received: Received, modified: Timestamp) -> Self {
        let Received { segment, md5, checksum } = received;
        Self { segment, md5, checksum, modified }
    }

    /// Without quotes.
    pub fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

impl Upload {
    /// Refuses a part whose checksum is of another algorithm than the whole's.
    /// Recorded, `test_multipart_parts_checksum_exceptions_composite`.
    pub fn check_algorithm(&self, claimed: Option<Algorithm>) -> Result<(), ApiError> {
        match (self.checksum, claimed) {
            (Some((expected, _)), Some(actual)) if expected != actual => {
                let (expected, actual) = (expected.name().to_lowercase(), actual.name().to_lowercase());
                Err(ApiError::invalid_request(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The object that these parts make, for the upload with the id `id`. `size` is how many bytes the caller believes it has.
    ///
    /// Its entity tag is the MD5 of the parts' MD5s and their number: S3 user guide, "Checking object integrity", using
    /// part-level checksums for multipart uploads.
    /// Source: S3 API Reference, `CompleteMultipartUpload`; recorded, `test_multipart_complete_multipart_wrong_part`,
    /// `test_multipart_complete_multipart_too_small`, `test_complete_multipart_parts_order`, `test_multipart_size_validation`.
    pub fn object(
        &self,
        id: &str,
        named: &[Named],
        size: Option<u64>,
        now: Timestamp,
    ) -> Result<Object, ApiError> {
        if named.is_empty() {
            return Err(ApiError::invalid_request("You must specify at least one part"));
        }
        if !named.is_sorted_by(|one, next| one.number < next.number) {
            let message =
                "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(ApiError::new("InvalidPartOrder", message).with("UploadId", id));
        }
        let parts: Vec<&Part> = named.iter().map(|named| self.part(id, named)).collect::<Result<_, _>>()?;
        let last = parts.len() - 1;
        for (part, named) in parts.iter().zip(named).take(last) {
            if part.segment.length < SMALLEST {
                return Err(ApiError::too_small(part.segment.length, SMALLEST)
                    .with("PartNumber", named.number)
                    .with("ETag", &named.etag));
            }
        }
        let content = Content::new(parts.iter().map(|part| Arc::clone(&part.segment)).collect());
        if let Some(size) = size.filter(|size| *size != content.length) {
            return Err(ApiError::invalid_request(format!(
                "The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {}",
                content.length
            )));
        }
        let mut md5 = Md5::new();
        for part in &parts {
            md5.update(part.md5);
        }
        let checksum = self.checksum.map(|(algorithm, kind)| {
            let of_parts = parts
                .iter()
                .filter_map(|part| part.checksum.as_ref().map(|(_, raw)| (raw.clone(), part.segment.length)));
            algorithm.of_parts(kind, &of_parts.collect::<Vec<_>>())
        });
        Ok(Object {
            content,
            etag: format!("{}-{}", hex::encode(md5.finalize()), parts.len()),
            modified: now,
            kept: self.kept.clone(),
            checksum,
        })
    }

    /// The part that is named so.
    fn part(&self, id: &str, named: &Named) -> Result<&Part, ApiError> {
        let claimed = named.checksum.as_ref();
        let is_meant = |part: &&Part| {
            let checksum = part.checksum.as_ref().map(|(checksum, _)| &checksum.value);
            part.etag() == named.etag && (claimed.is_none() || checksum == claimed)
        };
        let part = self.parts.get(&named.number).filter(is_meant).ok_or_else(|| {
            let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or \
                           the specified entity tag may not match the part's entity tag.";
            ApiError::new("InvalidPart", message)
                .with("UploadId", id)
                .with("PartNumber", named.number)
                .with("ETag", &named.etag)
        })?;
        // Recorded, `test_complete_multipart_parts_checksum_composite`.
        if let (Some((algorithm, Kind::Composite)), None) = (self.checksum, claimed) {
            let (name, number) = (algorithm.name().to_lowercase(), named.number);
            return Err(ApiError::invalid_request(format!(
                "The upload was created using a {name} checksum. The complete request must include the checksum for each \
                 part. It was missing for part {number} in the request."
            )));
        }
        Ok(part)
    }
}

/// Which algorithm and kind a caller wants for the whole.
/// Recorded, `test_multipart_parts_checksum_exceptions_composite`.
pub fn wanted_checksum(
    algorithm: Option<&str>,
    kind: Option<&str>,
) -> Result<Option<(Algorithm, Kind)>, ApiError> {
    match (algorithm, kind) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ApiError::invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )),
        (Some(name), kind) => {
            let algorithm = checksum::Algorithm::named(name)?;
            Ok(Some((algorithm, algorithm.kind(kind)?)))
        }
    }
}
