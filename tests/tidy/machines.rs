//! The state machines keep the conventions that no schema knows.

use std::collections::{BTreeMap, BTreeSet};

use local_states::language::parse::definition;
use mayfly_lambda::error::Error;
use mayfly_layout::laid_out;
use mayfly_model::class::Class;
use regex::Regex;
use serde_json::{Value, json};

use crate::project::{Machine, State, error_names, machines};

/// The optimised integration, alone or with a callback: <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>.
const INVOCATIONS: [&str; 2] =
    ["arn:aws:states:::lambda:invoke", "arn:aws:states:::lambda:invoke.waitForTaskToken"];

/// The verbs of the functions that make something.
const MAKING: [&str; 6] = ["Allocate", "Associate", "Attach", "Authorize", "Create", "Register"];

/// How an invocation fails when the function does not say so itself.
/// Source: Step Functions developer guide, "Handle transient Lambda service exceptions"; Lambda API Reference, `Invoke`,
/// errors; `Runtime.*` and `Sandbox.*` are in the payload's `errorType`: aws/aws-lambda-runtime-interface-emulator,
/// internal/lambda/fatalerror (read in November 2026).
const DEATHS: [&str; 13] = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ResourceNotReadyException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.OutOfMemory",
    "Runtime.Unknown",
    "Sandbox.Failure",
    "Sandbox.Timedout",
    "Sandbox.Timeout",
];

/// How the start of a nested execution fails when the start itself was right. The guide leaves `Exception` out where
/// the API has it, so both spellings are there.
/// Source: Step Functions developer guide, "Start a new AWS Step Functions execution"; API Reference, `StartExecution`
/// and "Common error types".
const FAILED_STARTS: [&str; 7] = [
    "StepFunctions.AWSStepFunctionsException",
    "StepFunctions.SdkClientException",
    "StepFunctions.ServiceException",
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.KmsThrottlingException",
    "StepFunctions.ThrottlingException",
];

#[test]
fn a_definition_is_valid_json_as_it_stands_with_no_key_twice_and_in_its_layout() {
    for Machine { file, text, definition, .. } in machines() {
        let laid_out = laid_out(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let same: Value = serde_json::from_str(&laid_out).expect("the layout is JSON");
        assert_eq!(same, definition, "{file}: its layout says something else");
        let equal = text.lines().zip(laid_out.lines()).take_while(|(left, right)| left == right).count();
        assert!(text == laid_out, "{file}: `make fmt` lays it out; it differs from line {} on", equal + 1);
    }
}

#[test]
fn the_strict_interpreter_accepts_every_definition() {
    for machine in machines() {
        let mut text = machine.text.clone();
        for name in machine.placeholders() {
            let value = match name {
                name if name.ends_with("FunctionArn") => {
                    "arn:aws:lambda:eu-west-1:111122223333:function:mayfly"
                }
                name if name.ends_with("MachineArn") => {
                    "arn:aws:states:eu-west-1:111122223333:stateMachine:mayfly"
                }
                name => name,
            };
            text = text.replace(&format!("${{{name}}}"), value);
        }
        if let Err(problem) = definition(&text) {
            panic!("{}: {problem}", machine.file);
        }
    }
}

#[test]
fn a_state_has_a_pascal_case_name_of_its_own() {
    let pascal_case = Regex::new("^([A-Z][a-z0-9]+)+$").expect("a regular expression");
    for machine in machines() {
        let mut names = BTreeSet::new();
        for State { name, .. } in machine.states() {
            assert!(pascal_case.is_match(name), "{}: rename the state {name} to PascalCase", machine.file);
            assert!(names.insert(name), "{}: two states are called {name}; rename one", machine.file);
        }
    }
}

#[test]
fn a_task_has_a_time_out_and_a_machine_has_none() {
    for machine in machines() {
        let whole = machine.definition.get("TimeoutSeconds");
        assert!(
            whole.is_none(),
            "{}: drop TimeoutSeconds: no Catch runs when a machine times out",
            machine.file
        );
        for state in machine.states().iter().filter(|state| state.kind() == "Task") {
            let limited = ["TimeoutSeconds", "TimeoutSecondsPath"]
                .iter()
                .any(|field| state.fields.contains_key(*field));
            assert!(limited, "{}: give the task {} TimeoutSeconds", machine.file, state.name);
        }
    }
}

#[test]
fn a_function_is_invoked_by_the_optimised_integration() {
    for machine in machines() {
        for state in machine.states().iter().filter(|state| state.kind() == "Task") {
            let resource = state.fields["Resource"].as_str().unwrap_or_default();
            let by_name =
                state.fields.get("Parameters").is_some_and(|given| given.get("FunctionName").is_some());
            assert!(
                INVOCATIONS.contains(&resource)
                    || !(by_name || resource.contains("lambda") || resource.contains('$')),
                "{}: the task {} must be one of {INVOCATIONS:?}",
                machine.file,
                state.name
            );
        }
    }
}

/// The last retriers of a step, in this order: its own last word is never repeated, and whatever else ends it is.
#[test]
fn every_step_is_tried_again_however_its_function_died_and_never_after_a_final_error() {
    for (place, state) in machines().iter().flat_map(steps) {
        let retriers = retriers(&state);
        let Some((any, named)) = retriers.split_last() else { panic!("{place} needs a Retry") };
        assert_eq!(
            any["ErrorEquals"],
            json!(["States.ALL"]),
            "{place}: States.ALL must be alone and last in Retry, since nobody knows all the ways a function dies"
        );
        let names: Vec<&str> = named.iter().flat_map(error_names).collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "{place}: only the first retrier that names an error counts");
        let classes = Error::NAMES.iter().copied().filter(|name| Class::from_name(name).is_some());
        let left: Vec<&str> = classes.chain(state.caught).filter(|name| !distinct.contains(name)).collect();
        assert!(
            left.is_empty(),
            "{place}: States.ALL would repeat {left:?} for minutes: name them in a retrier with MaxAttempts 0"
        );
        assert!(
            named.iter().all(|retrier| retrier.get("MaxAttempts").is_some()),
            "{place}: say MaxAttempts, the default is 3"
        );
    }
}

