//! STS, in front of MiniStack's: that one reads every session policy of up to 2,048 characters and answers at once.
//! AWS's packs the policy into less, and takes its time.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use local_aws::server::Service;
use reqwest::Client;
use tokio::time::sleep;

/// A session policy is refused from so many characters on. AWS packs it into a binary form with a limit of its own, and
/// tells only how full that is; others have met it at about this length.
/// Source: STS API Reference, `AssumeRole`, `PackedPolicyTooLarge` and `PackedPolicySize`.
const PACKED_LIMIT: usize = 1_000;
/// How long an answer takes, in real time.
const ANSWER: Duration = Duration::from_millis(200);

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
        sleep(ANSWER).await;
        let policy = url::form_urlencoded::parse(request.body()).find(|(name, _)| name == "Policy");
        let length = policy.map(|(_, policy)| policy.chars().count());
        let answer = match length.filter(|length| *length >= PACKED_LIMIT) {
            Some(length) => too_large(length),
            None => self.pass_on(request).await,
        };
        answer.unwrap_or_else(|error| {
            let mut response = Response::new(error.to_string().into());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }
}

/// In AWS's words, as others have met them.
/// Source: github.com/aws/containers-roadmap/issues/2413, for the session tags that are packed with the policy.
fn too_large(length: usize) -> Result<Response<Bytes>> {
    let percent = (length * 100).div_ceil(PACKED_LIMIT - 1);
    let error = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>PackedPolicyTooLarge</Code><Message>Packed size of policy consumes {percent}% of allotted space.\
         </Message></Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    );
    let response = Response::builder().status(StatusCode::BAD_REQUEST).header(CONTENT_TYPE, "text/xml");
    Ok(response.body(error.into())?)
}
