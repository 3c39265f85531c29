//! The project's own machines in a scripted world: what becomes of a job when its functions die.

use serde_json::{Value, json};

use local_states::execution::Status;

use crate::cloud::{Cloud, Ended, Reply};

/// A machine of the project, which calls each function by its name.
fn machine(file: &str, tear_down: &str) -> Value {
    let path = format!("{}/../../statemachine/{file}.asl.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the project's machine");
    let text = text.replace("FunctionArn}", "").replace("${TearDownStateMachineArn}", tear_down);
    let text =
        text.replace("${RunJobExecutionPrefix}", "arn:aws:states:eu-west-1:123456789012:execution:run-job");
    serde_json::from_str(&text.replace("${StackName}", "mayfly").replace("${", "")).expect("JSON")
}

/// The functions that a machine calls.
fn functions(part: &Value) -> Vec<&str> {
    match part {
        Value::Object(fields) => {
            let name = fields.get("FunctionName").and_then(Value::as_str);
            name.into_iter().chain(fields.values().flat_map(functions)).collect()
        }
        Value::Array(parts) => parts.iter().flat_map(functions).collect(),
        _ => Vec::new(),
    }
}

/// How a job goes until its conclusion.
struct Job {
    /// What collect-result says; none where create-service has failed, null where plan-job has.
    ending: Option<Value>,
    /// What create-service fails by.
    error: &'static str,
    /// Whether the teardown ends well.
    torn_down: bool,
}

fn result() -> Value {
    json!({ "exitCode": 0, "attempt": 1, "outputs": [] })
}

fn receipt() -> Value {
    let queue = json!([{ "kind": "Queue", "id": "q" }]);
    json!({ "created": queue, "deleted": queue, "residual": [] })
}

