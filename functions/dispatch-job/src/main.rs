//! DispatchJob: gives the job to its container: remembers the attempt and its task token in the `Jobs` table and puts
//! one message in the mailbox. The state machine then waits for the token to come back.

mod signing;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::message::{Assignment, Order};
use mayfly_common::plan::Plan;
use mayfly_common::record;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use serde::{Deserialize, Serialize};

/// How long the table remembers a job after everything of it is overdue.
const MEMORY: SignedDuration = SignedDuration::from_hours(14 * 24);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings {
        table: setting("JOBS_TABLE")?,
        data_role: setting("DATA_ROLE_ARN")?,
        region: setting("AWS_REGION")?,
        report_every_seconds: setting("REPORT_EVERY_SECONDS")?,
    };
    let config = sdk::config()?;
    let clients = Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        endpoint: config.endpoint_url().map(str::to_owned),
    };
    run(service_fn(|event: LambdaEvent<Input>| handler(&clients, &settings, event.payload))).await
}

struct Settings {
    table: String,
    data_role: String,
    region: String,
    report_every_seconds: u64,
}

struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    sts: aws_sdk_sts::Client,
    /// The origin of a local cloud.
    endpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan: Plan,
    attempt: u32,
    task_token: String,
}

/// What the state machine never sees: it waits for the token.
#[derive(Debug, Serialize)]
struct Dispatched {}

#[tracing::instrument(skip_all, fields(job = input.plan.job, attempt = input.attempt), err(level = "warn"))]
async fn handler(clients: &Clients, settings: &Settings, input: Input) -> Result<Dispatched, Error> {
    let Input { plan, attempt, task_token } = input;
    let nonce = remember(&clients.dynamodb, &settings.table, &plan, attempt, task_token).await?;
    let order = Order::Run(Assignment {
        inputs: signing::downloads(clients, settings, &plan.task.inputs).await?,
        outputs: plan.task.outputs.into_iter().map(|output| output.file).collect(),
        command: plan.task.command,
        job: plan.job,
        attempt,
        nonce,
        timeout_seconds: plan.timeout_seconds,
        report_every_seconds: settings.report_every_seconds,
    });
    let body =
        serde_json::to_string(&order).map_err(|error| Error::internal("could not write the order", error))?;
    clients.sqs.send_message().queue_url(&plan.mailbox_url).message_body(body).send().await.map_err(
        |error| match error.as_service_error() {
            // Source: SQS API Reference, `CreateQueue`: a new queue can be used after a second.
            Some(missing) if missing.is_queue_does_not_exist() => Error::Unavailable {
                doing: "could not put the order in the job's mailbox".into(),
                detail: missing.to_string(),
            },
            _ => Error::aws("put the order in the job's mailbox")(error),
        },
    )?;
    tracing::info!("job dispatched");
    Ok(Dispatched {})
}

/// Writes the attempt and its token down, and returns the attempt's nonce. A retry of the same attempt has a new
/// token but keeps the nonce, so that the container's report counts whichever of the messages it has read.
async fn remember(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    plan: &Plan,
    attempt: u32,
    token: String,
) -> Result<String, Error> {
    let known = dynamodb
        .get_item()
        .table_name(table)
        .key(record::JOB, AttributeValue::S(plan.job.clone()))
        .consistent_read(true)
        .send()
        .await
        .map_err(Error::aws("read the job's record"))?
        .item
        .and_then(|item| nonce_of(&item, plan, attempt));
    let nonce = known.clone().unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    let text = AttributeValue::S;
    let number = |n: i64| AttributeValue::N(n.to_string());
    if known.is_some() {
        dynamodb
            .update_item()
            .table_name(table)
            .key(record::JOB, text(plan.job.clone()))
            .update_expression("SET #token = :token")
            .expression_attribute_names("#token", record::TOKEN)
            .expression_attribute_values(":token", text(token))
            .send()
            .await
            .map_err(Error::aws("write the job's token"))?;
        return Ok(nonce);
    }
    let task = serde_json::to_string(&plan.task)
        .map_err(|error| Error::internal("could not write the job's record", error))?;
    dynamodb
        .put_item()
        .table_name(table)
        .item(record::JOB, text(plan.job.clone()))
        .item(record::ATTEMPT, number(attempt.into()))
        .item(record::TOKEN, text(token))
        .item(record::NONCE, text(nonce.clone()))
        .item(record::MAILBOX, text(plan.mailbox_url.clone()))
        .item(record::TASK, text(task))
        .item(record::TTL, number(forget_at(plan)?))
        .send()
        .await
        .map_err(Error::aws("write the job's record"))?;
    Ok(nonce)
}

/// The nonce of this attempt of this run, if it has been dispatched before.
fn nonce_of(item: &HashMap<String, AttributeValue>, plan: &Plan, attempt: u32) -> Option<String> {
    let same_run = item.get(record::MAILBOX)?.as_s().ok()? == &plan.mailbox_url;
    let same_attempt = item.get(record::ATTEMPT)?.as_n().ok()? == &attempt.to_string();
    (same_run && same_attempt).then(|| item.get(record::NONCE)?.as_s().ok().cloned()).flatten()
}

fn forget_at(plan: &Plan) -> Result<i64, Error> {
    let expiry: Timestamp =
        plan.expiry.parse().map_err(|error| Error::internal("could not read the job's expiry", error))?;
    Ok((expiry + MEMORY).as_second())
}
