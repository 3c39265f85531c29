//! Input and output processing (concepts-input-output-filtering.html), the context object and intrinsic functions.

use local_states::execution::Status;
use serde_json::{Value, json};

use crate::cloud::{Cloud, ROLE, Reply, invoke, only};

/// The output of a Pass with these Parameters.
async fn fill(parameters: Value, input: Value) -> Value {
    Cloud::new().run(&only(&json!({ "Type": "Pass", "Parameters": parameters })), &input).await.succeeded()
}

/// InputPath, Parameters, ResultSelector, ResultPath and OutputPath, in this order; ResultPath works on the raw input.
#[tokio::test]
async fn a_tasks_data_flows_through_all_five_fields() {
    let cloud = Cloud::new();
    cloud.function("Echo", |payload, _| Reply::Returns(json!({ "got": payload, "noise": 1 })));
    let machine = only(&json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "InputPath": "$.part",
        "Parameters": { "FunctionName": "Echo", "Payload": { "x.$": "$.x", "list": [{ "y.$": "$.x" }] } },
        "ResultSelector": { "kept.$": "$.Payload.got", "status.$": "$.StatusCode" },
        "ResultPath": "$.result.task",
        "OutputPath": "$.result",
    }));
    let output = cloud.run(&machine, &json!({ "part": { "x": 7 }, "other": 1 })).await.succeeded();
    assert_eq!(output, json!({ "task": { "kept": { "x": 7, "list": [{ "y": 7 }] }, "status": 200 } }));
}

/// A null InputPath is an empty input, a null ResultPath discards the result, a null OutputPath empties the output.
#[tokio::test]
async fn null_paths_empty_and_discard() {
    let cloud = Cloud::new();
    for (field, expected) in
        [("InputPath", json!({})), ("ResultPath", json!({ "x": 1 })), ("OutputPath", json!({}))]
    {
        let mut pass = json!({ "Type": "Pass" });
        pass[field] = Value::Null;
        if field == "ResultPath" {
            pass["Result"] = json!(2);
        }
        assert_eq!(cloud.run(&only(&pass), &json!({ "x": 1 })).await.succeeded(), expected, "{field}");
    }
}

/// The result of lambda:invoke has this shape (connect-lambda.html).
#[tokio::test]
async fn invoke_gives_payload_and_metadata() {
    let cloud = Cloud::new();
    cloud.always("F", Reply::Returns(json!([1])));
    let output = cloud.run(&only(&invoke("F", &json!({}))), &json!({})).await.succeeded();
    let mut names: Vec<_> = output.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ExecutedVersion", "Payload", "SdkHttpMetadata", "SdkResponseMetadata", "StatusCode"]);
    assert_eq!(
        (&output["Payload"], &output["SdkHttpMetadata"]["HttpStatusCode"]),
        (&json!([1]), &json!(200))
    );
}

/// A path of many nodes gives a list; names may be quoted.
#[tokio::test]
async fn paths_find_one_node_or_a_list() {
    let input = json!({ "a-b": 1, "list": [{ "n": 1 }, { "n": 2 }], "odd name": 3 });
    let template = json!({
        "one.$": "$.a-b", "odd.$": "$['odd name']", "second.$": "$.list[1].n", "all.$": "$.list[*].n",
        "deep.$": "$..n", "slice.$": "$.list[0:1]", "found.$": "$.list[?(@.n == 2)]", "whole.$": "$",
    });
    let output = fill(template, input.clone()).await;
    let expected = json!({
        "one": 1, "odd": 3, "second": 2, "all": [1, 2], "deep": [1, 2], "slice": [{ "n": 1 }],
        "found": [{ "n": 2 }], "whole": input,
    });
    assert_eq!(output, expected);
}

