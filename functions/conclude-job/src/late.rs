//! A result that was handled late. When this runs, the container is gone, so whatever it had to say is in the done queue
//! or in the table. How many messages SQS holds says nothing: its counts may be a minute late.
//! Source: SQS API Reference, `GetQueueAttributes`.

use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_model::plan::Plan;
use mayfly_model::record::Stored;

/// The result that the table has by now; one that is stored from then on is too late.
///
/// # Errors
/// [`Error::ReportsPending`] where there is none, `may_wait`, and the report of a container that has worked may be on its
/// way.
pub async fn result(jobs: &Jobs, plan: &Plan, may_wait: bool) -> Result<Option<Stored>, Error> {
    let Some(record) = jobs.of_run(plan).await? else { return Ok(None) };
    if record.result.is_some() {
        return Ok(record.result);
    }
    if may_wait && record.has_worked {
        let message = "a container of the job has worked, and its last report may be on its way";
        return Err(Error::ReportsPending(message.into()));
    }
    if jobs.conclude(plan).await? {
        return Ok(None);
    }
    // It has come in between.
    Ok(jobs.of_run(plan).await?.and_then(|record| record.result))
}