impl Job {
    /// Runs the job; `conclude` is conclude-job.
    async fn run(&self, conclude: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Ended {
        let cloud = Cloud::scaled(0.001);
        let plan = json!({
            "job": "j", "network": { "cluster": "c" }, "firstTurn": { "queueSeconds": 0 }, "heartbeatSeconds": 600,
            "timeoutSeconds": 600, "teardownName": "teardown",
        });
        let refused = self.ending == Some(Value::Null);
        cloud.always("PlanJob", if refused { Reply::Throws("InvalidJob") } else { Reply::Returns(plan) });
        cloud.always("CreateQueue", Reply::Returns(json!({ "queueUrl": "q" })));
        cloud.always("RegisterTask", Reply::Returns(json!({ "taskDefinition": "t" })));
        let made = if self.ending.is_some() { Reply::Returns(json!({})) } else { Reply::Throws(self.error) };
        cloud.always("CreateService", made);
        cloud.always("DispatchJob", Reply::Throws("AlreadyEnded"));
        cloud.always("CollectResult", Reply::Returns(self.ending.clone().unwrap_or_default()));
        cloud.function("ConcludeJob", conclude);
        let end = if self.torn_down {
            json!({ "Type": "Pass", "Result": { "receipt": receipt() }, "End": true })
        } else {
            json!({ "Type": "Fail", "Error": "LeftoversRemain", "Cause": "{}" })
        };
        let tear_down = cloud.deploy("tear-down", &json!({ "StartAt": "End", "States": { "End": end } }));
        cloud.run(&machine("run-job", &tear_down), &json!({})).await
    }
}

#[tokio::test]
async fn a_finished_result_outlives_a_crash_of_conclude_job() {
    let ending = json!({ "next": "CONCLUDE", "reported": true, "result": result() });
    for death in
        ["Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "core::any::Any", "Lambda.Unknown"]
    {
        let job = Job { ending: Some(ending.clone()), error: "", torn_down: true };
        let ended = job
            .run(move |data, call| match call {
                1 => Reply::Throws(death),
                _ => Reply::Returns(json!({
                    "status": "SUCCEEDED",
                    "outcome": { "result": data["ending"]["result"], "receipt": data["tearDown"]["receipt"] },
                })),
            })
            .await;
        assert_eq!(ended.succeeded(), json!({ "result": result(), "receipt": receipt() }), "{death}");
    }
}

/// The last resort: each combination of what a job can have come to and what its teardown can have.
#[tokio::test]
async fn nothing_that_a_job_came_to_is_lost_when_conclude_job_never_answers() {
    let unproven = |job: &Value| {
        let left = json!([{ "kind": "Unproven", "id": job, "state": "States.TaskFailed" }]);
        json!({ "created": [], "deleted": [], "residual": left })
    };
    let failure = json!({ "error": "CommandFailed", "message": "it ended with 3" });
    let succeeded = json!({ "next": "CONCLUDE", "reported": true, "result": result() });
    let failed = json!({ "next": "CONCLUDE", "reported": true, "failure": failure });
    for torn_down in [true, false] {
        for (ending, thrown, error, message) in [
            (Some(&succeeded), "", None, ""),
            (Some(&failed), "", Some("CommandFailed"), "it ended with 3"),
            (None, "QuotaExceeded", Some("QuotaExceeded"), r#""Error":"QuotaExceeded""#),
            (None, "Unavailable", Some("Internal"), r#""Error":"Unavailable""#),
        ] {
            let job = Job { ending: ending.cloned(), error: thrown, torn_down };
            let ended = job.run(|_, _| Reply::Throws("Runtime.ExitError")).await;
            assert_eq!(ended.status == Status::Succeeded, error.is_none(), "{ended:#?}");
            let outcome = match &ended.cause {
                Some(cause) => serde_json::from_str(cause).expect("the outcome as JSON"),
                None => ended.output.clone(),
            };
            assert_eq!(outcome["status"], if error.is_none() { "SUCCEEDED" } else { "FAILED" });
            assert_eq!((ended.error.as_deref(), outcome["error"].as_str()), (error, error));
            assert!(outcome["message"].as_str().unwrap_or_default().contains(message), "{outcome}");
            assert_eq!(outcome.get("result"), error.is_none().then(result).as_ref());
            let proof = if torn_down { receipt() } else { unproven(&outcome["job"]) };
            assert_eq!(outcome["receipt"], proof);
        }
    }
    let refused = Job { ending: Some(Value::Null), error: "", torn_down: true };
    let ended = refused.run(|_, _| Reply::Throws("Runtime.ExitError")).await;
    assert_eq!(ended.error(), "InvalidJob");
    let outcome: Value = serde_json::from_str(ended.cause()).expect("the outcome as JSON");
    assert_eq!(outcome["receipt"], json!({ "created": [], "deleted": [], "residual": [] }));
}

/// Its own last word is believed at once; a job that was refused does not wait minutes for it.
#[tokio::test]
async fn what_a_step_says_for_good_is_not_repeated() {
    let refused = Job { ending: Some(Value::Null), error: "", torn_down: true };
    let concluded = json!({ "status": "FAILED", "error": "InvalidJob", "cause": "{}" });
    let ended = refused.run(move |_, _| Reply::Returns(concluded.clone())).await;
    assert_eq!((ended.error(), ended.count("TaskFailed")), ("InvalidJob", 1));
}

/// Runs a teardown; `search` is find-leftovers, told which search it is, from 1.
async fn tear_down(search: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Ended, usize) {
    tear_down_with(Reply::Returns(json!({ "accepted": [] })), move |_, call| search(call)).await
}

async fn tear_down_with(
    queue: Reply,
    search: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static,
) -> (Ended, usize) {
    let cloud = Cloud::scaled(0.001);
    let machine = machine("tear-down", "");
    for name in functions(&machine) {
        cloud.always(name, Reply::Returns(json!({ "deleted": 0 })));
    }
    cloud.function("FindLeftovers", search);
    cloud.always("DeleteQueue", queue);
    let input = json!({ "job": "a", "caller": "run-job", "stragglerSeconds": 0 });
    let ended = cloud.run(&machine, &input).await;
    let searches = cloud.call_count("FindLeftovers");
    (ended, searches)
}

fn found(empty: bool) -> Value {
    json!({ "receipt": receipt(), "empty": empty, "network": false, "cause": "what is left" })
}

#[tokio::test]
async fn nothing_is_proven_before_something_was_deleted_and_two_searches_have_said_so() {
    let (ended, searches) = tear_down(|_| Reply::Returns(found(true))).await;
    assert_eq!((ended.succeeded()["receipt"].clone(), searches), (receipt(), 3));
    // The third search, which is the second proof, finds something.
    let (ended, searches) = tear_down(|call| Reply::Returns(found(call != 3))).await;
    assert_eq!((ended.status, searches), (Status::Succeeded, 5));
}

#[tokio::test]
async fn a_teardown_that_gives_up_says_what_is_left_in_find_leftovers_words() {
    let (ended, searches) = tear_down(|_| Reply::Returns(found(false))).await;
    assert_eq!((ended.error(), ended.cause(), searches), ("LeftoversRemain", "what is left", 6));
}

/// The function of an older stack, whose answer an update has overtaken.
#[tokio::test]
async fn an_answer_that_does_not_say_empty_proves_nothing() {
    let old = || json!({ "receipt": receipt(), "network": false });
    let (ended, _) = tear_down(move |_| Reply::Returns(old())).await;
    assert_eq!(ended.error(), "LeftoversRemain");
    let left: Value = serde_json::from_str(ended.cause()).expect("a receipt");
    assert_eq!(left["residual"], json!([{ "kind": "Unproven", "id": "a", "state": "NotProven" }]));
    let (ended, searches) =
        tear_down(move |call| Reply::Returns(if call == 2 { old() } else { found(true) })).await;
    assert_eq!((ended.status, searches), (Status::Succeeded, 4));
}

#[tokio::test]
async fn a_search_that_fails_proves_nothing_and_holds_up_no_deletion() {
    let (ended, _) = tear_down(|_| Reply::Throws("Internal")).await;
    assert_eq!(ended.error(), "LeftoversRemain");
    assert_eq!(ended.entered().iter().filter(|state| **state == "DeleteVpc").count(), 5);
}

/// SQS says nowhere else that a queue which still answers is going.
#[tokio::test]
async fn the_search_is_told_which_deletions_of_queues_were_accepted() {
    let accepted = json!({ "accepted": ["q"] });
    let is_told = |payload: &Value| payload["queues"] == json!({ "accepted": ["q"] });
    let search = move |payload: &Value, _| Reply::Returns(found(is_told(payload)));
    let (ended, searches) = tear_down_with(Reply::Returns(accepted), search).await;
    assert_eq!((ended.status, searches), (Status::Succeeded, 3));
    let (ended, _) = tear_down_with(Reply::Throws("AccessDenied"), search).await;
    assert_eq!(ended.error(), "LeftoversRemain");
}
