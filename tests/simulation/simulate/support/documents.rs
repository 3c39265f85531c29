//! The documents of jobs that many behaviours run.

use serde_json::{Value, json};

/// A job that runs a command; which one is nobody's business here.
pub fn command() -> Value {
    json!({ "task": { "command": ["work"] } })
}

/// A job with a network of its own.
pub fn private() -> Value {
    by_egress("nat")
}

/// The same, whose container reaches what is outside in this way.
pub fn by_egress(egress: &str) -> Value {
    json!({ "network": { "mode": "private", "egress": egress }, "task": { "command": ["work"] } })
}
