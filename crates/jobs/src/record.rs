//! A job's item in the `Jobs` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_lambda::error::Error;
use mayfly_model::plan::Plan;
use mayfly_model::record::{JOB, MAILBOX, START};
use serde::de::DeserializeOwned;

/// What the table knows of a job. Its attributes go by the names in [`mayfly_model::record`].
pub struct Record(HashMap<String, AttributeValue>);

impl Record {
    /// The record of the job with this id; none before its first dispatch, and none of an id that no item can have.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn get(dynamodb: &Client, table: &str, job: &str) -> Result<Option<Self>, Error> {
        let get = dynamodb.get_item().table_name(table).key(JOB, AttributeValue::S(job.to_owned()));
        match get.consistent_read(true).send().await {
            Ok(got) => Ok(got.item.map(Self)),
            // An empty key, or one of more than 2,048 bytes.
            // Source: DynamoDB developer guide, "Constraints in Amazon DynamoDB", partition keys; API Reference, "Common
            // errors", `ValidationError`.
            Err(error) if error.code() == Some("ValidationException") => Ok(None),
            Err(error) => Err(Error::aws("read the job's record")(error)),
        }
    }

    /// The record of this run of the job: an earlier run of the same id had another mailbox.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn of_run(dynamodb: &Client, table: &str, plan: &Plan) -> Result<Option<Self>, Error> {
        let record = Self::get(dynamodb, table, &plan.job).await?;
        Ok(record.filter(|record| record.find_text(MAILBOX) == Some(&plan.mailbox_url)))
    }

    /// The start that its attributes of a start are about.
    ///
    /// # Errors
    /// [`Error::Internal`] where it has none.
    pub fn start(&self) -> Result<u32, Error> {
        let start = self.0.get(START).and_then(|value| value.as_n().ok()?.parse().ok());
        start.ok_or_else(|| missing(START))
    }

    /// Whether the attribute is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The attribute that the record cannot be without.
    ///
    /// # Errors
    /// [`Error::Internal`] where it is absent.
    pub fn text(&self, name: &str) -> Result<&str, Error> {
        self.find_text(name).ok_or_else(|| missing(name))
    }

    /// The attribute, where it is there.
    pub fn find_text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_s().ok().map(String::as_str)
    }

    /// The set of texts; empty where it is absent.
    pub fn texts(&self, name: &str) -> &[String] {
        self.0.get(name).and_then(|value| value.as_ss().ok()).map_or(&[], Vec::as_slice)
    }

    /// What the JSON says that the record cannot be without.
    ///
    /// # Errors
    /// [`Error::Internal`] where it is absent or cannot be read as `T`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.find_json(name)?.ok_or_else(|| missing(name))
    }

    /// What the JSON says, where it is there.
    ///
    /// # Errors
    /// [`Error::Internal`] where it cannot be read as `T`.
    pub fn find_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let read = self.find_text(name).map(serde_json::from_str).transpose();
        read.map_err(|error| Error::internal(format!("could not read the record's {name}"), error))
    }
}

fn missing(name: &str) -> Error {
    Error::internal("could not read the job's record", format!("it has no {name}"))
}
