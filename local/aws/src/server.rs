//! Requests in and answers out. A stand-in is a function from the one to the other; here is the one way to put it on a
//! socket, and the one to call it without.

use std::sync::Arc;
use std::{fmt, io};

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The most bytes of a request's body: more than any call that is served here has. The longest is an execution's input of
/// 256 KiB, in JSON quotes.
const MAX_BODY: usize = 1 << 20;

/// One service of AWS's. Clones share one state. What it does is boxed, so that it is compiled with the service, once, and not in
/// every program that has it.
#[async_trait]
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a request: authenticates, authorizes and logs it, and does what it asks for.
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes>;

    /// Ends what goes on without a request, and waits until it has ended.
    async fn stop(&self) {}
}

/// Serves `service` on `listener` until `stop`, and then stops it.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    service: impl Service,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let called = service.clone();
    let answer = move |request| {
        let service = called.clone();
        async move { service.answer(request).await }.boxed()
    };
    let served = listen(listener, Arc::new(answer), stop).await;
    service.stop().await;
    Ok(served?)
}

type Answer = dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync;

/// Boxed and without the service's type: the server is compiled here, once.
fn listen(
    listener: TcpListener,
    answer: Arc<Answer>,
    stop: CancellationToken,
) -> BoxFuture<'static, io::Result<()>> {
    let app = Router::new().fallback(move |request: Request<Body>| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            match to_bytes(body, MAX_BODY).await {
                Ok(body) => answer(Request::from_parts(parts, body)).await.map(Body::from),
                Err(_) => too_large(),
            }
        }
    });
    async move { axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await }.boxed()
}

fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}

/// What takes the requests of an SDK's client to `service` without a socket.
pub fn in_process(service: impl Service) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(InProcess(service));
    http_client_fn(move |_, _| connector.clone())
}

struct InProcess<S>(S);

impl<S> fmt::Debug for InProcess<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InProcess")
    }
}

impl<S: Service> HttpConnector for InProcess<S> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.0.clone();
        HttpConnectorFuture::new(async move { sent(service.answer(received(request)?).await) })
    }
}

/// The answer as the SDK's client takes it.
///
/// # Errors
/// Where a header of it is no text.
pub fn sent(response: Response<Bytes>) -> Result<HttpResponse, ConnectorError> {
    HttpResponse::try_from(response.map(SdkBody::from)).map_err(|error| ConnectorError::user(error.into()))
}

/// The request as it comes out of a socket: its body whole, its host in a header and nowhere else.
///
/// # Errors
/// Where its body is a stream.
pub fn received(request: HttpRequest) -> Result<Request<Bytes>, ConnectorError> {
    whole(request).map_err(ConnectorError::user)
}

fn whole(request: HttpRequest) -> Result<Request<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = request.try_into_http1x()?;
    let host = HeaderValue::from_str(request.uri().authority().map_or("", |host| host.as_str()))?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let (parts, body) = request.into_parts();
    // Read to its end as a socket's other end does: else the SDK's protection against stalled streams takes a call that is
    // answered late for an upload that has stalled.
    let body = to_bytes(Body::new(body), usize::MAX).now_or_never();
    let body = body.ok_or("the body of the request is a stream")??;
    Ok(Request::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// Gives back what it gets.
    #[derive(Clone, Default)]
    struct Echo {
        stopped: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Service for Echo {
        async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
            Response::new(request.into_body())
        }

        async fn stop(&self) {
            self.stopped.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_service_answers_on_a_socket_until_it_is_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (echo, stop) = (Echo::default(), CancellationToken::new());
        let server = tokio::spawn(serve(listener, echo.clone(), stop.clone()));
        for (length, status) in [(5, "200 OK"), (MAX_BODY + 1, "413 Payload Too Large")] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let head = format!(
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("the head is sent");
            stream.write_all(&vec![b'x'; length]).await.expect("the body is sent");
            let mut first = vec![0; "HTTP/1.1 ".len() + status.len()];
            stream.read_exact(&mut first).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&first), format!("HTTP/1.1 {status}"));
        }
        assert!(!echo.stopped.load(Ordering::SeqCst));
        stop.cancel();
        server.await.expect("no panic").expect("it ends well");
        assert!(echo.stopped.load(Ordering::SeqCst));
    }

    #[test]
    fn a_request_without_a_socket_looks_like_one_from_a_socket() {
        let request =
            Request::post("http://127.0.0.1:1/path?a=b").body(SdkBody::from("body")).expect("a request");
        let received =
            received(HttpRequest::try_from(request).expect("a request")).expect("it can be received");
        assert_eq!(received.headers()["host"], "127.0.0.1:1");
        assert_eq!(
            (received.uri().to_string().as_str(), received.body().as_ref()),
            ("/path?a=b", b"body".as_slice())
        );
    }
}
