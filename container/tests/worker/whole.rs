//! The real binary, from its first order to its last report.

use mayfly_common::error::Class;
use mayfly_common::message::{Assignment, Download, FileSize, News, Order, Phase, SignedUrls, Upload};

use crate::cloud::{Cloud, TASK_ARN};

const NONCE: &str = "0123456789abcdef";

fn assignment(attempt: u32, script: &str) -> Assignment {
    Assignment {
        job: "my-job".to_owned(),
        attempt,
        nonce: NONCE.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        timeout_seconds: 60,
        report_every_seconds: 1,
    }
}

#[tokio::test]
async fn a_job_is_downloaded_run_uploaded_and_reported() {
    let mut cloud = Cloud::start().await;
    cloud.queues.state.objects.lock().unwrap().insert("/bucket/in.txt".to_owned(), b"hello".to_vec());
    let input = |signature: &str| Download {
        file: "in/a.txt".to_owned(),
        url: cloud.place(&format!("bucket/in.txt?X-Amz-Signature={signature}")),
    };
    let fresh_input = input("good");
    let job = Assignment {
        inputs: vec![input("expired")],
        outputs: vec!["out.txt".to_owned()],
        ..assignment(1, "tr a-z A-Z <in/a.txt >out.txt; env; ls")
    };
    cloud.order(&Order::Run(job));

    let report = cloud.report(|news| matches!(news, News::Heartbeat(_))).await;
    assert_eq!((report.job.as_str(), report.attempt, report.nonce.as_str()), ("my-job", 1, NONCE));
    assert_eq!(report.task_arn, TASK_ARN);

    let wanted = cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await.news;
    assert_eq!(wanted, News::UrlsWanted { downloads: vec!["in/a.txt".to_owned()], uploads: Vec::new() });
    let urls = |downloads, uploads| {
        Order::Urls(SignedUrls { attempt: 1, nonce: NONCE.to_owned(), downloads, uploads })
    };
    cloud.order(&urls(vec![fresh_input], Vec::new()));

    let output = FileSize { file: "out.txt".to_owned(), bytes: 5 };
    let wanted = cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await.news;
    assert_eq!(wanted, News::UrlsWanted { downloads: Vec::new(), uploads: vec![output.clone()] });
    let upload = Upload {
        file: "out.txt".to_owned(),
        url: cloud.place("bucket"),
        fields: [("key".to_owned(), "out.txt".to_owned())].into(),
    };
    cloud.order(&urls(Vec::new(), vec![upload]));

    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.exit_code, finished.failure, finished.outputs), (Some(0), None, vec![output]));
    let form = cloud.queues.state.objects.lock().unwrap().remove("/bucket").unwrap();
    assert!(String::from_utf8(form).unwrap().contains("HELLO"));

    cloud.terminate();
    let left = cloud.folder.path().to_owned();
    let left = move || std::fs::read_dir(&left).map(Iterator::count).unwrap_or_default();
    assert_eq!(left(), 0);
    let (status, log) = cloud.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("\nGREETING=hello\n"), "{log}");
    for secret in ["AWS_", "ECS_", "MAYFLY_", "X-Amz-Signature", NONCE] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    let events: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(events.len() > 3 && events.iter().all(|line| line.contains("\"job\":\"my-job\"")), "{log}");
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
    let (status, _) = cloud.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_worker_that_is_stopped_in_mid_job_reports_it() {
    let mut cloud = Cloud::start().await;
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    cloud.order(&Order::Run(assignment(1, script)));
    let is_ready =
        |news: &News| matches!(news, News::Heartbeat(progress) if progress.line.as_deref() == Some("ready"));
    let News::Heartbeat(progress) = cloud.report(is_ready).await.news else { unreachable!() };
    assert_eq!(progress.phase, Phase::Running);
    cloud.terminate();
    let (_, finished) = cloud.finished().await;
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::SpotInterrupted);
    assert!(failure.output.unwrap().ends_with("bye\n"));
    let (status, _) = cloud.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_newer_attempt_takes_over() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exec sleep 1000")));
    cloud.report(|news| matches!(news, News::Heartbeat(_))).await;
    cloud.order(&Order::Run(assignment(2, "exit 4")));
    let (attempt, finished) = cloud.finished().await;
    assert_eq!((attempt, finished.exit_code), (2, Some(4)));
    assert_eq!(finished.failure.unwrap().class, Class::CommandFailed);
}

#[tokio::test]
async fn an_order_is_carried_out_once_and_the_worker_stays_for_the_next() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exit 0")));
    cloud.order(&Order::Run(assignment(1, "exit 0")));
    cloud.mail("no order at all".to_owned());
    assert_eq!(cloud.finished().await.0, 1);
    cloud.order(&Order::Run(assignment(2, "exit 0")));
    assert_eq!(cloud.finished().await.0, 2);
}

#[tokio::test]
async fn a_result_is_reported_until_sqs_takes_it() {
    let mut cloud = Cloud::start().await;
    *cloud.queues.state.refuse_results.lock().unwrap() = 4;
    cloud.order(&Order::Run(assignment(1, "printf '\\357\\277\\277'; exit 1")));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.failure.unwrap().output.as_deref(), Some("\u{ffff}\n"));
}

#[tokio::test]
async fn a_missing_output_is_named_with_what_is_there() {
    let mut cloud = Cloud::start().await;
    let job = Assignment { outputs: vec!["out.mp4".to_owned()], ..assignment(1, "touch out.mp3") };
    cloud.order(&Order::Run(job));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.exit_code, Some(0));
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::UploadFailed);
    assert!(failure.message.contains("out.mp4"), "{}", failure.message);
    assert!(failure.message.ends_with("the working folder holds out.mp3"), "{}", failure.message);
}

#[tokio::test]
async fn an_output_beyond_the_limit_of_a_post_is_refused() {
    let mut cloud = Cloud::start().await;
    let job = Assignment { outputs: vec!["big".to_owned()], ..assignment(1, "truncate -s 5368709121 big") };
    cloud.order(&Order::Run(job));
    let (_, finished) = cloud.finished().await;
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::UploadFailed);
    assert!(failure.message.contains("5 GB"), "{}", failure.message);
}

#[tokio::test]
async fn a_missing_input_is_named_without_its_signature() {
    let mut cloud = Cloud::start().await;
    let url = cloud.place("bucket/missing.mp4?X-Amz-Signature=good");
    let input = Download { file: "in.mp4".to_owned(), url };
    cloud.order(&Order::Run(Assignment { inputs: vec![input], ..assignment(1, "exit 0") }));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.exit_code, None);
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::InputUnavailable);
    let place = cloud.place("bucket/missing.mp4");
    let expected = format!(
        "the input in.mp4 could not be downloaded from {place}: HTTP 404 Not Found (NoSuchKey: In words.)"
    );
    assert_eq!(failure.message, expected);
}
