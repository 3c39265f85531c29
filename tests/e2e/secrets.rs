//! What must stay secret is in no log, history, event, call or outcome: the search goes through everything that all jobs
//! so far have left of themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use aws_sdk_sqs::types::QueueAttributeName;
use libtest_mimic::Trial;
use local_ecs::{Fault, Rule};
use mayfly_model::record;
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use crate::support::documents::{command, copy};
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY, SECRET, no_room_yet};
use crate::support::played::{Played, text};
use crate::support::world::{STACK, World, machine_of, until};

/// What one of the jobs prints, to prove that the search finds what is there.
const MARKER: &str = "Marker-5d1c-anybody-may-read-this";

/// What every signed URL or form has in it, and session keys.
const PATTERNS: [&str; 5] = [
    "(?i:x-amz-signature)",
    "(?i:x-amz-security-token)",
    "(?i:x-amz-credential)",
    // IAM user guide, "IAM identifiers", unique identifiers: what a key of STS begins with.
    "\\bASIA[A-Z0-9]{16}\\b",
    // A form's policy: `{"conditions"` and `{"expiration"` in base 64.
    "eyJjb25kaXRpb25z|eyJleHBpcmF0aW9u",
];

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("secrets_are_nowhere_to_be_read", nowhere)]
}

async fn nowhere(world: Arc<World>, job: String) -> Result<()> {
    let secret = hasty::deployed(&world).await?;
    let events = listen(&world).await?;
    let jobs = ["delivers", "fails", "again"].map(|what| format!("{job}-{what}"));
    Box::pin(run_jobs(&world, &jobs, secret)).await?;

    let mut sources = vec![("call", calls(&world)?), ("log", logs(&world).await?)];
    let (histories, tokens) = histories(&world).await?;
    sources.push(("history", histories));
    sources.push(("event", heard(&world, &events, &jobs).await?));
    let recorded = recorded(&world).await?;
    assert!(tokens.len() > recorded.len() / 2, "{} starts of {} jobs", tokens.len(), recorded.len() / 2);

    let literal = tokens.iter().chain(&recorded).map(String::as_str).chain([SECRET]).map(regex::escape);
    let search = PATTERNS.map(str::to_owned).into_iter().chain(literal).collect::<Vec<_>>().join("|");
    let search = RegexBuilder::new(&search).size_limit(1 << 28).build()?;
    for planted in tokens.iter().chain(&recorded).map(String::as_str).chain([SECRET, "?X-Amz-Signature=0"]) {
        assert!(search.is_match(&format!("told {planted}.")), "the search knows what it looks for");
    }
    for (kind, texts) in &sources {
        let about_job = Regex::new(&regex::escape(&jobs[0][..20]))?;
        assert!(texts.iter().any(|text| about_job.is_match(text)), "no {kind} is about the job");
        for text in texts {
            let found = search.find(text).map(|found| &text[..found.start().min(400)]);
            assert!(found.is_none(), "a {kind} has a secret after: {found:?}");
        }
        let has_marker = texts.iter().any(|text| text.contains(MARKER));
        assert_eq!(has_marker, *kind != "call", "the search finds what a {kind} has");
    }
    Ok(())
}

/// Jobs that deliver with a secret and after their URLs have expired, that fail, and that are tried again.
async fn run_jobs(world: &World, jobs: &[String; 3], secret: &str) -> Result<()> {
    let [delivers, fails, again] = jobs;
    // The value must not be in the document either.
    let half = SECRET.len() / 2;
    let script = format!(
        "[ \"${{#KEY}}\" = {} ] && [ -z \"${{KEY##*{}*}}\" ] && cp in.txt out.txt",
        SECRET.len(),
        &SECRET[half..half + 6]
    );
    let mut delivery = copy(world, delivers, &script).await?;
    delivery["container"] = json!({ "secrets": { "KEY": secret } });
    let failure = command(&["sh", "-c", &format!("echo {MARKER}; exit 3")]);
    let killed = [Rule::once(Fault::Killed { after_seconds: 20 })];
    let repeat = json!({ "attempts": 2, "task": { "command": ["sleep", "3"] } });
    let (delivery, failure, repeat) = tokio::try_join!(
        Played::begin_with(world, HASTY, delivers, &delivery, no_room_yet()),
        Played::begin_with(world, HASTY, fails, &failure, []),
        Played::begin_with(world, HASTY, again, &repeat, killed),
    )?;
    assert_eq!(delivery.succeeded().await?.outputs.len(), 1);
    assert_eq!(world.ended(&failure.arn).await?.status(), &ExecutionStatus::Failed);
    assert_eq!(repeat.succeeded().await?.attempt, 2);
    Ok(())
}

