//! `mayfly logs`.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cloud::{Cloud, Ran};

#[tokio::test]
async fn the_logs_of_all_starts_come_in_their_order_and_whole() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "SUCCEEDED", 0.0, None);
    cloud.log("ffff", &["one", "two", "three"]);
    cloud.log("0000", &["four"]);
    let Ran { code, out, error } = cloud.mayfly(&["logs", "my-job"]).await;
    assert_eq!((code, out.as_str()), (0, "one\ntwo\nthree\nfour\n"));
    assert_eq!(error, "==> task ffff <==\n==> task 0000 <==\n");
    let prefix = cloud.calls_of("DescribeLogStreams")[0]["logStreamNamePrefix"].as_str().unwrap().to_owned();
    assert!(prefix.starts_with("my-job-") && prefix.ends_with('/'), "{prefix}");
}

#[tokio::test]
async fn the_logs_of_a_services_containers_are_told_apart_by_their_tasks() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "RUNNING", 0.0, None);
    for task in ["ffff", "0000"] {
        cloud.log_of("service", task, &[&format!("listening as {task}")]);
    }
    let Ran { out, error, .. } = cloud.mayfly(&["logs", "my-job"]).await;
    assert_eq!(out, "listening as ffff\nlistening as 0000\n");
    assert_eq!(error, "==> task ffff <==\n==> task 0000 <==\n");
}

#[tokio::test]
async fn following_goes_on_until_the_job_has_ended_and_its_last_lines_have_come() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "RUNNING", 0.0, None);
    let mut mayfly = cloud.command(&["logs", "my-job", "--follow"]).spawn().unwrap();
    let mut told = BufReader::new(mayfly.stderr.take().unwrap()).lines();
    let mut lines = BufReader::new(mayfly.stdout.take().unwrap()).lines();
    let words = "job my-job has no log yet: its container has not started, or not written a line";
    assert_eq!(told.next_line().await.unwrap().unwrap(), words);

    cloud.log("0000", &["first"]);
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "first");
    assert_eq!(told.next_line().await.unwrap().unwrap(), "==> task 0000 <==");

    cloud.log("1111", &["last"]);
    cloud.ends("my-job", "SUCCEEDED");
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "last");
    assert_eq!(lines.next_line().await.unwrap(), None);
    assert!(mayfly.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_job_without_a_log_is_told_why() {
    let cloud = Cloud::start().await;
    cloud.has_job("new", "RUNNING", 0.0, None);
    cloud.has_job("old", "SUCCEEDED", 0.0, None);
    let Ran { code, out, error } = cloud.mayfly(&["logs", "new"]).await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(error, "job new has no log yet: its container has not started, or not written a line\n");
    let error = cloud.mayfly(&["logs", "old", "--follow"]).await.error;
    assert!(error.ends_with("or that was more than 3 days ago, when logs are deleted\n"), "{error}");
}

#[tokio::test]
async fn whoever_has_read_enough_sees_no_error() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "SUCCEEDED", 0.0, None);
    let lines: Vec<_> = (0..20_000).map(|number| format!("line {number}")).collect();
    cloud.log("0000", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let mut mayfly = cloud.command(&["logs", "my-job"]).spawn().unwrap();
    let mut out = BufReader::new(mayfly.stdout.take().unwrap()).lines();
    assert_eq!(out.next_line().await.unwrap().unwrap(), "line 0");
    drop(out);
    let ended = mayfly.wait_with_output().await.unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "==> task 0000 <==\n");
}
