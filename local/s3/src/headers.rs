//! What is kept with an object beside its bytes, as a request's headers or a form's fields say it and an answer's repeat it.

use std::collections::BTreeMap;

use http::response::Builder;
use http::{HeaderName, HeaderValue};
use local_aws::policy::Context;

use crate::error::ApiError;

/// Headers that are kept as they are. Source: S3 API Reference, `PutObject`.
const PLAIN: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];
const METADATA: &str = "x-amz-meta-";
const STORAGE_CLASS: &str = "x-amz-storage-class";
const ENCRYPTION: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
/// The type of what nobody has named a type of. Recorded, `test_head_object_fields`.
const UNKNOWN_TYPE: &str = "binary/octet-stream";
/// The most bytes of the names and values of an object's metadata.
/// Source: S3 user guide, "Working with object metadata".
const METADATA_LIMIT: usize = 2048;
/// Source: S3 API Reference, `PutObject`, `x-amz-storage-class`, of a general purpose bucket.
const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

/// What is kept with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    plain: BTreeMap<&'static str, String>,
    /// By what follows `x-amz-meta-`.
    metadata: BTreeMap<String, String>,
    pub storage_class: String,
    /// The key of KMS that it is encrypted with, where it is not S3's own.
    pub kms_key: Option<String>,
}

impl Kept {
    /// Takes what is kept out of `named`, headers or fields by their names in lower case.
    pub fn take(named: &mut BTreeMap<String, String>) -> Result<Self, ApiError> {
        let mut plain = BTreeMap::new();
        for name in PLAIN {
            if let Some(value) = named.remove(name) {
                plain.insert(name, value);
            }
        }
        // The encoding of the transfer is none of the object's.
        // Source: S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple chunks".
        if let Some(encoding) = plain.remove("content-encoding") {
            let left: Vec<_> =
                encoding.split(',').map(str::trim).filter(|one| !["aws-chunked", ""].contains(one)).collect();
            if !left.is_empty() {
                plain.insert("content-encoding", left.join(","));
            }
        }
        let metadata: BTreeMap<String, String> = named
            .extract_if(.., |name, _| name.starts_with(METADATA))
            .map(|(name, value)| (name[METADATA.len()..].to_owned(), value))
            .collect();
        let is_header = |(name, value): (&str, &String)| {
            HeaderName::try_from(name).is_ok() && value.is_ascii() && HeaderValue::try_from(value).is_ok()
        };
        let mut all = plain.iter().map(|(name, value)| (*name, value));
        let mut own = metadata.iter().map(|(name, value)| (name.as_str(), value));
        if !all.all(is_header) || !own.all(is_header) {
            // S3 encodes it as RFC 2047 has it: S3 user guide, "Working with object metadata".
            return Err(ApiError::unsupported("metadata that is not of ASCII characters"));
        }
        let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > METADATA_LIMIT {
            let message = "Your metadata headers exceed the maximum allowed metadata size";
            return Err(ApiError::new("MetadataTooLarge", message)
                .with("Size", size)
                .with("MaxSizeAllowed", METADATA_LIMIT));
        }
        let storage_class = named.remove(STORAGE_CLASS).unwrap_or_else(|| "STANDARD".into());
        if !STORAGE_CLASSES.contains(&storage_class.as_str()) {
            let message = "The storage class you specified is not valid";
            return Err(
                ApiError::new("InvalidStorageClass", message).with("StorageClassRequested", storage_class)
            );
        }
        let kms_key = match (named.remove(ENCRYPTION).as_deref(), named.remove(KEY_ID)) {
            (None | Some("AES256"), None) => None,
            (Some("aws:kms"), Some(key)) => Some(key),
            (Some("aws:kms"), None) => return Err(ApiError::unsupported("AWS's own key of KMS for S3")),
            (encryption, _) => {
                let encryption = encryption.unwrap_or_default();
                let message = "The encryption method specified is not supported";
                return Err(ApiError::argument(ENCRYPTION, encryption, message));
            }
        };
        Ok(Self { plain, metadata, storage_class, kms_key })
    }

