//! The unmodified AWS CLI, against the local cloud, sees what AWS's documentation says.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::harness::Harness;
use crate::support::world::{World, job_arn, machine};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("the_aws_cli_starts_and_follows_a_job", starts_and_follows),
        harness.trial("the_aws_cli_stops_a_job", stops),
    ]
}

/// Source: AWS CLI Command Reference, `stepfunctions`, `start-execution`, `describe-execution` and
/// `get-execution-history`.
async fn starts_and_follows(world: Arc<World>, job: String) -> Result<()> {
    let (run_job, arn) = (machine("run-job"), job_arn(&job));
    let start = ["start-execution", "--state-machine-arn", &run_job, "--name", &job];
    let started = aws(&world, &[&start[..], &["--input", "file://events/run-job.json"]].concat()).await?;
    assert_eq!(started["executionArn"], arn);
    // The CLI's first version prints times as numbers, its second as text.
    assert!(!started["startDate"].is_null(), "{started}");

    let running = aws(&world, &["describe-execution", "--execution-arn", &arn]).await?;
    assert_eq!((&running["name"], &running["status"]), (&json!(job), &json!("RUNNING")));
    assert_eq!(running["stateMachineArn"], run_job);
    assert!(running.get("stopDate").is_none() && running.get("output").is_none(), "{running}");

    world.ended(&arn).await?;
    let ended = aws(&world, &["describe-execution", "--execution-arn", &arn]).await?;
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    assert!(!ended["stopDate"].is_null(), "{ended}");
    let output: Value = serde_json::from_str(ended["output"].as_str().context("an output")?)?;
    assert_eq!((&output["job"], &output["status"]), (&json!(job), &json!("SUCCEEDED")));
    let input: Value = serde_json::from_str(ended["input"].as_str().context("an input")?)?;
    assert_eq!(input, crate::support::world::sample("run-job.json")?, "the input as it was sent");

    // The CLI puts the pages together by itself.
    let history = ["get-execution-history", "--execution-arn", &arn, "--page-size", "10"];
    let history = aws(&world, &history).await?;
    let events = history["events"].as_array().context("events")?;
    assert_eq!((&events[0]["type"], &events[0]["previousEventId"]), (&json!("ExecutionStarted"), &json!(0)));
    assert!(
        events.iter().map(|event| &event["id"]).eq(&(1..=events.len()).map(Value::from).collect::<Vec<_>>())
    );
    let last = events.last().context("events")?;
    assert_eq!(last["type"], "ExecutionSucceeded");
    assert_eq!(last["executionSucceededEventDetails"]["output"], ended["output"]);

    let newest = ["--reverse-order", "--max-items", "1"];
    let history =
        aws(&world, &[&["get-execution-history", "--execution-arn", &arn], &newest[..]].concat()).await?;
    assert_eq!(history["events"], json!([last]));
    world.nothing_left(&job).await
}

/// Source: AWS CLI Command Reference, `stepfunctions stop-execution`.
async fn stops(world: Arc<World>, job: String) -> Result<()> {
    let (run_job, arn) = (machine("run-job"), job_arn(&job));
    let document = json!({ "task": { "command": ["sleep", "600"] } }).to_string();
    let start = ["start-execution", "--state-machine-arn", &run_job, "--name", &job, "--input", &document];
    aws(&world, &start).await?;
    assert!(world.entered(&arn, "DispatchJob").await?, "the job runs");
    let stop = ["stop-execution", "--execution-arn", &arn, "--error", "Enough", "--cause", "it was a test"];
    let stopped = aws(&world, &stop).await?;
    assert!(!stopped["stopDate"].is_null(), "{stopped}");

    let ended = aws(&world, &["describe-execution", "--execution-arn", &arn]).await?;
    assert_eq!(ended["status"], "ABORTED");
    assert_eq!((&ended["error"], &ended["cause"]), (&json!("Enough"), &json!("it was a test")));
    assert_eq!(ended["stopDate"], stopped["stopDate"]);
    let newest = ["get-execution-history", "--execution-arn", &arn, "--reverse-order", "--max-items", "1"];
    let history = aws(&world, &newest).await?;
    let last = &history["events"][0];
    assert_eq!(last["type"], "ExecutionAborted");
    assert_eq!(last["executionAbortedEventDetails"], json!({ "error": "Enough", "cause": "it was a test" }));

    let unknown =
        aws(&world, &["describe-execution", "--execution-arn", &format!("{arn}x")]).await.unwrap_err();
    assert!(unknown.to_string().contains("(ExecutionDoesNotExist)"), "{unknown}");
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

/// What `aws stepfunctions ARGUMENTS` prints.
async fn aws(world: &World, arguments: &[&str]) -> Result<Value> {
    let output =
        world.command("aws").args(["stepfunctions", "--output", "json"]).args(arguments).output().await?;
    if !output.status.success() {
        bail!("aws stepfunctions {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the CLI prints JSON")
}
