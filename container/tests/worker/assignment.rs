//! Assignments against servers that make it hard: signatures expire, connections break, S3 refuses.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Download, Failure, Finished, News, Order, SignedUrls, Upload};
use mayfly_worker::assignment::{self, Tools};
use mayfly_worker::folder::Folder;
use mayfly_worker::log::Log;
use mayfly_worker::settings::Directory;
use mayfly_worker::stop::StopRequest;
use mayfly_worker::urls::Pace;
use tokio::sync::mpsc;
use url::Url;

use crate::cloud::{Queues, assignment};
use crate::server::{header, http, no_content, quick, s3_error, s3_error_saying, serve};
use crate::urls::reporter;

/// Carries out an assignment whose files are at `place`, and signs for it: each signature is a number, from 1 on. Tells also how
/// many questions it asked.
async fn run(place: &Url, job: Assignment) -> (Finished, u32) {
    let (finished, _, questions) = run_and_leave(place, job).await;
    (finished, questions)
}

/// The same, with the folder that it leaves behind.
async fn run_and_leave(place: &Url, job: Assignment) -> (Finished, Option<Folder>, u32) {
    let mut queues = Queues::start().await;
    let pace = Pace { ask_again: Duration::from_mins(1), give_up: Duration::from_mins(1), backoff: quick() };
    let tools = tools(place, pace);
    let (sender, answers) = mpsc::unbounded_channel();
    let stop = StopRequest::default();
    let work = Box::pin(assignment::carry_out(tools, job, reporter(&queues), answers, stop.signal()));
    let mut questions = 0;
    let signer = async {
        loop {
            let wanted = queues.report(|news| matches!(news, News::UrlsWanted { .. })).await.news;
            let News::UrlsWanted { downloads, uploads } = wanted else { unreachable!() };
            questions += 1;
            let signature = questions + 1;
            let download = |file| Download { file, url: signed(place, "in", signature) };
            let upload =
                |file| Upload { file, url: signed(place, "out", signature), fields: BTreeMap::new() };
            sender
                .send(Order::Urls(SignedUrls {
                    start: 1,
                    downloads: downloads.into_iter().map(download).collect(),
                    uploads: uploads.into_iter().map(|file| upload(file.file)).collect(),
                }))
                .unwrap();
        }
    };
    let (finished, folder) = tokio::select! {
        ended = work => ended,
        () = signer => unreachable!(),
    };
    (finished, folder, questions)
}

/// What an assignment is carried out with whose files are at `place`.
pub fn tools(place: &Url, pace: Pace) -> Tools {
    Tools {
        http: Arc::new(http(place)),
        pace,
        cgroup: PathBuf::new(),
        user: Ok(None),
        folder: env::temp_dir(),
        directory: Directory::Files,
        launcher: env!("CARGO_BIN_EXE_mayfly-worker").into(),
        stop_timeout: Duration::from_secs(20),
        subreaper: None,
        log: Log::start(io::sink(), env::temp_dir()).unwrap(),
    }
}

fn signed(place: &Url, path: &str, signature: u32) -> String {
    format!("{place}{path}?X-Amz-Signature={signature}")
}

fn with_input(url: String, script: &str) -> Assignment {
    Assignment { inputs: vec![Download { file: "in".to_owned(), url }], ..assignment(1, script) }
}

fn with_output(script: &str) -> Assignment {
    Assignment { outputs: vec!["out".to_owned()], ..assignment(1, script) }
}

async fn failure(place: &Url, job: Assignment) -> Failure {
    run(place, job).await.0.failure.unwrap()
}

/// A server to whom each signature is good for one request.
struct Forgetful(AtomicUsize);

impl Forgetful {
    fn takes(&self, request: &Request) -> bool {
        let signature = request.uri().query().unwrap().strip_prefix("X-Amz-Signature=").unwrap();
        self.0.swap(signature.parse().unwrap(), Ordering::Relaxed) < signature.parse().unwrap()
    }
}

