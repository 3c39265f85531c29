//! What ValidateStateMachineDefinition would refuse, and what is not supported here, is refused by name before
//! anything runs.

use local_states::language::parse::definition;
use serde_json::{Value, json};

use crate::cloud::{Cloud, invoke, only};

fn refused(machine: &Value, because: &str) {
    match definition(&machine.to_string()) {
        Ok(_) => panic!("accepted, though {because}: {machine}"),
        Err(problem) => assert!(problem.contains(because), "'{problem}' does not say '{because}'"),
    }
}

fn states(states: &Value) -> Value {
    json!({ "StartAt": "A", "States": states })
}

#[test]
fn transitions_must_lead_somewhere() {
    refused(&json!({ "StartAt": "X", "States": { "A": { "Type": "Succeed" } } }), "StartAt leads to 'X'");
    refused(&states(&json!({ "A": { "Type": "Pass", "Next": "X" } })), "state 'A' leads to 'X'");
    refused(
        &states(
            &json!({ "A": { "Type": "Choice", "Choices": [{ "Variable": "$", "IsNull": true, "Next": "A" }], "Default": "X" } }),
        ),
        "leads to 'X'",
    );
    refused(
        &only(&invoke("F", &json!({ "Catch": [{ "ErrorEquals": ["E"], "Next": "X" }] }))),
        "leads to 'X'",
    );
    refused(
        &states(&json!({ "A": { "Type": "Succeed" }, "B": { "Type": "Succeed" } })),
        "state 'B' cannot be reached",
    );
}

#[test]
fn a_state_needs_exactly_one_way_on() {
    let needed = "exactly one of 'Next' and 'End: true'";
    refused(&states(&json!({ "A": { "Type": "Pass" } })), needed);
    refused(&states(&json!({ "A": { "Type": "Pass", "End": true, "Next": "A" } })), needed);
    refused(
        &states(&json!({ "A": { "Type": "Succeed", "End": true } })),
        "state 'A': field 'End' is unknown",
    );
}

#[test]
fn unknown_fields_and_types_are_named() {
    refused(&only(&invoke("F", &json!({ "Retries": [] }))), "state 'Only': field 'Retries'");
    refused(
        &only(&invoke("F", &json!({ "Retry": [{ "ErrorEquals": ["E"], "Delay": 1 }] }))),
        "Retry[0]: field 'Delay'",
    );
    refused(&only(&json!({ "Type": "Map" })), "state 'Only': the type 'Map' is not supported");
    refused(
        &only(&invoke("F", &json!({ "Resource": "arn:aws:states:::sqs:sendMessage" }))),
        "sqs:sendMessage",
    );
    refused(
        &only(&invoke("F", &json!({ "Parameters": { "FunctionName": "F", "Qualifier": "1" } }))),
        "'Qualifier' is not supported",
    );
    refused(&only(&invoke("F", &json!({ "Parameters": {} }))), "'FunctionName' is missing");
    refused(
        &json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": {} }),
        "'JSONata' is not supported",
    );
    refused(
        &json!({ "StartAt": "A", "States": { "A": { "Type": "Succeed" } }, "Extra": 1 }),
        "field 'Extra'",
    );
}

#[test]
fn names_are_short_and_unique_in_the_machine() {
    let long = "x".repeat(81);
    refused(
        &json!({ "StartAt": long, "States": { long.clone(): { "Type": "Succeed" } } }),
        "1 to 80 characters",
    );
    let branch = json!({ "StartAt": "Same", "States": { "Same": { "Type": "Succeed" } } });
    refused(&only(&json!({ "Type": "Parallel", "Branches": [branch, branch] })), "'Same' is used twice");
}

#[test]
fn the_wildcard_stands_alone_and_last() {
    let alone = "'States.ALL' must be alone";
    let retry = |retry: Value| only(&invoke("F", &json!({ "Retry": retry })));
    refused(&retry(json!([{ "ErrorEquals": ["States.ALL", "E"] }])), alone);
    refused(&retry(json!([{ "ErrorEquals": ["States.ALL"] }, { "ErrorEquals": ["E"] }])), alone);
    refused(&retry(json!([{ "ErrorEquals": [] }])), "'ErrorEquals' is empty");
    refused(&retry(json!([{ "ErrorEquals": ["E"], "BackoffRate": 0.5 }])), "BackoffRate");
    refused(&retry(json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 0 }])), "IntervalSeconds");
    refused(
        &retry(json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 5, "MaxDelaySeconds": 5 }])),
        "MaxDelaySeconds",
    );
    refused(&retry(json!([{ "ErrorEquals": ["E"], "JitterStrategy": "SOME" }])), "JitterStrategy");
}

#[test]
fn clocks_must_make_sense() {
    let task = |more: Value| only(&invoke("F", &more));
    refused(
        &task(json!({ "TimeoutSeconds": 5, "HeartbeatSeconds": 5 })),
        "'HeartbeatSeconds' must be smaller",
    );
    refused(&task(json!({ "TimeoutSeconds": 0 })), "field 'TimeoutSeconds'");
    refused(&task(json!({ "TimeoutSeconds": 5, "TimeoutSecondsPath": "$.t" })), "exclude each other");
    refused(&only(&json!({ "Type": "Wait" })), "exactly one of 'Seconds'");
    refused(
        &only(&json!({ "Type": "Wait", "Seconds": 1, "SecondsPath": "$.s" })),
        "exactly one of 'Seconds'",
    );
    refused(&only(&json!({ "Type": "Wait", "Timestamp": "tomorrow" })), "not a timestamp");
}

#[test]
fn paths_and_functions_must_be_well_formed() {
    let pass = |text: &str| only(&json!({ "Type": "Pass", "Parameters": { "v.$": text } }));
    refused(&pass("name"), "'name' is not a JSONPath");
    refused(&pass("$.a["), "'$.a[' is not a JSONPath");
    refused(&pass("States.Nothing()"), "no intrinsic function 'States.Nothing'");
    refused(&pass("States.Format('open)"), "no closing quote");
    refused(&pass("States.Hash($.v, 'MD5')"), "the algorithm 'MD5' is not supported here");
    refused(&pass("States.Format('{}', States.Hash($.v, $.w))"), "only with an algorithm in quotes");
    refused(&pass("States.MathAdd(1)"), "not supported with 1 arguments");
    refused(&pass("States.MathRandom(1, 2, 3)"), "not supported with 3 arguments");
    refused(&only(&json!({ "Type": "Pass", "ResultPath": "$.list[*]" })), "not a reference path");
    refused(&only(&json!({ "Type": "Pass", "Parameters": { "a": 1, "a.$": "$" } })), "both with and without");
    let choice = |rule: Value| states(&json!({ "A": { "Type": "Choice", "Choices": [rule] } }));
    refused(&choice(json!({ "Variable": "$.v", "NumericEquals": "5", "Next": "A" })), "does not take");
    refused(&choice(json!({ "Variable": "$.v", "Equals": 5, "Next": "A" })), "'Equals' is not a field");
    refused(&choice(json!({ "Variable": "$.v", "Next": "A" })), "a comparison");
    refused(&choice(json!({ "Variable": "$.v", "StringMatches": "a\\b", "Next": "A" })), "backslash");
}

/// A machine that does not pass is InvalidDefinition at its first start.
#[tokio::test]
async fn a_bad_machine_does_not_start() {
    let error = Cloud::new().refusal(&only(&json!({ "Type": "Map" }))).await;
    assert_eq!(error.code, "InvalidDefinition");
    assert!(error.message.contains("'Map'"), "{error}");
}
