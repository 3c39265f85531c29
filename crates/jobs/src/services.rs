//! The records of services. As with work, when something may be written stands here, in each update's condition.
//!
//! ECS's events are handled side by side, and in no order: what they tell of the containers is read, changed and written
//! where nobody else has written meanwhile.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use mayfly_lambda::error::Error;
use mayfly_model::outcome::JobFailure;
use mayfly_model::plan::{Plan, PlannedService};
use mayfly_model::record::{
    ADDRESSES, BEGUN, CONTAINERS, END, ENDING, ENTRANCE, EXECUTION, EXTENSIONS, FAILURE, MAILBOX, TOKEN,
};
use mayfly_model::service::{Address, Containers, Entrance, Ready};

use crate::jobs::{Jobs, MEMORY, forget_at, json, number, text};
use crate::record;

/// How often something is read and written anew because others have written meanwhile. A service has ten containers at
/// most.
const TRIES: usize = 20;

/// What the table knows of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRecord {
    /// The job's id.
    pub job: String,
    /// The run of the job that it is of, by the name of its mailbox; none before the service was ready.
    pub mailbox: Option<String>,
    /// The ARN of the execution.
    pub execution: Option<String>,
    /// When it was ready.
    pub begun: Option<Timestamp>,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// How often its end has been put off.
    pub extensions: u32,
    /// Where its containers that run are called.
    pub addresses: Vec<Address>,
    /// What it is called at, once it is ready.
    pub entrance: Option<Entrance>,
    /// What ECS has told of its containers.
    pub containers: Containers,
    /// The token that the state machine waits for.
    pub token: Option<String>,
    /// Why it cannot stay up.
    pub failure: Option<JobFailure>,
    /// Whether it is over.
    pub is_ending: bool,
    /// The containers as they are written there, to see whether others have written since.
    written: Option<AttributeValue>,
}

impl ServiceRecord {
    fn read(job: &str, item: &HashMap<String, AttributeValue>) -> Result<Self, Error> {
        Ok(Self {
            job: job.to_owned(),
            mailbox: record::text(item, MAILBOX).map(str::to_owned),
            execution: record::text(item, EXECUTION).map(str::to_owned),
            begun: time(item, BEGUN)?,
            end: time(item, END)?,
            extensions: item.get(EXTENSIONS).and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or(0),
            addresses: record::json(item, ADDRESSES)?.unwrap_or_default(),
            entrance: record::json(item, ENTRANCE)?,
            containers: record::json(item, CONTAINERS)?.unwrap_or_default(),
            token: record::text(item, TOKEN).map(str::to_owned),
            failure: record::json(item, FAILURE)?,
            is_ending: item.contains_key(ENDING),
            written: item.get(CONTAINERS).cloned(),
        })
    }

    /// Of a service that nothing is known of yet.
    pub fn new(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            mailbox: None,
            execution: None,
            begun: None,
            end: None,
            extensions: 0,
            addresses: Vec::new(),
            entrance: None,
            containers: Containers::default(),
            token: None,
            failure: None,
            is_ending: false,
            written: None,
        }
    }

    /// Where and until when it can be called; none before it is ready.
    pub fn ready(&self, stack: &str) -> Option<Ready> {
        let entrance = self.entrance.as_ref()?;
        Some(Ready {
            stack: stack.to_owned(),
            job: self.job.clone(),
            addresses: self.addresses.clone(),
            ports: entrance.ports.clone(),
            url: entrance.url(&self.addresses),
            end: in_seconds(self.end?),
        })
    }

    /// Whether an event that is no news may still be to be announced: a first try may have written it down and told nobody.
    fn may_be_untold(&self, task_arn: &str) -> bool {
        !self.is_ending && self.containers.running.contains_key(task_arn)
    }

    /// The condition under which nobody has told of a container since.
    fn unchanged(&self) -> (&'static str, Option<(&'static str, AttributeValue)>) {
        match &self.written {
            None => ("attribute_not_exists(#containers)", None),
            Some(written) => ("#containers = :written", Some((":written", written.clone()))),
        }
    }
}

/// A container of which ECS has told something.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The job's id.
    pub job: &'a str,
    /// When everything of the job is overdue, as its tags say.
    pub expiry: Timestamp,
    /// The task's ARN.
    pub task_arn: &'a str,
}

impl Jobs {
    /// The record of the service with this id; none before ECS has told of a container.
    ///
    /// # Errors
    /// As [`Error::aws`], and [`Error::Internal`] where the record cannot be read.
    pub async fn service(&self, job: &str) -> Result<Option<ServiceRecord>, Error> {
        let item = self.item(job).await?;
        item.map(|item| ServiceRecord::read(job, &item)).transpose()
    }

