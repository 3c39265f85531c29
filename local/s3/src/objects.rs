//! PutObject, GetObject, HeadObject and DeleteObject.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, BodyDataStream};
use http::{HeaderMap, Method, Response, StatusCode};
use httpdate::fmt_http_date;
use local_aws::policy::Context;

use crate::S3;
use crate::access::Call;
use crate::body::Received;
use crate::conditions;
use crate::content::Content;
use crate::error::ApiError;
use crate::headers::Kept;
use crate::object::Object;

impl S3 {
    /// Source: S3 API Reference, `PutObject`. Whichever of several at once is done last is what stays ("last-writer-wins": S3
    /// user guide, "What is Amazon S3?", data consistency model).
    pub(crate) async fn put_object(
        &self,
        call: Call<'_>,
        body: &mut BodyDataStream,
    ) -> Result<Response<Body>, ApiError> {
        call.query.finish()?;
        let headers = &call.parts.headers;
        let kept = Kept::take(&mut named(headers))?;
        self.state().bucket(&call.target.bucket)?;
        call.authorize("PutObject", &call.target.arn(), kept.context()).await?;
        call.authorize_kms("GenerateDataKey", &kept).await?;
        let received = self.receive(headers, &call.payload, body).await?;
        let object = self.put(&call.target.bucket, &call.target.key, received, kept)?;
        let mut response =
            object.kept.answer_encryption(Response::builder().header("etag", quoted(&object.etag)));
        if let Some(checksum) = &object.checksum {
            response = response
                .header(checksum.algorithm.header(), &checksum.value)
                .header("x-amz-checksum-type", checksum.kind.name());
        }
        Ok(response.body(Body::empty())?)
    }

    /// Makes what has arrived the object.
    pub(crate) fn put(
        &self,
        bucket: &str,
        key: &str,
        received: Received,
        kept: Kept,
    ) -> Result<Arc<Object>, ApiError> {
        let object = Arc::new(Object {
            etag: received.etag(),
            content: Content::new(vec![received.segment]),
            modified: self.now(),
            kept,
            checksum: received.checksum.map(|(checksum, _)| checksum),
        });
        let replaced = self.state().bucket(bucket)?.objects.insert(key.to_owned(), Arc::clone(&object));
        // Its file goes where nobody waits for the state.
        drop(replaced);
        Ok(object)
    }

    /// Answers a GET, or a HEAD, which is the same without the bytes.
    /// Source: S3 API Reference, `GetObject` and `HeadObject`.
    pub(crate) async fn get_object(&self, call: Call<'_>) -> Result<Response<Body>, ApiError> {
        call.query.finish()?;
        let headers = &call.parts.headers;
        let object = self.state().bucket(&call.target.bucket)?.objects.get(&call.target.key).cloned();
        call.authorize("GetObject", &call.target.arn(), Context::new()).await?;
        let Some(object) = object else { return Err(call.missing().await) };
        call.authorize_kms("Decrypt", &object.kept).await?;
        if object.kept.is_archived() && call.parts.method == Method::GET {
            let message = "The operation is not valid for the object's storage class";
            return Err(
                ApiError::new("InvalidObjectState", message).with("StorageClass", &object.kept.storage_class)
            );
        }
        conditions::check(headers, &object, self.now())?;
        let part = conditions::part(headers, &object)?;
        let whole = object.content.length;
        let (status, range) = match &part {
            Some(part) => (StatusCode::PARTIAL_CONTENT, part.clone()),
            None => (StatusCode::OK, 0..whole),
        };
        let mut response = Response::builder()
            .status(status)
            .header("last-modified", fmt_http_date(SystemTime::from(object.modified)))
            .header("etag", quoted(&object.etag))
            .header("accept-ranges", "bytes")
            .header("content-length", range.end - range.start);
        if part.is_some() {
            let range = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
            response = response.header("content-range", range);
        } else if let Some(checksum) = &object.checksum
            && call.header("x-amz-checksum-mode") == Some("ENABLED")
        {
            // Of the whole alone: recorded, `test_etag_on_get_object_call`.
            response = response
                .header(checksum.algorithm.header(), &checksum.value)
                .header("x-amz-checksum-type", checksum.kind.name());
        }
        response = object.kept.answer(response);
        let body = if call.parts.method == Method::HEAD {
            Body::empty()
        } else {
            Body::from_stream(object.content.read(range))
        };
        Ok(response.body(body)?)
    }

    /// What is not there is as good as deleted. Source: S3 API Reference, `DeleteObject`.
    pub(crate) async fn delete_object(&self, call: Call<'_>) -> Result<Response<Body>, ApiError> {
        call.query.finish()?;
        self.state().bucket(&call.target.bucket)?;
        call.authorize("DeleteObject", &call.target.arn(), Context::new()).await?;
        let deleted = self.state().bucket(&call.target.bucket)?.objects.remove(&call.target.key);
        drop(deleted);
        Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty())?)
    }
}

/// An entity tag as a header and a document have it.
pub fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Headers by their names. Several of one name are one ("Ninja,Stallman": S3 API Reference, "POST Object", and RFC 9110, 5.3).
pub fn named(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        named
            .entry(name.as_str().to_owned())
            .and_modify(|all| all.extend([",", &value]))
            .or_insert_with(|| value.into_owned());
    }
    named
}
