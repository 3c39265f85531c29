//! Jobs whose containers the behaviour plays: it says what a container would say, at a moment of its own choice.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use local_ecs::{Fault, Rule, Stage};
use local_states::execution::Execution;
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Finished, Loss, News, Phase, Progress, Report};
use mayfly_model::record::{self, Stored};
use mayfly_model::turn::Turn;
use mayfly_simulation::account::JOB;
use mayfly_simulation::run::Run;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::course::{Course, Item};
use crate::support::history::history;
use crate::support::world::{Scene, World, scene};

/// The task that a played container says it is.
pub const TASK: &str = "arn:aws:ecs:eu-central-1:123456789012:task/mayfly/0123456789abcdef0123456789abcdef";

/// The job [`JOB`], which has been started.
pub struct Played {
    pub world: World,
    pub execution: Arc<Execution>,
}

/// A container of the job that got the order of one start.
pub struct Container<'a> {
    played: &'a Played,
    /// What it shows for itself.
    pub nonce: String,
    /// The start.
    pub turn: Turn,
}

impl Played {
    /// Starts a job of which no container ever comes, and waits for its first order.
    pub async fn begin(document: &Value) -> Result<Self> {
        let never = [Rule::always(Fault::NeverStarts { stage: Stage::Provisioning })];
        Self::begin_in(scene().tasks(never), document).await
    }

    /// The same elsewhere: its containers may come.
    pub async fn begin_in(scene: Scene, document: &Value) -> Result<Self> {
        let mut world = scene.begin().await?;
        let execution = world.start(JOB, document).await?;
        let played = Self { world, execution };
        played.container(1).await?;
        Ok(played)
    }

    /// Plays the container of the `start`th start, as soon as that has been dispatched.
    pub async fn container(&self, start: u32) -> Result<Container<'_>> {
        let number = AttributeValue::N(start.to_string());
        let item = self.record_has(|item| item.get(record::START) == Some(&number)).await?;
        // The record is there first: where SQS does not see yet whose the mailbox is, the order goes out with a later try.
        let orders_before = usize::try_from(start)? - 1;
        let is_out = async || Ok((orders(&history(&self.execution)) > orders_before).then_some(()));
        self.world.until("the order to be out", is_out).await?;
        Ok(Container { played: self, nonce: text(&item, record::NONCE)?, turn: json(&item, record::TURN)? })
    }

    /// Waits until the job's record is as it should be.
    pub async fn record_has(&self, is_so: impl Fn(&Item) -> bool) -> Result<Item> {
        let look = async || Ok(self.world.record(JOB).await?.filter(&is_so));
        self.world.until("the record to be as it should", look).await
    }

    /// Waits until the execution, which goes on, has entered `state`.
    pub async fn entered(&self, state: &str) -> Result<()> {
        self.world.entered(&self.execution, state).await
    }

    /// Waits until functions have said `words`.
    pub async fn said(&self, words: &str) -> Result<()> {
        self.world.until(words, async || Ok((self.world.said(words) > 0).then_some(()))).await
    }

    /// The job's record.
    pub async fn item(&self) -> Result<Item> {
        self.world.record(JOB).await?.context("the table knows no such job")
    }

    /// Puts a message into the done queue.
    pub async fn send(&self, body: &str) -> Result<()> {
        let Run { account, stacks, .. } = &self.world.run;
        let sqs = aws_sdk_sqs::Client::new(&account.root());
        sqs.send_message().queue_url(stacks[0].id("DoneQueue")).message_body(body).send().await?;
        Ok(())
    }

    /// Gives handle-report these messages as one batch; it must get done with all of them.
    pub async fn deliver(&self, bodies: &[String]) -> Result<()> {
        let answer = self.handle(bodies).await?;
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer:#}");
        Ok(())
    }

    /// What handle-report says to these messages as one batch; each has its place as its id.
    pub async fn handle(&self, bodies: &[String]) -> Result<Value> {
        let record = |(i, body): (usize, &String)| json!({ "messageId": i.to_string(), "body": body });
        let batch = json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() });
        let (Ok(answer) | Err(answer)) = self.world.invoke("handle-report", &batch).await?;
        Ok(answer)
    }

    /// Waits for the end, and makes sure that nothing is left.
    pub async fn course(&self) -> Result<Course> {
        let course = self.world.course(JOB).await?;
        self.world.nothing_left().await?;
        Ok(course)
    }

    /// The same of a success in this attempt; its one result is the one in the record.
    pub async fn succeeded_by(&self, attempt: u32) -> Result<Course> {
        let course = self.course().await?;
        let result = course.result()?;
        let Stored { turn, task_arn, finished } = json(&self.item().await?, record::RESULT)?;
        let of_record = (turn.attempt, turn.provider, finished.seconds, task_arn.as_ref());
        let of_outcome = (result.attempt, result.capacity, result.seconds, Some(&result.task_arn));
        assert_eq!((of_record, finished.failure, turn.attempt), (of_outcome, None, attempt));
        Ok(course)
    }
}

impl Container<'_> {
    /// What it reports.
    pub fn report(&self, news: News) -> Report {
        Report {
            job: JOB.to_owned(),
            turn: self.turn,
            nonce: self.nonce.clone(),
            task_arn: Some(TASK.to_owned()),
            news,
        }
    }

    /// Puts the report into the done queue, as a container does.
    pub async fn says(&self, news: News) -> Result<()> {
        self.played.send(&message(&self.report(news))).await
    }

    /// Has the report handled, beside the done queue.
    pub async fn reports(&self, news: News) -> Result<()> {
        self.played.deliver(&[message(&self.report(news))]).await
    }

    /// Writes a result into the job's record, as handle-report does before it tells anybody.
    pub async fn stores(&self, news: News) -> Result<()> {
        let Report { job, turn, task_arn, news: News::Finished(finished), .. } = self.report(news) else {
            bail!("this is no result")
        };
        let Run { account, stacks, .. } = &self.played.world.run;
        let stored = serde_json::to_string(&Stored { turn, task_arn, finished })?;
        let dynamodb = aws_sdk_dynamodb::Client::new(&account.root());
        let update = dynamodb.update_item().table_name(stacks[0].id("JobsTable"));
        update
            .key(record::JOB, AttributeValue::S(job))
            .update_expression("SET #result = :result")
            .expression_attribute_names("#result", record::RESULT)
            .expression_attribute_values(":result", AttributeValue::S(stored))
            .send()
            .await?;
        Ok(())
    }
}

/// How many orders the machine has seen go out.
fn orders(events: &[Value]) -> usize {
    let is_out = |event: &&Value| {
        let resource = event["taskSubmittedEventDetails"]["resource"].as_str();
        resource.is_some_and(|resource| resource.ends_with(".waitForTaskToken"))
    };
    events.iter().filter(is_out).count()
}

/// The report as it stands in the done queue.
pub fn message(report: &Report) -> String {
    serde_json::to_string(report).expect("a report is JSON")
}

pub fn heartbeat() -> News {
    News::Heartbeat(Progress { phase: Phase::Running, percent: Some(42.0), line: None })
}

/// A success that took this long, which tells it from other ones.
pub fn success(seconds: f64) -> News {
    News::Finished(Finished { seconds, exit_code: Some(0), ..Finished::default() })
}

pub fn failure(class: Class) -> News {
    let failure = Failure { class, message: "in words".into(), output: None };
    News::Finished(Finished { seconds: 1.5, failure: Some(failure), ..Finished::default() })
}

pub fn lost(class: Class) -> News {
    let failure = Failure { class, message: "in words".into(), output: None };
    News::Lost(Loss { failure, given_up: false })
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
