//! STS: MiniStack's, which reads every session policy of up to 2,048 characters and answers at once. AWS's does neither.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// More than any call of STS's has.
const MAX_BODY: usize = 1 << 20;
/// A session policy is refused from so many characters on. AWS packs it into a binary form with a limit of its own, and
/// tells only how full that is; others have met it at about this length.
/// Source: STS API Reference, `AssumeRole`, `PackedPolicyTooLarge` and `PackedPolicySize`.
const PACKED_LIMIT: usize = 1_000;
/// How long an answer takes, in real time.
const ANSWER: Duration = Duration::from_millis(200);

/// Answers on `listener` until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, ministack: String, stop: CancellationToken) -> Result<()> {
    let sts = Sts { ministack, http: Client::builder().no_proxy().build()? };
    let app = Router::new().fallback(answer).with_state(sts);
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

#[derive(Clone, Debug)]
struct Sts {
    ministack: String,
    http: Client,
}

async fn answer(State(sts): State<Sts>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    sleep(ANSWER).await;
    let policy = url::form_urlencoded::parse(&body).find(|(name, _)| name == "Policy");
    if let Some(length) = policy.map(|(_, policy)| policy.chars().count()).filter(|n| *n >= PACKED_LIMIT) {
        return too_large(length);
    }
    // The host stays the one that was signed.
    let url = format!("{}{}", sts.ministack, parts.uri);
    let forwarded = sts.http.request(parts.method, url).headers(parts.headers).body(body);
    match passed_on(forwarded).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn passed_on(request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
    let answer = request.send().await?;
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let body: Bytes = answer.bytes().await?;
    Ok((status, kind.map(|kind| [(header::CONTENT_TYPE, kind)]), body).into_response())
}

/// In AWS's words, as others have met them.
/// Source: github.com/aws/containers-roadmap/issues/2413, for the session tags that are packed with the policy.
fn too_large(length: usize) -> Response {
    let percent = (length * 100).div_ceil(PACKED_LIMIT - 1);
    let error = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>PackedPolicyTooLarge</Code><Message>Packed size of policy consumes {percent}% of allotted space.\
         </Message></Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    );
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/xml")], error).into_response()
}
