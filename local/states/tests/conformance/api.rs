//! The API, through the SDK that the project's functions use, without a socket.

use aws_sdk_sfn::error::ProvideErrorMetadata;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use serde_json::json;

use crate::cloud::{Cloud, Reply, callback, ended, invoke, only, token};

#[tokio::test]
async fn an_execution_is_started_called_back_described_and_listed() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine = cloud.deploy("machine", &only(&callback("Dispatch", &json!({}))));
    let client = cloud.client();
    let start = client.start_execution().state_machine_arn(&machine).name("job").input("{\"a\":1}");
    let arn = start.clone().send().await.expect("it starts").execution_arn;
    assert_eq!(start.send().await.expect("it is the same").execution_arn, arn);

    let payload = cloud.next_call("Dispatch").await;
    client.send_task_heartbeat().task_token(token(&payload)).send().await.expect("the token is good");
    client.send_task_success().task_token(token(&payload)).output("{\"b\":2}").send().await.expect("it is");
    let execution = cloud.engine.execution(&arn).expect("it is there");
    ended(&execution).await;

    let described = client.describe_execution().execution_arn(&arn).send().await.expect("it is there");
    assert_eq!(described.status, ExecutionStatus::Succeeded);
    assert_eq!(
        (described.input.as_deref(), described.output.as_deref()),
        (Some("{\"a\":1}"), Some("{\"b\":2}"))
    );
    assert!(described.stop_date.is_some());

    let listed = client
        .list_executions()
        .state_machine_arn(&machine)
        .status_filter(ExecutionStatus::Succeeded)
        .send()
        .await
        .expect("they are listed");
    assert_eq!(listed.executions.len(), 1);
    let for_execution = client.describe_state_machine_for_execution().execution_arn(&arn).send().await;
    assert_eq!(for_execution.expect("it is there").state_machine_arn, machine);
    let outcomes: Vec<_> = cloud.log.snapshot().into_iter().map(|call| (call.action, call.outcome)).collect();
    assert_eq!(outcomes[0], ("states:StartExecution".to_owned(), "OK".to_owned()));
}

#[tokio::test]
async fn a_history_has_pages_and_an_order() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &only(&json!({ "Type": "Pass" })));
    let execution = cloud.engine.start(&machine, None, Some("{\"a\":1}")).await.expect("it starts");
    ended(&execution).await;
    let client = cloud.client();
    let history = client.get_execution_history().execution_arn(&execution.arn);
    let first = history.clone().max_results(3).send().await.expect("a page");
    assert_eq!(first.events.len(), 3);
    let rest = history.clone().set_next_token(first.next_token).send().await.expect("the rest");
    assert_eq!(rest.events.len(), 1);
    assert_eq!(rest.next_token, None);
    let reversed = history.clone().reverse_order(true).send().await.expect("a page");
    assert_eq!(reversed.events[0].r#type, HistoryEventType::ExecutionSucceeded);
    let bare = history.include_execution_data(false).send().await.expect("a page");
    assert_eq!(bare.events[0].execution_started_event_details.as_ref().expect("details").input, None);
}

#[tokio::test]
async fn errors_are_the_sdks_own() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let machine = cloud.deploy("machine", &only(&invoke("Hang", &json!({}))));
    let client = cloud.client();
    let start = client.start_execution().state_machine_arn(&machine).name("job");
    let arn = start.clone().send().await.expect("it starts").execution_arn;
    let taken = start.input("1").send().await.expect_err("another input").into_service_error();
    assert!(taken.is_execution_already_exists(), "{taken:?}");
    let missing = client.describe_execution().execution_arn(format!("{arn}-not")).send().await;
    assert!(missing.expect_err("none").into_service_error().is_execution_does_not_exist());
    let garbage = client.send_task_heartbeat().task_token("garbage").send().await;
    assert!(garbage.expect_err("no token").into_service_error().is_invalid_token());
    let stopped = client.stop_execution().execution_arn(&arn).error("E").send().await;
    assert!(stopped.expect("it stops").stop_date.secs() > 0);
    let aborted = client.describe_execution().execution_arn(&arn).send().await.expect("it is there");
    assert_eq!((aborted.status, aborted.error.as_deref()), (ExecutionStatus::Aborted, Some("E")));

    let unsupported = client.create_activity().name("a").send().await.expect_err("not supported");
    assert_eq!(unsupported.code(), Some("UnknownOperationException"));
    assert!(unsupported.message().is_some_and(|message| message.contains("CreateActivity")));
    let traced = client.start_execution().state_machine_arn(&machine).trace_header("x").send().await;
    let traced = traced.expect_err("an unsupported field");
    assert!(traced.message().is_some_and(|message| message.contains("traceHeader")));
}

#[tokio::test]
async fn a_caller_without_the_right_is_refused() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &only(&json!({ "Type": "Pass" })));
    cloud.deny("states:StartExecution");
    let client = cloud.client();
    let refused = client.start_execution().state_machine_arn(&machine).send().await.expect_err("refused");
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    let call = cloud.log.snapshot().remove(0);
    assert_eq!((call.resource, call.outcome), (machine, "AccessDeniedException".to_owned()));
}

#[tokio::test]
async fn machines_are_listed_and_described() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &only(&json!({ "Type": "Pass" })));
    let client = cloud.client();
    let listed = client.list_state_machines().send().await.expect("they are listed");
    assert_eq!(listed.state_machines[0].state_machine_arn, machine);
    let described = client.describe_state_machine().state_machine_arn(&machine).send().await.expect("it is");
    assert_eq!((described.name.as_str(), described.creation_date.secs()), ("machine", 1));
    assert_eq!(described.revision_id, None, "before its first update a machine has none (recorded)");
    cloud.deploy("machine", &only(&json!({ "Type": "Pass", "Result": 2 })));
    let updated = client.describe_state_machine().state_machine_arn(&machine).send().await;
    assert!(updated.expect("it is").revision_id.is_some());
}
