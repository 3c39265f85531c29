//! `mayfly ls`.

use regex::{Captures, Regex};
use serde_json::{Value, json};

use crate::cloud::{Cloud, Ran};
use crate::terminal::Terminal;

/// A cloud with jobs in every state; those that run have started years ago.
async fn busy() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.has_job("working", "RUNNING", 3600.0, None);
    cloud.has_job("failed-late", "FAILED", 3000.0, Some("OutOfMemory"));
    cloud.has_job("waiting", "RUNNING", 2400.0, None);
    cloud.has_job("done", "SUCCEEDED", 1200.0, None);
    cloud.has_job("new", "RUNNING", 600.0, None);
    cloud.has_job("finished", "RUNNING", 60.0, None);
    let turn = |attempt: u32, start: u32, provider: &str| {
        json!({ "attempt": attempt, "start": start, "launch": 1, "provider": provider, "losses": 0,
                "failedStarts": 0 })
    };
    let progress = json!({ "phase": "running", "percent": 42.5, "line": "frame=7" });
    cloud.has_record("working", &json!({ "turn": turn(2, 3, "FARGATE"), "progress": progress }));
    cloud.has_record("waiting", &json!({ "turn": turn(1, 2, "FARGATE_SPOT") }));
    let over = json!({ "turn": turn(1, 1, "FARGATE_SPOT"), "progress": progress, "result": {} });
    cloud.has_record("finished", &over);
    cloud.has_record("done", &over);
    cloud
}

/// `text` without the time of jobs that run, which grows.
fn without_age(text: &str) -> String {
    let age = Regex::new(r"\d+ h \d\d min|TIME +").unwrap();
    age.replace_all(text, |found: &Captures| if found[0].starts_with("TIME") { "TIME  " } else { "AGE" })
        .into_owned()
}

const RUNNING: &str = "\
JOB       STATUS   ATTEMPT  START  NOW OR WHY                 TIME  USER
working   RUNNING  2        3      running 42 %               AGE  alice
waiting   RUNNING  1        2      waiting for its container  AGE  alice
new       RUNNING                  preparing                  AGE  alice
finished  RUNNING  1        1      tearing down               AGE  alice
";

#[tokio::test]
async fn the_jobs_that_run_are_listed_with_what_their_containers_do() {
    let cloud = busy().await;
    let Ran { code, out, error } = cloud.mayfly(&["ls"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(without_age(&out), RUNNING);
    let asked = &cloud.calls_of("BatchGetItem")[0]["RequestItems"]["jobs"];
    let names: Vec<_> = asked["ExpressionAttributeNames"].as_object().unwrap().values().collect();
    assert!(!names.contains(&&json!("token")), "the task token is not read: {names:?}");
}

#[tokio::test]
async fn a_wide_terminal_shows_what_a_pipe_gets_and_a_narrow_one_two_lines_for_a_job() {
    let cloud = busy().await;
    let (_, wide) = Terminal::run(cloud.command(&["ls"]), 120).end().await;
    assert_eq!(without_age(&wide), RUNNING);

    let (status, narrow) = Terminal::run(cloud.command(&["ls"]), 70).end().await;
    assert!(status.success());
    let two_lines = "\nworking\n  RUNNING  2        3      running 42 %               AGE  alice\nwaiting\n";
    assert!(without_age(&narrow).contains(two_lines), "{narrow}");
}

#[tokio::test]
async fn jobs_that_have_ended_come_after_those_that_run_with_the_class_of_their_failure() {
    let cloud = busy().await;
    let Ran { out, .. } = cloud.mayfly(&["ls", "--all"]).await;
    let ended: Vec<_> = out.lines().skip(5).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        ended,
        [
            vec!["failed-late", "FAILED", "OutOfMemory", "1", "min", "00", "s", "alice"],
            vec!["done", "SUCCEEDED", "1", "1", "1", "min", "00", "s", "alice"]
        ]
    );
}

#[tokio::test]
async fn a_limit_cuts_the_list_and_says_so() {
    let cloud = busy().await;
    let Ran { out, error, .. } = cloud.mayfly(&["ls", "--all", "--limit", "5"]).await;
    let names: Vec<_> = out.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["working", "waiting", "new", "finished", "failed-late"]);
    assert_eq!(error, "there are more; up to 100 are listed with --limit\n");
    assert_eq!(cloud.calls_of("DescribeExecution").len(), 5, "no job is described that is not shown");
}

