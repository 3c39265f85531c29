//! SIGTERM, whatever the worker is doing.

use std::future::pending;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Download, News, Order, Phase};
use tokio::net::TcpListener;

use crate::cloud::{Cloud, assignment};

/// A server that begins to send a file, takes one, and comes to no end.
async fn endless(request: Request) -> Response {
    if request.method() == "GET" {
        let beginning = stream::iter([Ok::<_, std::io::Error>("beginning")]);
        return Response::new(Body::from_stream(beginning.chain(stream::pending())));
    }
    let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    pending().await
}

/// Stops the worker and expects its last report to name the interruption, and `busy` with what.
async fn is_interrupted(mut cloud: Cloud, busy: &str) {
    cloud.terminate();
    let failure = cloud.finished().await.1.failure.unwrap();
    assert_eq!(failure.class, Class::SpotInterrupted);
    assert!(failure.message.contains(busy), "{}", failure.message);
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

async fn is_in(cloud: &mut Cloud, phase: Phase) {
    let is_there = |news: &News| matches!(news, News::Heartbeat(progress) if progress.phase == phase);
    cloud.report(is_there).await;
}

#[tokio::test]
async fn an_idle_worker_stops_at_once() {
    let cloud = Cloud::start().await;
    cloud.mail("{}".to_owned());
    // The mailbox has been read, so the worker listens to signals.
    while !cloud.queues.state.is_empty() {
        tokio::task::yield_now().await;
    }
    cloud.terminate();
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_worker_that_looks_for_sqs_stops_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("http://{}", silent.local_addr().unwrap());
    let cloud = Cloud::start_in(&[("MAYFLY_QUEUE_ENDPOINTS", &place)]).await;
    let _connection = silent.accept().await.unwrap();
    cloud.terminate();
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_worker_that_has_reported_waits_to_be_stopped() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exit 0")));
    cloud.finished().await;
    // It still takes what comes.
    cloud.order(&Order::Run(assignment(2, "exit 0")));
    cloud.finished().await;
    cloud.terminate();
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_download_is_interrupted() {
    let mut cloud = Cloud::with(|request| Box::pin(endless(request))).await;
    let input = Download { file: "in".to_owned(), url: cloud.place("in") };
    cloud.order(&Order::Run(Assignment { inputs: vec![input], ..assignment(1, "exit 0") }));
    is_in(&mut cloud, Phase::Downloading).await;
    is_interrupted(cloud, "its inputs were downloaded").await;
}

#[tokio::test]
async fn a_command_is_interrupted_and_may_clean_up() {
    let mut cloud = Cloud::start().await;
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    cloud.order(&Order::Run(assignment(1, script)));
    let is_ready =
        |news: &News| matches!(news, News::Heartbeat(progress) if progress.line.as_deref() == Some("ready"));
    let News::Heartbeat(progress) = cloud.report(is_ready).await.news else { unreachable!() };
    assert_eq!(progress.phase, Phase::Running);
    cloud.terminate();
    let failure = cloud.finished().await.1.failure.unwrap();
    assert_eq!(failure.class, Class::SpotInterrupted);
    assert!(failure.output.unwrap().ends_with("bye\n"));
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_wait_for_urls_is_interrupted() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(Assignment {
        outputs: vec!["out".to_owned()],
        ..assignment(1, "echo done >out")
    }));
    cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await;
    is_interrupted(cloud, "its outputs were uploaded").await;
}

#[tokio::test]
async fn an_upload_is_interrupted() {
    let mut cloud = Cloud::with(|request| Box::pin(endless(request))).await;
    let outputs = vec!["out".to_owned()];
    cloud.order(&Order::Run(Assignment { outputs, ..assignment(1, "echo done >out") }));
    cloud.sign_upload(1, "out", "bucket", &[]).await;
    let is_sent = |news: &News| matches!(news, News::Heartbeat(progress) if progress.percent == Some(100.0));
    cloud.report(is_sent).await;
    is_interrupted(cloud, "its outputs were uploaded").await;
}
