//! A result that was handled late. When this runs, the container is gone, so whatever it had to say is in the done queue
//! or in the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use mayfly_common::error::{Class, Error};
use mayfly_common::plan::Plan;
use mayfly_common::record::{self, Stored};

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
    let Some(record) = record(clients, settings, plan).await? else { return Ok(None) };
    if let Some(result) = record.get(record::RESULT).and_then(|result| result.as_s().ok()) {
        let stored = serde_json::from_str(result);
        return stored.map(Some).map_err(|error| Error::internal("could not read the stored result", error));
    }
    if pending > 0 && may_have_worked(&record, class) {
        return Err(Error::ReportsPending(format!(
            "{pending} reports in the done queue are not handled yet"
        )));
    }
    Ok(None)
}

/// No report need have been handled: the queue may have been held up all the time.
fn may_have_worked(record: &HashMap<String, AttributeValue>, class: Option<Class>) -> bool {
    let never_ran = [Class::ImagePullFailed, Class::NoCapacity, Class::QuotaExceeded];
    let is_first = record.get(record::START).and_then(|start| start.as_n().ok()).is_some_and(|n| n == "1");
    !is_first || !class.is_some_and(|class| never_ran.contains(&class))
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

/// The job's record, if this run has been dispatched: an earlier run of the same job id had another mailbox.
async fn record(
    clients: &Clients,
    settings: &Settings,
    plan: &Plan,
) -> Result<Option<HashMap<String, AttributeValue>>, Error> {
    let record = clients
        .dynamodb
        .get_item()
        .table_name(&settings.table)
        .key(record::JOB, AttributeValue::S(plan.job.clone()))
        .consistent_read(true)
        .send()
        .await
        .map_err(Error::aws("read the job's record"))?;
    let mailbox = Some(&plan.mailbox_url);
    Ok(record.item.filter(|item| item.get(record::MAILBOX).and_then(|value| value.as_s().ok()) == mailbox))
}