#[tokio::test]
async fn json_has_every_field_that_is_known() {
    let cloud = busy().await;
    let Ran { out, .. } = cloud.mayfly(&["ls", "--all", "--json"]).await;
    let mut jobs: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(jobs[0]["seconds"].as_f64().is_some_and(|seconds| seconds > 60.0), "{out}");
    jobs[0]["seconds"] = json!(0);
    assert_eq!(
        jobs[0],
        json!({ "job": "working", "status": "RUNNING", "attempt": 2, "start": 3, "capacity": "FARGATE",
                "now": "running", "percent": 42.5, "startedAt": "1970-01-01T01:00:00Z", "seconds": 0,
                "user": "al\u{1b}[31mice" })
    );
    assert_eq!(
        jobs[4],
        json!({ "job": "failed-late", "status": "FAILED", "error": "OutOfMemory",
                "startedAt": "1970-01-01T00:50:00Z", "endedAt": "1970-01-01T00:51:00Z", "seconds": 60.0,
                "user": "al\u{1b}[31mice" })
    );
}

#[tokio::test]
async fn a_service_is_listed_with_its_url_and_its_end_until_it_is_over() {
    let cloud = Cloud::start().await;
    cloud.has_job("open", "RUNNING", 3600.0, None);
    cloud.has_job("ending", "RUNNING", 3600.0, None);
    let entrance = json!({ "ports": [{ "port": 80, "protocol": "tcp" }], "tls": false });
    let address = json!({ "taskArn": "t", "privateIp": "10.0.0.1", "publicIp": "192.0.2.1" });
    let record = json!({ "addresses": [address], "entrance": entrance });
    let end = "2030-01-01T12:00:00Z";
    for job in ["open", "ending"] {
        cloud.has_record(job, &record);
        cloud.has_text(job, "end", end);
    }
    cloud.has_text("ending", "ending", "true");
    let lines = cloud.mayfly(&["ls"]).await.out;
    let cells: Vec<_> =
        lines.lines().skip(1).map(|line| line.split("  ").filter(|cell| !cell.is_empty())).collect();
    let [open, ending]: [Vec<_>; 2] =
        cells.into_iter().map(Iterator::collect).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(open[2], "http://192.0.2.1 until 2030-01-01T12:00:00Z");
    assert_eq!(ending[2], "tearing down");

    let jobs: Vec<Value> = serde_json::from_str(&cloud.mayfly(&["ls", "--json"]).await.out).unwrap();
    assert_eq!(
        (&jobs[0]["url"], &jobs[0]["addresses"], &jobs[0]["end"], &jobs[0]["now"]),
        (&json!("http://192.0.2.1"), &json!([address]), &json!(end), &json!("can be called"))
    );
    assert_eq!(jobs[0]["ports"], entrance["ports"]);
    assert_eq!(jobs[1]["url"], Value::Null);
}

#[tokio::test]
async fn an_empty_list_says_so_in_words() {
    let cloud = Cloud::start().await;
    let Ran { code, out, error } = cloud.mayfly(&["ls"]).await;
    let words =
        "no job is running on stack mayfly; for those that have ended: mayfly --stack mayfly ls --all\n";
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", words));
    let Ran { code, out, error } = cloud.mayfly(&["ls", "--all", "--json"]).await;
    let words = "stack mayfly has had no job in the last 90 days\n";
    assert_eq!((code, out.as_str(), error.as_str()), (0, "[]\n", words));
}

#[tokio::test]
async fn without_the_right_to_read_the_table_the_jobs_are_listed_all_the_same() {
    let cloud = busy().await;
    cloud.refuses("BatchGetItem", 1, "AccessDeniedException");
    let Ran { code, out, error } = cloud.mayfly(&["ls"]).await;
    assert_eq!((code, out.lines().count()), (0, 5));
    assert!(
        error.starts_with("attempts and progress are not shown: could not read the jobs' records"),
        "{error}"
    );
}
