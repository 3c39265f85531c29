//! A job's mailboxes: which there are, and what proves that none is left.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use mayfly_lambda::error::Error;
use mayfly_lambda::search::Search;
use mayfly_model::tags::{Owner, Tagged};

/// The URLs of the job's.
///
/// # Errors
/// As [`Error::aws`].
pub async fn mailboxes(sqs: &Client, owner: Owner<'_>) -> Result<Vec<String>, Error> {
    let list = sqs.list_queues().queue_name_prefix(owner.names().mailbox_prefix()).send().await;
    let listed = list.map_err(Error::aws("list the job's mailboxes"))?;
    let mut found = Vec::new();
    for url in listed.queue_urls.unwrap_or_default() {
        if tags(sqs, &url).await?.is_some_and(|tags| owner.owns(pairs(&tags))) {
            found.push(url);
        }
    }
    Ok(found)
}

/// Those of any job of the stack, by their URLs: for whoever sweeps.
pub async fn mailboxes_of_stack(sqs: &Client, stack: &str) -> Search<Tagged> {
    let list = sqs.list_queues().queue_name_prefix(format!("{stack}-")).max_results(1000);
    let urls: Result<Vec<String>, _> = list.into_paginator().items().send().try_collect().await;
    let look = async |url: String| {
        let tags = tags(sqs, &url).await?;
        Ok(tags.map(|tags| Tagged::new(&url, pairs(&tags))).into_iter().collect())
    };
    Search::of(urls.map_err(Error::aws("list the mailboxes")), look).await
}

/// A queue's tags; none where it is gone: one that was deleted may be listed for up to a minute.
/// Source: SQS API Reference, `DeleteQueue`.
async fn tags(sqs: &Client, url: &str) -> Result<Option<HashMap<String, String>>, Error> {
    match sqs.list_queue_tags().queue_url(url).send().await {
        Ok(listed) => Ok(Some(listed.tags.unwrap_or_default())),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => Ok(None),
        Err(error) => Err(Error::aws("read the tags of a mailbox")(error)),
    }
}

fn pairs(tags: &HashMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
