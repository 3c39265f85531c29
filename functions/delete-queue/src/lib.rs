//! DeleteQueue: the job's mailboxes, all that carry its tags.

use aws_sdk_sqs::Client;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{DeletedQueues, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteQueue>();

/// The step.
pub struct DeleteQueue {
    sqs: Client,
    stack: String,
}

impl Step for DeleteQueue {
    type Input = Target;
    type Output = DeletedQueues;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { sqs: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<DeletedQueues, Error> {
        let Self { sqs, stack } = self;
        let urls = mayfly_sqs::mailboxes(sqs, Owner { stack, job: &target.job }).await?;
        for url in &urls {
            match sqs.delete_queue().queue_url(url).send().await {
                Ok(_) => tracing::info!("queue deleted"),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {}
                Err(error) => return Err(Error::aws("delete a mailbox")(error)),
            }
        }
        Ok(DeletedQueues { accepted: urls })
    }
}
