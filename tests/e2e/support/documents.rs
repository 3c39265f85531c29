//! The documents of jobs that many tests run.

use anyhow::Result;
use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};

use crate::support::world::World;

/// What is in the input of [`copy`], and in its output after it.
pub const CONTENT: &str = "what the job is about";

/// A job that runs this command.
pub fn command(command: &[&str]) -> Value {
    json!({ "task": { "command": command } })
}

/// A job with a network of its own.
pub fn private(command: &[&str]) -> Value {
    by_egress("nat", command)
}

/// The same, whose container reaches what is outside in this way.
pub fn by_egress(egress: &str, command: &[&str]) -> Value {
    json!({ "network": { "mode": "private", "egress": egress }, "task": { "command": command } })
}

/// The port of [`service`].
pub const PORT: u16 = 8080;

/// A service that runs this script for so many minutes, and lets in this machine's first address.
pub fn service(script: &str, minutes: u32) -> Value {
    json!({
        "container": { "image": "public.ecr.aws/docker/library/python:3.13-slim" },
        "service": {
            "ports": [{ "port": PORT }],
            "allowFrom": ["127.0.0.1/32"],
            "entryPoint": ["sh", "-c", script],
            "ttlMinutes": minutes,
        },
    })
}

/// A job with an input, which is put into the bucket, and an output.
pub async fn copy(world: &World, job: &str, script: &str) -> Result<Value> {
    let [from, to] = ["in.txt", "out.txt"].map(|file| format!("{job}/{file}"));
    world.put(&from, ByteStream::from_static(CONTENT.as_bytes())).await?;
    Ok(json!({ "attempts": 1, "task": {
        "inputs": [{ "file": "in.txt", "from": format!("s3://mayfly-data/{from}") }],
        "command": ["sh", "-c", script],
        "outputs": [{ "file": "out.txt", "to": format!("s3://mayfly-data/{to}") }]
    } }))
}
