//! Tasks that wait for a token (connect-to-resource.html#connect-wait-token).

use local_states::callback::Signal;
use local_states::execution::Status;
use local_states::language::failure::Failure;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Reply, callback, ended, eventually, history, only, token};

fn success(output: Value) -> Signal {
    Signal::Done(Ok(output))
}

/// "Step Functions pauses … until that task token is returned": what the function returns does not complete the task.
#[tokio::test]
async fn the_task_ends_with_the_token_not_with_the_function() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!("of no interest")));
    let execution = cloud.start(&only(&callback("Dispatch", &json!({}))), &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    eventually("the function has returned", || {
        history(&execution).iter().any(|event| event["type"] == "TaskSubmitted")
    })
    .await;
    assert_eq!(execution.status(), Status::Running);
    cloud.engine.tokens.send(token(&payload), success(json!({ "done": true }))).expect("the token is good");
    assert_eq!(ended(&execution).await.succeeded(), json!({ "done": true }));
}

/// A callback may be faster than the function that handed the token out.
#[tokio::test]
async fn a_callback_before_the_functions_return_counts() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Hangs);
    let execution = cloud.start(&only(&callback("Dispatch", &json!({}))), &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    cloud.engine.tokens.send(token(&payload), success(json!(1))).expect("the token is good");
    assert_eq!(ended(&execution).await.succeeded(), json!(1));
}

/// SendTaskFailure's error and cause are the task's; both may be left out (recorded).
#[tokio::test]
async fn a_failure_that_is_sent_is_the_tasks() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    for failure in [Failure::new("Mine", "why"), Failure::default()] {
        let execution = cloud.start(&only(&callback("Dispatch", &json!({}))), &json!({})).await;
        let payload = cloud.next_call("Dispatch").await;
        cloud
            .engine
            .tokens
            .send(token(&payload), Signal::Done(Err(failure.clone())))
            .expect("the token is good");
        let end = ended(&execution).await;
        assert_eq!((end.status, end.error, end.cause), (Status::Failed, failure.error, failure.cause));
    }
}

/// A function that throws fails the task at once, with the function's error.
#[tokio::test]
async fn a_function_that_throws_fails_the_task() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Throws("NoMailbox"));
    let end = cloud.run(&only(&callback("Dispatch", &json!({ "TimeoutSeconds": 86400 }))), &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "NoMailbox"));
}

/// TaskTimedOut: "the task token has either expired or the task associated with the token has already been closed"
/// (API reference, SendTaskSuccess). Here: a second answer, and one after the end.
#[tokio::test]
async fn a_token_is_good_for_one_answer() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let execution = cloud.start(&only(&callback("Dispatch", &json!({}))), &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    let tokens = &cloud.engine.tokens;
    tokens.send(token(&payload), success(json!(1))).expect("the first answer counts");
    assert_eq!(tokens.send(token(&payload), success(json!(2))).unwrap_err().code, "TaskTimedOut");
    assert_eq!(ended(&execution).await.succeeded(), json!(1));
    assert_eq!(tokens.send(token(&payload), Signal::Heartbeat).unwrap_err().code, "TaskTimedOut");
}

/// InvalidToken: "the provided token is not valid".
#[test]
fn garbage_is_an_invalid_token() {
    let error = Cloud::new().engine.tokens.send("garbage", Signal::Heartbeat).unwrap_err();
    assert_eq!(error.code, "InvalidToken");
}

/// Each try has a token of its own; the one of the try before is dead.
#[tokio::test]
async fn a_retry_issues_a_fresh_token() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine =
        only(&callback("Dispatch", &json!({ "Retry": [{ "ErrorEquals": ["Again"], "MaxAttempts": 1 }] })));
    let execution = cloud.start(&machine, &json!({})).await;
    let first = cloud.next_call("Dispatch").await;
    let again = Signal::Done(Err(Failure::new("Again", "")));
    cloud.engine.tokens.send(token(&first), again).expect("the first token is good");
    let second = cloud.next_call("Dispatch").await;
    assert_ne!(first, second);
    assert_eq!(cloud.engine.tokens.send(token(&first), success(json!(1))).unwrap_err().code, "TaskTimedOut");
    cloud.engine.tokens.send(token(&second), success(json!(2))).expect("the second token is good");
    assert_eq!(ended(&execution).await.succeeded(), json!(2));
}

/// After StopExecution the token is dead: "the execution … already closed".
#[tokio::test]
async fn stop_closes_the_token() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let execution = cloud.start(&only(&callback("Dispatch", &json!({}))), &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    cloud.engine.stop(&execution, None, None);
    eventually("the token is dead", || {
        let answer = cloud.engine.tokens.send(token(&payload), Signal::Heartbeat);
        answer.is_err_and(|error| error.code == "TaskTimedOut")
    })
    .await;
}
