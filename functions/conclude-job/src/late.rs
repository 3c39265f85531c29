//! A result that was handled late. When this runs, the container is gone, so whatever it had to say is in the done queue
//! or in the table. How many messages SQS holds says nothing: its counts may be a minute late.
//! Source: SQS API Reference, `GetQueueAttributes`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_jobs::Record;
use mayfly_lambda::error::Error;
use mayfly_model::plan::Plan;
use mayfly_model::record::{self, Stored};

/// The result that the table has by now; one that is stored from then on is too late.
///
/// # Errors
/// [`Error::ReportsPending`] where there is none, `may_wait`, and the report of a container that has worked may be on its
/// way.
pub async fn result(
    dynamodb: &Client,
    table: &str,
    plan: &Plan,
    may_wait: bool,
) -> Result<Option<Stored>, Error> {
    let Some(record) = Record::of_run(dynamodb, table, plan).await? else { return Ok(None) };
    if record.has(record::RESULT) {
        return record.find_json(record::RESULT);
    }
    if may_wait && record.has(record::WORKED) {
        let message = "a container of the job has worked, and its last report may be on its way";
        return Err(Error::ReportsPending(message.into()));
    }
    if conclude(dynamodb, table, plan).await? {
        return Ok(None);
    }
    // It has come in between.
    let record = Record::of_run(dynamodb, table, plan).await?;
    record.map_or(Ok(None), |record| record.find_json(record::RESULT))
}

/// Writes down that the job ends without a result; false where it has one.
async fn conclude(dynamodb: &Client, table: &str, plan: &Plan) -> Result<bool, Error> {
    let update = dynamodb
        .update_item()
        .table_name(table)
        .key(record::JOB, AttributeValue::S(plan.job.clone()))
        .expression_attribute_names("#concluded", record::CONCLUDED)
        .expression_attribute_names("#mailbox", record::MAILBOX)
        .expression_attribute_names("#result", record::RESULT)
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .expression_attribute_values(":mailbox", AttributeValue::S(plan.mailbox_url.clone()))
        .update_expression("SET #concluded = :true")
        .condition_expression("#mailbox = :mailbox AND attribute_not_exists(#result)");
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
            Ok(false)
        }
        Err(error) => Err(Error::aws("write the job's record")(error)),
    }
}
