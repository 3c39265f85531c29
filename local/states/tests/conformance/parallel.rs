//! Parallel: side by side, and fail-fast.

use local_states::callback::Signal;
use local_states::execution::Status;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Reply, callback, ended, eventually, invoke, only, token};

fn branch(name: &str, state: &Value) -> Value {
    let mut state = state.clone();
    state["End"] = true.into();
    json!({ "StartAt": name, "States": { name: state } })
}

/// The output is an array with one element for each branch, in their order (state-parallel.html).
#[tokio::test]
async fn outputs_are_in_the_order_of_the_branches() {
    let cloud = Cloud::new();
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        branch("Late", &json!({ "Type": "Wait", "Seconds": 3 })),
        branch("Early", &json!({ "Type": "Pass", "Result": 2 })),
    ] }));
    assert_eq!(cloud.run(&machine, &json!(1)).await.succeeded(), json!([1, 2]));
}

/// "If any branch fails …, the entire Parallel state is considered to have failed and all its branches are stopped"
/// (state-parallel.html): what the siblings have in flight is not waited for.
#[tokio::test]
async fn a_failing_branch_aborts_its_siblings_in_mid_call() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    cloud.function("Throw", |_, _| Reply::Throws("Bad"));
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        branch("Sibling", &invoke("Hang", &json!({}))),
        { "StartAt": "First", "States": {
            "First": { "Type": "Wait", "Seconds": 1, "Next": "Failing" },
            "Failing": { "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": { "FunctionName": "Throw" }, "End": true },
        } },
        branch("Waiting", &json!({ "Type": "Wait", "Seconds": 86400 })),
    ] }));
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "Bad"));
    assert_eq!(cloud.aborted_calls(), ["Hang"]);
}

/// The same at any depth: the innermost calls of a sibling are dropped, and nothing of it goes on.
#[tokio::test]
async fn a_failing_branch_aborts_nested_siblings() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let inner = json!({ "Type": "Parallel", "Branches": [
        branch("Deep", &invoke("Hang", &json!({}))),
        branch("DeepWait", &json!({ "Type": "Wait", "Seconds": 86400 })),
    ] });
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        branch("Inner", &inner),
        { "StartAt": "Pause", "States": {
            "Pause": { "Type": "Wait", "Seconds": 1, "Next": "Fail" },
            "Fail": { "Type": "Fail", "Error": "Bad", "Cause": "on purpose" },
        } },
    ] }));
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!((end.error(), end.cause()), ("Bad", "on purpose"));
    assert_eq!(cloud.aborted_calls(), ["Hang"]);
    assert_eq!(end.count("TaskStateAborted"), 1);
    assert_eq!(end.count("WaitStateAborted"), 1);
    assert_eq!(end.count("ParallelStateAborted"), 1);
}

/// A Catch on the Parallel gets the error of the branch (recorded), and the tokens of aborted siblings are closed.
#[tokio::test]
async fn catch_of_a_parallel_sees_the_branchs_error_and_old_tokens_are_dead() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine = json!({ "StartAt": "Both", "States": {
        "Both": { "Type": "Parallel", "Next": "Never",
            "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught" }],
            "Branches": [
                branch("Waiting", &callback("Dispatch", &json!({}))),
                { "StartAt": "Pause", "States": {
                    "Pause": { "Type": "Wait", "Seconds": 1, "Next": "Fail" },
                    "Fail": { "Type": "Fail", "Error": "Bad" },
                } },
            ] },
        "Never": { "Type": "Fail" },
        "Caught": { "Type": "Pass", "End": true },
    } });
    let execution = cloud.start(&machine, &json!({ "kept": true })).await;
    let payload = cloud.next_call("Dispatch").await;
    let end = ended(&execution).await;
    assert_eq!(end.succeeded(), json!({ "kept": true, "error": { "Error": "Bad", "Cause": null } }));
    let error =
        cloud.engine.tokens.send(token(&payload), Signal::Heartbeat).expect_err("the token is closed");
    assert_eq!(error.code, "TaskTimedOut");
}

/// "A States.Runtime error … will always cause the execution to fail" (concepts-error-handling.html), also from
/// within a branch, where it leaves no other event: no ParallelStateFailed and nothing aborted (recorded).
#[tokio::test]
async fn a_runtime_error_in_a_branch_passes_the_parallels_catch() {
    let cloud = Cloud::new();
    let machine = json!({ "StartAt": "Both", "States": {
        "Both": { "Type": "Parallel", "End": true,
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }],
            "Branches": [branch("Missing", &json!({ "Type": "Pass", "Parameters": { "a.$": "$.none" } }))] },
        "Caught": { "Type": "Pass", "End": true },
    } });
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "States.Runtime"));
    assert_eq!(end.shape()[3..], ["4<3 PassStateEntered", "5<4 ExecutionFailed"]);
}

/// A Retry of a Parallel runs all of its branches again (state-parallel.html, "Error Handling").
#[tokio::test]
async fn retry_of_a_parallel_runs_all_branches_again() {
    let cloud = Cloud::new();
    cloud.always("Steady", Reply::Returns(json!(1)));
    cloud
        .function("Flaky", |_, call| if call == 1 { Reply::Throws("Bad") } else { Reply::Returns(json!(2)) });
    let select = json!({ "ResultSelector": { "n.$": "$.Payload" } });
    let machine = only(&json!({ "Type": "Parallel", "Retry": [{ "ErrorEquals": ["Bad"] }], "Branches": [
        branch("A", &invoke("Steady", &select)),
        branch("B", &invoke("Flaky", &select)),
    ] }));
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(end.count("ParallelStateStarted"), 2);
    assert_eq!(cloud.call_count("Steady"), 2);
    assert_eq!(end.succeeded(), json!([{ "n": 1 }, { "n": 2 }]));
}

/// After StopExecution no Catch runs, and whatever is in flight at any depth is dropped (API reference).
#[tokio::test]
async fn stop_ends_an_execution_at_any_depth_at_once() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let deep = json!({ "Type": "Parallel", "Branches": [branch("Deep", &invoke("Hang", &json!({})))] });
    let machine = json!({ "StartAt": "Outer", "States": {
        "Outer": { "Type": "Parallel", "Branches": [branch("Inner", &deep)], "End": true,
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }] },
        "Caught": { "Type": "Pass", "End": true },
    } });
    let execution = cloud.start(&machine, &json!({})).await;
    cloud.next_call("Hang").await;
    cloud.engine.stop(&execution, Some("Why".into()), Some("because".into()));
    assert_eq!(execution.status(), Status::Aborted);
    let end = ended(&execution).await;
    assert_eq!((end.error(), end.cause()), ("Why", "because"));
    assert!(end.last().ends_with("<0 ExecutionAborted"), "it follows no event (recorded): {}", end.last());
    eventually("the call is dropped", || cloud.aborted_calls() == ["Hang"]).await;
    assert_eq!(ended(&execution).await.events.len(), end.events.len(), "nothing is added after the end");
}
