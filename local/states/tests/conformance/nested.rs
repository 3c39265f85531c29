//! Executions that start, watch and stop executions (connect-stepfunctions.html, supported-services-awssdk.html).

use std::sync::Arc;

use local_aws::server::Service;
use local_states::execution::{Execution, Status};
use serde_json::{Value, json};

use crate::cloud::{Cloud, Reply, ended, eventually, invoke, only};

fn start_child(resource: &str, child: &str) -> Value {
    json!({
        "Type": "Task",
        "Resource": format!("arn:aws:states:::states:{resource}"),
        "Parameters": { "StateMachineArn": child, "Name": "child", "Input": { "from.$": "$$.Execution.Name" } },
    })
}

fn child_of(cloud: &Cloud, machine: &str) -> Option<Arc<Execution>> {
    cloud.engine.executions(machine).pop()
}

/// A cloud with a machine `child` whose only Task hangs.
fn hanging_child() -> (Cloud, String) {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let child = cloud.deploy("child", &only(&invoke("Hang", &json!({}))));
    (cloud, child)
}

/// With `.sync:2` the output is JSON rather than a string of JSON (connect-stepfunctions.html; recorded).
#[tokio::test]
async fn a_nested_runs_input_and_output_are_json() {
    let cloud = Cloud::new();
    let child = cloud.deploy("child", &only(&json!({ "Type": "Pass", "Result": { "answer": 42 } })));
    let output =
        cloud.run(&only(&start_child("startExecution.sync:2", &child)), &json!({})).await.succeeded();
    assert_eq!(output["Status"], "SUCCEEDED");
    assert_eq!(output["Output"], json!({ "answer": 42 }));
    assert_eq!(output["Name"], "child");
    assert!(output["Input"]["from"].is_string() && output["StartDate"].is_i64(), "{output}");
    assert_eq!(
        (&output["RedriveCount"], &output["RedriveStatus"], &output["RedriveStatusReason"]),
        (&json!(0), &json!("NOT_REDRIVABLE"), &json!("Execution is SUCCEEDED and cannot be redriven"))
    );
}

/// A nested run that fails is States.TaskFailed, with its description as the cause (recorded for `sync`).
#[tokio::test]
async fn a_nested_failure_is_a_failed_task() {
    let cloud = Cloud::new();
    let child = cloud.deploy("child", &only(&json!({ "Type": "Pass" })));
    cloud.deploy(
        "child",
        &json!({ "StartAt": "F", "States": { "F": { "Type": "Fail", "Error": "Mine", "Cause": "why" } } }),
    );
    let end = cloud.run(&only(&start_child("startExecution.sync:2", &child)), &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "States.TaskFailed"));
    let cause: Value = serde_json::from_str(end.cause()).expect("the cause is JSON");
    assert_eq!(
        (&cause["Error"], &cause["Cause"], &cause["Status"]),
        (&json!("Mine"), &json!("why"), &json!("FAILED"))
    );
    assert!(cause["Input"].is_string(), "{cause}");
    assert_eq!((&cause["RedriveStatus"], cause.get("RedriveStatusReason")), (&json!("REDRIVABLE"), None));
}

/// When the parent is stopped, its nested run is too (connect-to-resource.html, "A task can be aborted if").
#[tokio::test]
async fn a_nested_run_is_stopped_with_its_parent() {
    let (cloud, child) = hanging_child();
    let parent = cloud.start(&only(&start_child("startExecution.sync:2", &child)), &json!({})).await;
    cloud.next_call("Hang").await;
    cloud.engine.stop(&parent, None, None);
    let child = child_of(&cloud, &child).expect("the child was started");
    assert_eq!(ended(&child).await.status, Status::Aborted);
}

