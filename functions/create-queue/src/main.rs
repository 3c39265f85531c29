//! CreateQueue: the job's own mailbox, so that one job's container can never take another's message.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::sdk;
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// The longest an order stays unread: 14 days, SQS's longest, because a job may run for seven days.
/// Source: SQS API Reference, `CreateQueue`, `MessageRetentionPeriod`.
const RETENTION_SECONDS: &str = "1209600";
/// A worker deletes an order as soon as it has it; one that dies in between keeps it from the next for no longer.
const VISIBILITY_SECONDS: &str = "5";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let sqs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&sqs, event.payload))).await
}

#[derive(Debug, Deserialize)]
struct Input {
    plan: Plan,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    queue_url: String,
}

/// The same name and attributes give the same queue, so a retry finds what the first try made.
/// Source: SQS API Reference, `CreateQueue`.
#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(sqs: &Client, input: Input) -> Result<Created, Error> {
    const DOING: &str = "create the job's mailbox";
    let Input { plan } = input;
    let queue = sqs
        .create_queue()
        .queue_name(&plan.mailbox_name)
        .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS)
        .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS)
        .set_tags(Some(plan.tags.into_iter().collect()))
        .send()
        .await
        .map_err(Error::aws(DOING))?;
    let queue_url = given(DOING, "QueueUrl", queue.queue_url)?;
    if queue_url != plan.mailbox_url {
        return Err(Error::internal(
            "could not use the job's mailbox",
            format!("SQS calls it {queue_url}, the plan {}", plan.mailbox_url),
        ));
    }
    tracing::info!("queue created");
    Ok(Created { queue_url })
}
