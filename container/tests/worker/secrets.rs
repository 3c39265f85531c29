//! What proves a right is in no line of the log and in no news, whatever goes wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Download, News, Order, SignedUrls};
use mayfly_worker::http;
use mayfly_worker::trust::Trust;

use crate::cloud::{Cloud, KEYS, NONCE, assignment};
use crate::server::{header, no_content, quick, s3_error_saying, serve};

const SIGNATURE: &str = "5161a70be0ff5161a70be0ff";
const TOKEN: &str = "IQoJb3JpZ2luX2Vj/EXAMPLE+TOKEN/of+session==";
const POLICY: &str = "eyJleHBpcmF0aW9uIjoiMjAyNiJ9";
const FIELDS: [(&str, &str); 4] =
    [("key", "out.txt"), ("policy", POLICY), ("x-amz-security-token", TOKEN), ("x-amz-signature", SIGNATURE)];
/// The whole of a query.
const TICKET: &str = "c0ffee0ff1ce";
const COOKIE: &str = "0ff1cec0ffee";
const QUERY: &str = "X-Amz-Security-Token=IQoJb3JpZ2luX2Vj%2FEXAMPLE%2BTOKEN%2Fof%2Bsession%3D%3D&X-Amz-Signature=5161a70be0ff5161a70be0ff";

/// A server that repeats whatever it is asked, as S3 repeats parts of a policy or of a signed request.
async fn echo(request: Request, was_flaky: Arc<AtomicBool>) -> Response {
    let uri = request.uri().to_string();
    let referer = header(&request, "referer").unwrap_or_default().to_owned();
    match request.uri().path() {
        "/moved" => {
            let away =
                Response::builder().status(302).header("location", format!("http://other.invalid/?{QUERY}"));
            away.body(Body::empty()).unwrap()
        }
        "/moved-here" => {
            let here = Response::builder().status(302).header("location", format!("/here?{QUERY}"));
            here.body(Body::empty()).unwrap()
        }
        "/way" => {
            let away = Response::builder().status(302).header("location", format!("/way-2?{TICKET}"));
            away.header("set-cookie", format!("session={COOKIE}")).body(Body::empty()).unwrap()
        }
        "/way-2" => Response::builder().status(302).header("location", "/way-3").body(Body::empty()).unwrap(),
        "/way-3" => {
            let words = format!("{} came by {TICKET}", header(&request, "cookie").unwrap_or("nobody"));
            let away = Response::builder().status(404).header("content-type", "text/plain");
            away.body(Body::from(words)).unwrap()
        }
        "/missing" => s3_error_saying(404, "NoSuchKey", "The specified key does not exist."),
        "/here" => s3_error_saying(404, QUERY, &format!("{TOKEN} {referer}")),
        "/flaky" if !was_flaky.swap(true, Ordering::Relaxed) => {
            let broken = stream::iter([Ok("beginning"), Err(io::Error::other("the cable is cut"))]);
            Response::builder()
                .header("content-length", 1000)
                .header("etag", "\"1\"")
                .body(Body::from_stream(broken.then(async |piece| {
                    // Each piece goes out before the next one is made.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    piece
                })))
                .unwrap()
        }
        "/flaky" => Response::new(Body::from("all of it")),
        "/too-large" => {
            let form = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let form = String::from_utf8_lossy(&form).into_owned();
            s3_error_saying(400, "EntityTooLarge", &format!("<![CDATA[{form}]]>"))
        }
        "/upload" => {
            let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            let words = format!("Policy Condition failed: [\"eq\", \"$x-amz-security-token\", \"{TOKEN}\"]");
            s3_error_saying(403, "AccessDenied", &words)
        }
        "/good" => {
            let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            no_content()
        }
        _ => s3_error_saying(403, "SignatureDoesNotMatch", &format!("<![CDATA[{uri}]]>")),
    }
}

