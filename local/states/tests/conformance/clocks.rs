//! TimeoutSeconds and HeartbeatSeconds (state-task.html, "Task state fields").

use std::time::{Duration, Instant};

use local_states::callback::Signal;
use local_states::execution::Status;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Reply, callback, ended, invoke, only, token};

/// A state that runs longer than TimeoutSeconds fails with States.Timeout.
#[tokio::test]
async fn a_task_that_takes_too_long_times_out_and_its_call_is_dropped() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let end = cloud.run(&only(&invoke("Hang", &json!({ "TimeoutSeconds": 5 }))), &json!({})).await;
    assert_eq!((end.status, end.error(), end.cause.as_deref()), (Status::Failed, "States.Timeout", None));
    assert_eq!(cloud.aborted_calls(), ["Hang"]);
}

/// Each try has its own clock.
#[tokio::test]
async fn a_retry_starts_the_clock_anew() {
    let cloud = Cloud::new();
    cloud.function("Slow", |_, call| if call == 1 { Reply::Hangs } else { Reply::Returns(json!("ok")) });
    let machine = only(&invoke(
        "Slow",
        &json!({ "TimeoutSeconds": 5, "Retry": [{ "ErrorEquals": ["States.Timeout"] }], "OutputPath": "$.Payload" }),
    ));
    assert_eq!(cloud.run(&machine, &json!({})).await.succeeded(), json!("ok"));
}

/// TimeoutSecondsPath must lead to a positive integer.
#[tokio::test]
async fn a_time_out_can_come_from_the_input() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let machine = only(&invoke("Hang", &json!({ "TimeoutSecondsPath": "$.limit" })));
    let end = cloud.run(&machine, &json!({ "limit": 7 })).await;
    assert_eq!(end.error(), "States.Timeout");
    let scheduled = end.events.iter().find(|event| event["type"] == "TaskScheduled").unwrap();
    assert_eq!(scheduled["taskScheduledEventDetails"]["timeoutInSeconds"], 7);

    for wrong in [json!({ "limit": "7" }), json!({ "limit": 0 }), json!({})] {
        assert_eq!(cloud.run(&machine, &wrong).await.error(), "States.Runtime", "for {wrong}");
    }
}

/// "If more time than the specified heartbeat elapses between heartbeats from the task, then the interpreter fails the
/// state with a States.Timeout Error Name" (states-language.net/spec.html#task-timeouts; recorded).
/// States.HeartbeatTimeout matches it in Catch, but the error output still says States.Timeout.
#[tokio::test]
async fn a_missed_heartbeat_is_caught_by_its_own_name() {
    let cloud = Cloud::new();
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine = json!({ "StartAt": "Wait", "States": {
        "Wait": callback("Dispatch", &json!({ "HeartbeatSecondsPath": "$.beat", "TimeoutSeconds": 600, "End": true,
            "Catch": [{ "ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Lost" },
                      { "ErrorEquals": ["States.Timeout"], "Next": "Late" }] })),
        "Lost": { "Type": "Succeed" },
        "Late": { "Type": "Fail" },
    } });
    let end = cloud.run(&machine, &json!({ "beat": 5 })).await;
    let timed_out = end.events.iter().find(|event| event["type"] == "TaskTimedOut").unwrap();
    assert_eq!(timed_out["taskTimedOutEventDetails"]["error"], "States.Timeout");
    assert_eq!(end.succeeded(), json!({ "Error": "States.Timeout", "Cause": "" }));
}