    /// The record of a service of this run of the job that has been ready.
    ///
    /// # Errors
    /// As [`Self::service`].
    pub async fn service_of_run(&self, plan: &Plan) -> Result<Option<ServiceRecord>, Error> {
        let is_of_run = |record: &ServiceRecord| record.mailbox.as_ref() == Some(&plan.mailbox_url);
        Ok(self.service(&plan.job).await?.filter(is_of_run))
    }

    /// Writes down, once, that the service is ready `now`; `found` are the containers that ECS may not have told of yet.
    /// Returns the record, and whether this was the first time.
    ///
    /// # Errors
    /// As [`Self::service`], and [`Error::Unavailable`] where others keep writing.
    pub async fn begin_service(
        &self,
        plan: &Plan,
        service: &PlannedService,
        entrance: &Entrance,
        found: &[Address],
        now: Timestamp,
    ) -> Result<(ServiceRecord, bool), Error> {
        for _ in 0..TRIES {
            let known = self.service(&plan.job).await?.unwrap_or_else(|| ServiceRecord::new(&plan.job));
            if known.mailbox.as_ref() == Some(&plan.mailbox_url) && known.end.is_some() {
                return Ok((known, false));
            }
            let (unchanged, written) = known.unchanged();
            // Another run of the id has been forgotten long before there can be this one, but it is not left to that.
            let is_new = known.mailbox.is_none();
            let known = if is_new {
                known.clone()
            } else {
                ServiceRecord { written: None, ..ServiceRecord::new(&plan.job) }
            };
            let forget = if is_new { "" } else { " REMOVE #turn, #token, #ending, #failure, #extensions" };
            let (mut addresses, mut containers) = (known.addresses, known.containers);
            for address in found {
                if containers.start(&address.task_arn, 0) {
                    addresses.push(address.clone());
                }
            }
            let life = SignedDuration::from_secs(i64::try_from(service.ttl_seconds).unwrap_or(i64::MAX));
            let set = format!(
                "SET #mailbox = :mailbox, #execution = :execution, #begun = :begun, #end = :end, \
                 #entrance = :entrance, #addresses = :addresses, #containers = :containers, #ttl = :ttl{forget}"
            );
            let values = [
                (":mailbox", text(&plan.mailbox_url)),
                (":execution", text(&plan.execution)),
                (":begun", text(&in_seconds(now))),
                (":end", text(&in_seconds(now + life))),
                (":entrance", json(entrance)?),
                (":addresses", json(&addresses)?),
                (":containers", json(&containers)?),
                (":ttl", number(forget_at(plan)?)),
            ];
            if self.update(&plan.job, &set, unchanged, values.into_iter().chain(written)).await? {
                let begun = self.service_of_run(plan).await?;
                let lost = || Error::unavailable("read the service's record", "it is gone");
                return Ok((begun.ok_or_else(lost)?, true));
            }
        }
        Err(contended())
    }

    /// Stores the token that the state machine waits for, and returns the record.
    ///
    /// # Errors
    /// [`Error::AlreadyEnded`] where there is nothing to wait for any more; else as [`Self::service`].
    pub async fn keep_service(&self, plan: &Plan, token: &str) -> Result<(), Error> {
        let values = [(":token", text(token)), (":mailbox", text(&plan.mailbox_url))];
        let demand =
            "#mailbox = :mailbox AND attribute_not_exists(#ending) AND attribute_not_exists(#failure)";
        if self.update(&plan.job, "SET #token = :token", demand, values).await? {
            return Ok(());
        }
        Err(Error::AlreadyEnded("the service has ended before it was waited for".into()))
    }

    /// Takes in that a container runs, at this address. Returns the record where others are to hear of it: its addresses are
    /// others now, or the same event has come again; and the service has been ready.
    ///
    /// # Errors
    /// As [`Self::service`], and [`Error::Unavailable`] where others keep writing.
    pub async fn container_runs(
        &self,
        told: Told<'_>,
        version: u64,
        address: &Address,
    ) -> Result<Option<ServiceRecord>, Error> {
        let changed = self.tell(told.job, told.expiry, |record| {
            if !record.containers.start(told.task_arn, version) {
                return None;
            }
            let is_known = record.addresses.contains(address);
            if !is_known {
                record.addresses.retain(|known| known.task_arn != address.task_arn);
                record.addresses.push(address.clone());
            }
            Some(!is_known)
        });
        let to_be_told = match changed.await? {
            Some((record, is_other)) => is_other.then_some(record),
            None => self.service(told.job).await?.filter(|record| record.may_be_untold(told.task_arn)),
        };
        Ok(to_be_told.filter(|record| record.begun.is_some()))
    }

    /// Takes in that a container has stopped; `ended` is when it ended by itself, if it has. Returns the record, unless
    /// that is no news or the service is over.
    ///
    /// # Errors
    /// As [`Self::container_runs`].
    pub async fn container_stopped(
        &self,
        told: Told<'_>,
        ended: Option<Timestamp>,
    ) -> Result<Option<ServiceRecord>, Error> {
        let changed = self.tell(told.job, told.expiry, |record| {
            record.addresses.retain(|known| known.task_arn != told.task_arn);
            record.containers.stop(told.task_arn, ended).then_some(())
        });
        Ok(changed.await?.map(|(record, ())| record))
    }