#[tokio::test]
async fn nothing_that_proves_a_right_is_told() {
    let was_flaky = Arc::new(AtomicBool::new(false));
    let mut cloud = Cloud::with(move |request| Box::pin(echo(request, was_flaky.clone()))).await;
    let input = |place: String| Download { file: "in.txt".to_owned(), url: format!("{place}?{QUERY}") };
    let mut start = 0;
    let mut told = Vec::new();

    // Downloads: refused twice, missing, led astray, led on, malformed.
    let malformed = "http://[half".to_owned();
    let places = ["denied", "missing", "moved", "moved-here", "way"].map(|path| cloud.place(path));
    for place in places.into_iter().chain([malformed]) {
        start += 1;
        let is_denied = place.ends_with("denied");
        let input = input(place);
        let job = Assignment { inputs: vec![input.clone()], ..assignment(start, "exit 0") };
        cloud.order(&Order::Run(job));
        if is_denied {
            cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await;
            cloud.order(&Order::Urls(SignedUrls { start, downloads: vec![input], uploads: Vec::new() }));
        }
        let failure = cloud.finished().await.1.failure.unwrap();
        assert_eq!(failure.class, Class::InputUnavailable);
        told.push(failure.message);
    }

    // Uploads: refused twice, refused for good, and one that arrives.
    // More than the SDK tries by itself.
    *cloud.queues.state.refuse_results.lock().unwrap() = 4;
    for (path, questions) in [("upload", 2), ("too-large", 1), ("good", 1)] {
        start += 1;
        let job = Assignment {
            inputs: vec![input(cloud.place("flaky"))],
            outputs: vec!["out.txt".to_owned()],
            ..assignment(start, "cp in.txt out.txt")
        };
        cloud.order(&Order::Run(job));
        for _ in 0..questions {
            cloud.sign_upload(start, "out.txt", path, &FIELDS).await;
        }
        let failure = cloud.finished().await.1.failure;
        assert_eq!(
            failure.as_ref().map(|failure| failure.class),
            (path != "good").then_some(Class::UploadFailed)
        );
        told.extend(failure.map(|failure| failure.message));
    }

    // Orders that are none.
    let order = serde_json::to_string(&Order::Run(assignment(start + 1, QUERY))).unwrap();
    cloud.mail(order.replace("\"run\"", "\"dance\""));
    cloud.order(&Order::Run(assignment(start + 1, "exit 0")));
    cloud.finished().await;

    cloud.terminate();
    let news = cloud.queues.state.news.lock().unwrap().join("\n");
    let (_, log) = cloud.ended().await;
    assert!(log.contains("signature refused, asking for a fresh one: HTTP 403"), "{log}");
    assert!(log.contains("trying again") && log.contains("report not sent"), "{log}");
    // What is harmless is told all the same.
    let expected = [
        "HTTP 403 Forbidden (SignatureDoesNotMatch)",
        "HTTP 404 Not Found (NoSuchKey: The specified key does not exist.)",
        "a redirect to http://other.invalid/ is refused: only https is allowed",
        "HTTP 404 Not Found",
        "HTTP 404 Not Found",
        "its URL is malformed",
        "HTTP 403 Forbidden (AccessDenied)",
        "HTTP 400 Bad Request (EntityTooLarge)",
    ];
    for (message, end) in told.iter().zip(expected) {
        assert!(message.contains(end), "{end} is missing in {message}");
    }
    let runs = TOKEN.split(['/', '+', '=']).filter(|run| run.len() > 6);
    let secrets =
        ["X-Amz-Signature", SIGNATURE, POLICY, NONCE, TICKET, COOKIE].into_iter().chain(KEYS).chain(runs);
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in {log}");
        assert!(!news.contains(secret), "{secret} is in {news}");
    }
}

#[tokio::test]
async fn the_metadata_endpoint_is_not_told() {
    let answers: [fn() -> Response; 3] = [
        || Response::builder().status(404).body(Body::empty()).unwrap(),
        || Response::new(Body::from("no document")),
        || Response::new(Body::from_stream(stream::iter([Err::<&str, _>(io::Error::other("cut"))]))),
    ];
    let mut places = vec!["http://127.0.0.1:1/".parse().unwrap()];
    for answer in answers {
        places.push(serve(move |_| async move { answer() }).await);
    }
    for place in places {
        let error = http::task_arn(&Trust::beside_program(), &place.join("unguessable").unwrap(), quick())
            .await
            .unwrap_err();
        assert!(!format!("{error:#}").contains("unguessable"), "{error:#}");
    }
}

#[tokio::test]
async fn a_signature_that_stands_in_a_name_is_not_told() {
    let mut cloud = Cloud::start().await;
    let name = format!("in.mp4?X-Amz-Signature={SIGNATURE}");
    let job = |start, script: &str| assignment(start, script);
    let input = Download { file: name.clone(), url: cloud.place("missing?X-Amz-Signature=good") };
    let jobs = [
        Assignment { inputs: vec![input], ..job(1, "exit 0") },
        Assignment { outputs: vec![name.clone()], ..job(2, "exit 0") },
        Assignment { outputs: vec![name.clone()], ..job(3, &format!("ln -s /etc/passwd '{name}'")) },
        Assignment {
            outputs: vec!["deep/".to_owned()],
            ..job(4, &format!("touch 'deep/${{filename}}{name}'"))
        },
        // As wget names what it has brought.
        Assignment { outputs: vec!["in.mp4".to_owned()], ..job(5, &format!("touch '{name}'")) },
        Assignment { outputs: vec![format!("../{name}")], ..job(6, "exit 0") },
        Assignment { command: vec![format!("https://example.com/{name}")], ..job(7, "") },
    ];
    for job in jobs {
        cloud.order(&Order::Run(job));
        let failure = cloud.finished().await.1.failure.unwrap();
        assert!(failure.message.contains("in.mp4?***"), "{}", failure.message);
    }
    cloud.terminate();
    let news = cloud.queues.state.news.lock().unwrap().join("\n");
    let (_, log) = cloud.ended().await;
    assert!(!log.contains(SIGNATURE), "{log}");
    assert!(!news.contains(SIGNATURE), "{news}");
}
