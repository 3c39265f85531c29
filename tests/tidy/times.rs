//! Time-outs that depend on one another.

use mayfly_sqs::repeats::hidden_for;
use serde_json::{Value, json};

use crate::project::{Machine, State, machines, template};

#[test]
fn a_task_waits_at_least_as_long_as_its_function_runs() {
    let template = template();
    for machine in machines() {
        for state in machine.states().iter().filter(|state| state.invokes()) {
            // A path leads to a plan, which counts in minutes.
            let Some(limit) = state.fields.get("TimeoutSeconds").and_then(Value::as_u64) else { continue };
            let function = function_timeout(&template, state.function());
            assert!(
                limit >= function,
                "{}: {} gives up after {limit} s while its function may run for {function} s: raise TimeoutSeconds",
                machine.file,
                state.name
            );
        }
    }
}

#[test]
fn teardown_allows_for_functions_that_still_run_after_a_failure() {
    let template = template();
    let machines = machines();
    let states = machines.iter().flat_map(Machine::states).filter(State::invokes);
    let longest = states.map(|state| function_timeout(&template, state.function()));
    let longest = longest.max().expect("a state that invokes a function");
    for (file, place) in [
        ("statemachine/run-job.asl.json", "/States/AllowForStragglers/Result"),
        ("statemachine/tear-down.asl.json", "/States/TakeStoppedJob/Parameters/stragglerSeconds"),
    ] {
        let machine: Option<&Machine> = machines.iter().find(|machine| machine.file == file);
        let seconds = machine.and_then(|machine| machine.definition.pointer(place)?.as_u64());
        assert!(
            seconds.is_some_and(|seconds| seconds >= longest),
            "{file}: {place} is {seconds:?}; the longest function may create things for {longest} s"
        );
    }
}

/// Source: Lambda Developer Guide, "Creating and configuring an Amazon SQS event source mapping".
#[test]
fn a_report_stays_hidden_for_six_times_its_handler_s_time_out() {
    let template = template();
    let hidden = template["Resources"]["DoneQueue"]["Properties"]["VisibilityTimeout"].as_u64();
    let wanted = 6 * function_timeout(&template, "HandleReportFunction");
    assert!(
        hidden.is_some_and(|hidden| hidden >= wanted),
        "template.yaml: the VisibilityTimeout of DoneQueue is {hidden:?}; it must be at least {wanted}"
    );
}

/// What ConcludeJob waits for has then been tried again several times, or once after its handler has died.
#[test]
fn a_conclusion_waits_longer_than_a_late_report_takes() {
    let machines = machines();
    let states = machines.iter().flat_map(Machine::states);
    let states: Vec<_> = states.filter(|state| state.name == "ConcludeJob").collect();
    let [state] = states.as_slice() else { panic!("one state is ConcludeJob") };
    let retriers = state.fields["Retry"].as_array().expect("ConcludeJob has a Retry");
    let pending = retriers.iter().find(|retrier| retrier["ErrorEquals"] == json!(["ReportsPending"]));
    let waits = sum_of_waits(pending.expect("ConcludeJob waits by a retrier of its own"));

    let repeats: u64 = (1..=5).map(|receives| hidden_for(receives).as_secs()).sum();
    let template = template();
    let hidden = template["Resources"]["DoneQueue"]["Properties"]["VisibilityTimeout"].as_u64();
    let died = hidden.expect("seconds") + function_timeout(&template, "HandleReportFunction");
    assert!(
        waits > 60.max(repeats).max(died),
        "ConcludeJob waits {waits} s: it must be longer than a minute, than the {repeats} s of a report's first five \
         repeats, and than the {died} s that one takes whose handler has died"
    );
    let told = state.fields["Comment"].as_str().unwrap_or_default();
    assert!(told.contains(&format!("{waits} seconds")), "ConcludeJob's Comment must say {waits} seconds");
}

/// An hour of tries, since a result that cannot be stored now must not be given up soon.
#[test]
fn a_report_is_tried_for_an_hour() {
    let template = template();
    let redrive = &template["Resources"]["DoneQueue"]["Properties"]["RedrivePolicy"];
    let receives = redrive["maxReceiveCount"].as_u64().expect("a number");
    let tries = u32::try_from(receives).expect("a small number");
    let sum: u64 = (1..=tries).map(|receives| hidden_for(receives).as_secs()).sum();
    assert!(sum >= 3600, "template.yaml: {receives} tries of a report take {sum} s; raise maxReceiveCount");
}

/// What a retrier waits in all, in seconds.
fn sum_of_waits(retrier: &Value) -> u64 {
    let number = |field: &str| retrier[field].as_u64().unwrap_or_else(|| panic!("{field} in {retrier}"));
    let waits =
        std::iter::successors(Some(number("IntervalSeconds")), |wait| Some(wait * number("BackoffRate")));
    let attempts = usize::try_from(number("MaxAttempts")).expect("a small number");
    waits.take(attempts).map(|wait| wait.min(number("MaxDelaySeconds"))).sum()
}

/// The time-out of the function with this logical id, in seconds.
fn function_timeout(template: &Value, id: &str) -> u64 {
    let own = template["Resources"][id]["Properties"].get("Timeout");
    let timeout = own.unwrap_or(&template["Globals"]["Function"]["Timeout"]);
    timeout
        .as_u64()
        .unwrap_or_else(|| panic!("template.yaml: {id} needs a Timeout in seconds, or Globals does"))
}
