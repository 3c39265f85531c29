//! Retry and Catch (concepts-error-handling.html; states-language.net/spec.html#errors).

use std::time::Duration;

use local_aws::random::Random;
use local_states::execution::Status;
use local_states::language::definition::Kind;
use local_states::language::failure::{Failure, Retries, Timeout};
use local_states::language::parse::definition;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Reply, invoke, only};

/// The delays that a Retry gives after so many failures of one name, in seconds.
fn delays(retry: &Value, errors: &[&str]) -> Vec<Option<f64>> {
    let machine = only(&invoke("F", &json!({ "Retry": retry })));
    let machine = definition(&machine.to_string()).expect("a good machine");
    let Kind::Work(work) = &machine.scope.states["Only"].kind else { panic!("a Task") };
    let (mut retries, random) = (Retries::new(&work.retry), Random::seeded(0));
    errors
        .iter()
        .map(|error| {
            retries.delay(&Failure::new(*error, ""), &random).map(|delay| Duration::as_secs_f64(&delay))
        })
        .collect()
}

/// Defaults: IntervalSeconds 1, BackoffRate 2.0, MaxAttempts 3.
#[test]
fn defaults_are_one_second_doubled_three_times() {
    assert_eq!(
        delays(&json!([{ "ErrorEquals": ["E"] }]), &["E"; 4]),
        [Some(1.0), Some(2.0), Some(4.0), None]
    );
}

/// MaxDelaySeconds is the most that an interval can grow to.
#[test]
fn backoff_grows_up_to_max_delay() {
    let retry = json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 3, "BackoffRate": 1.5, "MaxAttempts": 4, "MaxDelaySeconds": 6 }]);
    assert_eq!(delays(&retry, &["E"; 5]), [Some(3.0), Some(4.5), Some(6.0), Some(6.0), None]);
}

/// JitterStrategy FULL draws from between 0 and the interval.
#[test]
fn full_jitter_stays_within_the_interval() {
    let retry = json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 8, "BackoffRate": 1, "MaxAttempts": 50, "JitterStrategy": "FULL" }]);
    let delays: Vec<f64> = delays(&retry, &["E"; 50]).into_iter().flatten().collect();
    assert!(delays.iter().all(|delay| (0.0..8.0).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| (delay - delays[0]).abs() > 0.01), "all the same: {delays:?}");
}

/// Each retrier has a count of its own (states-language.net/spec.html#retrying-after-error): one that is used up leaves the others theirs.
#[test]
fn each_retrier_has_its_own_counter() {
    let retry = json!([
        { "ErrorEquals": ["A"], "MaxAttempts": 1 },
        { "ErrorEquals": ["B"], "MaxAttempts": 2, "IntervalSeconds": 5, "BackoffRate": 1 },
    ]);
    let given = delays(&retry, &["A", "B", "A", "B", "B"]);
    assert_eq!(given, [Some(1.0), Some(5.0), None, Some(5.0), None]);
}

/// The first retrier that names the error decides, even when it is used up.
#[test]
fn a_later_wildcard_does_not_take_over() {
    let retry = json!([{ "ErrorEquals": ["A"], "MaxAttempts": 0 }, { "ErrorEquals": ["States.ALL"] }]);
    assert_eq!(delays(&retry, &["A", "B"]), [None, Some(1.0)]);
}

/// What the wildcards match: States.TaskFailed all but States.Timeout; States.ALL neither States.Runtime nor
/// States.DataLimitExceeded; States.Timeout a missed heartbeat too.
#[test]
fn wildcards_match_what_the_documentation_says() {
    let named = |name: &str| Failure::new(name, "");
    let heartbeat = Failure::timed_out(Timeout::Heartbeat);
    let total = Failure::timed_out(Timeout::Total);
    assert!(named("Mine").matches("States.ALL") && named("Mine").matches("States.TaskFailed"));
    assert!(total.matches("States.Timeout") && total.matches("States.ALL"));
    assert!(!total.matches("States.TaskFailed") && !total.matches("States.HeartbeatTimeout"));
    assert!(heartbeat.matches("States.HeartbeatTimeout") && heartbeat.matches("States.Timeout"));
    assert!(
        !named("States.Runtime").matches("States.ALL") && !named("States.Runtime").matches("States.Runtime")
    );
    assert!(!named("States.DataLimitExceeded").matches("States.ALL"));
    assert!(!named("States.DataLimitExceeded").matches("States.TaskFailed"));
    assert!(named("States.DataLimitExceeded").matches("States.DataLimitExceeded"));
}

