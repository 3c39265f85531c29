//! The state machines keep the conventions that no schema knows.

use std::collections::{BTreeMap, BTreeSet};

use local_states::language::definition::parse;
use mayfly_common::error::{Class, Error};
use regex::Regex;
use serde_json::{Value, json};

use crate::project::{Machine, State, machines};

/// The optimised integration, alone or with a callback: <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>.
const INVOCATIONS: [&str; 2] =
    ["arn:aws:states:::lambda:invoke", "arn:aws:states:::lambda:invoke.waitForTaskToken"];

/// The errors of functions that are no state, and who looks again.
const OF_NO_MACHINE: [(&str, &str); 1] = [("TaskStarting", "find-task's callers")];

#[test]
fn a_definition_is_valid_json_as_it_stands_and_no_key_is_given_twice() {
    for Machine { file, text, definition, .. } in machines() {
        let written = serde_json::to_string_pretty(&definition).expect("JSON") + "\n";
        let same = text.lines().zip(written.lines()).take_while(|(left, right)| left == right).count();
        assert!(text == written, "{file}: write it with `jq .`; it differs from line {} on", same + 1);
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
        if let Err(problem) = parse(&text) {
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

#[test]
fn every_invocation_retries_what_is_transient_in_the_same_way() {
    let mut policies = BTreeMap::<String, Vec<String>>::new();
    for machine in machines() {
        for state in machine.states().iter().filter(|state| state.invokes()) {
            let place = format!("{}: {}", machine.file, state.name);
            let retriers = state.fields.get("Retry").and_then(Value::as_array);
            let (transient, own) = retriers
                .and_then(|retriers| retriers.split_last())
                .unwrap_or_else(|| panic!("{place} needs the Retry that all invocations have"));
            for retrier in own {
                let cloud: Vec<_> = error_names(retrier).filter(|name| name.contains('.')).collect();
                assert!(
                    cloud.is_empty(),
                    "{place}: {cloud:?} belongs into the last retrier, after the step's own"
                );
            }
            policies.entry(transient.to_string()).or_default().push(place);
        }
    }
    assert_eq!(policies.len(), 1, "the last retrier of every invocation must be the same: {policies:#?}");
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

#[test]
fn dispatch_job_alone_is_given_the_task_token() {
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
        ["DispatchJob"],
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
                    "{place} matches {name}, which common/src/error.rs does not know"
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
        let excused = OF_NO_MACHINE.iter().any(|(excused, _)| *excused == name);
        assert!(
            matched != excused,
            "no state matches {name} of common/src/error.rs, so a person would see it: add a retrier; or one does, \
             and OF_NO_MACHINE of {} must not list it",
            file!()
        );
    }
}

/// The names in the `ErrorEquals` of the state's Retry and Catch.
fn matched<'a>(state: &State<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let lists = ["Retry", "Catch"].into_iter().filter_map(|field| state.fields.get(field)?.as_array());
    lists.flatten().flat_map(error_names).collect::<Vec<_>>().into_iter()
}

fn error_names(handler: &Value) -> impl Iterator<Item = &str> {
    handler["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str)
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
