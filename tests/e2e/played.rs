//! A job whose container the test plays: it says through the done queue what a container would say, at a moment of its
//! own choice.

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use local_ecs::{Fault, Rule, Stage};
use mayfly_model::message::{News, Report};
use mayfly_model::outcome::JobResult;
use mayfly_model::record::{self, Stored};
use mayfly_model::turn::Turn;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::container::Container;
use crate::course::always;
use crate::history::has_met;
use crate::world::{self, Item, World, machine_of, until};

/// A job that has been started.
pub struct Played<'a> {
    world: &'a World,
    stack: &'static str,
    job: String,
    /// The execution.
    pub arn: String,
    done_queue: String,
}

impl<'a> Played<'a> {
    /// Starts a job of which no container ever comes, and waits for its first order.
    pub async fn begin(
        world: &'a World,
        stack: &'static str,
        job: &str,
        document: &Value,
    ) -> Result<Played<'a>> {
        let faults = always(Fault::NeverStarts { stage: Stage::Provisioning });
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
        let mut settings = world.settings_of(stack, "handle-report").await?;
        let done_queue = settings.remove("DONE_QUEUE_URL").context("handle-report knows the done queue")?;
        world.cloud().faults().add(job, faults);
        let arn = world.try_start(&machine_of(stack, "run-job"), job, document).await?;
        let played = Self { world, stack, job: job.to_owned(), arn, done_queue };
        played.dispatched(1).await?;
        Ok(played)
    }

    /// Waits until the job has been dispatched for the `start`th time.
    pub async fn dispatched(&self, start: u32) -> Result<Turn> {
        let number = AttributeValue::N(start.to_string());
        self.record_has(|item| item.get(record::START) == Some(&number)).await?;
        self.turn().await
    }

    /// Waits until the job's record is as it should be.
    pub async fn record_has(&self, is_so: impl Fn(&Item) -> bool) -> Result<Item> {
        until(&format!("the record of {}", self.job), || async {
            Ok(self.world.item(self.stack, &self.job).await?.filter(&is_so))
        })
        .await
    }

    /// Waits until the execution, which goes on, has entered `state`.
    pub async fn entered(&self, state: &str) -> Result<()> {
        let is_there = self.world.entered(&self.arn, state).await?;
        ensure!(is_there, "{} has ended before {state}", self.job);
        Ok(())
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

    /// The turn that is going on.
    pub async fn turn(&self) -> Result<Turn> {
        json(&self.item().await?, record::TURN)
    }

    /// A report with the job's nonce.
    pub async fn report(&self, turn: Turn, news: News) -> Result<Report> {
        let nonce = text(&self.item().await?, record::NONCE)?;
        Ok(Container { job: self.job.clone(), nonce, turn }.report(news))
    }

    /// Says something as the container of this turn.
    pub async fn say(&self, turn: Turn, news: News) -> Result<()> {
        self.send(&serde_json::to_string(&self.report(turn, news).await?)?).await
    }

    /// Puts a message into the done queue.
    pub async fn send(&self, body: &str) -> Result<()> {
        self.world.sqs.send_message().queue_url(&self.done_queue).message_body(body).send().await?;
        Ok(())
    }

    /// All events of the execution, without the data.
    pub async fn history(&self) -> Result<Vec<HistoryEvent>> {
        self.world.history(&self.arn).await
    }

    /// Whether the execution has waited for anything until it lost patience.
    pub async fn has_waited_in_vain(&self) -> Result<bool> {
        Ok(self.history().await?.iter().any(|event| event.task_timed_out_event_details().is_some()))
    }

    /// Whether a step of the execution has failed with `error`.
    pub async fn has_met(&self, error: &str) -> Result<bool> {
        Ok(has_met(&self.history().await?, error))
    }

    /// Waits for the job's success; its one result is the one in the record.
    pub async fn succeeded(&self) -> Result<JobResult> {
        let execution = self.world.ended(&self.arn).await?;
        ensure!(*execution.status() == ExecutionStatus::Succeeded, "{:?}", execution.cause());
        let outcome = world::outcome(&execution)?;
        ensure!(outcome.failure.is_none() && outcome.receipt.residual.is_empty(), "{outcome:#?}");
        let result = outcome.result.context("a success has a result")?;
        let stored: Stored = json(&self.item().await?, record::RESULT)?;
        let Stored { turn, task_arn, finished } = stored;
        let of_record = (turn.attempt, turn.provider, finished.seconds, task_arn);
        let of_outcome = (result.attempt, result.capacity, result.seconds, Some(result.task_arn.clone()));
        ensure!(of_record == of_outcome, "{of_record:?}: {result:#?}");
        self.world.nothing_left(&self.job).await?;
        Ok(result)
    }
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
