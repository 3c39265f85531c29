//! StartExecution (API reference).

use std::sync::Arc;

use local_states::callback::Signal;
use serde_json::json;

use crate::cloud::{Cloud, Reply, callback, ended, only, token};

fn waiting() -> serde_json::Value {
    only(&json!({ "Type": "Wait", "Seconds": 3600 }))
}

/// "StartExecution is idempotent for STANDARD workflows": the same name and input while it runs give the same
/// execution; another input, or the same after the end, is ExecutionAlreadyExists.
#[tokio::test]
async fn the_same_name_and_input_start_one_execution() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &waiting());
    let start = |input| cloud.engine.start(&machine, Some("job"), Some(input));
    let first = start("{\"a\":1}").await.expect("it starts");
    let second = start("{\"a\":1}").await.expect("it is the same");
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(start("{\"a\":2}").await.unwrap_err().code, "ExecutionAlreadyExists");
    cloud.engine.stop(&first, None, None);
    assert_eq!(start("{\"a\":1}").await.unwrap_err().code, "ExecutionAlreadyExists");
}

/// 1 to 80 characters without white space, brackets, wildcards and special characters; a UUID if there is none.
#[tokio::test]
async fn names_are_checked() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &waiting());
    for name in ["", "a b", "a:b", "a/b", "a*", "<a>", "a\u{7f}", &"x".repeat(81)] {
        assert_eq!(
            cloud.engine.start(&machine, Some(name), None).await.unwrap_err().code,
            "InvalidName",
            "{name}"
        );
    }
    let longest = "x".repeat(80);
    for name in ["a.b_c-d+e@f=g", &longest] {
        cloud.engine.start(&machine, Some(name), None).await.expect("the name is good");
    }
    let unnamed = cloud.engine.start(&machine, None, None).await.expect("it starts");
    assert_eq!((unnamed.name.len(), unnamed.input.as_str()), (36, "{}"));
}

/// The input must be JSON within the limit.
#[tokio::test]
async fn inputs_are_checked() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &waiting());
    let large = json!("x".repeat(262_144)).to_string();
    for input in ["{", "", large.as_str()] {
        let error = cloud.engine.start(&machine, None, Some(input)).await.unwrap_err();
        assert_eq!(error.code, "InvalidExecutionInput");
    }
}

/// A machine that is not there, and an ARN that is none.
#[tokio::test]
async fn a_machine_must_be_there() {
    let engine = Cloud::new().engine;
    let error = engine.start("arn:aws:states:eu-west-1:1:stateMachine:none", None, None).await;
    assert_eq!(error.unwrap_err().code, "StateMachineDoesNotExist");
    assert_eq!(engine.start("none", None, None).await.unwrap_err().code, "InvalidArn");
    assert_eq!(engine.execution("arn:aws:states:eu-west-1:1:execution:none").unwrap_err().code, "InvalidArn");
    let missing = engine.execution("arn:aws:states:eu-west-1:1:execution:none:none");
    assert_eq!(missing.unwrap_err().code, "ExecutionDoesNotExist");
}

/// Executions started after an update use the new definition, those that run keep theirs (API reference,
/// UpdateStateMachine).
#[tokio::test]
async fn a_redeployed_machine_is_taken_over() {
    let cloud = Cloud::new();
    let machine = cloud.deploy("machine", &only(&json!({ "Type": "Wait", "Seconds": 5 })));
    let old = cloud.engine.start(&machine, None, Some("1")).await.expect("it starts");
    cloud.deploy("machine", &only(&json!({ "Type": "Pass", "Result": 2 })));
    let new = cloud.engine.start(&machine, None, Some("1")).await.expect("it starts");
    assert_eq!(ended(&new).await.succeeded(), json!(2));
    assert_eq!(ended(&old).await.succeeded(), json!(1));
}

/// Of this project's own making: names, ids, tokens and what machines draw follow from one seed.
#[tokio::test]
async fn one_seed_gives_one_history() {
    let history = async |seed| {
        let cloud = Cloud::seeded(seed);
        cloud.always("Dispatch", Reply::Returns(json!(null)));
        let mut machine = only(&callback("Dispatch", &json!({})));
        machine["States"]["Draw"] =
            json!({ "Type": "Pass", "Parameters": { "id.$": "States.UUID()" }, "Next": "Only" });
        machine["StartAt"] = "Draw".into();
        let execution = cloud.start(&machine, &json!({})).await;
        let payload = cloud.next_call("Dispatch").await;
        cloud.engine.tokens.send(token(&payload), Signal::Done(Ok(json!(1)))).expect("the token is good");
        let mut events = ended(&execution).await.events;
        for event in &mut events {
            event.as_object_mut().expect("an object").remove("timestamp");
        }
        (execution.arn.clone(), events)
    };
    let first = history(1).await;
    assert_eq!(first, history(1).await);
    assert_ne!(first, history(2).await);
}