#[tokio::test]
async fn a_download_goes_on_however_often_its_signature_expires() {
    const CONTENT: &str = "0123456789abcdefghij";
    let forgetful = Arc::new(Forgetful(AtomicUsize::new(0)));
    let place = serve(move |request: Request| {
        let is_taken = forgetful.takes(&request);
        async move {
            if !is_taken {
                return s3_error(403, "AccessDenied");
            }
            let range =
                header(&request, "range").map(|range| range.replace(['b', 'y', 't', 'e', 's', '=', '-'], ""));
            let begin: usize = range.as_deref().map_or(0, |begin| begin.parse().unwrap());
            let rest = &CONTENT[begin..];
            // Each connection brings 4 bytes, and breaks when they are on their way.
            let sent = stream::iter([Ok(&rest[..4])]).chain(stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(io::Error::other("the cable is cut"))
            }));
            Response::builder()
                .status(if begin == 0 { 200 } else { 206 })
                .header("etag", "\"1\"")
                .header("content-range", format!("bytes {begin}-{}/{}", CONTENT.len() - 1, CONTENT.len()))
                .header("content-length", rest.len())
                .body(if rest.len() == 4 { Body::from(rest) } else { Body::from_stream(sent) })
                .unwrap()
        }
    })
    .await;
    let job = with_input(signed(&place, "in", 1), &format!("[ $(cat in) = {CONTENT} ]"));
    let (finished, questions) = run(&place, job).await;
    assert_eq!((finished.failure, questions), (None, 4));
}

#[tokio::test]
async fn an_upload_is_sent_again_however_often_its_signature_expires() {
    let forgetful = Arc::new(Forgetful(AtomicUsize::new(0)));
    let place = serve(move |request: Request| {
        let is_taken = forgetful.takes(&request);
        let is_last = request.uri().query().unwrap().ends_with("=5");
        async move {
            if !is_taken {
                return s3_error(403, "AccessDenied");
            }
            let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            if is_last { no_content() } else { s3_error(500, "InternalError") }
        }
    })
    .await;
    let (finished, questions) = run(&place, with_output("echo done >out")).await;
    assert_eq!((finished.failure, questions), (None, 4));
    assert_eq!(finished.outputs[0].bytes, 5);
}

/// The words of S3 for a key of KMS that the data role may not use.
#[tokio::test]
async fn a_denial_by_kms_names_the_key_and_the_remedy() {
    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let place = serve(async |request: Request| {
        let action = if request.method() == "GET" { "kms:Decrypt" } else { "kms:GenerateDataKey" };
        let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let user = "arn:aws:sts::111122223333:assumed-role/mayfly-DataRole-ABCDEFGHIJKL/dispatch-job";
        let words = format!(
            "User: {user} is not authorized to perform: {action} on resource: {KEY} because no identity-based policy \
             allows the {action} action"
        );
        s3_error_saying(403, "AccessDenied", &words)
    })
    .await;
    for assignment in [with_input(signed(&place, "in", 1), "exit 0"), with_output("echo done >out")] {
        let (finished, _) = run(&place, assignment).await;
        let Failure { class, message, .. } = finished.failure.unwrap();
        assert!(message.contains(&format!("on resource: {KEY}")), "{message}");
        assert!(class.remedy(&message).contains("parameter `DataKeyArns`"), "{class}: {message}");
    }
}

#[tokio::test]
async fn a_delivered_assignment_has_ended_before_its_folder_is_removed() {
    let place = serve(async |request: Request| {
        let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        no_content()
    })
    .await;
    let (finished, folder, _) = run_and_leave(&place, with_output("echo done >out")).await;
    assert_eq!((finished.failure, finished.outputs.len()), (None, 1));
    assert!(folder.unwrap().work().join("out").exists());
}

