//! The uploads in parts that a job's record holds: they are written down before S3 is asked for them.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use mayfly_lambda::error::Error;
use mayfly_model::parts::PartedUpload;
use mayfly_model::record::{EXECUTION, JOB, TTL, UPLOADING};

use crate::jobs::{Jobs, MEMORY, json, number, text};
use crate::record::{self, Record};

/// A job of which an upload in parts may not be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploading {
    /// The job's id.
    pub job: String,
    /// The ARN of its execution.
    pub execution: Option<String>,
    /// When all of it is overdue.
    pub expiry: Option<Timestamp>,
}

impl Jobs {
    /// Writes down `uploads` in place of those of `record`; false where others were written down meanwhile, the start is over, or
    /// the job is torn down.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn store_uploads(&self, record: &Record, uploads: &[PartedUpload]) -> Result<bool, Error> {
        let values = [
            (":nonce", text(&record.nonce)),
            (":start", number(record.turn.start.into())),
            (":uploads", json(&uploads)?),
            (":true", AttributeValue::Bool(true)),
        ];
        let (same, before) = same_as_in(record)?;
        let demand =
            format!("#nonce = :nonce AND #start = :start AND attribute_not_exists(#tornDown) AND {same}");
        let set = "SET #uploads = :uploads, #uploading = :true";
        self.update(&record.job, set, &demand, values.into_iter().chain([(":before", before)])).await
    }

    /// Lets no upload be begun for the job any more; false where the job has no record of work.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn tear_down(&self, job: &str) -> Result<bool, Error> {
        let values = [(":true", AttributeValue::Bool(true))];
        self.update(job, "SET #tornDown = :true", "attribute_exists(#turn)", values).await
    }

    /// Writes down that all uploads of `record` are over, of a job that is torn down.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn end_uploads(&self, record: &Record) -> Result<bool, Error> {
        let (same, before) = same_as_in(record)?;
        let demand = format!("attribute_exists(#tornDown) AND {same}");
        self.update(&record.job, "REMOVE #uploading", &demand, [(":before", before)]).await
    }

    /// The jobs of which an upload may not be over.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn uploading(&self) -> Result<Vec<Uploading>, Error> {
        let scan = self.dynamodb.scan().table_name(&self.table).consistent_read(true);
        let names = [JOB, EXECUTION, TTL, UPLOADING];
        let scan =
            names.iter().fold(scan, |scan, name| scan.expression_attribute_names(format!("#{name}"), *name));
        let scan = scan
            .filter_expression("attribute_exists(#uploading)")
            .projection_expression("#job, #execution, #ttl");
        let pages = scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let items = pages.map_err(Error::aws("search for jobs whose uploads are not over"))?;
        let uploading = items.iter().filter_map(|item| {
            let seconds = item.get(TTL).and_then(|ttl| ttl.as_n().ok()?.parse().ok());
            Some(Uploading {
                job: record::text(item, JOB)?.to_owned(),
                execution: record::text(item, EXECUTION).map(str::to_owned),
                expiry: seconds.and_then(|seconds| Some(Timestamp::from_second(seconds).ok()? - MEMORY)),
            })
        });
        Ok(uploading.collect())
    }
}

/// The condition that the uploads written down are still those of `record`, and its `:before`.
fn same_as_in(record: &Record) -> Result<(&'static str, AttributeValue), Error> {
    let before = json(&record.uploads)?;
    if record.uploads.is_empty() {
        return Ok(("(attribute_not_exists(#uploads) OR #uploads = :before)", before));
    }
    Ok(("#uploads = :before", before))
}
