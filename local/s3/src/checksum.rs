//! Checksums of what is uploaded, beside the entity tag.
//! Source: S3 user guide, "Checking object integrity for data uploads in Amazon S3".

use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_checksums::http::HttpChecksum;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine};
use http::HeaderMap;

use crate::error::ApiError;

const PREFIX: &str = "x-amz-checksum-";

/// One of the algorithms that S3 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm(ChecksumAlgorithm);

/// A checksum, which for the whole of an object in parts may be one of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: Algorithm,
    /// In base 64; `-3` after it where it is of the checksums of three parts.
    pub value: String,
    pub kind: Kind,
}

/// Of what an object's checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    FullObject,
    Composite,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

impl Algorithm {
    /// From its name, `CRC32` or `crc32`. Recorded, `test_multipart_parts_checksum_exceptions_composite`.
    pub fn named(name: &str) -> Result<Self, ApiError> {
        let unsupported = || {
            ApiError::invalid_request(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, \
                 CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        };
        // The crate takes MD5 for another.
        let algorithm = name.parse().ok().filter(|_| !name.eq_ignore_ascii_case("md5"));
        algorithm.map(Self).ok_or_else(unsupported)
    }

    pub fn name(self) -> String {
        self.0.as_str().to_uppercase()
    }

    /// `x-amz-checksum-crc32`
    pub fn header(self) -> String {
        format!("{PREFIX}{}", self.0.as_str())
    }

    /// `ChecksumCRC32`
    pub fn element(self) -> String {
        format!("Checksum{}", self.name())
    }

    pub fn begin(self) -> Box<dyn HttpChecksum> {
        self.0.into_impl()
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self.0 {
            ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }

    /// What kind of checksum an object in parts has. Recorded, `test_multipart_checksum_type_compatibility` and
    /// `test_multipart_checksum_type_default_for_checksum`.
    pub fn kind(self, wanted: Option<&str>) -> Result<Kind, ApiError> {
        let default = if self.0 == ChecksumAlgorithm::Crc64Nvme { Kind::FullObject } else { Kind::Composite };
        let kind = match wanted {
            None => default,
            Some("COMPOSITE") => Kind::Composite,
            Some("FULL_OBJECT") => Kind::FullObject,
            Some(_) => {
                return Err(ApiError::invalid_request("Value for x-amz-checksum-type header is invalid."));
            }
        };
        let is_possible = match kind {
            Kind::Composite => self.0 != ChecksumAlgorithm::Crc64Nvme,
            Kind::FullObject => self.crc().is_some(),
        };
        if is_possible {
            return Ok(kind);
        }
        Err(ApiError::invalid_request(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            self.0.as_str()
        )))
    }

    /// The checksum of the whole whose parts have these, each with its length in bytes.
    pub fn of_parts(self, kind: Kind, parts: &[(Bytes, u64)]) -> Checksum {
        let value = if let (Kind::FullObject, Some(crc)) = (kind, self.crc()) {
            let combined = parts.iter().fold(0, |whole, (part, length)| {
                let part = part.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
                checksum_combine(crc, whole, part, *length)
            });
            let width = if self.0 == ChecksumAlgorithm::Crc64Nvme { 8 } else { 4 };
            BASE64_STANDARD.encode(&combined.to_be_bytes()[8 - width..])
        } else {
            let mut of_all = self.begin();
            for (part, _) in parts {
                of_all.update(part);
            }
            format!("{}-{}", BASE64_STANDARD.encode(of_all.finalize()), parts.len())
        };
        Checksum { algorithm: self, value, kind }
    }
}

/// What a caller says of a body's checksum: the algorithm, and the value where it does not come in the trailer.
/// Recorded, `test_s3_checksum_no_algorithm`.
pub fn claimed(headers: &HeaderMap) -> Result<Option<(Algorithm, Option<String>)>, ApiError> {
    let names: Vec<_> = headers
        .keys()
        .filter_map(|name| name.as_str().strip_prefix(PREFIX))
        .filter(|name| !["algorithm", "mode", "type"].contains(name))
        .collect();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (&names[..], text("x-amz-trailer")) {
        ([], None) => Ok(None),
        ([], Some(trailer)) => {
            let name = trailer.trim().strip_prefix(PREFIX).ok_or_else(|| {
                ApiError::invalid_request("The value specified in the x-amz-trailer header is not supported")
            })?;
            Ok(Some((Algorithm::named(name)?, None)))
        }
        ([name], None) => {
            let algorithm = Algorithm::named(name)?;
            let value = text(&algorithm.header()).unwrap_or_default();
            let length = BASE64_STANDARD.decode(value).ok().map(|bytes| bytes.len() as u64);
            if length != Some(aws_smithy_checksums::Checksum::size(&*algorithm.begin())) {
                let message = format!("Value for {} header is invalid.", algorithm.header());
                return Err(ApiError::invalid_request(message));
            }
            Ok(Some((algorithm, Some(value.to_owned()))))
        }
        _ => Err(ApiError::invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )),
    }
}

/// Recorded, `test_multipart_upload_part_checksum_exception`.
pub fn mismatch(algorithm: Algorithm) -> ApiError {
    let name = algorithm.name();
    ApiError::new("BadDigest", format!("The {name} you specified did not match the calculated checksum."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_an_object_in_parts_is_of_the_whole_or_of_theirs() {
        let (one, two) = (b"hello, ".repeat(9), b"world".repeat(7));
        let of = |algorithm: Algorithm, data: &[u8]| {
            let mut checksum = algorithm.begin();
            checksum.update(data);
            checksum.finalize()
        };
        for name in ["CRC32", "CRC32C", "CRC64NVME"] {
            let algorithm = Algorithm::named(name).expect("it is known");
            let parts = [(of(algorithm, &one), one.len() as u64), (of(algorithm, &two), two.len() as u64)];
            let whole = of(algorithm, &[&one[..], &two].concat());
            let combined = algorithm.of_parts(Kind::FullObject, &parts);
            assert_eq!(combined.value, BASE64_STANDARD.encode(whole), "{name}");
        }
        let sha = Algorithm::named("sha256").expect("it is known");
        let parts = [(of(sha, &one), 1), (of(sha, &two), 1)];
        let whole = of(sha, &[&parts[0].0[..], &parts[1].0].concat());
        let composite = sha.of_parts(Kind::Composite, &parts);
        assert_eq!(composite.value, format!("{}-2", BASE64_STANDARD.encode(whole)));
    }

    #[test]
    fn an_algorithm_has_the_kinds_that_s3_has_of_it() {
        let kind = |name: &str, wanted| Algorithm::named(name).and_then(|algorithm| algorithm.kind(wanted));
        assert_eq!(kind("CRC32", None), Ok(Kind::Composite));
        assert_eq!(kind("CRC64NVME", None), Ok(Kind::FullObject));
        assert_eq!(kind("CRC32C", Some("FULL_OBJECT")), Ok(Kind::FullObject));
        for (name, wanted) in
            [("SHA1", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("CRC32", "x"), ("MD5", "COMPOSITE")]
        {
            assert_eq!(kind(name, Some(wanted)).unwrap_err().code, "InvalidRequest", "{name} {wanted}");
        }
    }
}
