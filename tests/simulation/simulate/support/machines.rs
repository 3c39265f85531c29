//! The state machines as their files have them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The states of a machine in the file's order, those of its branches included.
pub fn states(machine: &str) -> Result<Vec<(String, Value)>> {
    fn collect(scope: &Value, found: &mut Vec<(String, Value)>) {
        for (name, state) in scope["States"].as_object().into_iter().flatten() {
            found.push((name.clone(), state.clone()));
            state["Branches"].as_array().into_iter().flatten().for_each(|branch| collect(branch, found));
        }
    }
    let file = format!("../../statemachine/{machine}.asl.json");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).context(file)?;
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text)?, &mut found);
    ensure!(!found.is_empty(), "{machine} has no states");
    Ok(found)
}
