//! DispatchJob: gives the job to its container: remembers the turn and its task token in the `Jobs` table and puts
//! one message in the mailbox. The state machine then waits for the token to come back.

use std::fmt::Debug;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_jobs::{DataRole, Record};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::message::{Assignment, Order};
use mayfly_model::plan::Plan;
use mayfly_model::record;
use mayfly_model::turn::Turn;
use serde::{Deserialize, Serialize};

/// How long the table remembers a job after everything of it is overdue.
const MEMORY: SignedDuration = SignedDuration::from_hours(14 * 24);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings =
        Settings { table: setting("JOBS_TABLE")?, report_every_seconds: setting("REPORT_EVERY_SECONDS")? };
    let config = sdk::config()?;
    let clients = Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
        data_role: DataRole::from_env(&config, "dispatch-job")?,
    };
    run(service_fn(|event: LambdaEvent<Input>| handler(&clients, &settings, event.payload))).await
}

struct Settings {
    table: String,
    report_every_seconds: u64,
}

struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    data_role: DataRole,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan: Plan,
    turn: Turn,
    task_token: String,
}

/// The state machine never sees what this returns: it waits for the token.
#[tracing::instrument(skip_all, fields(job = input.plan.job, start = input.turn.start), err(level = "warn"))]
async fn handler(clients: &Clients, settings: &Settings, input: Input) -> Result<(), Error> {
    let Input { plan, turn, task_token } = input;
    let nonce = remember(&clients.dynamodb, &settings.table, &plan, turn, task_token).await?;
    let order = Order::Run(Assignment {
        inputs: clients.data_role.downloads(&plan.task.inputs).await?,
        outputs: plan.task.outputs.into_iter().map(|output| output.file).collect(),
        command: plan.task.command,
        job: plan.job,
        turn,
        nonce,
        timeout_seconds: plan.timeout_seconds,
        report_every_seconds: settings.report_every_seconds,
    });
    let body =
        serde_json::to_string(&order).map_err(|error| Error::internal("could not write the order", error))?;
    let sent = clients.sqs.send_message().queue_url(&plan.mailbox_url).message_body(body).send().await;
    sent.map_err(of_new_mailbox)?;
    tracing::info!("job dispatched");
    Ok(())
}

/// What it means that the order could not be put in a mailbox which was made moments before. The right to do it depends on
/// the mailbox's tags, which SQS may not see everywhere yet; `AccessDenied` would be for the state machine what a container
/// has reported.
/// Source: SQS API Reference, `CreateQueue`: a new queue can be used after a second. Others met denials because tags were
/// seen late (terraform-provider-aws#32966, #44689).
fn of_new_mailbox<R: Debug + 'static>(error: SdkError<SendMessageError, R>) -> Error {
    let is_missing = error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist());
    match Error::aws("put the order in the job's mailbox")(error) {
        Error::AccessDenied { doing, detail } => Error::NotVisibleYet { doing, detail },
        Error::Internal { doing, detail } if is_missing => Error::Unavailable { doing, detail },
        error => error,
    }
}

/// Writes the turn and its token down, and returns the job's nonce.
///
/// Nothing is written over a result, of whichever start it is; nor over the loss of this very start, which a retry
/// after a lost answer may find; nor over a later start.
async fn remember(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    plan: &Plan,
    turn: Turn,
    token: String,
) -> Result<String, Error> {
    let Some(known) = Record::of_run(dynamodb, table, plan).await? else {
        return create(dynamodb, table, plan, turn, token).await;
    };
    update(dynamodb, table, plan, turn, known.start()?, token).await?;
    Ok(known.text(record::NONCE)?.to_owned())
}

async fn create(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    plan: &Plan,
    turn: Turn,
    token: String,
) -> Result<String, Error> {
    let nonce = format!("{:032x}", rand::random::<u128>());
    let text = AttributeValue::S;
    let number = |n: i64| AttributeValue::N(n.to_string());
    dynamodb
        .put_item()
        .table_name(table)
        .item(record::JOB, text(plan.job.clone()))
        .item(record::TURN, text(json(&turn)?))
        .item(record::START, number(turn.start.into()))
        .item(record::TOKEN, text(token))
        .item(record::NONCE, text(nonce.clone()))
        .item(record::MAILBOX, text(plan.mailbox_url.clone()))
        .item(record::CAPACITY, text(json(&plan.capacity)?))
        .item(record::TASK, text(json(&plan.task)?))
        .item(record::TTL, number(forget_at(plan)?))
        .send()
        .await
        .map_err(Error::aws("write the job's record"))?;
    Ok(nonce)
}

async fn update(
    dynamodb: &aws_sdk_dynamodb::Client,
    table: &str,
    plan: &Plan,
    turn: Turn,
    known: u32,
    token: String,
) -> Result<(), Error> {
    let start = turn.start;
    let update = dynamodb
        .update_item()
        .table_name(table)
        .key(record::JOB, AttributeValue::S(plan.job.clone()))
        .expression_attribute_names("#token", record::TOKEN)
        .expression_attribute_names("#start", record::START)
        .expression_attribute_names("#result", record::RESULT)
        .expression_attribute_names("#loss", record::LOSS)
        .expression_attribute_values(":token", AttributeValue::S(token))
        .expression_attribute_values(":start", AttributeValue::N(start.to_string()));
    let update = if known == start {
        let demand = "#start = :start AND attribute_not_exists(#result) AND attribute_not_exists(#loss)";
        update.update_expression("SET #token = :token").condition_expression(demand)
    } else {
        let change = "SET #token = :token, #start = :start, #turn = :turn REMOVE #taskArn, #progress, #loss";
        update
            .expression_attribute_names("#turn", record::TURN)
            .expression_attribute_names("#taskArn", record::TASK_ARN)
            .expression_attribute_names("#progress", record::PROGRESS)
            .expression_attribute_values(":turn", AttributeValue::S(json(&turn)?))
            .update_expression(change)
            .condition_expression("#start < :start AND attribute_not_exists(#result)")
    };
    match update.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
            Err(Error::AlreadyEnded(format!("a report has ended start {start} before it was dispatched")))
        }
        Err(error) => Err(Error::aws("write the job's record")(error)),
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::internal("could not write the job's record", error))
}

fn forget_at(plan: &Plan) -> Result<i64, Error> {
    let expiry: Timestamp =
        plan.expiry.parse().map_err(|error| Error::internal("could not read the job's expiry", error))?;
    Ok((expiry + MEMORY).as_second())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::error::ErrorMetadata;

    use super::*;

    #[test]
    fn a_denial_right_after_the_mailbox_was_made_is_not_taken_for_the_container_s() {
        let refused = |code| {
            let told = ErrorMetadata::builder().code(code).message("Told so.").build();
            of_new_mailbox(SdkError::service_error(SendMessageError::generic(told), ())).name()
        };
        assert_eq!(refused("AccessDenied"), "NotVisibleYet");
        assert_eq!(refused("InvalidMessageContents"), "Internal");
    }
}
