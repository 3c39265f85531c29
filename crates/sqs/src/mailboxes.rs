//! A job's mailboxes: what is deleted, and what proves that none is left.

use aws_sdk_sqs::Client;
use mayfly_lambda::error::Error;

use mayfly_model::tags::Owner;

/// Their URLs.
///
/// # Errors
/// As [`Error::aws`].
pub async fn mailboxes(sqs: &Client, owner: Owner<'_>) -> Result<Vec<String>, Error> {
    let list = sqs.list_queues().queue_name_prefix(owner.names().mailbox_prefix()).send().await;
    let listed = list.map_err(Error::aws("list the job's mailboxes"))?;
    let mut found = Vec::new();
    for url in listed.queue_urls.unwrap_or_default() {
        let tags = match sqs.list_queue_tags().queue_url(&url).send().await {
            Ok(listed) => listed.tags.unwrap_or_default(),
            // A deleted queue may be listed for up to a minute.
            // Source: SQS API Reference, `DeleteQueue`.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => continue,
            Err(error) => return Err(Error::aws("read the tags of a mailbox")(error)),
        };
        if owner.owns(tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            found.push(url);
        }
    }
    Ok(found)
}