#[tokio::test]
async fn a_fresh_signature_that_is_refused_at_once_is_the_last() {
    let place = serve(async |request: Request| {
        let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        s3_error(403, "AccessDenied")
    })
    .await;
    let refusal = "HTTP 403 Forbidden (AccessDenied: In words.)";

    let (finished, questions) = run(&place, with_input(signed(&place, "in", 1), "exit 0")).await;
    let failure = finished.failure.unwrap();
    assert_eq!((failure.class, questions), (Class::InputUnavailable, 1));
    assert_eq!(failure.message, format!("the input in could not be downloaded from {place}in: {refusal}"));

    let (finished, questions) = run(&place, with_output("echo done >out")).await;
    let failure = finished.failure.unwrap();
    // The first question is for the signature that is refused first.
    assert_eq!((failure.class, questions), (Class::UploadFailed, 2));
    assert_eq!(failure.message, format!("the output out could not be uploaded: {refusal}"));
}

#[tokio::test]
async fn an_archived_object_is_not_taken_for_an_expired_signature() {
    let place = serve(async |_| s3_error(403, "InvalidObjectState")).await;
    let (finished, questions) = run(&place, with_input(signed(&place, "in", 1), "exit 0")).await;
    let failure = finished.failure.unwrap();
    assert_eq!((failure.class, questions), (Class::InputUnavailable, 0));
    assert!(
        failure.message.ends_with("HTTP 403 Forbidden (InvalidObjectState: In words.)"),
        "{}",
        failure.message
    );
    assert!(failure.class.remedy(&failure.message).contains("restore it"));
}

#[tokio::test]
async fn an_upload_that_a_bucket_policy_refuses_has_a_remedy_for_that() {
    let place = serve(async |request: Request| {
        let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        s3_error(403, "AccessDenied")
    })
    .await;
    let failure = failure(&place, with_output("echo done >out")).await;
    assert!(failure.class.remedy(&failure.message).contains("encryption header"), "{}", failure.message);
}

#[tokio::test]
async fn a_busy_server_is_not_waited_for_beyond_the_attempts_time() {
    let place = serve(async |_| {
        Response::builder().status(429).header("retry-after", 61).body(Body::empty()).unwrap()
    })
    .await;
    // It has 60 s.
    let failure = failure(&place, with_input(signed(&place, "in", 1), "exit 0")).await;
    assert_eq!(failure.class, Class::InputUnavailable);
    assert!(
        failure.message.contains("it asks to wait 61 s, and timeoutMinutes leaves "),
        "{}",
        failure.message
    );
    assert!(failure.class.remedy(&failure.message).contains("longer `timeoutMinutes`"));
}

#[tokio::test]
async fn an_upload_that_s3_refuses_is_told_in_its_words() {
    for (status, words, code) in
        [(400, "400 Bad Request", "EntityTooLarge"), (404, "404 Not Found", "NoSuchBucket")]
    {
        let place = serve(move |request: Request| async move {
            let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            s3_error(status, code)
        })
        .await;
        let failure = failure(&place, with_output("echo done >out")).await;
        assert_eq!(failure.class, Class::UploadFailed);
        let expected = format!("the output out could not be uploaded: HTTP {words} ({code}: In words.)");
        assert_eq!(failure.message, expected);
    }
}

#[tokio::test]
async fn an_input_that_is_out_of_reach_is_named_with_its_place() {
    let place = serve(async |_| s3_error(404, "NoSuchKey")).await;
    let port = place.port().unwrap();
    let cases = [
        (format!("{place}in"), "HTTP 404 Not Found (NoSuchKey: In words.)"),
        // A server that speaks no TLS.
        (format!("https://127.0.0.1:{port}/in"), "error sending request"),
        // RFC 6761: no resolver knows such a name.
        ("https://bucket.invalid/in".to_owned(), "dns error"),
    ];
    for (from, why) in cases {
        let failure = failure(&place, with_input(format!("{from}?X-Amz-Signature=1"), "exit 0")).await;
        assert_eq!(failure.class, Class::InputUnavailable);
        let begin = format!("the input in could not be downloaded from {from}: ");
        assert!(failure.message.starts_with(&begin) && failure.message.contains(why), "{}", failure.message);
        assert!(!failure.message.contains("X-Amz"), "{}", failure.message);
    }
}