/// RetryCount of the context object counts the retries of the state (input-output-contextobject.html; recorded).
#[tokio::test]
async fn the_context_counts_retries() {
    let cloud = Cloud::new();
    cloud.function("Flaky", |payload, call| {
        assert_eq!(payload["retry"], call - 1);
        if call < 3 { Reply::Throws("Bad") } else { Reply::Returns(json!(call)) }
    });
    let machine = only(&invoke(
        "Flaky",
        &json!({
            "Parameters": { "FunctionName": "Flaky", "Payload": { "retry.$": "$$.State.RetryCount" } },
            "Retry": [{ "ErrorEquals": ["Bad"] }],
            "OutputPath": "$.Payload",
        }),
    ));
    assert_eq!(cloud.run(&machine, &json!({})).await.succeeded(), json!(3));
}

/// Catchers are looked at in order, after the retries; each puts the error output where its ResultPath says.
#[tokio::test]
async fn the_first_catcher_that_matches_goes_on() {
    let cloud = Cloud::new();
    cloud.always("Throw", Reply::Throws("Mine"));
    let machine = json!({ "StartAt": "Task", "States": {
        "Task": invoke("Throw", &json!({ "End": true, "InputPath": "$.part",
            "Retry": [{ "ErrorEquals": ["Mine"], "MaxAttempts": 1 }],
            "Catch": [
                { "ErrorEquals": ["Other"], "Next": "Wrong" },
                { "ErrorEquals": ["Mine", "Another"], "ResultPath": "$.failure.first", "Next": "Right" },
                { "ErrorEquals": ["States.ALL"], "Next": "Wrong" },
            ] })),
        "Right": { "Type": "Succeed" },
        "Wrong": { "Type": "Fail" },
    } });
    let output = cloud.run(&machine, &json!({ "part": {}, "x": 1 })).await.succeeded();
    assert_eq!(cloud.call_count("Throw"), 2);
    assert_eq!(output["x"], 1, "the error output joins the state's raw input");
    assert_eq!(output["failure"]["first"]["Error"], "Mine");
    let cause: Value = serde_json::from_str(output["failure"]["first"]["Cause"].as_str().unwrap()).unwrap();
    assert_eq!(cause, json!({ "errorType": "Mine", "errorMessage": "no" }));
}

/// A catcher's ResultPath of null keeps the input as it was; without one, the error output replaces it.
#[tokio::test]
async fn result_path_of_a_catcher_may_discard_or_replace() {
    let cloud = Cloud::new();
    cloud.always("Throw", Reply::Fails("Lambda.TooManyRequestsException"));
    for (catcher, expected) in [
        (json!({ "ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": "Done" }), json!({ "x": 1 })),
        (
            json!({ "ErrorEquals": ["States.TaskFailed"], "Next": "Done" }),
            json!({ "Error": "Lambda.TooManyRequestsException", "Cause": "the call failed" }),
        ),
    ] {
        let machine = json!({ "StartAt": "Task", "States": {
            "Task": invoke("Throw", &json!({ "End": true, "Catch": [catcher] })),
            "Done": { "Type": "Succeed" },
        } });
        assert_eq!(cloud.run(&machine, &json!({ "x": 1 })).await.succeeded(), expected);
    }
}

/// A function that answers an error without a type fails as Lambda.Unknown.
#[tokio::test]
async fn a_function_error_without_a_type_is_unknown() {
    let cloud = Cloud::new();
    cloud.always("Dies", Reply::ThrowsRaw("{\"errorMessage\":\"Task timed out after 3.00 seconds\"}"));
    let end = cloud.run(&only(&invoke("Dies", &json!({}))), &json!({})).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "Lambda.Unknown"));
    assert!(end.cause().contains("Task timed out after 3.00 seconds"), "{end:#?}");
}
