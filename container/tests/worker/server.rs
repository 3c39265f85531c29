//! A web server that answers as a test wants it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use backon::ExponentialBuilder;
use mayfly_worker::http::{Http, Tries};
use mayfly_worker::trust::Trust;
use tokio::net::TcpListener;
use url::Url;

/// Serves `answer` on a free port and tells where.
pub async fn serve<F, A>(answer: F) -> Url
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

/// The clients of a worker whose local cloud is at `endpoint`.
pub fn http(endpoint: &Url) -> Http {
    Http::new(&Trust::beside_program(), Some(endpoint)).unwrap()
}

/// Three tries in quick succession.
pub fn quick() -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(1)).with_max_times(2)
}

/// The same for a transfer that has a minute.
pub fn tries() -> Tries {
    Tries::new(quick(), Duration::from_mins(1))
}

/// An answer of S3 that refuses.
pub fn s3_error(status: u16, code: &str) -> Response {
    s3_error_saying(status, code, "In words.")
}

/// An answer of S3 that refuses in these words.
pub fn s3_error_saying(status: u16, code: &str, words: &str) -> Response {
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{words}</Message></Error>"
    );
    Response::builder().status(status).body(Body::from(page)).unwrap()
}

/// An answer of S3 that says that the file has arrived.
pub fn no_content() -> Response {
    Response::builder().status(204).body(Body::empty()).unwrap()
}

/// The value of a request's header.
pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}