/// The total clock of a callback is not the heartbeat's: with heartbeats in time it still runs out, and
/// States.HeartbeatTimeout does not match.
#[tokio::test]
async fn heartbeats_reset_only_the_heartbeat_clock() {
    let cloud = Cloud::scaled(0.05);
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine = json!({ "StartAt": "Wait", "States": {
        "Wait": callback("Dispatch", &json!({ "HeartbeatSeconds": 6, "TimeoutSeconds": 15, "End": true,
            "Catch": [{ "ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Lost" },
                      { "ErrorEquals": ["States.Timeout"], "Next": "Late" }] })),
        "Lost": { "Type": "Fail" },
        "Late": { "Type": "Succeed" },
    } });
    let began = Instant::now();
    let execution = cloud.start(&machine, &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    let beats = async {
        while cloud.engine.tokens.send(token(&payload), Signal::Heartbeat).is_ok() {
            cloud.engine.clock.sleep(Duration::from_secs(1)).await;
        }
    };
    let (end, ()) = tokio::join!(ended(&execution), beats);
    assert!(began.elapsed() >= cloud.engine.clock.scale.real(Duration::from_secs(15)));
    assert_eq!(end.count("TaskTimedOut"), 1, "and a heartbeat leaves no event: {end:#?}");
    assert_eq!(end.entered(), ["Wait", "Late"]);
}

/// The local cloud's own rule: until its first heartbeat, a task that waits for its token has both clocks in the cloud's
/// time, then in the work's, which may be slower. What the cloud's time does meanwhile is measured by a Wait.
#[tokio::test]
async fn both_clocks_run_in_the_works_time_from_the_first_heartbeat_on() {
    let cloud = Cloud::with_work(0.001, 1.0);
    cloud.always("Dispatch", Reply::Returns(json!(null)));
    let machine = only(&callback("Dispatch", &json!({ "HeartbeatSeconds": 600, "TimeoutSeconds": 900 })));
    let at_work = cloud.start(&machine, &json!({})).await;
    let payload = cloud.next_call("Dispatch").await;
    cloud.engine.tokens.send(token(&payload), Signal::Heartbeat).expect("the token is good");

    let starting = cloud.run(&machine, &json!({})).await;
    assert_eq!(starting.error(), "States.Timeout", "a start has the cloud's time");
    let after = only(&json!({ "Type": "Wait", "Seconds": 1200 }));
    assert_eq!(cloud.run(&after, &json!({})).await.status, Status::Succeeded);
    assert_eq!(at_work.status(), Status::Running, "neither clock has run out");
    cloud.engine.tokens.send(token(&payload), Signal::Done(Ok(json!(1)))).expect("the token is good");
    assert_eq!(ended(&at_work).await.succeeded(), json!(1));
}

/// What is left of either clock at the first heartbeat is the work's to use up.
#[tokio::test]
async fn work_has_its_own_clocks_too() {
    for (clocks, cause) in [
        (json!({ "HeartbeatSeconds": 20, "TimeoutSeconds": 1_000_000 }), "silence"),
        (json!({ "TimeoutSeconds": 20 }), "total"),
    ] {
        let cloud = Cloud::with_work(100.0, 0.01);
        cloud.always("Dispatch", Reply::Returns(json!(null)));
        let execution = cloud.start(&only(&callback("Dispatch", &clocks)), &json!({})).await;
        let payload = cloud.next_call("Dispatch").await;
        cloud.engine.tokens.send(token(&payload), Signal::Heartbeat).expect("the token is good");
        assert_eq!(ended(&execution).await.error(), "States.Timeout", "{cause}");
    }
}

/// A heartbeat must be smaller than the time-out, also where both come from the input.
#[tokio::test]
async fn a_heartbeat_of_the_time_outs_length_is_refused() {
    let cloud = Cloud::new();
    let paths = json!({ "HeartbeatSecondsPath": "$.beat", "TimeoutSecondsPath": "$.limit" });
    let end = cloud.run(&only(&callback("Dispatch", &paths)), &json!({ "beat": 5, "limit": 5 })).await;
    assert_eq!(end.error(), "States.Runtime");
}

/// Nobody can send a heartbeat for a task without a token: HeartbeatSeconds has no effect on it.
#[tokio::test]
async fn a_plain_task_needs_no_heartbeat() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let machine = only(&invoke("Hang", &json!({ "HeartbeatSeconds": 1, "TimeoutSeconds": 20 })));
    let began = Instant::now();
    assert_eq!(cloud.run(&machine, &json!({})).await.error(), "States.Timeout");
    assert!(began.elapsed() >= cloud.engine.clock.scale.real(Duration::from_secs(20)));
}

