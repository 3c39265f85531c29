//! STS, in front of MiniStack's: that one reads every session policy of up to 2,048 characters and answers at once.
//! AWS's packs the policy into less, and takes its time.

use anyhow::Result;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use local_aws::server::Service;
use local_aws::sts::{ANSWER, error_document, packed_percent, packed_too_large};
use reqwest::Client;
use tokio::time::sleep;

/// The STS in front of MiniStack's. It keeps nothing.
#[derive(Clone, Debug)]
pub struct Sts {
    ministack: String,
    http: Client,
}

impl Sts {
    /// The one in front of the MiniStack at this origin.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(ministack: String) -> Result<Self> {
        Ok(Self { ministack, http: Client::builder().no_proxy().build()? })
    }

    async fn pass_on(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        // The host stays the one that was signed.
        let url = format!("{}{}", self.ministack, parts.uri);
        let answer = self.http.request(parts.method, url).headers(parts.headers).body(body).send().await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            response = response.header(CONTENT_TYPE, kind);
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}

impl Service for Sts {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        // In real time.
        sleep(ANSWER).await;
        let policy = url::form_urlencoded::parse(request.body()).find(|(name, _)| name == "Policy");
        let percent = policy.map(|(_, policy)| packed_percent(&policy));
        let answer = match percent.filter(|percent| *percent > 100) {
            Some(percent) => too_large(percent),
            None => self.pass_on(request).await,
        };
        answer.unwrap_or_else(|error| {
            let mut response = Response::new(error.to_string().into());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }
}

fn too_large(percent: usize) -> Result<Response<Bytes>> {
    let message = packed_too_large(percent);
    let error = error_document("PackedPolicyTooLarge", &message, "00000000-0000-0000-0000-000000000000");
    let response = Response::builder().status(StatusCode::BAD_REQUEST).header(CONTENT_TYPE, "text/xml");
    Ok(response.body(error.into())?)
}
