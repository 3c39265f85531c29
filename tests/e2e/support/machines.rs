//! The state machines as their files have them.

use serde_json::Value;

use crate::support::world::repository;

/// The states of a machine in the file's order, those of its branches included.
pub fn states(machine: &str) -> Vec<(String, Value)> {
    fn collect(scope: &Value, found: &mut Vec<(String, Value)>) {
        for (name, state) in scope["States"].as_object().expect("a machine has states") {
            found.push((name.clone(), state.clone()));
            state["Branches"].as_array().into_iter().flatten().for_each(|branch| collect(branch, found));
        }
    }
    let path = repository().join(format!("statemachine/{machine}.asl.json"));
    let text = std::fs::read_to_string(path).expect("the repository has its machines");
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text).expect("a machine is JSON"), &mut found);
    found
}

/// `CreateQueue` as `create_queue`.
pub fn snake_case(state: &str) -> String {
    let mut name = String::new();
    for c in state.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}