/// A path that leads nowhere is States.Runtime in these words (recorded), and neither Retry nor Catch stop it:
/// "retry or catch on States.ALL won't catch States.Runtime errors".
#[tokio::test]
async fn a_missing_path_ends_the_execution() {
    let cloud = Cloud::new();
    cloud.always("F", Reply::Returns(json!({})));
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }]);
    let retry = json!([{ "ErrorEquals": ["States.ALL"] }]);
    for field in [
        json!({ "Parameters": { "FunctionName.$": "$.none" } }),
        json!({ "InputPath": "$.none" }),
        json!({ "OutputPath": "$.none" }),
        json!({ "ResultSelector": { "x.$": "$.none" } }),
        json!({ "Parameters": { "FunctionName": "F", "Payload.$": "States.Format('{}', $.none)" } }),
        json!({ "Parameters": { "FunctionName": "F", "Payload.$": "$$.Task.Token" } }),
    ] {
        let mut more = json!({ "End": true, "Catch": catch, "Retry": retry });
        more.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let machine = json!({ "StartAt": "Only", "States": {
            "Only": invoke("F", &more), "Caught": { "Type": "Succeed" } } });
        let end = cloud.run(&machine, &json!({ "x": 1 })).await;
        assert_eq!((end.status, end.error()), (Status::Failed, "States.Runtime"), "{field}");
        assert!(
            end.cause().starts_with(
                "An error occurred while executing the state 'Only' (entered at the event id #2). "
            ),
            "{end:#?}"
        );
        let last = end.events.len();
        assert_eq!(end.last(), format!("{last}<{} ExecutionFailed", last - 1), "it follows the latest event");
    }
    let machine = only(&invoke("F", &json!({ "Parameters": { "FunctionName.$": "$.none" } })));
    assert_eq!(
        cloud.run(&machine, &json!({})).await.cause(),
        "An error occurred while executing the state 'Only' (entered at the event id #2). The JSONPath '$.none' \
         specified for the field 'FunctionName.$' could not be found in the input '{}'"
    );
}

/// A path of the state itself that leads nowhere is named as AWS's JSONPath library does (recorded): whole where its last
/// step is missing, up to the step that is missing before.
#[tokio::test]
async fn a_states_own_missing_path_is_named_up_to_what_is_missing() {
    for (field, path, words) in [
        ("InputPath", "$.none", "No results for path: $['none']"),
        ("OutputPath", "$.x.none", "No results for path: $['x']['none']"),
        ("OutputPath", "$.no.such.path", "Missing property in path $['no']"),
        ("TimeoutSecondsPath", "$.none", "No results for path: $['none']"),
    ] {
        let mut task = invoke("F", &json!({}));
        task[field] = path.into();
        let cloud = Cloud::new();
        cloud.always("F", Reply::Returns(json!({})));
        let mut input = json!({ "x": {} });
        if field == "OutputPath" {
            task["ResultPath"] = Value::Null;
            input["x"] = json!({ "other": 1 });
        }
        let end = cloud.run(&only(&task), &input).await;
        assert!(end.cause().ends_with(&format!(" Invalid path '{path}' : {words}")), "{}", end.cause());
    }
}

/// A ResultPath that cannot be applied is States.ResultPathMatchFailure (concepts-error-handling.html); unlike States.Runtime it can be caught.
#[tokio::test]
async fn a_result_path_through_a_scalar_fails() {
    let cloud = Cloud::new();
    cloud.always("F", Reply::Returns(json!({})));
    let machine = json!({ "StartAt": "Only", "States": {
        "Only": invoke("F", &json!({ "ResultPath": "$.x.y", "End": true,
            "Catch": [{ "ErrorEquals": ["States.ResultPathMatchFailure"], "ResultPath": null, "Next": "Caught" }] })),
        "Caught": { "Type": "Succeed" } } });
    assert_eq!(cloud.run(&machine, &json!({ "x": 1 })).await.succeeded(), json!({ "x": 1 }));
}

