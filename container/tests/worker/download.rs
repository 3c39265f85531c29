//! Downloads.

use std::fs;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use mayfly_worker::download::{Partial, fetch};
use mayfly_worker::http::{Http, Trouble};
use url::Url;

use crate::server::{header, http, quick, s3_error, serve};

/// What `fetch` makes of `url`, and the file that it leaves.
async fn download(http: &Http, url: &Url) -> (Result<(), Trouble>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let partial = Partial::new(file.reopen().unwrap());
    let (partial, result) = fetch(http, url, partial, quick(), |_, _| {}).await;
    let content = fs::read_to_string(file.path()).unwrap();
    if result.is_ok() {
        assert_eq!(partial.bytes(), content.len() as u64);
    }
    (result, content)
}

/// The `content` of a file, from where the request wants it; the connection breaks after `count` bytes.
fn some_of(content: &str, tag: &str, request: &Request, count: usize) -> Response {
    let range = header(request, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let is_same = header(request, "if-range").is_none_or(|known| known == tag);
    let start = range.filter(|_| is_same).map_or(0, |start| start.parse().unwrap());
    let rest = content[start..].to_owned();
    let answer = if start == 0 {
        Response::builder()
    } else {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        Response::builder().status(206).header("content-range", range)
    };
    let answer = answer.header("etag", tag).header("content-length", rest.len());
    if count >= rest.len() {
        return answer.body(Body::from(rest)).unwrap();
    }
    let beginning = stream::once(ready(Ok(rest[..count].to_owned())));
    let end = stream::once(async {
        // The beginning is on its way first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("the cable is cut"))
    });
    answer.body(Body::from_stream(beginning.chain(end))).unwrap()
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_was() {
    let starts = Arc::new(AtomicUsize::new(0));
    let seen = starts.clone();
    let url = serve(move |request| {
        // More breaks than there are tries: what brings something does not count.
        if header(&request, "range").is_none() {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        async move { some_of("abcdefghijklmnop", "\"1\"", &request, 2) }
    })
    .await;
    let (result, content) = download(&http(&url), &url).await;
    result.unwrap();
    assert_eq!(content, "abcdefghijklmnop");
    assert_eq!(starts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_not_spliced() {
    for knows_if_range in [true, false] {
        let requests = Arc::new(AtomicUsize::new(0));
        let url = serve(move |mut request: Request| {
            let number = requests.fetch_add(1, Ordering::Relaxed);
            if !knows_if_range {
                request.headers_mut().remove("if-range");
            }
            async move {
                match number {
                    0 => some_of("old old old", "\"1\"", &request, 4),
                    _ => some_of("new new new new", "\"2\"", &request, usize::MAX),
                }
            }
        })
        .await;
        let (result, content) = download(&http(&url), &url).await;
        result.unwrap();
        assert_eq!(content, "new new new new");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_sends_all_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let url = serve(move |mut request: Request| {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        request.headers_mut().remove("range");
        async move { some_of("0123456789", "W/\"weak\"", &request, if number < 2 { 5 } else { 10 }) }
    })
    .await;
    let (result, content) = download(&http(&url), &url).await;
    result.unwrap();
    assert_eq!(content, "0123456789");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_then_given_up() {
    for (failures, comes) in [(2, true), (3, false)] {
        let requests = Arc::new(AtomicUsize::new(0));
        let url = serve(move |_| {
            let is_busy = requests.fetch_add(1, Ordering::Relaxed) < failures;
            async move { if is_busy { s3_error(503, "SlowDown") } else { Response::new(Body::from("here")) } }
        })
        .await;
        let (result, content) = download(&http(&url), &url).await;
        if comes {
            result.unwrap();
            assert_eq!(content, "here");
        } else {
            let trouble = result.unwrap_err();
            assert_eq!(trouble.to_string(), "HTTP 503 Service Unavailable (SlowDown: In words.)");
        }
    }
}

#[tokio::test]
async fn an_expired_signature_is_told_from_a_missing_object() {
    let url = serve(|request: Request| async move {
        match request.uri().path() {
            "/expired" => s3_error(403, "AccessDenied"),
            "/credentials" => s3_error(400, "ExpiredToken"),
            _ => s3_error(404, "NoSuchKey"),
        }
    })
    .await;
    for path in ["expired", "credentials"] {
        let (result, _) = download(&http(&url), &url.join(path).unwrap()).await;
        assert!(matches!(result, Err(Trouble::Expired(_))), "{result:?}");
    }
    let (result, _) = download(&http(&url), &url.join("missing?X-Amz-Signature=secret").unwrap()).await;
    let trouble = result.unwrap_err();
    assert!(matches!(trouble, Trouble::Definite(_)));
    assert_eq!(trouble.to_string(), "HTTP 404 Not Found (NoSuchKey: In words.)");
}

#[tokio::test]
async fn plain_http_is_spoken_to_the_own_cloud_only() {
    let other = serve(|_| async { Response::new(Body::from("never read")) }).await;
    let target = other.join("in?X-Amz-Signature=secret").unwrap();
    let own = serve(move |request: Request| {
        let target = if request.uri().path() == "/inside" { "/there".to_owned() } else { target.to_string() };
        let is_there = request.uri().path() == "/there";
        async move {
            let answer = Response::builder().status(if is_there { 200 } else { 302 });
            answer.header("location", target).body(Body::from("here")).unwrap()
        }
    })
    .await;
    let http = http(&own);

    let refused = http.parse(other.as_str()).unwrap_err();
    assert_eq!(refused.to_string(), format!("{other} is refused: only https is allowed"));
    for url in ["ftp://example.com/in", "file:///etc/passwd", "http://example.com/in", "in.mp4"] {
        http.parse(url).unwrap_err();
    }
    http.parse("https://example.com/in").unwrap();

    let (result, content) = download(&http, &own.join("inside").unwrap()).await;
    result.unwrap();
    assert_eq!(content, "here");
    let (result, content) = download(&http, &own.join("outside").unwrap()).await;
    let trouble = result.unwrap_err();
    assert!(matches!(trouble, Trouble::Definite(_)));
    let refusal = format!("a redirect to {other}in is refused: only https is allowed");
    assert!(trouble.to_string().ends_with(&refusal), "{trouble}");
    assert_eq!(content, "");
}

#[tokio::test]
async fn a_failure_does_not_tell_the_signature() {
    let url: Url = "http://127.0.0.1:1/in?X-Amz-Signature=secret".parse().unwrap();
    let (result, _) = download(&http(&url), &url).await;
    let trouble = result.unwrap_err();
    assert!(matches!(trouble, Trouble::Transient(_)));
    assert!(!trouble.to_string().contains("secret"), "{trouble}");
}

#[tokio::test]
async fn a_full_disk_is_seen() {
    let url = serve(|_| async { Response::new(Body::from("x".repeat(3 * 1024 * 1024))) }).await;
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (_, result) = fetch(&http(&url), &url, Partial::new(full), quick(), |_, _| {}).await;
    let Err(Trouble::Disk(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
