//! `mayfly drain`.

use serde_json::json;

use crate::cloud::{Cloud, Ran, execution};
use crate::history::History;

const NOTHING: &str = "no job is running on stack mayfly, and nothing of any is left\n";

/// What the sweeper finds in its looks, one after the other; the last one stays.
fn seen(cloud: &Cloud, looks: &[&[&str]]) {
    for found in looks {
        cloud.sweeper_answers(&json!({ "found": found, "stopped": [], "tornDown": [], "strays": [] }));
    }
}

#[tokio::test]
async fn an_empty_stack_is_proven_empty_by_two_looks_that_change_nothing() {
    let cloud = Cloud::start().await;
    cloud.has_job("done", "SUCCEEDED", 0.0, None);
    seen(&cloud, &[&[]]);
    let Ran { code, out, error } = cloud.mayfly(&["drain"]).await;
    assert_eq!((code, out.as_str(), error.as_str()), (0, NOTHING, ""));
    assert_eq!(cloud.calls_of("Invoke"), [json!({ "lookOnly": true }), json!({ "lookOnly": true })]);
    assert!(cloud.calls_of("StartExecution").is_empty() && cloud.calls_of("StopExecution").is_empty());
}

#[tokio::test]
async fn a_running_job_is_stopped_and_torn_down_even_where_nothing_of_it_is_seen_yet() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "RUNNING", 0.0, None);
    let mut job = History::new(0);
    cloud.shows("my-job", job.wait_for_container("DispatchJob"));
    cloud.shows("my-job", job.abort("Stopped", "by alice"));
    cloud.ends_when_stopped("my-job");
    cloud.has_ended_teardown("my-job", "SUCCEEDED", None);
    seen(&cloud, &[&[]]);
    let Ran { code, out, .. } = cloud.mayfly(&["drain", "--stop"]).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(out, format!("stopping my-job\ntearing down what job my-job has left\n{NOTHING}"));
    assert_eq!(cloud.calls_of("StopExecution")[0]["executionArn"], execution("run-job", "my-job"));
    let input = json!({ "job": "my-job", "caller": "drain" }).to_string();
    assert_eq!(cloud.calls_of("StartExecution")[0]["input"], input);
}

#[tokio::test]
async fn what_cannot_be_torn_down_is_named_and_keeps_the_stack() {
    let cloud = Cloud::start().await;
    let residual = json!([{ "kind": "NatGateway", "id": "nat-1", "state": "available" }]);
    let receipt = json!({ "created": residual, "deleted": [], "residual": residual });
    cloud.has_ended_teardown("old", "FAILED", Some(&receipt.to_string()));
    seen(&cloud, &[&["old"]]);
    let Ran { code, out, .. } = cloud.mayfly(&["drain"]).await;
    assert_eq!(code, 1);
    assert!(
        out.contains("the teardown of job old has ended as FAILED\n  NatGateway nat-1 (available)\n"),
        "{out}"
    );
    assert!(out.ends_with("after 3 teardowns there still is something of old\n"), "{out}");
}

#[tokio::test]
async fn what_could_not_be_looked_for_or_is_nobody_s_keeps_the_stack() {
    let cloud = Cloud::start().await;
    cloud.sweeper_fails("Unavailable");
    let Ran { code, error, .. } = cloud.mayfly(&["drain"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("could not look everywhere") && error.contains("Unavailable"), "{error}");

    let cloud = Cloud::start().await;
    cloud.sweeper_answers(&json!({ "found": [], "strays": ["vpc-1 has the tag mayfly:job with \"\""] }));
    let Ran { code, out, .. } = cloud.mayfly(&["drain"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("delete it by hand:\n  vpc-1 has the tag"), "{out}");
}
