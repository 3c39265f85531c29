//! What a request is about: a bucket, or a key in it, by the path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::error::ApiError;

/// The longest key, in bytes of UTF-8. Source: S3 user guide, "Naming Amazon S3 objects".
const KEY_LIMIT: usize = 1024;

/// What a path has as it is. Source: S3 API Reference, "Signature calculations for the Authorization header", `UriEncode()`.
pub const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');
/// What a query has as it is.
pub const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Empty for the service itself.
    pub bucket: String,
    /// Empty for the bucket itself.
    pub key: String,
}

impl Target {
    /// Reads a path as it is in the request. Nothing in it is normalised: `a/../b` and `a//b` are keys as they stand.
    /// Source: S3 user guide, "Virtual hosting of general purpose buckets", path-style requests.
    pub fn parse(path: &str) -> Result<Self, ApiError> {
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or_else(|| {
            let bucket = path.trim_start_matches('/');
            (bucket, "")
        });
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let unreadable = |_| ApiError::new("InvalidURI", "Couldn't parse the specified URI.");
        let key = decode(key).map_err(unreadable)?;
        check_key(&key)?;
        Ok(Self { bucket: decode(bucket).map_err(unreadable)?, key })
    }

    /// The bucket's ARN.
    pub fn bucket_arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    /// The ARN of what it is about.
    pub fn arn(&self) -> String {
        if self.key.is_empty() { self.bucket_arn() } else { format!("{}/{}", self.bucket_arn(), self.key) }
    }
}

/// Refuses a key that is too long.
pub fn check_key(key: &str) -> Result<(), ApiError> {
    if key.len() <= KEY_LIMIT {
        return Ok(());
    }
    Err(ApiError::new("KeyTooLongError", "Your key is too long")
        .with("Size", key.len())
        .with("MaxSizeAllowed", KEY_LIMIT))
}

/// A path as S3 encodes it before it checks a signature, whatever of it the caller has encoded.
/// Source: S3 API Reference, "Signature calculations for the Authorization header", `CanonicalURI`.
pub fn canonical(path: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    percent_encode(&bytes, IN_PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_bucket_and_a_key_as_they_stand() {
        for (path, bucket, key) in [
            ("/", "", ""),
            ("/bucket", "bucket", ""),
            ("/bucket/", "bucket", ""),
            ("/bucket/a/../b//c", "bucket", "a/../b//c"),
            ("/bucket//a", "bucket", "/a"),
            ("/bucket/a%2F%C3%BC+%2B", "bucket", "a/ü++"),
        ] {
            let target = Target { bucket: bucket.into(), key: key.into() };
            assert_eq!(Target::parse(path).as_ref(), Ok(&target), "{path}");
        }
        assert_eq!(Target::parse("/b/%ff").unwrap_err().code, "InvalidURI");
        let longest = format!("/b/{}", "k".repeat(KEY_LIMIT));
        assert!(Target::parse(&longest).is_ok());
        assert_eq!(Target::parse(&format!("{longest}k")).unwrap_err().code, "KeyTooLongError");
    }

    #[test]
    fn a_path_is_encoded_anew() {
        assert_eq!(canonical("/b/a+b(c)%20%7e/%c3%bc"), "/b/a%2Bb%28c%29%20~/%C3%BC");
    }
}
