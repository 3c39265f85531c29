//! A result that was handled late. When this runs, the container is gone, so whatever it had to say is in the done queue
//! or in the table.

use aws_sdk_sqs::types::QueueAttributeName;
use mayfly_common::error::{Class, Error};
use mayfly_common::plan::Plan;
use mayfly_common::record::{self, Stored};
use mayfly_jobs::Record;

use crate::{Clients, Settings};

/// The counts of the messages that handle-report has not dealt with yet. A container's reports are never delayed.
/// Source: SQS API Reference, `GetQueueAttributes`.
const COUNTS: [QueueAttributeName; 2] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
];

/// The result that the table has by now.
///
/// # Errors
/// [`Error::ReportsPending`] where there is none, `may_wait`, and a report that is not handled yet may be that of a
/// container that has worked: only the `class` of the ending can rule out that there was one.
pub async fn result(
    clients: &Clients,
    settings: &Settings,
    plan: &Plan,
    class: Option<Class>,
    may_wait: bool,
) -> Result<Option<Stored>, Error> {
    // Counted first: what is handled in between is then in the table.
    let pending = if may_wait { pending(clients, settings).await? } else { 0 };
    let Some(record) = Record::of_run(&clients.dynamodb, &settings.table, plan).await? else {
        return Ok(None);
    };
    let stored = record.find_json(record::RESULT)?;
    if stored.is_none() && pending > 0 && may_have_worked(record.start()?, class) {
        return Err(Error::ReportsPending(format!(
            "{pending} reports in the done queue are not handled yet"
        )));
    }
    Ok(stored)
}

/// No report need have been handled: the queue may have been held up all the time.
fn may_have_worked(start: u32, class: Option<Class>) -> bool {
    let never_ran = [Class::ImagePullFailed, Class::NoCapacity, Class::QuotaExceeded];
    start > 1 || !class.is_some_and(|class| never_ran.contains(&class))
}

async fn pending(clients: &Clients, settings: &Settings) -> Result<u64, Error> {
    let answer = clients
        .sqs
        .get_queue_attributes()
        .queue_url(&settings.done_queue_url)
        .set_attribute_names(Some(COUNTS.to_vec()))
        .send()
        .await
        .map_err(Error::aws("count the reports in the done queue"))?;
    let counts = answer.attributes.unwrap_or_default();
    Ok(counts.values().filter_map(|count| count.parse::<u64>().ok()).sum())
}