#[test]
fn every_step_retries_a_death_in_the_same_way_and_one_that_makes_things_looks_late_enough() {
    let mut policies = BTreeMap::<(bool, String), Vec<String>>::new();
    for (place, state) in machines().iter().flat_map(steps) {
        let any = retriers(&state).last().cloned().unwrap_or_default();
        let makes = MAKING.iter().any(|verb| state.function().starts_with(verb));
        // What the first try made is seen by its tags only some seconds later, and full jitter may wait for none.
        // Source: EC2 developer guide, "Ensuring consistency" (eventual-consistency).
        let waits = any["IntervalSeconds"].as_u64() >= Some(5) && any.get("JitterStrategy").is_none();
        assert!(waits || !makes, "{place}: States.ALL must wait 5 s or more, without jitter");
        policies.entry((makes, any.to_string())).or_default().push(place);
    }
    assert_eq!(policies.len(), 2, "one policy for steps that make things, one for all others: {policies:#?}");
}

/// States.ALL would repeat a whole wait, or start what has already failed and lose its receipt.
#[test]
fn what_waits_for_others_names_each_way_in_which_the_call_itself_can_fail() {
    for (name, deaths) in
        [("DispatchJob", &DEATHS[..]), ("KeepService", &DEATHS[..]), ("TearDown", &FAILED_STARTS[..])]
    {
        let machines = machines();
        let mut states = machines.iter().flat_map(Machine::states).filter(|state| state.name == name);
        let state = states.next().unwrap_or_else(|| panic!("a state {name}"));
        let named: BTreeSet<String> =
            retriers(&state).iter().flat_map(error_names).map(str::to_owned).collect();
        let missing: Vec<_> = deaths.iter().filter(|death| !named.contains(**death)).collect();
        assert!(missing.is_empty(), "{name} needs a retrier for {missing:?}");
        let whole: Vec<_> = named.iter().filter(|name| name.starts_with("States.")).collect();
        assert!(whole.is_empty(), "{name}: {whole:?} would repeat the whole wait");
    }
}

/// The states that invoke a function and wait for nothing but its answer, and where each stands.
fn steps(machine: &Machine) -> impl Iterator<Item = (String, State<'_>)> {
    let steps = machine
        .states()
        .into_iter()
        .filter(|state| state.fields.get("Resource").is_some_and(|resource| resource == INVOCATIONS[0]));
    steps.map(|state| (format!("{}: {}", machine.file, state.name), state))
}

