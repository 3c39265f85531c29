//! `mayfly stop`.

use serde_json::{Value, json};

use crate::cloud::{Cloud, Ran, execution};
use crate::history::History;
use crate::terminal::Terminal;
use crate::{nothing_left, success};

const STOPPED: &str = "\
job my-job on stack mayfly
ABORTED after 4.0 s
cause    Stopped: stopped by alice with mayfly
teardown, started by the job's end
  00:00:09  DeleteQueue ................ 3.0 s
";

/// A cloud with the running job `my-job`, whose teardown ends with `receipt` once it has been stopped.
async fn running(receipt: &Value) -> Cloud {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "RUNNING", 0.0, None);
    let mut job = History::new(0);
    cloud.shows("my-job", job.wait_for_container("DispatchJob"));
    cloud.shows("my-job", job.abort("Stopped", "stopped by alice with mayfly"));
    cloud.has_teardown("t1", 4.1, &json!({ "job": "my-job" }));
    let output = json!({ "job": "my-job", "receipt": receipt }).to_string();
    cloud.shows("t1", History::new(5).task("DeleteQueue").succeed(&output));
    cloud
}

#[tokio::test]
async fn a_job_is_stopped_and_its_teardown_followed_until_nothing_is_left() {
    let cloud = running(&nothing_left()).await;
    let ran = cloud.command(&["stop", "my-job", "--yes"]).env("USER", "alice").output().await.unwrap();
    assert!(ran.status.success());
    let out = String::from_utf8(ran.stdout).unwrap();
    let end = "\
SUCCEEDED after 5.0 s
receipt  created 2, deleted 2, nothing is left
         Service           s
         Queue             q
";
    assert_eq!(out, format!("{STOPPED}{end}"));
    let call = json!({ "executionArn": execution("run-job", "my-job"), "error": "Stopped",
                       "cause": "stopped by alice with mayfly" });
    assert_eq!(cloud.calls_of("StopExecution"), [call]);
}

#[tokio::test]
async fn what_is_left_is_told_and_makes_it_fail() {
    let left = json!([{ "kind": "Queue", "id": "q", "state": "AVAILABLE" }]);
    let cloud =
        running(&json!({ "created": [{ "kind": "Queue", "id": "q" }], "deleted": [], "residual": left }))
            .await;
    let Ran { code, out, .. } = cloud.mayfly(&["stop", "my-job", "--yes"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("deleted 0, 1 left:\n         Queue q (AVAILABLE)\n"), "{out}");
}

#[tokio::test]
async fn on_a_terminal_a_person_is_asked() {
    let cloud = running(&nothing_left()).await;
    let mut terminal = Terminal::run(cloud.command(&["stop", "my-job"]), 80);
    terminal.answer("[y/N] ", "n\n").await;
    let (status, shown) = terminal.end().await;
    assert_eq!(status.code(), Some(1));
    assert!(shown.ends_with("job my-job goes on\n"), "{shown}");
    assert_eq!(cloud.calls_of("StopExecution"), [] as [Value; 0]);

    let mut terminal = Terminal::run(cloud.command(&["stop", "my-job"]), 80);
    terminal.answer("Stop job my-job, which has run for", "y\n").await;
    let (status, shown) = terminal.end().await;
    assert!(status.success(), "{shown}");
    assert!(shown.contains("deleted 2, nothing is left\n"), "{shown}");
}

#[tokio::test]
async fn without_a_terminal_nothing_is_stopped_unasked() {
    let cloud = running(&nothing_left()).await;
    let Ran { code, error, .. } = cloud.mayfly(&["stop", "my-job"]).await;
    let words = "mayfly: there is no terminal to ask on; add --yes to stop job my-job\n";
    assert_eq!((code, error.as_str()), (2, words));
    assert_eq!(cloud.calls_of("StopExecution"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_job_that_has_ended_already_is_not_stopped_again() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "FAILED", 0.0, Some("OutOfMemory"));
    let Ran { code, out, .. } = cloud.mayfly(&["stop", "my-job"]).await;
    let words = "job my-job has ended already: FAILED; for more: mayfly --stack mayfly follow my-job\n";
    assert_eq!((code, out.as_str()), (0, words));
    assert_eq!(cloud.calls_of("StopExecution"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_job_that_ends_by_itself_at_that_moment_shows_its_result() {
    let cloud = Cloud::start().await;
    cloud.has_job("my-job", "RUNNING", 0.0, None);
    cloud.shows("my-job", History::new(0).succeed(&success().to_string()));
    let Ran { code, out, .. } = cloud.mayfly(&["stop", "my-job", "--yes"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("\nSUCCEEDED after 1.0 s\nresult   exit code 0"), "{out}");
}
