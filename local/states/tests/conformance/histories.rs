//! Histories, event by event: where a test says nothing else, as recorded for machines of these shapes.

use local_states::callback::Signal;
use local_states::language::failure::Failure;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Ended, ROLE, Reply, callback, ended, eventually, history, invoke, only, token};

/// The details of the event with this id.
fn details<'a>(end: &'a Ended, id: u64, name: &str) -> &'a Value {
    &end.events[usize::try_from(id - 1).unwrap()][name]
}

/// Waits for TaskSubmitted, then answers the token.
async fn answered(cloud: &Cloud, machine: &Value, signal: Signal) -> Ended {
    let execution = cloud.start(machine, &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    eventually("the task is submitted", || {
        history(&execution).iter().any(|event| event["type"] == "TaskSubmitted")
    })
    .await;
    cloud.engine.tokens.send(token(&payload), signal).expect("the token is good");
    ended(&execution).await
}

fn dispatching() -> Cloud {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    cloud
}

#[tokio::test]
async fn a_callback_that_succeeds() {
    let machine = only(&callback("Dispatch", &json!({ "TimeoutSeconds": 600, "HeartbeatSeconds": 60 })));
    let end = answered(&dispatching(), &machine, Signal::Done(Ok(json!("done")))).await;
    assert_eq!(
        end.shape(),
        [
            "1<0 ExecutionStarted",
            "2<0 TaskStateEntered",
            "3<2 TaskScheduled",
            "4<3 TaskStarted",
            "5<4 TaskSubmitted",
            "6<5 TaskSucceeded",
            "7<6 TaskStateExited",
            "8<7 ExecutionSucceeded",
        ]
    );
    let started = details(&end, 1, "executionStartedEventDetails");
    assert_eq!(started, &json!({ "input": "{}", "inputDetails": { "truncated": false }, "roleArn": ROLE }));
    let entered = details(&end, 2, "stateEnteredEventDetails");
    assert_eq!(entered, &json!({ "name": "Only", "input": "{}", "inputDetails": { "truncated": false } }));
    let scheduled = details(&end, 3, "taskScheduledEventDetails");
    assert_eq!(
        (&scheduled["resourceType"], &scheduled["resource"]),
        (&json!("lambda"), &json!("invoke.waitForTaskToken"))
    );
    assert_eq!((&scheduled["timeoutInSeconds"], &scheduled["heartbeatInSeconds"]), (&json!(600), &json!(60)));
    assert_eq!(scheduled["region"], "eu-west-1");
    assert!(
        scheduled["parameters"].as_str().is_some_and(|text| text.contains("FunctionName")),
        "{scheduled}"
    );
    let resource = json!({ "resourceType": "lambda", "resource": "invoke.waitForTaskToken" });
    assert_eq!(details(&end, 4, "taskStartedEventDetails"), &resource);
    assert_eq!(details(&end, 6, "taskSucceededEventDetails")["output"], "\"done\"");
    assert_eq!(details(&end, 7, "stateExitedEventDetails")["output"], "\"done\"");
    assert_eq!(
        details(&end, 8, "executionSucceededEventDetails"),
        &json!({ "output": "\"done\"", "outputDetails": { "truncated": false } })
    );
}

#[tokio::test]
async fn a_callback_that_fails() {
    let machine = only(&callback("Dispatch", &json!({})));
    let end = answered(&dispatching(), &machine, Signal::Done(Err(Failure::new("Mine", "why")))).await;
    assert_eq!(end.shape()[5..], ["6<5 TaskFailed", "7<6 ExecutionFailed"]);
    assert_eq!(details(&end, 7, "executionFailedEventDetails"), &json!({ "error": "Mine", "cause": "why" }));
    assert_eq!(details(&end, 3, "taskScheduledEventDetails").get("timeoutInSeconds"), None);

    let end = answered(&dispatching(), &machine, Signal::Done(Err(Failure::default()))).await;
    let resource = json!({ "resourceType": "lambda", "resource": "invoke.waitForTaskToken" });
    assert_eq!(details(&end, 6, "taskFailedEventDetails"), &resource, "no error and no cause");
}

#[tokio::test]
async fn a_missed_heartbeat_and_a_time_out() {
    for clocks in [json!({ "HeartbeatSeconds": 5, "TimeoutSeconds": 600 }), json!({ "TimeoutSeconds": 5 })] {
        let end = dispatching().run(&only(&callback("Dispatch", &clocks)), &json!({})).await;
        assert_eq!(end.shape()[4..], ["5<4 TaskSubmitted", "6<5 TaskTimedOut", "7<6 ExecutionFailed"]);
        let timed_out = details(&end, 6, "taskTimedOutEventDetails");
        assert_eq!(timed_out["error"], "States.Timeout");
        assert_eq!(timed_out.get("cause"), None);
        assert_eq!(details(&end, 7, "executionFailedEventDetails"), &json!({ "error": "States.Timeout" }));
    }
}

#[tokio::test]
async fn a_function_that_throws_and_is_caught() {
    let cloud = Cloud::new();
    cloud.always("Throw", Reply::Throws("Mine"));
    let machine = json!({ "StartAt": "Task", "States": {
        "Task": invoke("Throw", &json!({ "End": true, "Catch": [{ "ErrorEquals": ["Mine"], "Next": "Caught" }] })),
        "Caught": { "Type": "Pass", "ResultPath": "$.again", "End": true },
    } });
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(
        end.shape(),
        [
            "1<0 ExecutionStarted",
            "2<0 TaskStateEntered",
            "3<2 TaskScheduled",
            "4<3 TaskStarted",
            "5<4 TaskFailed",
            "6<5 TaskStateExited",
            "7<6 PassStateEntered",
            "8<7 PassStateExited",
            "9<8 ExecutionSucceeded",
        ]
    );
    let cause = "{\"errorType\":\"Mine\",\"errorMessage\":\"no\"}";
    let failed = json!({ "error": "Mine", "cause": cause, "resourceType": "lambda", "resource": "invoke" });
    assert_eq!(details(&end, 5, "taskFailedEventDetails"), &failed);
    let output: Value =
        serde_json::from_str(details(&end, 6, "stateExitedEventDetails")["output"].as_str().unwrap())
            .unwrap();
    assert_eq!(output, json!({ "Error": "Mine", "Cause": cause }));
}

/// A retry schedules again after the failure, within the same visit to the state.
#[tokio::test]
async fn a_retry() {
    let cloud = Cloud::new();
    cloud
        .function("Flaky", |_, call| if call == 1 { Reply::Throws("Bad") } else { Reply::Returns(json!(1)) });
    let end = cloud
        .run(&only(&invoke("Flaky", &json!({ "Retry": [{ "ErrorEquals": ["Bad"] }] }))), &json!({}))
        .await;
    assert_eq!(
        end.shape()[4..8],
        ["5<4 TaskFailed", "6<5 TaskScheduled", "7<6 TaskStarted", "8<7 TaskSucceeded"]
    );
}

#[tokio::test]
async fn a_parallel_whose_only_branch_fails() {
    let cloud = dispatching();
    let mut inner = callback("Dispatch", &json!({}));
    inner["End"] = true.into();
    let machine = json!({ "StartAt": "Both", "States": {
        "Both": { "Type": "Parallel", "End": true,
            "Branches": [{ "StartAt": "Inner", "States": { "Inner": inner } }],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught" }] },
        "Caught": { "Type": "Pass", "End": true },
    } });
    let end = answered(&cloud, &machine, Signal::Done(Err(Failure::default()))).await;
    assert_eq!(
        end.shape(),
        [
            "1<0 ExecutionStarted",
            "2<0 ParallelStateEntered",
            "3<2 ParallelStateStarted",
            "4<3 TaskStateEntered",
            "5<4 TaskScheduled",
            "6<5 TaskStarted",
            "7<6 TaskSubmitted",
            "8<7 TaskFailed",
            "9<8 TaskStateAborted",
            "10<8 ParallelStateFailed",
            "11<10 ParallelStateExited",
            "12<11 PassStateEntered",
            "13<12 PassStateExited",
            "14<13 ExecutionSucceeded",
        ]
    );
    assert_eq!(end.succeeded(), json!({ "error": { "Error": null, "Cause": null } }));
}

/// Each branch is a chain of its own from ParallelStateStarted on; the states of aborted siblings follow the failure
/// (recorded for one branch, and for the iterations of a Map).
#[tokio::test]
async fn a_parallel_whose_second_branch_fails() {
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        { "StartAt": "Wait", "States": { "Wait": { "Type": "Wait", "Seconds": 3600, "End": true } } },
        { "StartAt": "Pause", "States": { "Pause": { "Type": "Wait", "Seconds": 1, "Next": "Fail" }, "Fail": { "Type": "Fail" } } },
    ] }));
    let end = Cloud::new().run(&machine, &json!({})).await;
    assert_eq!(
        end.shape()[3..],
        [
            "4<3 WaitStateEntered",
            "5<3 WaitStateEntered",
            "6<5 WaitStateExited",
            "7<6 FailStateEntered",
            "8<7 WaitStateAborted",
            "9<7 ParallelStateFailed",
            "10<9 ExecutionFailed",
        ]
    );
}

