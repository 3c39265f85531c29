//! `mayfly extend`: puts off the end of a service.

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::primitives::Blob;
use mayfly_model::names::job_id;
use serde_json::{Value, json};

use crate::out;
use crate::stack::{Stack, aws};

/// Lets `job` be called for `minutes` longer, by the stack's own function: the task token that this takes stays there.
pub async fn extend(stack: &Stack, job: &str, minutes: u32) -> Result<()> {
    let payload = Blob::new(json!({ "job": job_id(job), "minutes": minutes }).to_string());
    // Where an answer is lost, another try would put the end off twice.
    let once = Builder::default().retry_config(RetryConfig::disabled());
    let invoke = stack.lambda.invoke().function_name(&stack.extender).payload(payload);
    let invoked = invoke.customize().config_override(once).send().await;
    let invoked = invoked.map_err(aws(&format!("extend `{job}`")))?;
    let answer = invoked.payload.unwrap_or_else(|| Blob::new("")).into_inner();
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if invoked.function_error.is_some() {
        let why = answer["errorMessage"].as_str().unwrap_or("the function ended without a word");
        bail!("could not extend `{job}`: {why}");
    }
    let end = answer["end"].as_str().context(
        "the stack's function that extends services is of another version: deploy this one's template.yaml",
    )?;
    out::print(&format!("job {job} can be called until {end}"))?;
    Ok(())
}
