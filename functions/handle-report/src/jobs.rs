//! The `Jobs` table, as a report needs it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_jobs::Record;
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk::SdkConfig;
use mayfly_model::job::{Capacity, Task};
use mayfly_model::message::{Loss, News, Progress, Report};
use mayfly_model::record::{self, Stored};
use serde::Serialize;

use crate::bounds::has_room;

/// A job that is going on.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    /// The start that is going on.
    pub start: u32,
    pub token: String,
    pub nonce: String,
    pub mailbox: String,
    pub capacity: Capacity,
    pub task: Task,
    /// The task that works at this start, once it has reported.
    pub task_arn: Option<String>,
    /// The tasks whose end is known.
    pub ended_tasks: Vec<String>,
    /// Whether it has a result.
    pub is_finished: bool,
    /// Whether it was concluded without one.
    pub is_concluded: bool,
}

impl Job {
    fn read(id: &str, record: &Record) -> Result<Self, Error> {
        Ok(Self {
            id: id.to_owned(),
            start: record.start()?,
            token: record.text(record::TOKEN)?.to_owned(),
            nonce: record.text(record::NONCE)?.to_owned(),
            mailbox: record.text(record::MAILBOX)?.to_owned(),
            capacity: record.json(record::CAPACITY)?,
            task: record.json(record::TASK)?,
            task_arn: record.find_text(record::TASK_ARN).map(str::to_owned),
            ended_tasks: record.texts(record::ENDED_TASKS).to_vec(),
            is_finished: record.has(record::RESULT),
            is_concluded: record.has(record::CONCLUDED),
        })
    }
}

/// What may still be stored.
#[derive(Clone, Copy)]
enum While {
    /// Anything of the start that is going on, as long as there is no result.
    AtStart(u32),
    /// The one result, of whichever start.
    Unfinished,
}

pub struct Jobs {
    dynamodb: Client,
    table: String,
}

impl Jobs {
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { dynamodb: Client::new(config), table }
    }

    /// The job that `report` belongs to; none where the report does not have the job's nonce.
    pub async fn find(&self, report: &Report) -> Result<Option<Job>, Error> {
        Ok(self.get(&report.job).await?.filter(|job| job.nonce == report.nonce))
    }

    /// The job as it is now, with the token that the state machine waits for. To be read after a result or a loss was
    /// stored: whoever dispatches or concludes later sees that.
    pub async fn read_again(&self, job: &Job) -> Result<Job, Error> {
        Ok(self.get(&job.id).await?.unwrap_or_else(|| job.clone()))
    }

    pub async fn store_progress(&self, job: &Job, report: &Report, progress: &Progress) -> Result<(), Error> {
        self.store(job, report, While::AtStart(job.start), record::PROGRESS, progress).await.map(drop)
    }

    /// Stores what the start was lost by; false where it is not going on any more.
    pub async fn store_loss(&self, job: &Job, report: &Report, loss: &Loss) -> Result<bool, Error> {
        self.store(job, report, While::AtStart(job.start), record::LOSS, loss).await
    }

    /// Stores the job's one result: of two reports the first stays.
    pub async fn store_result(&self, job: &Job, report: &Report, stored: &Stored) -> Result<(), Error> {
        self.store(job, report, While::Unfinished, record::RESULT, stored).await.map(drop)
    }

    async fn get(&self, job: &str) -> Result<Option<Job>, Error> {
        Record::get(&self.dynamodb, &self.table, job).await?.map(|record| Job::read(job, &record)).transpose()
    }

    /// Whether it was stored.
    async fn store(
        &self,
        job: &Job,
        report: &Report,
        condition: While,
        name: &str,
        value: &impl Serialize,
    ) -> Result<bool, Error> {
        let value = serde_json::to_string(value)
            .map_err(|error| Error::internal("could not write the job's record", error))?;
        let mut update = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key(record::JOB, AttributeValue::S(job.id.clone()))
            .expression_attribute_names("#value", name)
            .expression_attribute_names("#nonce", record::NONCE)
            .expression_attribute_names("#result", record::RESULT)
            .expression_attribute_values(":value", AttributeValue::S(value))
            .expression_attribute_values(":nonce", AttributeValue::S(job.nonce.clone()));
        let mut set = "SET #value = :value".to_owned();
        let mut demand = "#nonce = :nonce AND attribute_not_exists(#result)".to_owned();
        if let While::AtStart(start) = condition {
            demand += " AND #start = :start";
            update = update
                .expression_attribute_names("#start", record::START)
                .expression_attribute_values(":start", AttributeValue::N(start.to_string()));
            if let Some(task_arn) = &report.task_arn {
                set += ", #task = :task";
                update = update
                    .expression_attribute_names("#task", record::TASK_ARN)
                    .expression_attribute_values(":task", AttributeValue::S(task_arn.clone()));
            }
        }
        if !matches!(report.news, News::Lost(_)) {
            set += ", #worked = :worked";
            update = update
                .expression_attribute_names("#worked", record::WORKED)
                .expression_attribute_values(":worked", AttributeValue::N(report.turn.start.to_string()));
        }
        let is_end = name != record::PROGRESS && has_room(&job.ended_tasks);
        if let (Some(task_arn), true) = (&report.task_arn, is_end) {
            set += " ADD #ended :ended";
            update = update
                .expression_attribute_names("#ended", record::ENDED_TASKS)
                .expression_attribute_values(":ended", AttributeValue::Ss(vec![task_arn.clone()]));
        }
        match update.update_expression(set).condition_expression(demand).send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::aws("write the job's record")(error)),
        }
    }
}