fn retriers<'a>(state: &State<'a>) -> &'a [Value] {
    state.fields.get("Retry").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn nothing_outermost_fails_without_a_catch() {
    for machine in machines() {
        for state in machine.states().iter().filter(|state| state.outermost) {
            let place = format!("{}: {}", machine.file, state.name);
            match state.kind() {
                "Choice" => {
                    assert!(state.fields.contains_key("Default"), "{place} needs a Default, or it fails");
                }
                "Task" | "Parallel" | "Map" => {
                    let last = state.fields.get("Catch").and_then(Value::as_array).and_then(|all| all.last());
                    let names = last.map(|catcher| &catcher["ErrorEquals"]);
                    assert_eq!(
                        names,
                        Some(&json!(["States.ALL"])),
                        "{place}: its last Catch must be States.ALL"
                    );
                }
                _ => {}
            }
        }
    }
}

/// No recording of AWS shows that `And` stops at its first false part, what `Not` makes of a path that leads nowhere, or
/// what a cause is that an intrinsic function cannot write. Rules one after the other, and a Pass before, need neither.
#[test]
fn the_machines_decide_and_fail_by_the_plainest_forms_alone() {
    for machine in machines() {
        for state in machine.states() {
            let place = format!("{}: {}", machine.file, state.name);
            let rules = state.fields.get("Choices").and_then(Value::as_array).into_iter().flatten();
            for rule in rules {
                assert!(
                    rule.get("Variable").is_some(),
                    "{place}: a rule is one test of one variable: {rule}"
                );
            }
            for field in ["ErrorPath", "CausePath"] {
                let value = state.fields.get(field).and_then(Value::as_str).unwrap_or("$");
                assert!(value.starts_with('$'), "{place}: let a Pass before it write {field}: {value}");
            }
        }
    }
}

#[test]
fn what_waits_for_others_alone_is_given_the_task_token() {
    let mut holders = Vec::new();
    for machine in machines() {
        for state in machine.states() {
            let own = state.fields.iter().filter(|(field, _)| *field != "Branches");
            if own.clone().any(|(_, value)| reveals_token(value)) {
                let elsewhere =
                    own.filter(|(field, _)| *field != "Parameters").any(|(_, value)| reveals_token(value));
                assert!(
                    !elsewhere,
                    "{}: {} may use the token in its Parameters only",
                    machine.file, state.name
                );
                holders.push(state.name.to_owned());
            }
        }
    }
    assert_eq!(
        holders,
        ["KeepService", "DispatchJob"],
        "whoever holds the token can end the wait: keep it out of other states"
    );
}

#[test]
fn an_error_that_a_machine_matches_is_one_that_a_function_can_return() {
    let classes = Class::ALL.iter().map(|class| class.name());
    let known: BTreeSet<_> = Error::NAMES.iter().copied().chain(classes).collect();
    for machine in machines() {
        for state in machine.states() {
            // A dot marks the names that AWS gives.
            for name in matched(&state).filter(|name| !name.contains('.')) {
                let place = format!("{}: {}", machine.file, state.name);
                assert!(
                    known.contains(name),
                    "{place} matches {name}, which crates/lambda/src/error.rs does not know"
                );
            }
        }
    }
}

#[test]
fn an_error_that_is_no_class_is_matched_by_its_name() {
    let machines = machines();
    let states: Vec<_> = machines.iter().flat_map(Machine::states).collect();
    for &name in Error::NAMES.iter().filter(|name| Class::from_name(name).is_none()) {
        let matched = states.iter().flat_map(matched).any(|matched| matched == name);
        assert!(
            matched,
            "no state matches {name} of crates/lambda/src/error.rs, so a person would see it: add a retrier"
        );
    }
}

/// The names in the `ErrorEquals` of the state's Retry and Catch.
fn matched<'a>(state: &State<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let lists = ["Retry", "Catch"].into_iter().filter_map(|field| state.fields.get(field)?.as_array());
    lists.flatten().flat_map(error_names).collect::<Vec<_>>().into_iter()
}

/// Whether a path in `value` leads to the token, or to a part of the context object that holds it.
fn reveals_token(value: &Value) -> bool {
    let path = Regex::new(r"\$\$(\.Task)?([^.\w]|$)|\$\$\.Task\.Token").expect("a regular expression");
    match value {
        Value::String(text) => path.is_match(text),
        Value::Array(items) => items.iter().any(reveals_token),
        Value::Object(fields) => fields.values().any(reveals_token),
        _ => false,
    }
}
