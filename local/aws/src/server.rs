//! Requests in and answers out. A stand-in is a function from the one to the other; a socket is put in front of it here,
//! in the same way for all.

use std::future::Future;

use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The most bytes of a request's body: more than any call that is served here has. The longest is an execution's input of
/// 256 KiB, in JSON quotes.
const MAX_BODY: usize = 1 << 20;

/// One service of AWS's. Clones share one state.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a request: authenticates, authorizes and logs it, and does what it asks for.
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>> + Send;

    /// Waits until what goes on in the background has ended, after the service was told to stop.
    fn ended(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Serves `service` on `listener` until `stop`, and waits until it has ended.
///
/// # Errors
/// When the listener fails, or with the service's own.
pub async fn serve(
    listener: TcpListener,
    service: impl Service,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let called = service.clone();
    let app = Router::new().fallback(move |request: Request<Body>| {
        let service = called.clone();
        async move {
            let (parts, body) = request.into_parts();
            match to_bytes(body, MAX_BODY).await {
                Ok(body) => service.answer(Request::from_parts(parts, body)).await.map(Body::from),
                Err(_) => refusal(),
            }
        }
    });
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?;
    service.ended().await
}

fn refusal() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}
