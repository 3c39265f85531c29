//! A container of a job, played by the test: it reports what and when the test wants, while ECS never starts a real one.

use anyhow::{Result, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use local_ecs::{Fault, Stage};
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Finished, Loss, News, Phase, Progress, Report};
use mayfly_model::record::{self, Stored};
use mayfly_model::turn::Turn;
use serde_json::{Value, json};

use crate::course::always;
use crate::world::{World, until};

/// The task that the test says it is.
pub const TASK: &str = "arn:aws:ecs:eu-central-1:123456789012:task/mayfly/0123456789abcdef0123456789abcdef";

/// A container that got the order of one start.
pub struct Container {
    pub job: String,
    pub nonce: String,
    pub turn: Turn,
}

impl Container {
    /// Starts a job whose real containers never come, and plays the one of its first start.
    pub async fn of_new_job(world: &World, job: &str, document: &Value) -> Result<Self> {
        world.cloud().faults().add(job, always(Fault::NeverStarts { stage: Stage::Provisioning }));
        world.start_job(job, document).await?;
        Self::of_start(world, job, 1).await
    }

    /// Plays the container of this start, as soon as that has been dispatched.
    pub async fn of_start(world: &World, job: &str, start: u32) -> Result<Self> {
        until(&format!("the dispatch of start {start} of {job}"), || async {
            let Ok(record) = world.record(job).await else { return Ok(None) };
            let turn: Turn = serde_json::from_str(&record["turn"])?;
            let container = Self { job: job.to_owned(), nonce: record["nonce"].clone(), turn };
            Ok((turn.start == start).then_some(container))
        })
        .await
    }

    /// What it reports.
    pub fn report(&self, news: News) -> Report {
        Report {
            job: self.job.clone(),
            turn: self.turn,
            nonce: self.nonce.clone(),
            task_arn: Some(TASK.to_owned()),
            news,
        }
    }

    /// The report as it stands in the done queue.
    pub fn message(&self, news: News) -> String {
        serde_json::to_string(&self.report(news)).expect("a report is JSON")
    }

    /// Has the report handled.
    pub async fn reports(&self, world: &World, news: News) -> Result<()> {
        deliver(world, &[self.message(news)]).await
    }
}

/// Writes a result into the job's record, as handle-report does before it tells anybody.
pub async fn store(world: &World, stack: &str, report: Report) -> Result<()> {
    let News::Finished(finished) = report.news else { bail!("this is no result") };
    let stored = Stored { turn: report.turn, task_arn: report.task_arn, finished };
    let update = world.dynamodb.update_item().table_name(world.jobs_table(stack).await?);
    update
        .key(record::JOB, AttributeValue::S(report.job))
        .update_expression("SET #result = :result")
        .expression_attribute_names("#result", record::RESULT)
        .expression_attribute_values(":result", AttributeValue::S(serde_json::to_string(&stored)?))
        .send()
        .await?;
    Ok(())
}

/// Gives handle-report these messages as one batch; it must get done with all of them.
pub async fn deliver(world: &World, bodies: &[String]) -> Result<()> {
    let answer = handle(world, bodies).await?;
    assert_eq!(answer["batchItemFailures"], json!([]), "{answer:#}");
    Ok(())
}

/// What handle-report says to these messages as one batch; each has its place as its id.
pub async fn handle(world: &World, bodies: &[String]) -> Result<Value> {
    let record = |(i, body): (usize, &String)| json!({ "messageId": i.to_string(), "body": body });
    let batch = json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() });
    let (Ok(answer) | Err(answer)) = world.invoke(&world.function("handle-report").await?, batch).await?;
    Ok(answer)
}

pub fn heartbeat() -> News {
    News::Heartbeat(Progress { phase: Phase::Running, percent: Some(42.0), line: None })
}

/// A success that took this long, which tells it from other ones.
pub fn success(seconds: f64) -> News {
    News::Finished(Finished { seconds, exit_code: Some(0), outputs: Vec::new(), failure: None })
}

pub fn failure(class: Class) -> News {
    let failure = Failure { class, message: "in words".into(), output: None };
    News::Finished(Finished { seconds: 1.5, exit_code: None, outputs: Vec::new(), failure: Some(failure) })
}

pub fn lost(class: Class) -> News {
    let failure = Failure { class, message: "in words".into(), output: None };
    News::Lost(Loss { failure, given_up: false })
}
