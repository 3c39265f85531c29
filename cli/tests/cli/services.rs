//! Services: how `mayfly run` shows them, and `mayfly extend`.

use serde_json::{Value, json};

use crate::cloud::{Cloud, Ran};
use crate::history::History;

const END: &str = "2030-01-01T12:00:00Z";
const LATER: &str = "2030-01-01T13:00:00Z";

/// What the table has of a service whose container is at `ip`.
fn item(ip: &str, end: &str) -> Value {
    let address = json!([{ "taskArn": "t", "privateIp": "10.0.0.1", "publicIp": ip }]);
    let entrance = json!({ "ports": [{ "port": 80, "protocol": "tcp" }], "tls": false });
    json!({ "addresses": address.to_string(), "entrance": entrance.to_string(), "end": end })
}

#[tokio::test]
async fn a_service_is_followed_with_what_it_opens_where_it_is_each_time_that_changes_and_how_it_ended() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    let notes = ["everybody may call 80/tcp of each container at its own address"];
    let planned = json!({ "job": "my-job", "planned": { "plan": { "notes": notes } } });
    job.task_with_output("PlanJob", &planned).wait_for_container("KeepService");
    for _ in 0..4 {
        cloud.shows("my-job", &job);
    }
    let states =
        [item("192.0.2.1", END), item("192.0.2.1", END), item("192.0.2.2", END), item("192.0.2.2", LATER)];
    for state in &states {
        cloud.shows_item(state);
    }
    let gone = json!({ "created": [], "deleted": [], "residual": [] });
    let result = json!({ "begun": END, "end": LATER, "seconds": 3600.0, "containers": 2, "capacity": "FARGATE_SPOT",
        "addresses": [], "url": "http://192.0.2.2", "reason": "its time was over" });
    let outcome = json!({ "job": "my-job", "status": "SUCCEEDED", "result": result, "receipt": gone });
    cloud.shows("my-job", job.callback_of("KeepService").succeed(&outcome.to_string()));

    let Ran { code, out, error } = cloud.mayfly(&["run", "job.json", "--name", "my-job"]).await;

    assert_eq!((code, error.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().filter(|line| !line.contains("KeepService")).collect();
    assert_eq!(
        lines,
        [
            "job my-job on stack mayfly",
            "  00:00:04  PlanJob .................... 3.0 s",
            "  00:00:04  everybody may call 80/tcp of each container at its own address",
            "ready    http://192.0.2.1 until 2030-01-01T12:00:00Z",
            "         80/tcp",
            "         192.0.2.1, 10.0.0.1 inside its network",
            "ready    http://192.0.2.2 until 2030-01-01T12:00:00Z",
            "         80/tcp",
            "         192.0.2.2, 10.0.0.1 inside its network",
            "ready    http://192.0.2.2 until 2030-01-01T13:00:00Z",
            "         80/tcp",
            "         192.0.2.2, 10.0.0.1 inside its network",
            "SUCCEEDED after 10.0 s",
            "result   its time was over; it could be called for 1 h 00 min, 2 containers, FARGATE_SPOT",
            "         it was called at http://192.0.2.2",
            "receipt  nothing was created, nothing is left",
        ]
    );
}

#[tokio::test]
async fn an_extension_is_the_stacks_own_functions_work_and_its_new_end_is_told() {
    let cloud = Cloud::start().await;
    cloud.function_answers("extender", &json!({ "job": "demo", "end": LATER }));
    let Ran { code, out, error } = cloud.mayfly(&["extend", "demo", "--minutes", "60"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(out, "job demo can be called until 2030-01-01T13:00:00Z\n");
    assert_eq!(cloud.calls_of("Invoke"), [json!({ "job": "demo", "minutes": 60 })]);
    let reads = ["GetItem", "BatchGetItem", "UpdateItem"].map(|action| cloud.calls_of(action));
    assert!(reads.iter().all(Vec::is_empty), "the table with the task token is not touched: {reads:?}");
}

#[tokio::test]
async fn an_extension_that_is_refused_says_why() {
    let cloud = Cloud::start().await;
    let words = "the service `demo` could be called for more than 7 days in all";
    cloud.function_fails("extender", "InvalidJob", words);
    let Ran { code, out, error } = cloud.mayfly(&["extend", "demo", "--minutes", "60"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(error, format!("mayfly: could not extend `demo`: {words}\n"));
}
