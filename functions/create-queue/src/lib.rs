//! CreateQueue: the job's own mailbox, so that one job's container can never take another's message.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// The longest an order stays unread: 14 days, SQS's longest, because a job may run for seven days.
/// Source: SQS API Reference, `CreateQueue`, `MessageRetentionPeriod`.
const RETENTION_SECONDS: &str = "1209600";
/// A worker deletes an order as soon as it has it; one that dies in between keeps it from the next for no longer.
const VISIBILITY_SECONDS: &str = "5";

/// The step.
pub struct CreateQueue {
    sqs: Client,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    queue_url: String,
}

impl Step for CreateQueue {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { sqs: Client::new(environment.sdk()) })
    }

    /// The same name and attributes give the same queue, so a retry finds what the first try made.
    /// Source: SQS API Reference, `CreateQueue`.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's mailbox";
        let Self { sqs } = self;
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
                "use the job's mailbox",
                format!("SQS calls it {queue_url}, the plan {}", plan.mailbox_url),
            ));
        }
        tracing::info!("queue created");
        Ok(Created { queue_url })
    }
}
