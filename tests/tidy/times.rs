//! Time-outs that depend on one another.

use serde_json::Value;

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

/// The time-out of the function with this logical id, in seconds.
fn function_timeout(template: &Value, id: &str) -> u64 {
    let own = template["Resources"][id]["Properties"].get("Timeout");
    let timeout = own.unwrap_or(&template["Globals"]["Function"]["Timeout"]);
    timeout
        .as_u64()
        .unwrap_or_else(|| panic!("template.yaml: {id} needs a Timeout in seconds, or Globals does"))
}