#[tokio::test]
async fn a_parallel_that_succeeds() {
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        { "StartAt": "A", "States": { "A": { "Type": "Pass", "End": true } } },
        { "StartAt": "B", "States": { "B": { "Type": "Succeed" } } },
    ] }));
    let end = Cloud::new().run(&machine, &json!({})).await;
    assert_eq!(
        end.shape()[2..],
        [
            "3<2 ParallelStateStarted",
            "4<3 PassStateEntered",
            "5<4 PassStateExited",
            "6<3 SucceedStateEntered",
            "7<6 SucceedStateExited",
            "8<7 ParallelStateSucceeded",
            "9<7 ParallelStateExited",
            "10<9 ExecutionSucceeded",
        ]
    );
}

/// What a Parallel hands on follows the last event of its branches, passing ParallelStateSucceeded by, at every depth.
#[tokio::test]
async fn a_parallel_within_a_parallel() {
    let inner = json!({ "Type": "Parallel", "End": true, "Branches": [
        { "StartAt": "Deep", "States": { "Deep": { "Type": "Pass", "End": true } } } ] });
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        { "StartAt": "Inner", "States": { "Inner": inner } } ] }));
    let end = Cloud::new().run(&machine, &json!({})).await;
    assert_eq!(
        end.shape()[3..],
        [
            "4<3 ParallelStateEntered",
            "5<4 ParallelStateStarted",
            "6<5 PassStateEntered",
            "7<6 PassStateExited",
            "8<7 ParallelStateSucceeded",
            "9<7 ParallelStateExited",
            "10<9 ParallelStateSucceeded",
            "11<9 ParallelStateExited",
            "12<11 ExecutionSucceeded",
        ]
    );
}

