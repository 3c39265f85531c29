//! Uploads in parts.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::TryStreamExt;
use mayfly_model::message::{FileSize, News, Order};
use mayfly_model::parts::{Cut, SignedParts};
use mayfly_worker::http::Trouble;
use mayfly_worker::parts::Course;
use mayfly_worker::urls::{Pace, UrlDesk};
use md5::{Digest, Md5};
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use url::Url;

use crate::cloud::Queues;
use crate::server::{header, http, quick, s3_error, serve, tries};
use crate::urls::reporter;

/// Three parts, the last one shorter.
const BYTES: u64 = 150 * 1024 * 1024;
const PARTS: u16 = 3;

/// What an S3 has taken, and what goes wrong with it.
#[derive(Default)]
struct Bucket {
    /// The length of each part.
    parts: BTreeMap<u16, u64>,
    /// Whether the object is there, and its upload over.
    is_complete: bool,
    completions: usize,
    /// The answer to the first completion: it is lost behind its effect, or it fails in the body of a 200.
    loses: bool,
    fails: bool,
    /// The size of what is there, where it is another object than that of the parts.
    other: Option<u64>,
    /// The signature that has expired.
    expired: Option<&'static str>,
}

type Shared = Arc<Mutex<Bucket>>;

fn md5(bytes: impl AsRef<[u8]>) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn tag_of_part(part: u16) -> [u8; 16] {
    md5(part.to_string())
}

fn whole() -> String {
    let tags: Vec<u8> = (1..=PARTS).flat_map(tag_of_part).collect();
    format!("\"{}-{PARTS}\"", hex::encode(md5(tags)))
}

async fn answer(bucket: Shared, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    match request.method().as_str() {
        "PUT" => {
            let part: u16 = query["partNumber"].parse().unwrap();
            let announced: u64 = header(&request, "content-length").unwrap().parse().unwrap();
            let mut pieces = request.into_body().into_data_stream();
            let mut length = 0;
            while let Some(piece) = pieces.try_next().await.unwrap() {
                length += piece.len() as u64;
            }
            assert_eq!(length, announced);
            let mut bucket = bucket.lock().unwrap();
            if bucket.expired == Some(query["X-Amz-Signature"].as_str()) {
                return s3_error(403, "AccessDenied");
            }
            bucket.parts.insert(part, length);
            let tag = format!("\"{}\"", hex::encode(tag_of_part(part)));
            Response::builder().header("etag", tag).body(Body::empty()).unwrap()
        }
        "POST" => {
            assert_eq!(header(&request, "x-amz-mp-object-size"), Some(BYTES.to_string().as_str()));
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let body = String::from_utf8(body.into()).unwrap();
            let mut bucket = bucket.lock().unwrap();
            bucket.completions += 1;
            if bucket.is_complete {
                return s3_error(404, "NoSuchUpload");
            }
            for part in 1..=PARTS {
                assert!(body.contains(&format!(
                    "<PartNumber>{part}</PartNumber><ETag>\"{}\"",
                    hex::encode(tag_of_part(part))
                )));
            }
            if std::mem::take(&mut bucket.fails) {
                let page = "<?xml version=\"1.0\"?>\n  \n<Error><Code>InternalError</Code><Message>Again.</Message></Error>";
                return Response::new(Body::from(page));
            }
            bucket.is_complete = true;
            if bucket.loses {
                let broken = futures_util::stream::iter([Ok(" "), Err(std::io::Error::other("broken"))]);
                return Response::new(Body::from_stream(broken));
            }
            let page = format!(
                "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
                whole()
            );
            Response::new(Body::from(page))
        }
        "HEAD" => {
            let length = bucket.lock().unwrap().other.unwrap_or(BYTES);
            let response = Response::builder().header("etag", whole()).header("content-length", length);
            response.body(Body::empty()).unwrap()
        }
        other => panic!("{other}"),
    }
}

/// Uploads a file of zeros to an S3 with this bucket; tells how often it was asked for signatures.
async fn upload(bucket: &Shared) -> (Result<Option<String>, Trouble>, usize) {
    let of_answer = bucket.clone();
    let url = serve(move |request: Request| answer(of_answer.clone(), request)).await;
    let mut queues = Queues::start().await;
    let (sender, answers) = mpsc::unbounded_channel();
    let pace = Pace { ask_again: Duration::from_secs(5), give_up: Duration::from_secs(10), backoff: quick() };
    let mut desk = UrlDesk::new(reporter(&queues), answers, pace);
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(BYTES).unwrap();
    let size = FileSize { file: "large".to_owned(), bytes: BYTES };
    let client = http(&url);
    let mut asked = 0;
    let mut course = Course {
        http: &client,
        desk: &mut desk,
        file: &size,
        output: None,
        open: || File::open(file.path()),
        tries,
        progress: |_| {},
    };
    let answering = async {
        loop {
            let report = queues.report(|news| matches!(news, News::PartsWanted(_))).await;
            let News::PartsWanted(wanted) = report.news else { unreachable!() };
            asked += 1;
            sender.send(Order::Parts(signed(&url, wanted.from, asked))).unwrap();
        }
    };
    let ended = tokio::select! {
        ended = course.upload() => ended,
        () = answering => unreachable!(),
    };
    (ended, asked)
}

/// What handle-report answers to the question with this number.
fn signed(url: &Url, from: u16, question: usize) -> SignedParts {
    let place = |query: &str| format!("{url}bucket/large?{query}");
    SignedParts {
        start: 1,
        file: "large".to_owned(),
        id: "u".to_owned(),
        url: place("uploadId=u"),
        from,
        signatures: Cut::of(BYTES).batch(from).map(|part| format!("{question}-{part}")).collect(),
        complete: place("uploadId=u&X-Amz-Signature=c"),
        look: place("X-Amz-Signature=l"),
    }
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_is_not_held_in_memory() {
    let peak_kib = || getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss();
    let (before, bucket) = (peak_kib(), Shared::default());
    // Once for the parts, and once more for the completion.
    assert!(matches!(upload(&bucket).await, (Ok(Some(_)), 2)));
    let bucket = bucket.lock().unwrap();
    let cut = Cut::of(BYTES);
    assert_eq!(bucket.parts, (1..=PARTS).map(|part| (part, cut.length(part))).collect());
    assert!(bucket.is_complete && bucket.completions == 1);
    assert!(peak_kib() - before < 64 * 1024);
}

#[tokio::test]
async fn a_part_whose_signature_has_expired_is_signed_anew() {
    let bucket = Shared::new(Mutex::new(Bucket { expired: Some("1-2"), ..Bucket::default() }));
    assert!(matches!(upload(&bucket).await, (Ok(Some(_)), 3)));
    assert_eq!(bucket.lock().unwrap().parts.len(), usize::from(PARTS));
}

#[tokio::test]
async fn a_completion_that_fails_behind_a_200_is_tried_again() {
    let bucket = Shared::new(Mutex::new(Bucket { fails: true, ..Bucket::default() }));
    assert!(matches!(upload(&bucket).await, (Ok(Some(_)), 2)));
    assert_eq!(bucket.lock().unwrap().completions, 2);
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_is_believed_if_its_object_is_there() {
    let loses = || Bucket { loses: true, ..Bucket::default() };
    assert!(matches!(upload(&Shared::new(Mutex::new(loses()))).await, (Ok(Some(_)), 2)));
    let other = Shared::new(Mutex::new(Bucket { other: Some(BYTES - 1), ..loses() }));
    let trouble = upload(&other).await.0.unwrap_err().to_string();
    assert!(trouble.contains("NoSuchUpload"), "{trouble}");
}
