//! DeleteQueue: the job's mailboxes, all that its tags name.

use aws_sdk_sqs::Client;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{DeletedQueues, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let sqs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&sqs, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(sqs: &Client, stack: &str, target: Target) -> Result<DeletedQueues, Error> {
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