/// TimeoutSeconds of the machine ends it as TIMED_OUT (recorded), and no Catch runs (concepts-error-handling.html). As
/// with ExecutionAborted, the last event follows none.
#[tokio::test]
async fn the_machines_own_time_out_passes_every_catch() {
    let cloud = Cloud::new();
    cloud.always("Hang", Reply::Hangs);
    let machine = json!({ "TimeoutSeconds": 5, "StartAt": "Task", "States": {
        "Task": invoke("Hang", &json!({ "End": true, "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }] })),
        "Caught": { "Type": "Pass", "End": true },
    } });
    let end = cloud.run(&machine, &json!({})).await;
    assert_eq!(end.status, Status::TimedOut);
    assert_eq!(end.last(), "5<0 ExecutionTimedOut");
}

/// What a Wait cannot take is States.Runtime, in these words (recorded): more than 2^31 seconds, from wherever they
/// come, a path that leads nowhere, a number that is negative or broken, a moment without a time zone.
#[tokio::test]
async fn a_wait_that_is_too_long_or_no_time_ends_the_execution() {
    let far = "2199-01-01T00:00:00Z";
    let too_long = "Wait state delay is too long.";
    for (field, value, words) in [
        ("Timestamp", json!(far), too_long),
        ("TimestampPath", json!(far), too_long),
        ("SecondsPath", json!(2_147_483_648_u64), too_long),
        ("SecondsPath", json!(-1), "The SecondsPath parameter references a negative value: $.v == -1"),
        ("SecondsPath", json!(1.5), "The SecondsPath parameter cannot be parsed as a long value: $.v == 1.5"),
        ("SecondsPath", Value::Null, "The SecondsPath parameter does not reference an input value: $.v"),
        (
            "TimestampPath",
            json!("2016-12-05T21:29:29"),
            "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format \
             string: $.v == 2016-12-05T21:29:29",
        ),
    ] {
        let mut wait = json!({ "Type": "Wait" });
        wait[field] = if field == "Timestamp" { value.clone() } else { json!("$.v") };
        let input = if value.is_null() { json!({}) } else { json!({ "v": value }) };
        let end = Cloud::new().run(&only(&wait), &input).await;
        assert_eq!(end.error(), "States.Runtime", "{field} of {value}");
        assert!(end.cause().ends_with(&format!("(entered at the event id #2). {words}")), "{}", end.cause());
        assert_eq!(end.last(), "3<2 ExecutionFailed");
    }
}

/// Wait: Seconds, SecondsPath, Timestamp and TimestampPath (state-wait.html); a moment in the past waits for nothing.
#[tokio::test]
async fn a_wait_takes_as_long_as_it_says() {
    let cloud = Cloud::new();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(20)).to_string();
    for (wait, seconds) in [
        (json!({ "Type": "Wait", "Seconds": 10 }), 10),
        (json!({ "Type": "Wait", "SecondsPath": "$.seconds" }), 10),
        (json!({ "Type": "Wait", "TimestampPath": "$.soon" }), 15),
        (json!({ "Type": "Wait", "Timestamp": "2016-08-18T17:33:00Z" }), 0),
    ] {
        let began = Instant::now();
        let input = json!({ "seconds": 10, "soon": soon });
        assert_eq!(cloud.run(&only(&wait), &input).await.succeeded(), input);
        assert!(began.elapsed() >= cloud.engine.clock.scale.real(Duration::from_secs(seconds)), "{wait}");
        assert!(began.elapsed() < Duration::from_secs(5), "waits are scaled: {wait}");
    }
}
