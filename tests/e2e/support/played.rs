//! Jobs whose containers the test plays: it says what a container would say, at a moment of its own choice.

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::ExecutionStatus;
use local_ecs::{Fault, Rule, Stage};
use mayfly_model::message::{Finished, News, Order, Report};
use mayfly_model::outcome::JobResult;
use mayfly_model::record::{self, Stored};
use mayfly_model::turn::Turn;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::world::{self, Item, World, machine_of, until};

/// The task that a played container says it is.
pub const TASK: &str = "arn:aws:ecs:eu-central-1:123456789012:task/mayfly/0123456789abcdef0123456789abcdef";

/// A job that has been started.
pub struct Played<'a> {
    world: &'a World,
    stack: &'static str,
    job: String,
    /// The execution.
    pub arn: String,
}

/// A container of the job that got the order of one start.
pub struct Container<'a> {
    played: &'a Played<'a>,
    /// What it shows for itself.
    pub nonce: String,
    /// The start.
    pub turn: Turn,
}

impl<'a> Played<'a> {
    /// Starts a job of which no container ever comes, and waits for its first order.
    pub async fn begin(
        world: &'a World,
        stack: &'static str,
        job: &str,
        document: &Value,
    ) -> Result<Played<'a>> {
        let faults = [Rule::always(Fault::NeverStarts { stage: Stage::Provisioning })];
        Self::begin_with(world, stack, job, document, faults).await
    }

    /// The same with other faults: its containers do come.
    pub async fn begin_with(
        world: &'a World,
        stack: &'static str,
        job: &str,
        document: &Value,
        faults: impl IntoIterator<Item = Rule>,
    ) -> Result<Played<'a>> {
        world.cloud().ecs_faults().add(job, faults);
        let arn = world.try_start(&machine_of(stack, "run-job"), job, document).await?;
        let played = Self { world, stack, job: job.to_owned(), arn };
        played.container(1).await?;
        Ok(played)
    }

    /// Plays the container of the `start`th start, as soon as that has been dispatched.
    pub async fn container(&self, start: u32) -> Result<Container<'_>> {
        let number = AttributeValue::N(start.to_string());
        let item = self.record_has(|item| item.get(record::START) == Some(&number)).await?;
        Ok(Container { played: self, nonce: text(&item, record::NONCE)?, turn: json(&item, record::TURN)? })
    }

    /// Waits until the job's record is as it should be.
    pub async fn record_has(&self, is_so: impl Fn(&Item) -> bool) -> Result<Item> {
        until(&format!("the record of {}", self.job), || async {
            Ok(self.world.item(self.stack, &self.job).await?.filter(&is_so))
        })
        .await
    }

    /// How often functions have said `words` about the job.
    pub async fn count_in_log(&self, words: &str) -> Result<usize> {
        let about = format!("\"job\":\"{}\"", self.job);
        let group = format!("/mayfly/{}/functions", self.stack);
        let filter = self.world.logs.filter_log_events().log_group_name(group);
        let filter = filter.filter_pattern(format!("\"{}\"", self.job));
        let pages = filter.into_paginator().send().collect::<Result<Vec<_>, _>>().await?;
        let events = pages.into_iter().flat_map(|page| page.events.unwrap_or_default());
        let lines = events.filter_map(|event| event.message);
        Ok(lines.filter(|line| line.contains(&about) && line.contains(words)).count())
    }

    /// The job's record.
    pub async fn item(&self) -> Result<Item> {
        let found = self.world.item(self.stack, &self.job).await?;
        found.with_context(|| format!("the table knows no job {}", self.job))
    }

    /// Gives handle-report these messages as one batch; it must get done with all of them.
    pub async fn deliver(&self, bodies: &[String]) -> Result<()> {
        let record = |(i, body): (usize, &String)| json!({ "messageId": i.to_string(), "body": body });
        let batch = json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() });
        let function = self.world.function_of(self.stack, "handle-report").await?;
        let (Ok(answer) | Err(answer)) = self.world.invoke(&function, batch).await?;
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer:#}");
        Ok(())
    }

    /// Waits for the job's success; its one result is the one in the record.
    pub async fn succeeded(&self) -> Result<JobResult> {
        let execution = self.world.ended(&self.arn).await?;
        ensure!(*execution.status() == ExecutionStatus::Succeeded, "{:?}", execution.cause());
        let outcome = world::outcome(&execution)?;
        ensure!(outcome.end.failure().is_none() && outcome.receipt.residual.is_empty(), "{outcome:#?}");
        let result = outcome.end.result().cloned().context("a success has a result")?;
        let stored: Stored = json(&self.item().await?, record::RESULT)?;
        let Stored { turn, task_arn, finished } = stored;
        let of_record = (turn.attempt, turn.provider, finished.seconds, task_arn);
        let of_outcome = (result.attempt, result.capacity, result.seconds, Some(result.task_arn.clone()));
        ensure!(of_record == of_outcome, "{of_record:?}: {result:#?}");
        self.world.nothing_left(&self.job).await?;
        Ok(result)
    }
}

impl Container<'_> {
    /// What it reports.
    pub fn report(&self, news: News) -> Report {
        Report {
            job: self.played.job.clone(),
            turn: self.turn,
            nonce: self.nonce.clone(),
            task_arn: Some(TASK.to_owned()),
            news,
        }
    }

    /// Has the report handled, beside the done queue.
    pub async fn reports(&self, news: News) -> Result<()> {
        self.played.deliver(&[message(&self.report(news))]).await
    }
}

/// The report as it stands in the done queue.
pub fn message(report: &Report) -> String {
    serde_json::to_string(report).expect("a report is JSON")
}

/// Takes the next order out of the mailbox.
pub async fn order(world: &World, mailbox: &str) -> Result<Order> {
    let message = until("an order", || async {
        let received = world.sqs.receive_message().queue_url(mailbox).send().await?;
        Ok(received.messages.unwrap_or_default().pop())
    })
    .await?;
    let delete = world.sqs.delete_message().queue_url(mailbox);
    delete.set_receipt_handle(message.receipt_handle).send().await?;
    Ok(serde_json::from_str(&message.body.context("a message has a body")?)?)
}

/// A success that took this long, which tells it from other ones.
pub fn success(seconds: f64) -> News {
    News::Finished(Finished { seconds, exit_code: Some(0), ..Finished::default() })
}

/// A text of a record.
pub fn text(item: &Item, name: &str) -> Result<String> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.cloned().with_context(|| format!("the record has no {name}"))
}

/// What the record has as JSON.
fn json<T: DeserializeOwned>(item: &Item, name: &str) -> Result<T> {
    Ok(serde_json::from_str(&text(item, name)?)?)
}