/// The context object's fields (input-output-contextobject.html).
#[tokio::test]
async fn the_context_object_has_its_documented_fields() {
    let cloud = Cloud::new();
    let machine = cloud.deploy(
        "named",
        &only(&json!({ "Type": "Pass", "Parameters": {
            "id.$": "$$.Execution.Id", "name.$": "$$.Execution.Name", "input.$": "$$.Execution.Input.x",
            "role.$": "$$.Execution.RoleArn", "start.$": "$$.Execution.StartTime",
            "machine.$": "$$.StateMachine.Id", "machineName.$": "$$.StateMachine.Name",
            "state.$": "$$.State", "entered.$": "$$.State.EnteredTime", "redrives.$": "$$.Execution.RedriveCount",
        } })),
    );
    let execution = cloud.engine.start(&machine, Some("job"), Some("{\"x\":5}")).await.expect("it starts");
    let output = crate::cloud::ended(&execution).await.succeeded();
    assert_eq!((&output["id"], &output["name"]), (&json!(execution.arn), &json!("job")));
    assert_eq!((&output["input"], &output["role"]), (&json!(5), &json!(ROLE)));
    assert_eq!((&output["machine"], &output["machineName"]), (&json!(machine), &json!("named")));
    assert_eq!((&output["state"]["Name"], &output["redrives"]), (&json!("Only"), &json!(0)));
    assert_eq!(output["state"].get("RetryCount"), None, "a Pass cannot be retried (recorded)");
    for time in ["start", "entered"] {
        assert!(
            output[time].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
            "{output}"
        );
    }
}

