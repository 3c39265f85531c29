//! Uploads.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use futures_util::TryStreamExt;
use mayfly_model::message::Upload;
use mayfly_worker::http::Trouble;
use mayfly_worker::upload::post;
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::NamedTempFile;
use url::Url;

use crate::server::{header, http, no_content, s3_error, serve, tries};

fn upload_to(url: &Url) -> Upload {
    let fields = [("key", "out/ä.mp4"), ("policy", "e30="), ("x-amz-signature", "abc")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Upload { file: "out.mp4".to_owned(), url: url.to_string(), fields: fields.into() }
}

async fn post_file(url: &Url, file: &NamedTempFile, bytes: u64) -> Result<Option<String>, Trouble> {
    post(&http(url), &upload_to(url), || File::open(file.path()), bytes, tries(), |_| {}).await
}

#[tokio::test]
async fn the_form_has_its_fields_first_and_its_length_beforehand() {
    let url = serve(async |request: Request| {
        let length: usize = header(&request, "content-length").unwrap().parse().unwrap();
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body.len(), length);
        let body = String::from_utf8_lossy(&body).into_owned();
        let places = [
            "name=\"key\"",
            "out/ä.mp4",
            "name=\"policy\"",
            "name=\"x-amz-signature\"",
            "name=\"file\"",
            "the video",
        ];
        let places =
            places.map(|text| body.find(text).unwrap_or_else(|| panic!("{text} is missing in {body}")));
        assert!(places.is_sorted(), "{body}");
        no_content()
    })
    .await;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the video, and what was not announced").unwrap();
    post_file(&url, &file, 9).await.unwrap();
}

#[tokio::test]
async fn a_large_file_is_not_held_in_memory() {
    const SIZE: u64 = 256 * 1024 * 1024;
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = arrived.clone();
    let url = serve(move |request: Request| {
        let counter = counter.clone();
        async move {
            let mut pieces = request.into_body().into_data_stream();
            while let Some(piece) = pieces.try_next().await.unwrap() {
                counter.fetch_add(piece.len(), Ordering::Relaxed);
            }
            no_content()
        }
    })
    .await;
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(SIZE).unwrap();
    let peak_kib = || getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss();
    let before = peak_kib();
    post_file(&url, &file, SIZE).await.unwrap();
    assert!(arrived.load(Ordering::Relaxed) as u64 > SIZE);
    let grown = peak_kib() - before;
    assert!(grown < 64 * 1024, "{grown} KiB more");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_s3() {
    let url = serve(async |request: Request| {
        let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        s3_error(400, "EntityTooLarge")
    })
    .await;
    let trouble = post_file(&url, &NamedTempFile::new().unwrap(), 0).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Definite(_)));
    assert_eq!(trouble.to_string(), "HTTP 400 Bad Request (EntityTooLarge: In words.)");
}

#[tokio::test]
async fn a_busy_server_gets_the_whole_file_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let url = serve(move |request: Request| {
        let is_busy = requests.fetch_add(1, Ordering::Relaxed) < 2;
        async move {
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            assert!(String::from_utf8_lossy(&body).contains("the video"));
            if is_busy { s3_error(503, "SlowDown") } else { no_content() }
        }
    })
    .await;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the video").unwrap();
    post_file(&url, &file, 9).await.unwrap();
}