/// A queue that hears every event of ECS and of Step Functions from now on.
async fn listen(world: &World) -> Result<String> {
    let name = "secrets-events";
    let queue = world.sqs.create_queue().queue_name(name).send().await?.queue_url.context("a queue's URL")?;
    let attributes = world.sqs.get_queue_attributes().queue_url(&queue);
    let attributes = attributes.attribute_names(QueueAttributeName::QueueArn).send().await?.attributes;
    let arn = attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn)).context("its ARN")?;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" },
        "Action": "sqs:SendMessage", "Resource": arn,
    }] });
    let set = world.sqs.set_queue_attributes().queue_url(&queue);
    set.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;

    let bus = aws_sdk_eventbridge::Client::new(&world.cloud().sdk_config());
    let pattern = json!({ "source": ["aws.ecs", "aws.states"] });
    bus.put_rule().name(name).event_pattern(pattern.to_string()).send().await?;
    let target = aws_sdk_eventbridge::types::Target::builder().id(name).arn(arn).build()?;
    bus.put_targets().rule(name).targets(target).send().await?;
    Ok(queue)
}

/// What the queue has heard until the end of all jobs.
async fn heard(world: &World, queue: &str, jobs: &[String]) -> Result<Vec<String>> {
    let mut awaited: BTreeSet<String> = jobs.iter().map(|job| format!("\"name\":\"{job}\"")).collect();
    let mut events = Vec::new();
    until("the events of the jobs' ends", async || {
        let receive = world.sqs.receive_message().queue_url(queue).max_number_of_messages(10);
        for message in receive.send().await?.messages.unwrap_or_default() {
            let event = message.body.unwrap_or_default();
            if !event.contains("\"status\":\"RUNNING\"") {
                awaited.retain(|name| !event.contains(name));
            }
            events.push(event);
        }
        Ok(awaited.is_empty().then_some(()))
    })
    .await?;
    Ok(events)
}

fn calls(world: &World) -> Result<Vec<String>> {
    let calls = world.cloud().calls().snapshot();
    Ok(calls.iter().map(serde_json::to_string).collect::<Result<_, _>>()?)
}

async fn logs(world: &World) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for stack in [STACK, HASTY] {
        for group in ["functions", "jobs"] {
            lines.extend(world.log_of(stack, group, "").await?);
        }
    }
    Ok(lines)
}

/// The data of all executions, and the task tokens, which only a dispatch's own parameters may have.
async fn histories(world: &World) -> Result<(Vec<String>, BTreeSet<String>)> {
    let (mut data, mut tokens) = (Vec::new(), BTreeSet::new());
    let machines = [STACK, HASTY].map(|stack| ["run-job", "tear-down"].map(|name| machine_of(stack, name)));
    for machine in machines.as_flattened() {
        for (arn, _) in world.executions(machine).await? {
            let pages = world.states.get_execution_history().execution_arn(arn).into_paginator();
            for event in pages.items().send().collect::<Result<Vec<_>, _>>().await? {
                for text in texts(&event) {
                    match token(text) {
                        Some(token) => _ = tokens.insert(token),
                        None => data.push(text.to_owned()),
                    }
                }
            }
        }
    }
    Ok((data, tokens))
}

/// The token in the parameters of a dispatch.
fn token(text: &str) -> Option<String> {
    let parameters: Value = serde_json::from_str(text).ok()?;
    Some(parameters["Payload"]["taskToken"].as_str()?.to_owned())
}

/// The data of an event; the SDK prints none of it.
fn texts(event: &HistoryEvent) -> impl Iterator<Item = &str> {
    [
        event.execution_started_event_details().and_then(|details| details.input()),
        event.execution_succeeded_event_details().and_then(|details| details.output()),
        event.execution_failed_event_details().and_then(|details| details.cause()),
        event.execution_aborted_event_details().and_then(|details| details.cause()),
        event.state_entered_event_details().and_then(|details| details.input()),
        event.state_exited_event_details().and_then(|details| details.output()),
        event.task_scheduled_event_details().map(|details| details.parameters()),
        event.task_submitted_event_details().and_then(|details| details.output()),
        event.task_succeeded_event_details().and_then(|details| details.output()),
        event.task_failed_event_details().and_then(|details| details.cause()),
        event.task_timed_out_event_details().and_then(|details| details.cause()),
    ]
    .into_iter()
    .flatten()
}

/// The tokens and nonces of all jobs' records.
async fn recorded(world: &World) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for stack in [STACK, HASTY] {
        let table = world.jobs_table(stack).await?;
        for item in world
            .dynamodb
            .scan()
            .table_name(table)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await?
        {
            // A service has no nonce, and a token while its end is waited for.
            let of_item = [record::TOKEN, record::NONCE].map(|name| text(&item, name).ok());
            secrets.extend(of_item.into_iter().flatten());
        }
    }
    Ok(secrets)
}
