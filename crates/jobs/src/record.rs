//! A job's item in the `Jobs` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_lambda::error::Error;
use mayfly_model::job::{Capacity, Work};
use mayfly_model::message::Loss;
use mayfly_model::parts::PartedUpload;
use mayfly_model::record::{
    CAPACITY, CONCLUDED, ENDED_TASKS, IPV6, LOSS, MAILBOX, NONCE, RESULT, Stored, TASK_ARN, TOKEN, TURN,
    UPLOADS, WORK, WORKED,
};
use mayfly_model::turn::Turn;
use serde::de::DeserializeOwned;

use crate::signing::Hosts;

/// What the table knows of a job that has been dispatched.
#[derive(Clone, Debug)]
pub struct Record {
    /// The job's id.
    pub job: String,
    /// The turn that is going on.
    pub turn: Turn,
    /// The task token of that start.
    pub token: String,
    /// What proves that a report comes from a container of this job.
    pub nonce: String,
    /// The mailbox's URL.
    pub mailbox: String,
    /// The document's `capacity`.
    pub capacity: Capacity,
    /// Where S3 is called for the job.
    pub hosts: Hosts,
    /// The job's work.
    pub work: Work,
    /// The ECS task that works at this start, once it has reported.
    pub task_arn: Option<String>,
    /// The ECS tasks whose end is known.
    pub ended_tasks: Vec<String>,
    /// What this start was lost by.
    pub loss: Option<Loss>,
    /// The job's one result.
    pub result: Option<Stored>,
    /// Whether a container of the job has ever worked.
    pub has_worked: bool,
    /// Whether the job was concluded without a result.
    pub is_concluded: bool,
    /// The uploads in parts that were begun for it.
    pub uploads: Vec<PartedUpload>,
}

impl Record {
    /// Reads the item of `job`.
    ///
    /// # Errors
    /// [`Error::Internal`] where an attribute is absent that no record is without, or cannot be read.
    pub(crate) fn read(job: &str, item: &HashMap<String, AttributeValue>) -> Result<Self, Error> {
        let ended = item.get(ENDED_TASKS).and_then(|value| value.as_ss().ok());
        Ok(Self {
            job: job.to_owned(),
            turn: given(TURN, json(item, TURN)?)?,
            token: given(TOKEN, text(item, TOKEN))?.to_owned(),
            nonce: given(NONCE, text(item, NONCE))?.to_owned(),
            mailbox: given(MAILBOX, text(item, MAILBOX))?.to_owned(),
            capacity: given(CAPACITY, json(item, CAPACITY)?)?,
            hosts: Hosts::of(item.contains_key(IPV6)),
            work: given(WORK, json(item, WORK)?)?,
            task_arn: text(item, TASK_ARN).map(str::to_owned),
            ended_tasks: ended.cloned().unwrap_or_default(),
            loss: json(item, LOSS)?,
            result: json(item, RESULT)?,
            has_worked: item.contains_key(WORKED),
            is_concluded: item.contains_key(CONCLUDED),
            uploads: json(item, UPLOADS)?.unwrap_or_default(),
        })
    }
}

fn given<T>(name: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::internal("read the job's record", format!("it has no {name}")))
}

pub(crate) fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn json<T: DeserializeOwned>(
    item: &HashMap<String, AttributeValue>,
    name: &str,
) -> Result<Option<T>, Error> {
    let read = text(item, name).map(serde_json::from_str).transpose();
    read.map_err(|error| Error::internal(format!("read the record's {name}"), error))
}
