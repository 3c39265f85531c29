//! The `Jobs` table. Functions say what there is to write; when it may be written stands here, in each update's condition.
//! A result is never written over.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use mayfly_lambda::Environment;
use mayfly_lambda::error::Error;
use mayfly_model::job::Egress;
use mayfly_model::message::{Loss, News, Progress, Report};
use mayfly_model::plan::Plan;
use mayfly_model::record::{
    CAPACITY, EXECUTION, IPV6, JOB, LOSS, MAILBOX, NONCE, PROGRESS, RESULT, START, Stored, TOKEN, TTL, TURN,
    WORK,
};
use mayfly_model::tags;
use mayfly_model::turn::Turn;
use serde::Serialize;

use crate::record::Record;

/// How long the table remembers a job after everything of it is overdue.
pub(crate) const MEMORY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The most ECS tasks whose end a record remembers. A job has at most a few dozen.
pub const ENDED_TASKS_LIMIT: usize = 100;

/// The stack's `Jobs` table.
pub struct Jobs {
    pub(crate) dynamodb: Client,
    pub(crate) table: String,
}

impl Jobs {
    /// The table that the function's setting `JOBS_TABLE` names.
    ///
    /// # Errors
    /// When the setting is absent.
    pub fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { dynamodb: Client::new(environment.sdk()), table: environment.setting("JOBS_TABLE")? })
    }

    /// The record of the job with this id; none before its first dispatch, none of a service, and none of an id that no item
    /// can have.
    ///
    /// # Errors
    /// As [`Error::aws`], and [`Error::Internal`] where the record cannot be read.
    pub async fn get(&self, job: &str) -> Result<Option<Record>, Error> {
        // Only work has turns; a service has a record of its own kind.
        let item = self.item(job).await?.filter(|item| item.contains_key(TURN));
        item.map(|item| Record::read(job, &item)).transpose()
    }

    /// The item of the job with this id, if there is one.
    pub(crate) async fn item(&self, job: &str) -> Result<Option<HashMap<String, AttributeValue>>, Error> {
        let get = self.dynamodb.get_item().table_name(&self.table).key(JOB, text(job));
        match get.consistent_read(true).send().await {
            Ok(got) => Ok(got.item),
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
    /// As [`Self::get`].
    pub async fn of_run(&self, plan: &Plan) -> Result<Option<Record>, Error> {
        Ok(self.get(&plan.job).await?.filter(|record| record.mailbox == plan.mailbox_url))
    }

    /// Writes down the turn that begins and its token, and returns the job's nonce, which is `nonce` for the job's first.
    ///
    /// Nothing is written over a result, of whichever start it is; nor over the loss of this very start, which a retry
    /// after a lost answer may find; nor over a later start.
    ///
    /// # Errors
    /// [`Error::AlreadyEnded`] where that forbids it; else as [`Self::get`].
    pub async fn begin(&self, plan: &Plan, turn: Turn, token: &str, nonce: String) -> Result<String, Error> {
        let Some(known) = self.of_run(plan).await? else {
            self.create(plan, turn, token, &nonce).await?;
            return Ok(nonce);
        };
        let token = (":token", text(token));
        let start = (":start", number(turn.start.into()));
        let is_written = if known.turn.start == turn.start {
            let set = "SET #token = :token";
            let demand = "#start = :start AND attribute_not_exists(#result) AND attribute_not_exists(#loss)";
            self.update(&plan.job, set, demand, [token, start]).await?
        } else {
            let set = "SET #token = :token, #start = :start, #turn = :turn REMOVE #taskArn, #progress, #loss";
            let demand = "#start < :start AND attribute_not_exists(#result)";
            self.update(&plan.job, set, demand, [token, start, (":turn", json(&turn)?)]).await?
        };
        let start = turn.start;
        let ended =
            || Error::AlreadyEnded(format!("a report has ended start {start} before it was dispatched"));
        is_written.then_some(known.nonce).ok_or_else(ended)
    }

    async fn create(&self, plan: &Plan, turn: Turn, token: &str, nonce: &str) -> Result<(), Error> {
        let ipv6 = (plan.egress() == Some(Egress::Ipv6)).then_some(AttributeValue::Bool(true));
        let put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .item(JOB, text(&plan.job))
            .item(TURN, json(&turn)?)
            .item(START, number(turn.start.into()))
            .item(TOKEN, text(token))
            .item(NONCE, text(nonce))
            .item(MAILBOX, text(&plan.mailbox_url))
            .item(CAPACITY, json(&plan.capacity)?)
            .item(WORK, json(&plan.work())?)
            .item(TTL, number(forget_at(plan)?));
        let put = ipv6.into_iter().fold(put, |put, ipv6| put.item(IPV6, ipv6));
        let execution = plan.tags.get(tags::EXECUTION).into_iter();
        let put = execution.fold(put, |put, execution| put.item(EXECUTION, text(execution)));
        put.send().await.map(drop).map_err(Error::aws("write the job's record"))
    }

    /// Stores how far the container is, as long as its start is going on.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn store_progress(
        &self,
        record: &Record,
        report: &Report,
        progress: &Progress,
    ) -> Result<(), Error> {
        self.store_at_start(record, report, PROGRESS, progress).await.map(drop)
    }

    /// Stores what the start was lost by; false where it is not going on any more.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn store_loss(&self, record: &Record, report: &Report, loss: &Loss) -> Result<bool, Error> {
        self.store_at_start(record, report, LOSS, loss).await
    }

    /// Stores the job's one result, of whichever start: of two reports the first stays.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn store_result(&self, record: &Record, report: &Report, result: &Stored) -> Result<(), Error> {
        let values = [(":nonce", text(&record.nonce)), (":value", json(result)?)];
        let (also, more) = seen(record, report, RESULT);
        let demand = "#nonce = :nonce AND attribute_not_exists(#result)";
        let set = format!("SET #result = :value{also}");
        self.update(&record.job, &set, demand, values.into_iter().chain(more)).await.map(drop)
    }

    async fn store_at_start(
        &self,
        record: &Record,
        report: &Report,
        name: &'static str,
        value: &impl Serialize,
    ) -> Result<bool, Error> {
        let mut values = vec![
            (":nonce", text(&record.nonce)),
            (":start", number(record.turn.start.into())),
            (":value", json(value)?),
        ];
        let mut set = format!("SET #{name} = :value");
        if let Some(task_arn) = &report.task_arn {
            set += ", #taskArn = :task";
            values.push((":task", text(task_arn)));
        }
        let (also, more) = seen(record, report, name);
        let demand = "#nonce = :nonce AND #start = :start AND attribute_not_exists(#result)";
        self.update(&record.job, &(set + &also), demand, values.into_iter().chain(more)).await
    }

    /// Writes down that the job ends without a result; false where it has one.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn conclude(&self, plan: &Plan) -> Result<bool, Error> {
        let demand = "#mailbox = :mailbox AND attribute_not_exists(#result)";
        let values = [(":true", AttributeValue::Bool(true)), (":mailbox", text(&plan.mailbox_url))];
        self.update(&plan.job, "SET #concluded = :true", demand, values).await
    }

    /// Changes the job's item where `demand` holds, and tells whether it did. `#name` stands for the attribute `name`, since
    /// many are DynamoDB's own words.
    pub(crate) async fn update(
        &self,
        job: &str,
        set: &str,
        demand: &str,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Result<bool, Error> {
        let mut update = self.dynamodb.update_item().table_name(&self.table).key(JOB, text(job));
        for name in names(set).chain(names(demand)).collect::<BTreeSet<_>>() {
            update = update.expression_attribute_names(format!("#{name}"), name);
        }
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
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

/// What else a report says: that a container has worked, and, unless it is only progress, that its ECS task has ended.
fn seen(record: &Record, report: &Report, name: &str) -> (String, Vec<(&'static str, AttributeValue)>) {
    let (mut set, mut values) = (String::new(), Vec::new());
    if !matches!(report.news, News::Lost(_)) {
        set += ", #worked = :worked";
        values.push((":worked", number(report.turn.start.into())));
    }
    let is_end = name != PROGRESS && record.ended_tasks.len() < ENDED_TASKS_LIMIT;
    if let (Some(task_arn), true) = (&report.task_arn, is_end) {
        set += " ADD #endedTasks :ended";
        values.push((":ended", AttributeValue::Ss(vec![task_arn.clone()])));
    }
    (set, values)
}

/// The attributes that an expression names.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric();
    expression.split('#').skip(1).map(move |rest| rest.split(|c| !is_of_name(c)).next().unwrap_or_default())
}

pub(crate) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn json(value: &impl Serialize) -> Result<AttributeValue, Error> {
    let json = serde_json::to_string(value);
    json.map(AttributeValue::S).map_err(|error| Error::internal("write the job's record", error))
}

pub(crate) fn forget_at(plan: &Plan) -> Result<i64, Error> {
    let expiry: Result<Timestamp, _> = plan.expiry.parse();
    let expiry = expiry.map_err(|error| Error::internal("read the job's expiry", error))?;
    Ok((expiry + MEMORY).as_second())
}

#[cfg(test)]
mod tests {
    use mayfly_model::record::{
        ADDRESSES, BEGUN, CONCLUDED, CONTAINERS, END, ENDED_TASKS, ENDING, ENTRANCE, EXTENSIONS, FAILURE,
        TASK_ARN, TORN_DOWN, UPLOADING, UPLOADS, WORKED,
    };

    use super::*;

    #[test]
    fn an_expression_names_attributes_of_the_record() {
        let found: Vec<_> = names("SET #a = :a, #taskArn=:b REMOVE #c ADD #d :d AND f(#e)").collect();
        assert_eq!(found, ["a", "taskArn", "c", "d", "e"]);
        // As they are written into the expressions above.
        let written = [
            "token",
            "start",
            "turn",
            "taskArn",
            "progress",
            "loss",
            "result",
            "nonce",
            "mailbox",
            "worked",
            "endedTasks",
            "concluded",
            "execution",
            "begun",
            "end",
            "extensions",
            "addresses",
            "entrance",
            "containers",
            "failure",
            "ending",
            "ttl",
            "uploads",
            "uploading",
            "tornDown",
            "job",
        ];
        let known = [
            TOKEN,
            START,
            TURN,
            TASK_ARN,
            PROGRESS,
            LOSS,
            RESULT,
            NONCE,
            MAILBOX,
            WORKED,
            ENDED_TASKS,
            CONCLUDED,
            EXECUTION,
            BEGUN,
            END,
            EXTENSIONS,
            ADDRESSES,
            ENTRANCE,
            CONTAINERS,
            FAILURE,
            ENDING,
            TTL,
            UPLOADS,
            UPLOADING,
            TORN_DOWN,
            JOB,
        ];
        assert_eq!(written, known);
    }
}