/// The same when a different branch of a Parallel fails.
#[tokio::test]
async fn a_nested_run_is_stopped_when_a_sibling_fails() {
    let (cloud, child) = hanging_child();
    let mut waiting = start_child("startExecution.sync:2", &child);
    waiting["End"] = true.into();
    let machine = only(&json!({ "Type": "Parallel", "Branches": [
        { "StartAt": "Child", "States": { "Child": waiting } },
        { "StartAt": "Pause", "States": {
            "Pause": { "Type": "Wait", "Seconds": 2, "Next": "Fail" }, "Fail": { "Type": "Fail" } } },
    ] }));
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(end.status, Status::Failed);
    let child = child_of(&cloud, &child).expect("the child was started");
    assert_eq!(ended(&child).await.status, Status::Aborted);
}

/// It takes the right to states:StopExecution to stop the child: without it the child lives on
/// (connect-stepfunctions.html, "IAM policies").
#[tokio::test]
async fn a_parent_without_the_right_leaves_its_child_running() {
    let (cloud, child) = hanging_child();
    cloud.deny("states:StopExecution");
    let parent = cloud.start(&only(&start_child("startExecution.sync:2", &child)), &json!({})).await;
    cloud.next_call("Hang").await;
    cloud.engine.stop(&parent, None, None);
    ended(&parent).await;
    tokio::task::yield_now().await;
    assert_eq!(child_of(&cloud, &child).expect("the child was started").status(), Status::Running);
}

/// Fire and forget: the task ends with the start, and the child outlives its parent.
#[tokio::test]
async fn a_child_that_nobody_waits_for_lives_on() {
    let (cloud, child) = hanging_child();
    let output = cloud.run(&only(&start_child("startExecution", &child)), &json!({})).await.succeeded();
    assert!(
        output["ExecutionArn"].as_str().is_some_and(|arn| arn.ends_with(":execution:child:child")),
        "{output}"
    );
    cloud.next_call("Hang").await;
    assert_eq!(child_of(&cloud, &child).expect("the child was started").status(), Status::Running);
}

/// A refused start is StepFunctions.…Exception (recorded for StateMachineDoesNotExist).
#[tokio::test]
async fn a_start_that_is_refused_names_the_exception() {
    let cloud = Cloud::new();
    let nobody = "arn:aws:states:eu-west-1:123456789012:stateMachine:nobody";
    let end = cloud.run(&only(&start_child("startExecution", nobody)), &json!({})).await;
    assert_eq!(end.error(), "StepFunctions.StateMachineDoesNotExistException");
    assert!(end.cause().starts_with("State Machine Does Not Exist: '"), "{end:#?}");

    cloud.deny("states:StartExecution");
    let end = cloud.run(&only(&start_child("startExecution", nobody)), &json!({})).await;
    assert_eq!(end.error(), "StepFunctions.AWSStepFunctionsException");
}

/// The role must be able to make the rule through which AWS learns of the child's end (connect-stepfunctions.html,
/// "IAM policies").
#[tokio::test]
async fn sync_needs_the_right_to_the_managed_rule() {
    let cloud = Cloud::new();
    cloud.deny("events:PutRule");
    let error = cloud.refusal(&only(&start_child("startExecution.sync:2", "arn:x"))).await;
    assert_eq!(error.code, "AccessDeniedException");
    assert!(error.message.contains("is not authorized to create managed-rule"), "{error}");
}

/// SDK integrations take and give PascalCase and name errors `Sfn.…Exception`.
#[tokio::test]
async fn the_sdk_integrations_describe_and_stop() {
    let (cloud, child) = hanging_child();
    let other = cloud.engine.start(&child, Some("other"), None).await.expect("it starts");
    let call = |action: &str, parameters: Value| {
        only(&json!({
            "Type": "Task",
            "Resource": format!("arn:aws:states:::aws-sdk:sfn:{action}"),
            "Parameters": parameters,
        }))
    };
    let described =
        cloud.run(&call("describeExecution", json!({ "ExecutionArn": other.arn })), &json!({})).await;
    let described = described.succeeded();
    assert_eq!((&described["Status"], &described["Name"]), (&json!("RUNNING"), &json!("other")));
    assert!(described["StartDate"].as_str().is_some_and(|date| date.ends_with('Z')), "{described}");

    let stop = call("stopExecution", json!({ "ExecutionArn": other.arn, "Error": "E", "Cause": "C" }));
    assert!(cloud.run(&stop, &json!({})).await.succeeded()["StopDate"].is_string());
    let end = ended(&other).await;
    assert_eq!((end.status, end.error(), end.cause()), (Status::Aborted, "E", "C"));

    let missing = call("stopExecution", json!({ "ExecutionArn": format!("{}-not", other.arn) }));
    let end = cloud.run(&missing, &json!({})).await;
    assert_eq!(end.error(), "Sfn.ExecutionDoesNotExistException");
    assert!(end.cause().ends_with("(SDK Attempt Count: 1)"), "{}", end.cause());
}

