//! `mayfly ls`: the jobs that run, and those that have ended.

use std::collections::HashMap;

use anyhow::Result;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use console::Term;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use mayfly_model::message::Progress;
use mayfly_model::names::job_id;
use mayfly_model::record;
use mayfly_model::turn::{Provider, Turn};
use mayfly_model::visible::visible;
use serde::Serialize;

use crate::jobs::{self, Job};
use crate::out;
use crate::projection::projection;
use crate::service::{self, Callable};
use crate::stack::{Stack, aws};
use crate::table;
use crate::words::{self, duration};

/// The most jobs in one list. For each there is one DescribeExecution, and this many are within the bucket of 250 to
/// 300 calls that AWS refills by 10 to 15 a second; they are also one BatchGetItem.
/// Source: Step Functions developer guide, quotas related to API action throttling; DynamoDB API Reference,
/// BatchGetItem.
pub const LIMIT: u8 = 100;
/// The calls that are under way at once.
const AT_ONCE: usize = 10;

/// Which jobs to list and how.
pub struct Query {
    /// Also those that have ended.
    pub all: bool,
    /// The most jobs.
    pub limit: u8,
    /// As JSON.
    pub json: bool,
}

/// Lists the jobs of `stack`, those that run first.
pub async fn ls(stack: &Stack, Query { all, limit, json }: Query) -> Result<()> {
    // One more than is shown tells whether there are more.
    let mut listed = list(stack, Some(ExecutionStatus::Running), limit + 1).await?;
    if all {
        let mut ended = list(stack, None, limit + 1).await?;
        ended.retain(|execution| execution.stop_date.is_some());
        ended.sort_by_key(|execution| std::cmp::Reverse(execution.stop_date));
        listed.extend(ended);
    }
    let has_more = listed.len() > usize::from(limit);
    listed.truncate(limit.into());
    let names: Vec<_> = listed.into_iter().map(|execution| execution.name).collect();
    let mut records = records(stack, &names).await.unwrap_or_else(|error| {
        // A person may see the jobs without the right to read the table.
        out::tell(&format!("attempts and progress are not shown: {error:#}"));
        HashMap::new()
    });
    let jobs: Vec<Job> =
        stream::iter(&names).map(|name| jobs::describe(stack, name)).buffered(AT_ONCE).try_collect().await?;
    let rows: Vec<_> = names
        .into_iter()
        .zip(jobs)
        .map(|(name, job)| Row::new(records.remove(&job_id(&name)).unwrap_or_default(), name, job))
        .collect();
    show(&rows, json)?;
    if rows.is_empty() {
        out::tell(&nothing(&stack.name, all));
    } else if has_more {
        out::tell(&format!("there are more; up to {LIMIT} are listed with --limit"));
    }
    Ok(())
}

fn nothing(stack: &str, all: bool) -> String {
    if all {
        return format!("stack {stack} has had no job in the last 90 days");
    }
    format!("no job is running on stack {stack}; for those that have ended: mayfly --stack {stack} ls --all")
}

/// The latest executions with the status `status`, or with any.
async fn list(stack: &Stack, status: Option<ExecutionStatus>, limit: u8) -> Result<Vec<ExecutionListItem>> {
    let listed = stack
        .states
        .list_executions()
        .state_machine_arn(&stack.run_job)
        .set_status_filter(status)
        .max_results(limit.into())
        .send()
        .await
        .map_err(aws("list the jobs"))?;
    Ok(listed.executions)
}

/// What the table remembers of a job.
#[derive(Default)]
struct Record {
    turn: Option<Turn>,
    progress: Option<Progress>,
    callable: Option<Callable>,
    is_finished: bool,
}