    /// Takes in that no container of the launch that was is called any more: another launch follows.
    ///
    /// # Errors
    /// As [`Self::container_runs`].
    pub async fn leave_launch(&self, plan: &Plan) -> Result<(), Error> {
        let expiry = plan.expiry.parse();
        let expiry = expiry.map_err(|error| Error::internal("read the job's expiry", error))?;
        let changed = self.tell(&plan.job, expiry, |record| {
            record.addresses.clear();
            record.containers.stop_all().then_some(())
        });
        changed.await.map(drop)
    }

    /// Changes what is known of the containers, unless that is no news or the service is over.
    async fn tell<T>(
        &self,
        job: &str,
        expiry: Timestamp,
        change: impl Fn(&mut ServiceRecord) -> Option<T>,
    ) -> Result<Option<(ServiceRecord, T)>, Error> {
        for _ in 0..TRIES {
            let known = self.service(job).await?.unwrap_or_else(|| ServiceRecord::new(job));
            if known.is_ending {
                return Ok(None);
            }
            let (unchanged, written) = known.unchanged();
            let mut record = known.clone();
            let Some(news) = change(&mut record) else { return Ok(None) };
            let values = [
                (":addresses", json(&record.addresses)?),
                (":containers", json(&record.containers)?),
                (":ttl", number((expiry + MEMORY).as_second())),
            ];
            let set =
                "SET #addresses = :addresses, #containers = :containers, #ttl = if_not_exists(#ttl, :ttl)";
            let demand = format!("{unchanged} AND attribute_not_exists(#ending)");
            if self.update(job, set, &demand, values.into_iter().chain(written)).await? {
                return Ok(Some((record, news)));
            }
        }
        Err(contended())
    }

    /// Writes down why the service cannot stay up; false where it is over, or something else was first.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn fail_service(&self, job: &str, failure: &JobFailure) -> Result<bool, Error> {
        let demand = "attribute_exists(#containers) AND attribute_not_exists(#failure) AND \
                      attribute_not_exists(#ending)";
        self.update(job, "SET #failure = :failure", demand, [(":failure", json(failure)?)]).await
    }

    /// Puts the service's end off to `end`, and counts that; false where it is over, or others have put it off meanwhile.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn extend_service(&self, record: &ServiceRecord, end: Timestamp) -> Result<bool, Error> {
        let Some(known) = record.end else { return Ok(false) };
        let values = [
            (":known", text(&in_seconds(known))),
            (":end", text(&in_seconds(end))),
            (":extensions", number((record.extensions + 1).into())),
            (":ttl", number((end + MEMORY).as_second())),
        ];
        let set = "SET #end = :end, #extensions = :extensions, #ttl = :ttl";
        let demand = "#end = :known AND attribute_not_exists(#ending) AND attribute_not_exists(#failure)";
        self.update(&record.job, set, demand, values).await
    }

    /// Writes down that the service is over; false where its end has been put off meanwhile.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn end_service_at(&self, plan: &Plan, end: Timestamp) -> Result<bool, Error> {
        let values = [
            (":true", AttributeValue::Bool(true)),
            (":end", text(&in_seconds(end))),
            (":mailbox", text(&plan.mailbox_url)),
        ];
        self.update(&plan.job, "SET #ending = :true", "#mailbox = :mailbox AND #end = :end", values).await
    }

    /// Writes down that the service is over, whatever its end. One of which nothing is known has no record.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn end_service(&self, plan: &Plan) -> Result<(), Error> {
        let values = [(":true", AttributeValue::Bool(true))];
        let demand = "attribute_exists(#containers)";
        self.update(&plan.job, "SET #ending = :true", demand, values).await.map(drop)
    }
}

fn contended() -> Error {
    Error::unavailable("write the service's record", "others keep writing")
}

/// RFC 3339 UTC, in whole seconds.
fn in_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn time(item: &HashMap<String, AttributeValue>, name: &str) -> Result<Option<Timestamp>, Error> {
    let read = record::text(item, name).map(str::parse).transpose();
    read.map_err(|error| Error::internal(format!("read the record's {name}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_comes_again_is_announced_again_while_its_container_runs() {
        let mut record = ServiceRecord::new("a");
        assert!(!record.may_be_untold("task"));
        record.containers.start("task", 3);
        assert!(record.may_be_untold("task") && !record.may_be_untold("other"));
        record.is_ending = true;
        assert!(!record.may_be_untold("task"));
        record.is_ending = false;
        record.containers.stop("task", None);
        assert!(!record.may_be_untold("task"));
    }
}
