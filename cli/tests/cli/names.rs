//! Every name that `mayfly ls` shows is taken by every command, and so is the job's id.

use mayfly_model::names::job_id;
use serde_json::json;

use crate::cloud::{Cloud, Ran, execution};
use crate::history::History;
use crate::{nothing_left, success};

/// As an EventBridge rule names executions, and a person's.
const NAMES: [&str; 3] = [
    "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f_0c7d1c52-3b0e-4f6e-8a53-5d3f1f9a7b21",
    "nightly.2026-11-28",
    "Übung-it's(1)",
];

#[tokio::test]
async fn every_name_that_ls_shows_is_taken_and_so_is_the_id() {
    let cloud = Cloud::start().await;
    for name in NAMES {
        cloud.has_job(name, "SUCCEEDED", 0.0, None);
        cloud.shows(name, History::new(0).succeed(&success().to_string()));
    }
    cloud.log("0000", &["a line"]);
    let listed = cloud.mayfly(&["ls", "--all"]).await.out;
    for name in NAMES {
        assert!(listed.contains(name), "{listed}");
        let keys = &cloud.calls_of("BatchGetItem")[0]["RequestItems"]["jobs"]["Keys"];
        assert!(keys.as_array().unwrap().contains(&json!({ "job": { "S": job_id(name) } })), "{keys}");
        for called in [name, &job_id(name)] {
            let Ran { code, out, error } = cloud.mayfly(&["follow", called]).await;
            assert_eq!((code, error.as_str()), (0, ""), "{called}");
            assert!(out.starts_with(&format!("job {name} on stack mayfly\n")), "{out}");
            assert_eq!(cloud.mayfly(&["logs", called]).await.out, "a line\n", "{called}");
            assert!(cloud.mayfly(&["stop", called, "--yes"]).await.out.contains("has ended already"));
        }
    }
    let prefixes = cloud.calls_of("DescribeLogStreams").into_iter();
    let prefixes: Vec<_> = prefixes.map(|call| call["logStreamNamePrefix"].to_string()).collect();
    assert!(prefixes.iter().all(|prefix| prefix.is_ascii()), "they are made of ids: {prefixes:?}");
}

#[tokio::test]
async fn a_job_is_stopped_by_its_id() {
    let cloud = Cloud::start().await;
    let [name, ..] = NAMES;
    cloud.has_job("another", "RUNNING", 1.0, None);
    cloud.has_job(name, "RUNNING", 0.0, None);
    let mut job = History::new(0);
    cloud.shows(name, job.wait_for_container("DispatchJob"));
    cloud.shows(name, job.abort("Stopped", "stopped by alice with mayfly"));
    // The rule knows the name.
    cloud.has_teardown("t1", 4.1, &json!({ "job": name }));
    let output = json!({ "receipt": nothing_left() }).to_string();
    cloud.shows("t1", History::new(5).succeed(&output));
    let Ran { code, out, error } = cloud.mayfly(&["stop", &job_id(name), "--yes"]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert_eq!(cloud.calls_of("StopExecution")[0]["executionArn"], execution("run-job", name));
}

#[tokio::test]
async fn an_id_that_no_job_has_is_told() {
    let cloud = Cloud::start().await;
    cloud.has_job("another", "RUNNING", 1.0, None);
    let id = job_id("no.such.job");
    let Ran { code, error, .. } = cloud.mayfly(&["follow", &id]).await;
    assert_eq!(code, 1);
    assert!(error.starts_with(&format!("mayfly: stack `mayfly` has no job `{id}`;")), "{error}");
}

#[tokio::test]
async fn a_new_job_is_not_named_like_an_id_of_another_name() {
    let cloud = Cloud::start().await;
    let Ran { code, error, .. } = cloud.mayfly(&["run", "job.json", "--name", &job_id("v1.2")]).await;
    assert_eq!(code, 2);
    assert!(error.contains("add a letter"), "{error}");
    assert!(cloud.calls_of("StartExecution").is_empty());
}
