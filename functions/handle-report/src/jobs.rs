//! The `Jobs` table, as a report needs it.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_common::error::Error;
use mayfly_common::job::Task;
use mayfly_common::message::{Finished, Progress, Report};
use mayfly_common::record;
use mayfly_common::sdk::SdkConfig;
use serde::Serialize;

/// A job that is going on.
pub struct Job {
    pub id: String,
    pub attempt: u32,
    pub token: String,
    pub nonce: String,
    pub mailbox: String,
    pub task: Task,
}

pub struct Jobs {
    dynamodb: Client,
    table: String,
}

impl Jobs {
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { dynamodb: Client::new(config), table }
    }

    /// The job that `report` belongs to; none where the report's attempt or nonce is not the job's.
    pub async fn find(&self, report: &Report) -> Result<Option<Job>, Error> {
        let record = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key(record::JOB, AttributeValue::S(report.job.clone()))
            .consistent_read(true)
            .send()
            .await
            .map_err(Error::aws("read the job's record"))?;
        let job = record.item.map(|item| job_of(&item, &report.job)).transpose()?;
        Ok(job.filter(|job| job.attempt == report.attempt && job.nonce == report.nonce))
    }

    pub async fn store_progress(&self, job: &Job, task_arn: &str, progress: &Progress) -> Result<(), Error> {
        self.store(job, task_arn, record::PROGRESS, progress).await
    }

    /// Stores the attempt's one result: of two reports the first stays.
    pub async fn store_result(&self, job: &Job, task_arn: &str, finished: &Finished) -> Result<(), Error> {
        self.store(job, task_arn, record::RESULT, finished).await
    }

    /// Nothing is written over a result, nor by a report of an earlier attempt.
    async fn store(
        &self,
        job: &Job,
        task_arn: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), Error> {
        let value = serde_json::to_string(value)
            .map_err(|error| Error::internal("could not write the job's record", error))?;
        let stored = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key(record::JOB, AttributeValue::S(job.id.clone()))
            .update_expression("SET #value = :value, #task = :task")
            .condition_expression("#nonce = :nonce AND attribute_not_exists(#result)")
            .expression_attribute_names("#value", name)
            .expression_attribute_names("#task", record::TASK_ARN)
            .expression_attribute_names("#nonce", record::NONCE)
            .expression_attribute_names("#result", record::RESULT)
            .expression_attribute_values(":value", AttributeValue::S(value))
            .expression_attribute_values(":task", AttributeValue::S(task_arn.to_owned()))
            .expression_attribute_values(":nonce", AttributeValue::S(job.nonce.clone()))
            .send()
            .await;
        match stored {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::aws("write the job's record")(error)),
        }
    }
}

fn job_of(item: &HashMap<String, AttributeValue>, id: &str) -> Result<Job, Error> {
    let missing =
        |name: &str| Error::internal("could not read the job's record", format!("it has no {name}"));
    let text =
        |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().ok_or_else(|| missing(name));
    let attempt = item.get(record::ATTEMPT).and_then(|value| value.as_n().ok()?.parse().ok());
    Ok(Job {
        id: id.to_owned(),
        attempt: attempt.ok_or_else(|| missing(record::ATTEMPT))?,
        token: text(record::TOKEN)?,
        nonce: text(record::NONCE)?,
        mailbox: text(record::MAILBOX)?,
        task: serde_json::from_str(&text(record::TASK)?)
            .map_err(|error| Error::internal("could not read the job's record", error))?,
    })
}
