//! Downloads.

use std::fs;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::response::Response;
use backon::ExponentialBuilder;
use futures_util::{StreamExt, stream};
use mayfly_worker::download::{Partial, fetch};
use mayfly_worker::http::{Http, Tries, Trouble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use url::Url;

use crate::server::{header, http, s3_error, serve, tries};

/// What `fetch` makes of `url`, and the file that it leaves.
async fn download(http: &Http, url: &Url) -> (Result<(), Trouble>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut partial = Partial::new(file.reopen().unwrap());
    let result = fetch(http, url, &mut partial, tries(), |_, _| {}).await;
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
async fn a_server_that_breaks_off_after_every_byte_is_not_asked_again_at_once() {
    const PAUSE: Duration = Duration::from_millis(200);
    let url = serve(async |request| some_of("abcd", "\"1\"", &request, 1)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut partial = Partial::new(file.reopen().unwrap());
    // Fewer tries than breaks: each byte renews them.
    let backoff = ExponentialBuilder::new().with_min_delay(PAUSE).with_max_times(1);
    let tries = Tries::new(backoff, Duration::from_mins(1));
    let began = Instant::now();
    fetch(&http(&url), &url, &mut partial, tries, |_, _| {}).await.unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "abcd");
    assert!(began.elapsed() >= 3 * PAUSE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_sends_less_than_the_rest_is_asked_for_what_is_missing() {
    const CONTENT: &str = "abcdefghijklmnop";
    let url = serve(async |request: Request| {
        let Some(range) = header(&request, "range") else { return some_of(CONTENT, "\"1\"", &request, 3) };
        let start: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
        let end = CONTENT.len().min(start + 5);
        Response::builder()
            .status(206)
            .header("etag", "\"1\"")
            .header("content-range", format!("bytes {start}-{}/{}", end - 1, CONTENT.len()))
            .body(Body::from(&CONTENT[start..end]))
            .unwrap()
    })
    .await;
    let (result, content) = download(&http(&url), &url).await;
    result.unwrap();
    assert_eq!(content, CONTENT);
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

/// What a server says before it gives the file.
type Refusals = &'static [fn() -> Response];

/// A server that refuses once for each of `refusals`, and then gives the file.
async fn after(refusals: Refusals) -> (Url, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let url = serve(move |_| {
        let refusal = refusals.get(counter.fetch_add(1, Ordering::Relaxed));
        async move { refusal.map_or_else(|| Response::new(Body::from("here")), |refusal| refusal()) }
    })
    .await;
    (url, requests)
}

fn wait(status: u16, after: &str) -> Response {
    Response::builder().status(status).header("retry-after", after).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let refusals: [Refusals; 2] = [
        &[|| wait(429, "1")],
        // A date has whole seconds, so this one is more than a second away.
        &[|| wait(503, &httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2)))],
    ];
    for refusals in refusals {
        let (url, requests) = after(refusals).await;
        let began = Instant::now();
        let (result, content) = download(&http(&url), &url).await;
        result.unwrap();
        assert_eq!((content.as_str(), requests.load(Ordering::Relaxed)), ("here", 2));
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_time_that_is_past_and_one_that_is_none_are_no_wait() {
    let (url, _) =
        after(&[|| wait(429, "Sun, 06 Nov 1994 08:49:37 GMT"), || wait(503, "soon, I hope")]).await;
    download(&http(&url), &url).await.0.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_more_time_than_the_attempt_has_is_not_waited_for() {
    let refusals: [(Refusals, &str); 3] = [
        (&[|| wait(429, "31536000")], "it asks to wait 31536000 s"),
        (&[|| wait(503, "99999999999999999999999")], "it asks to wait 18446744073709551615 s"),
        (&[|| wait(503, "Fri, 31 Dec 9999 23:59:59 GMT")], "it asks to wait 25"),
    ];
    for (refusals, expected) in refusals {
        let (url, requests) = after(refusals).await;
        let trouble = download(&http(&url), &url).await.0.unwrap_err();
        assert!(matches!(trouble, Trouble::Definite(_)));
        assert!(trouble.to_string().contains(expected), "{trouble}");
        assert!(trouble.to_string().contains(" s, and timeoutMinutes leaves "), "{trouble}");
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_download_says_who_it_is() {
    let url = serve(async |request: Request| {
        let name = header(&request, "user-agent").unwrap_or_default();
        Response::new(Body::from(name.to_owned()))
    })
    .await;
    let (_, content) = download(&http(&url), &url).await;
    assert_eq!(content, concat!("mayfly-worker/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_server_may_say_in_plain_text_why_it_refuses() {
    let url = serve(async |request: Request| {
        let (kind, words) = match request.uri().path() {
            "/words" => (
                "text/plain; charset=utf-8",
                "Please set a user-agent\r\n  and respect\tour policy.\n".into(),
            ),
            "/long" => ("Text/Plain", "ä ".repeat(100_000)),
            "/place" => {
                ("text/plain", "See https://example.com/help?ticket=c0ffee and say token=c0ffee\u{7}".into())
            }
            "/empty" => ("text/plain", " \n".into()),
            _ => ("text/html", "<h1>Forbidden</h1>".into()),
        };
        Response::builder().status(404).header("content-type", kind).body(Body::from(words)).unwrap()
    })
    .await;
    let long = format!("HTTP 404 Not Found ({})", "ä ".repeat(250));
    let cases = [
        ("words", "HTTP 404 Not Found (Please set a user-agent and respect our policy.)"),
        ("place", "HTTP 404 Not Found (See https://example.com/help?*** and say token=***)"),
        ("long", &long),
        ("empty", "HTTP 404 Not Found"),
        ("page", "HTTP 404 Not Found"),
    ];
    for (path, expected) in cases {
        let trouble = download(&http(&url), &url.join(path).unwrap()).await.0.unwrap_err();
        assert_eq!(trouble.to_string(), expected);
    }
}

#[tokio::test]
async fn an_error_page_without_end_is_read_for_so_long_and_no_longer() {
    let url = serve(async |request: Request| {
        let piece = || Ok::<_, io::Error>("no ".repeat(1000));
        let body = match request.uri().path() {
            "/endless" => Body::from_stream(stream::repeat_with(piece)),
            _ => Body::from_stream(stream::iter([piece()]).chain(stream::pending())),
        };
        Response::builder().status(404).header("content-type", "text/plain").body(body).unwrap()
    })
    .await;
    for path in ["endless", "slow"] {
        let trouble = download(&http(&url), &url.join(path).unwrap()).await.0.unwrap_err();
        let expected = format!("HTTP 404 Not Found ({}", "no ".repeat(100));
        assert!(trouble.to_string().starts_with(&expected), "{trouble}");
    }
}

/// A server that says `head` to everybody, and nothing more.
async fn says(head: String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let head = head.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(head.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_speaks_nonsense_is_given_up_and_leaves_no_file() {
    let heads = [
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1_000_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000)),
        format!("HTTP/1.1 302 Found\r\nlocation: /{}\r\n\r\n", "a/".repeat(100_000)),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nabcde".to_owned(),
        "HTTP/1.1 999999 Over\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        String::new(),
    ];
    for head in heads {
        let begin: String = head.chars().take(80).collect();
        let url = says(head).await;
        let (result, content) = timeout(Duration::from_secs(20), download(&http(&url), &url)).await.unwrap();
        let trouble = result.expect_err(&begin);
        assert!(trouble.to_string().len() < 1000, "{begin}: {trouble}");
        assert_eq!(content, "", "{begin}");
    }
}

#[tokio::test]
async fn a_length_that_is_more_than_what_comes_is_no_success() {
    let url = says("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nabcde".to_owned()).await;
    let (result, _) = download(&http(&url), &url).await;
    assert!(matches!(result, Err(Trouble::Transient(_))), "{result:?}");
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

fn redirect(location: &str) -> axum::http::response::Builder {
    Response::builder().status(302).header("location", location)
}

#[tokio::test]
async fn a_server_that_needs_its_cookie_back_gets_it_on_the_way_and_not_the_next_time() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let url = serve(move |request: Request| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            if header(&request, "cookie") == Some("session=1") {
                return Response::new(Body::from("here"));
            }
            redirect("/in").header("set-cookie", "session=1; Path=/; HttpOnly").body(Body::empty()).unwrap()
        }
    })
    .await;
    let http = http(&url);
    for _ in 0..2 {
        let (result, content) = download(&http, &url.join("in").unwrap()).await;
        result.unwrap();
        assert_eq!(content, "here");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_cookie_is_what_was_set_last_without_its_attributes() {
    let url = serve(async |request: Request| {
        if request.uri().path() == "/there" {
            return Response::new(Body::from(header(&request, "cookie").unwrap_or_default().to_owned()));
        }
        let cookies =
            ["a=1", "b = 2=2 ; Domain=example.com; Secure", "a=3; Max-Age=60", "none", "no\u{e9}=1"];
        let answer = cookies.iter().fold(redirect("/there"), |answer, cookie| {
            answer.header("set-cookie", HeaderValue::from_bytes(cookie.as_bytes()).unwrap())
        });
        answer.body(Body::empty()).unwrap()
    })
    .await;
    assert_eq!(download(&http(&url), &url).await.1, "a=3; b=2=2");
}

#[tokio::test]
async fn redirects_without_end_are_told_with_the_last_place() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let url = serve(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { redirect("/sign-in?to=secret").body(Body::empty()).unwrap() }
    })
    .await;
    let trouble = download(&http(&url), &url).await.0.unwrap_err();
    assert!(matches!(trouble, Trouble::Definite(_)));
    assert_eq!(trouble.to_string(), format!("more than 10 redirects, the last one to {url}sign-in"));
    assert_eq!(requests.load(Ordering::Relaxed), 11);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_no_file() {
    let url = serve(async |request: Request| {
        let location = if request.uri().path() == "/none" { None } else { Some("http://[half") };
        let answer = location.map_or_else(|| Response::builder().status(302), redirect);
        answer.body(Body::from("no file")).unwrap()
    })
    .await;
    for path in ["none", "half"] {
        let trouble = download(&http(&url), &url.join(path).unwrap()).await.0.unwrap_err();
        assert_eq!(trouble.to_string(), "HTTP 302 Found");
    }
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
    let result = fetch(&http(&url), &url, &mut Partial::new(full), tries(), |_, _| {}).await;
    let Err(Trouble::Disk(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
