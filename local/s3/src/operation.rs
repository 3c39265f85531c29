//! Which call a request is, but for a form.

use http::HeaderMap;
use http::Method;

use crate::error::ApiError;
use crate::query::Query;
use crate::target::Target;

/// A call; its name is the variant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    CreateBucket,
    HeadBucket,
    ListObjectsV2,
    ListMultipartUploads,
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
}

/// Headers of signatures and of the SDKs.
const COMMON: [&str; 5] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-user-agent",
    "x-amz-sdk-checksum-algorithm",
];

impl Operation {
    pub fn of(method: &Method, target: &Target, query: &Query) -> Result<Self, ApiError> {
        let (in_upload, uploads) = (query.has("uploadId"), query.has("uploads"));
        match (method, target.key.is_empty()) {
            (_, true) if target.bucket.is_empty() => Err(ApiError::unsupported("calls about the account")),
            (&Method::PUT, true) => Ok(Self::CreateBucket),
            (&Method::HEAD, true) => Ok(Self::HeadBucket),
            (&Method::GET, true) if uploads => Ok(Self::ListMultipartUploads),
            (&Method::GET, true) if query.has("list-type") => Ok(Self::ListObjectsV2),
            (&Method::PUT, false) if in_upload => Ok(Self::UploadPart),
            (&Method::PUT, false) => Ok(Self::PutObject),
            (&Method::GET, false) if in_upload => Ok(Self::ListParts),
            (&Method::GET, false) => Ok(Self::GetObject),
            (&Method::HEAD, false) => Ok(Self::HeadObject),
            (&Method::DELETE, false) if in_upload => Ok(Self::AbortMultipartUpload),
            (&Method::DELETE, false) => Ok(Self::DeleteObject),
            (&Method::POST, false) if in_upload => Ok(Self::CompleteMultipartUpload),
            (&Method::POST, false) if uploads => Ok(Self::CreateMultipartUpload),
            _ => Err(ApiError::unsupported(&format!("{method} of a bucket or key like this"))),
        }
    }

    /// Refuses a header that would change what is done, and that the stand-in does not know.
    pub fn check_headers(self, headers: &HeaderMap) -> Result<(), ApiError> {
        let known: &[&str] = match self {
            Self::PutObject => &[
                "x-amz-meta-*",
                "x-amz-storage-class",
                "x-amz-server-side-encryption",
                "x-amz-server-side-encryption-aws-kms-key-id",
                "x-amz-checksum-*",
                "x-amz-trailer",
                "x-amz-decoded-content-length",
            ],
            Self::CreateMultipartUpload => &[
                "x-amz-meta-*",
                "x-amz-storage-class",
                "x-amz-server-side-encryption",
                "x-amz-server-side-encryption-aws-kms-key-id",
                "x-amz-checksum-algorithm",
                "x-amz-checksum-type",
            ],
            Self::UploadPart => &["x-amz-checksum-*", "x-amz-trailer", "x-amz-decoded-content-length"],
            Self::CompleteMultipartUpload => &["x-amz-mp-object-size", "x-amz-checksum-type"],
            Self::GetObject | Self::HeadObject => &[
                "x-amz-checksum-mode",
                "if-match",
                "if-none-match",
                "if-modified-since",
                "if-unmodified-since",
                "if-range",
            ],
            _ => &[],
        };
        let is_known = |name: &str| {
            COMMON.contains(&name)
                || known.iter().any(|known| match known.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => *known == name,
                })
        };
        let matters = |name: &str| name.starts_with("x-amz-") || name.starts_with("if-");
        match headers.keys().map(http::HeaderName::as_str).find(|name| matters(name) && !is_known(name)) {
            None => Ok(()),
            Some(name) => Err(ApiError::unsupported(&format!("the header {name} in {self:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_method_path_and_query() {
        for (method, path, query, operation) in [
            ("PUT", "/b", "", "CreateBucket"),
            ("HEAD", "/b/", "", "HeadBucket"),
            ("GET", "/b", "list-type=2", "ListObjectsV2"),
            ("GET", "/b", "uploads", "ListMultipartUploads"),
            ("PUT", "/b/k", "x-id=PutObject", "PutObject"),
            ("PUT", "/b/k", "partNumber=1&uploadId=u", "UploadPart"),
            ("POST", "/b/k", "uploads=", "CreateMultipartUpload"),
            ("POST", "/b/k", "uploadId=u", "CompleteMultipartUpload"),
            ("DELETE", "/b/k", "uploadId=u", "AbortMultipartUpload"),
            ("DELETE", "/b/k", "", "DeleteObject"),
            ("GET", "/b/k", "uploadId=u", "ListParts"),
            ("GET", "/b/k", "", "GetObject"),
            ("HEAD", "/b/k", "", "HeadObject"),
            ("GET", "/", "", "NotImplemented"),
            ("GET", "/b", "", "NotImplemented"),
            ("DELETE", "/b", "", "NotImplemented"),
            ("POST", "/b/k", "restore", "NotImplemented"),
        ] {
            let method = method.parse().expect("a method");
            let target = Target::parse(path).expect("a target");
            let found = Operation::of(&method, &target, &Query::parse(Some(query)));
            let found = found.map_or_else(|error| error.code.to_owned(), |found| format!("{found:?}"));
            assert_eq!(found, operation, "{method} {path}?{query}");
        }
    }

    #[test]
    fn a_header_that_nobody_knows_is_refused() {
        let check = |operation: Operation, name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, "x".parse().expect("a value"));
            operation.check_headers(&headers).map_err(|error| error.code)
        };
        assert_eq!(check(Operation::PutObject, "x-amz-meta-any"), Ok(()));
        assert_eq!(check(Operation::PutObject, "content-type"), Ok(()));
        assert_eq!(check(Operation::GetObject, "if-match"), Ok(()));
        assert_eq!(check(Operation::PutObject, "if-match"), Err("NotImplemented"));
        assert_eq!(check(Operation::PutObject, "x-amz-copy-source"), Err("NotImplemented"));
        assert_eq!(check(Operation::GetObject, "x-amz-request-payer"), Err("NotImplemented"));
    }
}