    /// Adds what a GET and a HEAD answer.
    pub fn answer(&self, mut response: Builder) -> Builder {
        let kind = self.plain.get("content-type").map_or(UNKNOWN_TYPE, String::as_str);
        response = response.header("content-type", kind);
        for (name, value) in self.plain.iter().filter(|(name, _)| **name != "content-type") {
            response = response.header(*name, value);
        }
        for (name, value) in &self.metadata {
            response = response.header(format!("{METADATA}{name}"), value);
        }
        // "Amazon S3 returns this header for all objects except for S3 Standard storage class objects": S3 API Reference,
        // `GetObject`, `x-amz-storage-class`.
        if self.storage_class != "STANDARD" {
            response = response.header(STORAGE_CLASS, &self.storage_class);
        }
        self.answer_encryption(response)
    }

    /// Adds how it is encrypted, as every answer about an object or an upload says it.
    /// Source: S3 user guide, "Amazon S3 now automatically encrypts all new objects", and as recorded throughout.
    pub fn answer_encryption(&self, response: Builder) -> Builder {
        match &self.kms_key {
            None => response.header(ENCRYPTION, "AES256"),
            Some(key) => response.header(ENCRYPTION, "aws:kms").header(KEY_ID, key),
        }
    }

    /// The condition keys that it gives the request that makes it.
    /// Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3", `PutObject`.
    pub fn context(&self) -> Context {
        let mut context =
            Context::from([("s3:x-amz-storage-class".to_owned(), vec![self.storage_class.clone()])]);
        if let Some(key) = &self.kms_key {
            context.insert("s3:x-amz-server-side-encryption".into(), vec!["aws:kms".into()]);
            context.insert("s3:x-amz-server-side-encryption-aws-kms-key-id".into(), vec![key.clone()]);
        }
        context
    }

    /// Whether it has to be restored before it can be read. Source: S3 API Reference, `GetObject`, "Storage classes".
    pub fn is_archived(&self) -> bool {
        ["GLACIER", "DEEP_ARCHIVE"].contains(&self.storage_class.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_said_of_an_object_is_kept_and_answered() {
        let mut given = named(&[
            ("content-type", "video/mp4"),
            ("content-encoding", "aws-chunked, gzip"),
            ("x-amz-meta-job", "a b"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key"),
            ("other", "x"),
        ]);
        let kept = Kept::take(&mut given).expect("it is right");
        assert_eq!(given.into_keys().collect::<Vec<_>>(), ["other"]);
        let response = kept.answer(Builder::new()).body(()).expect("a response");
        let headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        assert_eq!(
            headers,
            [
                "content-type: video/mp4",
                "content-encoding: gzip",
                "x-amz-meta-job: a b",
                "x-amz-storage-class: STANDARD_IA",
                "x-amz-server-side-encryption: aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id: key",
            ]
        );
        let nothing = Kept::take(&mut named(&[("content-encoding", "aws-chunked")])).expect("it is right");
        let response = nothing.answer(Builder::new()).body(()).expect("a response");
        assert_eq!(response.headers()["content-type"], UNKNOWN_TYPE);
        assert!(!response.headers().contains_key("content-encoding"));
    }

    #[test]
    fn what_s3_does_not_take_is_refused() {
        let long = "v".repeat(METADATA_LIMIT);
        for (name, value, code) in [
            ("x-amz-storage-class", "FakeClass", "InvalidStorageClass"),
            ("x-amz-meta-a", long.as_str(), "MetadataTooLarge"),
            ("x-amz-meta-a", "ü", "NotImplemented"),
            ("x-amz-meta-a b", "a", "NotImplemented"),
            ("content-type", "a\r\nb: c", "NotImplemented"),
            ("x-amz-server-side-encryption", "rot13", "InvalidArgument"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key", "InvalidArgument"),
        ] {
            let error = Kept::take(&mut named(&[(name, value)])).expect_err(name);
            assert_eq!(error.code, code, "{name}");
        }
    }
}
