//! DeleteQueue: the job's mailboxes, all that its tags name.

use aws_sdk_sqs::Client;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::names::Names;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use mayfly_common::tags;
use mayfly_common::teardown::{Deleted, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let sqs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&sqs, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(sqs: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let queues = sqs
        .list_queues()
        .queue_name_prefix(Names::new(stack, &target.job).mailbox_prefix())
        .send()
        .await
        .map_err(Error::aws("list the job's mailboxes"))?;
    let mut deleted = 0;
    for url in queues.queue_urls() {
        let queue_tags = match sqs.list_queue_tags().queue_url(url).send().await {
            Ok(listed) => listed.tags.unwrap_or_default(),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => continue,
            Err(error) => return Err(Error::aws("read the tags of a mailbox")(error)),
        };
        if !tags::belong_to(queue_tags.iter().map(|(k, v)| (k.as_str(), v.as_str())), stack, &target.job) {
            continue;
        }
        match sqs.delete_queue().queue_url(url).send().await {
            Ok(_) => tracing::info!("queue deleted"),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => continue,
            Err(error) => return Err(Error::aws("delete a mailbox")(error)),
        }
        deleted += 1;
    }
    Ok(Deleted { deleted })
}
