//! The job's mailboxes.

use aws_sdk_sqs::Client;
use mayfly_common::error::Error;
use mayfly_common::inventory::{Kind, Resource};
use mayfly_common::tags;
use mayfly_compute::Owner;

pub async fn mailboxes(sqs: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let queues = sqs
        .list_queues()
        .queue_name_prefix(owner.names().mailbox_prefix())
        .send()
        .await
        .map_err(Error::aws("list the job's mailboxes"))?;
    let mut found = Vec::new();
    for url in queues.queue_urls.unwrap_or_default() {
        let queue_tags = match sqs.list_queue_tags().queue_url(&url).send().await {
            Ok(listed) => listed.tags.unwrap_or_default(),
            // A deleted queue may be listed for up to a minute.
            // Source: SQS API Reference, `DeleteQueue`.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => continue,
            Err(error) => return Err(Error::aws("read the tags of a mailbox")(error)),
        };
        if tags::belong_to(queue_tags.iter().map(|(k, v)| (k.as_str(), v.as_str())), owner.stack, owner.job) {
            found.push(Resource { kind: Kind::Queue, id: url, state: "EXISTS".into() });
        }
    }
    Ok(found)
}