/// What the table remembers of the jobs called `names`, by their ids.
async fn records(stack: &Stack, names: &[String]) -> Result<HashMap<String, Record>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let key = |name: &String| HashMap::from([(record::JOB.to_owned(), AttributeValue::S(job_id(name)))]);
    let own = [record::JOB, record::TURN, record::PROGRESS, record::RESULT, record::ENDING];
    let (attributes, placeholders) = projection(&[&own[..], &service::ATTRIBUTES].concat());
    let wanted = KeysAndAttributes::builder()
        .set_keys(Some(names.iter().map(key).collect()))
        .projection_expression(attributes)
        .set_expression_attribute_names(Some(placeholders))
        .build()?;
    let mut wanted = Some(HashMap::from([(stack.jobs_table.clone(), wanted)]));
    let mut records = HashMap::new();
    // An answer holds 16 MB; what did not fit in is asked for again.
    while let Some(request) = wanted.take().filter(|tables| !tables.is_empty()) {
        let answer = stack
            .dynamodb
            .batch_get_item()
            .set_request_items(Some(request))
            .send()
            .await
            .map_err(aws("read the jobs' records"))?;
        let items = answer.responses.unwrap_or_default().into_values().flatten();
        records.extend(items.filter_map(|item| {
            let text = |name| item.get(name).and_then(|value| value.as_s().ok());
            let record = Record {
                turn: text(record::TURN).and_then(|turn| serde_json::from_str(turn).ok()),
                progress: text(record::PROGRESS).and_then(|progress| serde_json::from_str(progress).ok()),
                callable: Callable::of(&item),
                is_finished: [record::RESULT, record::ENDING].iter().any(|over| item.contains_key(*over)),
            };
            Some((text(record::JOB)?.clone(), record))
        }));
        wanted = answer.unprocessed_keys;
    }
    Ok(records)
}

/// One job of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    job: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<Provider>,
    /// What happens now; none once the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<&'static str>,
    /// Of what happens now, from 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Of a service that is ready and not over.
    #[serde(flatten)]
    callable: Option<Callable>,
}

impl Row {
    fn new(record: Record, name: String, job: Job) -> Self {
        let Record { turn, progress, callable, is_finished } = record;
        let is_running = job.ended.is_none();
        let progress = progress.filter(|_| is_running && !is_finished);
        let callable = callable.filter(|_| is_running && !is_finished);
        let now = match (&progress, turn) {
            (Some(progress), _) => words::phase(progress.phase),
            (None, _) if is_finished => "tearing down",
            (None, _) if callable.is_some() => "can be called",
            (None, Some(_)) => "waiting for its container",
            (None, None) => "preparing",
        };
        Self {
            seconds: job.seconds(),
            job: name,
            status: job.status,
            error: job.error,
            attempt: turn.map(|turn| turn.attempt),
            start: turn.map(|turn| turn.start),
            capacity: turn.map(|turn| turn.provider),
            now: is_running.then_some(now),
            percent: progress.and_then(|progress| progress.percent),
            started_at: job.started,
            ended_at: job.ended,
            user: job.user,
            callable,
        }
    }

    fn cells(&self) -> [String; 7] {
        let number = |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
        let percent = self.percent.map(|percent| format!(" {} %", words::whole(percent))).unwrap_or_default();
        let detail = match (&self.callable, self.now, &self.error) {
            (Some(callable), _, _) => callable.in_short(),
            (None, Some(now), _) => format!("{now}{percent}"),
            (None, None, error) => error.clone().unwrap_or_default(),
        };
        [
            self.job.clone(),
            self.status.clone(),
            number(self.attempt),
            number(self.start),
            detail,
            duration(self.seconds),
            self.user.clone().unwrap_or_default(),
        ]
    }
}

fn show(rows: &[Row], json: bool) -> Result<()> {
    if json {
        return Ok(out::print_json(&rows)?);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let heading = ["JOB", "STATUS", "ATTEMPT", "START", "NOW OR WHY", "TIME", "USER"].map(ToOwned::to_owned);
    // Before they are measured; a cell is one line.
    let cells = rows.iter().map(|row| row.cells().map(|cell| visible(&cell).replace('\n', " ")));
    let cells: Vec<_> = std::iter::once(heading).chain(cells).collect();
    let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    Ok(out::print(&table::lines(&cells, width).join("\n"))?)
}