/// intrinsic-functions.html, example by example.
#[tokio::test]
async fn intrinsic_functions_do_what_the_documentation_shows() {
    let input = json!({ "name": "Ann", "list": [1, 2, 3, 3], "obj": { "a": 1 }, "text": "{\"b\":2}" });
    for (call, expected) in [
        ("States.Format('Hi {}, {} \\{\\} it\\'s {}', $.name, 1, $.obj)", json!("Hi Ann, 1 {} it's {a=1}")),
        ("States.JsonToString($.obj)", json!("{\"a\":1}")),
        ("States.StringToJson($.text)", json!({ "b": 2 })),
        ("States.Array($.name, null, true, States.Array(1.5))", json!(["Ann", null, true, [1.5]])),
        ("States.ArrayPartition($.list, 3)", json!([[1, 2, 3], [3]])),
        ("States.ArrayContains($.list, 2)", json!(true)),
        ("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9])),
        ("States.ArrayRange(3, 1, -1)", json!([3, 2, 1])),
        ("States.ArrayGetItem($.list, 1)", json!(2)),
        ("States.ArrayLength($.list[*])", json!(4)),
        ("States.ArrayUnique($.list)", json!([1, 2, 3])),
        ("States.Base64Encode('Data to encode')", json!("RGF0YSB0byBlbmNvZGU=")),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", json!("Data to encode")),
        (
            "States.Hash('abc', 'SHA-256')",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        ("States.JsonMerge($.obj, States.StringToJson($.text), false)", json!({ "a": 1, "b": 2 })),
        ("States.MathAdd(111, -1)", json!(110)),
        ("States.StringSplit('This.is+a,test', '.+,')", json!(["This", "is", "a", "test"])),
    ] {
        assert_eq!(fill(json!({ "v.$": call }), input.clone()).await["v"], expected, "{call}");
    }
    let random = fill(json!({ "v.$": "States.MathRandom(1, 4)" }), json!({})).await;
    assert!((1..4).contains(&random["v"].as_i64().unwrap()), "the end is not included: {random}");
    let uuid = fill(json!({ "v.$": "States.UUID()" }), json!({})).await;
    assert_eq!(uuid["v"].as_str().map(str::len), Some(36));
}

/// What the documentation does not show (all recorded).
#[tokio::test]
async fn intrinsic_functions_do_what_was_recorded() {
    let input = json!({ "deep": { "Arg1": 1, "Arg2": [], "Arg3": [null, "b", { "c": true }] } });
    for (call, expected) in [
        ("States.Format('{}', $.deep)", json!("{Arg1=1, Arg2=[], Arg3=[null, b, {c=true}]}")),
        ("States.StringToJson('')", json!(null)),
        ("States.StringToJson(' ')", json!(null)),
        ("States.MathAdd(0.5, 0)", json!(1)),
        ("States.MathAdd(-0.5, 0.5)", json!(1)),
        ("States.MathAdd(-1.5, 0)", json!(-1)),
        ("States.MathAdd(-1.51, 0)", json!(-2)),
        ("States.MathAdd(-1.49, -1.5)", json!(-2)),
        ("States.MathAdd(2.5, -3.5)", json!(0)),
    ] {
        assert_eq!(fill(json!({ "v.$": call }), input.clone()).await["v"], expected, "{call}");
    }
}

/// A function that is given what it cannot take is States.IntrinsicFailure (states-language.net/spec.html#appendix-a).
#[tokio::test]
async fn an_intrinsic_function_that_cannot_is_an_intrinsic_failure() {
    for call in [
        "States.StringToJson('not json')",
        "States.Format('{} {}', 1)",
        "States.ArrayGetItem(States.Array(1), 1)",
        "States.ArrayRange(1, 5000, 1)",
        "States.MathAdd(2147483647, 1)",
        "States.JsonMerge(States.StringToJson('{}'), States.StringToJson('{}'), true)",
    ] {
        let pass = only(&json!({ "Type": "Pass", "Parameters": { "v.$": call } }));
        let end = Cloud::new().run(&pass, &json!({})).await;
        assert_eq!(end.error(), "States.IntrinsicFailure", "{call}");
    }
}

/// 262,144 bytes of UTF-8, not of characters (service quotas); a result above it fails the task in these words
/// (recorded), and States.ALL does not catch it.
#[tokio::test]
async fn a_result_above_the_limit_is_data_limit_exceeded() {
    let cloud = Cloud::new();
    cloud.always("Big", Reply::Returns(json!("ü".repeat(131_072))));
    let machine = |errors: &str| {
        json!({ "StartAt": "Only", "States": {
            "Only": invoke("Big", &json!({ "Next": "Done", "Catch": [{ "ErrorEquals": [errors], "Next": "Caught" }] })),
            "Done": { "Type": "Succeed" }, "Caught": { "Type": "Succeed" } } })
    };
    let end = cloud.run(&machine("States.ALL"), &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "States.DataLimitExceeded"));
    assert_eq!(
        end.cause(),
        "The state/task 'lambda' returned a result with a size exceeding the maximum number of bytes service limit."
    );
    assert_eq!(
        cloud.run(&machine("States.DataLimitExceeded"), &json!({})).await.entered(),
        ["Only", "Caught"]
    );
}

/// The limit holds for Parameters and for a state's output too, there with the state's name (recorded).
#[tokio::test]
async fn states_must_stay_within_the_limit() {
    let half = json!("x".repeat(140_000));
    let machine = only(&json!({ "Type": "Pass", "ResultPath": "$.twice" }));
    let end = Cloud::new().run(&machine, &json!({ "once": half })).await;
    assert_eq!(end.error(), "States.DataLimitExceeded");
    assert!(end.cause().starts_with("The state/task 'Only' returned"), "{}", end.cause());
}

/// Fail: Error and Cause, given or computed (state-fail.html).
#[tokio::test]
async fn a_fail_state_says_what_it_is_told() {
    let cloud = Cloud::new();
    let fail = |state: Value| json!({ "StartAt": "F", "States": { "F": state } });
    let end = cloud.run(&fail(json!({ "Type": "Fail", "Error": "E", "Cause": "C" })), &json!({})).await;
    assert_eq!((end.status, end.error(), end.cause()), (Status::Failed, "E", "C"));
    let computed =
        fail(json!({ "Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.JsonToString($.c)" }));
    let end = cloud.run(&computed, &json!({ "e": "Mine", "c": { "a": 1 } })).await;
    assert_eq!((end.error(), end.cause()), ("Mine", "{\"a\":1}"));
    assert_eq!(cloud.run(&computed, &json!({ "e": 1, "c": {} })).await.error(), "States.Runtime");
}

/// A history has at most 25,000 events; the execution then fails (service quotas).
#[tokio::test]
async fn a_loop_without_end_runs_into_the_limit_of_events() {
    let machine = json!({ "StartAt": "A", "States": {
        "A": { "Type": "Pass", "Next": "B" }, "B": { "Type": "Pass", "Next": "A" } } });
    let end = Cloud::new().run(&machine, &json!({})).await;
    assert_eq!((end.status, end.events.len()), (Status::Failed, 25_000));
    assert!(end.cause().contains("maximum number of history events"), "{}", end.cause());
}
