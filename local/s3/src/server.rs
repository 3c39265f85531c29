//! Requests in and answers out, bodies as streams both ways.

use std::num::NonZeroU64;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::S3;
use crate::access::Call;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::query::Query;
use crate::target::Target;
use crate::throttle::Throttled;
use crate::xml;

/// Serves `s3` on `listener` until `stop`. Each connection carries `bytes_per_second` each way at the most, in real time, or
/// as many as it can.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    s3: S3,
    bytes_per_second: Option<NonZeroU64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = Throttled { listener, clock: s3.config.upstream.clock, rate: bytes_per_second };
    let app = Router::new().fallback(move |request: Request<Body>| {
        let s3 = s3.clone();
        async move { s3.answer(request).await }
    });
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

/// What the log says of a call.
struct Logged {
    action: String,
    caller: String,
    resource: String,
}

impl S3 {
    /// Answers a request: authenticates, authorizes and logs it, and does what it asks for.
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let mut logged = Logged { action: "s3:Unknown".into(), caller: String::new(), resource: "*".into() };
        let result = self.run(&parts, &mut body, &mut logged).await;
        let outcome = result.as_ref().map_or_else(|error| error.code, |_| "OK");
        let Logged { action, caller, resource } = logged;
        self.config.calls.record(&action, &caller, &resource, outcome);

        let random = &self.config.upstream.random;
        let (id, host) =
            (format!("{:016X}", random.value::<u64>()), format!("{:032x}", random.value::<u128>()));
        let mut response = result.unwrap_or_else(|error| {
            // Whoever still sends could not read the answer if the connection were closed on it.
            tokio::spawn(async move { while let Some(Ok(_)) = body.next().await {} });
            refusal(&parts.method, &error, &id, &host)
        });
        // Source: S3 API Reference, "Common response headers".
        let common = [("server", "AmazonS3"), ("x-amz-request-id", &id), ("x-amz-id-2", &host)];
        for (name, value) in common {
            let value = value.parse().expect("letters and digits are a header's value");
            response.headers_mut().insert(name, value);
        }
        response
    }

    async fn run(
        &self,
        parts: &Parts,
        body: &mut BodyDataStream,
        logged: &mut Logged,
    ) -> Result<Response<Body>, ApiError> {
        let target = Target::parse(parts.uri.path())?;
        let query = Query::parse(parts.uri.query());
        logged.resource = target.arn();
        if parts.method == Method::POST && target.key.is_empty() && !target.bucket.is_empty() {
            logged.action = "s3:PostObject".into();
            query.finish()?;
            let (caller, key, result) = self.post_object(parts, target, body).await;
            logged.caller = caller;
            if let Some(key) = key {
                logged.resource = key;
            }
            return result;
        }
        let operation = Operation::of(&parts.method, &target, &query)?;
        logged.action = format!("s3:{operation:?}");
        let (caller, method, payload) = self.authenticate(parts).await?;
        logged.caller.clone_from(&caller.arn);
        operation.check_headers(&parts.headers)?;
        let call = Call { s3: self, caller, method, parts, target, query, payload };
        match operation {
            Operation::CreateBucket => self.create_bucket(call, body).await,
            Operation::HeadBucket => self.head_bucket(call).await,
            Operation::ListObjectsV2 => self.list_objects(call).await,
            Operation::ListMultipartUploads => self.list_multipart_uploads(call).await,
            Operation::PutObject => self.put_object(call, body).await,
            Operation::GetObject | Operation::HeadObject => self.get_object(call).await,
            Operation::DeleteObject => self.delete_object(call).await,
            Operation::CreateMultipartUpload => self.create_multipart_upload(call).await,
            Operation::UploadPart => self.upload_part(call, body).await,
            Operation::CompleteMultipartUpload => self.complete_multipart_upload(call, body).await,
            Operation::AbortMultipartUpload => self.abort_multipart_upload(call).await,
            Operation::ListParts => self.list_parts(call).await,
        }
    }
}

/// The answer to what was refused. That to a HEAD has no body, and so nothing but the status to tell.
fn refusal(method: &Method, error: &ApiError, id: &str, host: &str) -> Response<Body> {
    let status = error.status();
    let body = if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        Body::empty()
    } else {
        Body::from(format!("{}{}", xml::DECLARATION, xml::error_document(error, id, host)))
    };
    let mut response = Response::builder().status(status);
    if status != StatusCode::NOT_MODIFIED {
        response = response.header(header::CONTENT_TYPE, "application/xml");
    }
    response.body(body).expect("the headers are valid")
}