/// A retry of a Parallel starts it again after what failed; that it has failed is said only when no retry is left.
#[tokio::test]
async fn a_parallel_that_is_retried() {
    let cloud = Cloud::new();
    cloud.always("Throw", Reply::Throws("Bad"));
    let mut task = invoke("Throw", &json!({}));
    task["End"] = true.into();
    let machine = json!({ "StartAt": "Both", "States": {
        "Both": { "Type": "Parallel", "End": true,
            "Branches": [{ "StartAt": "Task", "States": { "Task": task } }],
            "Retry": [{ "ErrorEquals": ["Bad"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["Bad"], "Next": "Caught" }] },
        "Caught": { "Type": "Succeed" },
    } });
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(
        end.shape()[2..],
        [
            "3<2 ParallelStateStarted",
            "4<3 TaskStateEntered",
            "5<4 TaskScheduled",
            "6<5 TaskStarted",
            "7<6 TaskFailed",
            "8<7 TaskStateAborted",
            "9<7 ParallelStateStarted",
            "10<9 TaskStateEntered",
            "11<10 TaskScheduled",
            "12<11 TaskStarted",
            "13<12 TaskFailed",
            "14<13 TaskStateAborted",
            "15<13 ParallelStateFailed",
            "16<15 ParallelStateExited",
            "17<16 SucceedStateEntered",
            "18<17 SucceedStateExited",
            "19<18 ExecutionSucceeded",
        ]
    );
}

/// A fault of the Parallel's own ends the execution after ParallelStateSucceeded, which nothing else follows.
#[tokio::test]
async fn a_parallel_whose_own_result_selector_leads_nowhere() {
    let machine = only(&json!({ "Type": "Parallel", "ResultSelector": { "m.$": "$.none" }, "Branches": [
        { "StartAt": "A", "States": { "A": { "Type": "Pass", "End": true } } } ] }));
    let end = Cloud::new().run(&machine, &json!({ "x": "a" })).await;
    assert_eq!(end.shape()[5..], ["6<5 ParallelStateSucceeded", "7<6 ExecutionFailed"]);
    assert_eq!(
        end.cause(),
        "An error occurred while executing the state 'Only' (entered at the event id #2). The JSONPath '$.none' \
         specified for the field 'm.$' could not be found in the input '[{\"x\":\"a\"}]'"
    );
}

#[tokio::test]
async fn a_nested_run() {
    let cloud = Cloud::new();
    let child = cloud.deploy("child", &only(&json!({ "Type": "Pass", "Result": { "a": 1 } })));
    let machine = only(&json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": { "StateMachineArn": child, "Input": null, "Name": "child" },
    }));
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(
        end.shape(),
        [
            "1<0 ExecutionStarted",
            "2<0 TaskStateEntered",
            "3<2 TaskScheduled",
            "4<3 TaskStarted",
            "5<4 TaskSubmitted",
            "6<5 TaskSucceeded",
            "7<6 TaskStateExited",
            "8<7 ExecutionSucceeded",
        ]
    );
    let scheduled = details(&end, 3, "taskScheduledEventDetails");
    assert_eq!(
        (&scheduled["resourceType"], &scheduled["resource"]),
        (&json!("states"), &json!("startExecution.sync:2"))
    );
    let submitted = details(&end, 5, "taskSubmittedEventDetails")["output"].as_str().unwrap();
    let submitted: Value = serde_json::from_str(submitted).unwrap();
    let mut names: Vec<_> = submitted.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ExecutionArn", "SdkHttpMetadata", "SdkResponseMetadata", "StartDate"]);
    let output = end.succeeded();
    let names: Vec<_> = output.as_object().unwrap().keys().map(String::as_str).collect();
    let recorded = [
        "ExecutionArn",
        "Input",
        "InputDetails",
        "Name",
        "Output",
        "OutputDetails",
        "RedriveCount",
        "RedriveStatus",
        "RedriveStatusReason",
        "StartDate",
        "StateMachineArn",
        "Status",
        "StopDate",
    ];
    assert_eq!(names, recorded);
}