/// events:putEvents adds the execution's and the machine's ARN to Resources, and a refused entry fails the task
/// (connect-eventbridge.html).
#[tokio::test]
async fn put_events_adds_resources_and_fails_with_a_failed_entry() {
    let cloud = Cloud::new();
    let put = |source: &str| {
        only(&json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::events:putEvents",
            "Parameters": { "Entries": [{ "Source": source, "DetailType": "T", "Detail": { "job.$": "$.job" } }] },
        }))
    };
    let output = cloud.run(&put("mine"), &json!({ "job": "j" })).await.succeeded();
    assert_eq!(output["FailedEntryCount"], 0);
    let entry = cloud.put_events().remove(0);
    assert_eq!(entry["Detail"], "{\"job\":\"j\"}");
    assert_eq!(entry["Resources"].as_array().map(Vec::len), Some(2));
    assert_eq!(cloud.run(&put("refused"), &json!({ "job": "j" })).await.error(), "EventBridge.FailedEntry");
}

/// When the stand-in itself ends, executions are dropped where they are: nobody is told of an end that never was.
#[tokio::test]
async fn the_end_of_the_engine_is_no_end_of_executions() {
    let (cloud, child) = hanging_child();
    let parent = cloud.start(&only(&start_child("startExecution.sync:2", &child)), &json!({})).await;
    cloud.next_call("Hang").await;
    cloud.step_functions.stop().await;
    eventually("the call is dropped", || cloud.aborted_calls() == ["Hang"]).await;
    assert_eq!(parent.status(), Status::Running);
    assert_eq!(cloud.announced().len(), 2, "parent and child, running");
}

/// Each change of status is announced once (eventbridge-integration.html), with these fields (recorded).
#[tokio::test]
async fn every_change_of_status_is_announced() {
    let (cloud, child) = hanging_child();
    let execution = cloud.engine.start(&child, Some("job"), Some("{\"a\":1}")).await.expect("it starts");
    cloud.engine.stop(&execution, Some("E".into()), Some("C".into()));
    cloud.engine.stop(&execution, None, None);
    eventually("both are announced", || cloud.announced().len() == 2).await;
    let [running, aborted] = cloud.announced().try_into().expect("two events");
    assert_eq!((&running["status"], &running["stopDate"]), (&json!("RUNNING"), &Value::Null));
    assert_eq!(
        (&running["input"], &running["inputDetails"]),
        (&json!("{\"a\":1}"), &json!({ "included": true }))
    );
    assert_eq!((&aborted["status"], &aborted["error"]), (&json!("ABORTED"), &json!("E")));
    assert!(aborted["stopDate"].is_i64() && aborted["name"] == "job", "{aborted}");
    let redrive = |detail: &Value| {
        ["redriveCount", "redriveDate", "redriveStatus", "redriveStatusReason"]
            .map(|name| detail.get(name).cloned())
    };
    let running_reason = json!("Execution is RUNNING and cannot be redriven");
    let expected = [json!(0), Value::Null, json!("NOT_REDRIVABLE"), running_reason].map(Some);
    assert_eq!(redrive(&running), expected);
    let expected = [json!(0), Value::Null, json!("REDRIVABLE"), Value::Null].map(Some);
    assert_eq!(redrive(&aborted), expected);
}
