//! Follows an execution, and those that it starts, to the end, and shows what happens on the way.

use std::cmp::Reverse;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::operation::get_execution_history::GetExecutionHistoryError;
use aws_sdk_sfn::types::HistoryEvent;
use console::{Key, Term};
use jiff::Timestamp;
use mayfly_model::message::Progress;
use mayfly_model::names::job_id;
use mayfly_model::{outcome, record};
use tokio::time::Instant;

use crate::events::{self, End};
use crate::outcome::lines_of;
use crate::projection::projection;
use crate::service::{self, Callable};
use crate::stack::{Stack, aws};
use crate::steps::Steps;
use crate::view::{Tone, View};

/// How long to wait between two looks: at first, and after something has happened.
const SHORT_PAUSE: Duration = Duration::from_millis(300);
/// How long to wait at most, where nothing happens.
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// How long an execution that was stopped may take to end; it is over at once as a rule.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events in one page. New ones are few, but each may carry 256 KiB.
const PAGE: i32 = 100;

/// What to do on Ctrl-C.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Ask whether to stop the execution; leave it where nobody can be asked.
    Ask,
    /// Leave the execution to itself.
    Leave,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The execution's end.
    End,
    /// That it is known what the job has come to, which is before its teardown.
    Result,
}

/// How following came to its end.
pub enum Followed {
    /// The execution ended.
    Ended(Ended),
    /// It is known what the job has come to, and its teardown goes on.
    Known(outcome::End),
    /// The execution goes on; a person no longer wants to see it.
    Left,
}

/// The end of an execution that was followed.
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Whether it was this command that stopped it.
    pub stopped_here: bool,
    /// What the job has come to as far as that has been shown already.
    pub shown: Option<outcome::End>,
}

/// Follows `execution`, with the progress of `job`'s container, until it ends or a person has seen enough.
pub async fn follow(
    stack: &Stack,
    view: &mut View,
    execution: &str,
    job: Option<&str>,
    on_interrupt: OnInterrupt,
    until: Until,
) -> Result<Followed> {
    let executions = vec![Watched::new(execution, 0)];
    let mut watch = Watch { stack, view, job, until, executions, known: Known::default(), shown: None };
    let mut may_ask =
        on_interrupt == OnInterrupt::Ask && std::io::stdin().is_terminal() && Term::stderr().is_term();
    let mut stopped_here = false;
    loop {
        tokio::select! {
            end = watch.until_the_end() => {
                let end = end?;
                let shown = watch.shown.take();
                return Ok(match (end, shown) {
                    (Some((end, seconds)), shown) => {
                        Followed::Ended(Ended { end, seconds, stopped_here, shown })
                    }
                    (None, Some(shown)) => Followed::Known(shown),
                    (None, None) => Followed::Left,
                });
            }
            interrupt = tokio::signal::ctrl_c() => interrupt?,
        }
        if !may_ask || watch.view.ask(wants_to_stop).await? == Answer::Leave {
            watch.view.clear();
            return Ok(Followed::Left);
        }
        may_ask = false;
        stop_execution(stack, execution).await?;
        stopped_here = true;
    }
}

struct Watch<'a> {
    stack: &'a Stack,
    view: &'a mut View,
    /// The job whose progress is shown while its container works.
    job: Option<&'a str>,
    until: Until,
    /// The execution that is followed, then those that it has started.
    executions: Vec<Watched>,
    /// What was shown last.
    known: Known,
    /// What the job has come to, once that was shown.
    shown: Option<outcome::End>,
}

/// What the table says of a job whose containers work.
#[derive(Default)]
struct Known {
    /// How far its container is.
    progress: Option<Progress>,
    /// Where and until when it can be called.
    callable: Option<Callable>,
}

struct Watched {
    arn: String,
    depth: usize,
    steps: Steps,
    /// The id of the last event that was taken in.
    seen: i64,
    started: Option<Timestamp>,
    end: Option<End>,
}

impl Watched {
    fn new(arn: &str, depth: usize) -> Self {
        Self { arn: arn.to_owned(), depth, steps: Steps::default(), seen: 0, started: None, end: None }
    }
}

impl Watch<'_> {
    /// Shows everything up to the end; returns that, and how many seconds the execution ran; none where something else was
    /// waited for, which is shown.
    async fn until_the_end(&mut self) -> Result<Option<(End, f64)>> {
        let mut pause = SHORT_PAUSE;
        loop {
            let has_news = self.look().await?;
            if let Watched { started: Some(started), end: Some(end), .. } = &self.executions[0] {
                self.view.clear();
                return Ok(Some((end.clone(), end.at.duration_since(*started).as_secs_f64())));
            }
            if self.until == Until::Result && self.shown.is_some() {
                self.view.clear();
                return Ok(None);
            }
            self.look_at_progress().await?;
            pause = if has_news { SHORT_PAUSE } else { pause.mul_f64(1.5).min(LONG_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Shows what has happened since the last look; returns whether anything has.
    ///
    /// Nothing is taken in before the last `await`, so that this may be dropped at each.
    async fn look(&mut self) -> Result<bool> {
        let mut news = Vec::new();
        let mut index = 0;
        while let Some(watched) = self.executions.get(index) {
            if watched.end.is_none() {
                let events = history_after(self.stack, &watched.arn, watched.seen).await?;
                let depth = watched.depth;
                for child in events.iter().filter_map(events::child) {
                    if !self.executions.iter().any(|known| known.arn == child) {
                        self.executions.push(Watched::new(&child, depth + 1));
                    }
                }
                // The order of the events counts; should their times disagree with it, they give way.
                let mut latest = Timestamp::MIN;
                news.extend(events.into_iter().map(|event| {
                    latest = latest.max(events::time(&event));
                    (latest, Reverse(depth), index, event)
                }));
            }
            index += 1;
        }
        // In the order of time; where clocks agree, an execution's end comes before that of the state that waits for it.
        news.sort_by_key(|(time, depth, ..)| (*time, *depth));
        for (_, Reverse(depth), index, event) in &news {
            let watched = &mut self.executions[*index];
            watched.seen = event.id;
            watched.started.get_or_insert(events::time(event));
            watched.end = events::end(event);
            for change in watched.steps.apply(event) {
                self.view.show(*index, *depth, &change)?;
            }
            if let Some(end) = events::come_to(event).filter(|_| *index == 0) {
                lines_of(&end).into_iter().try_for_each(|(tone, line)| self.view.line(tone, &line))?;
                self.shown = Some(end);
            }
        }
        self.view.announce()?;
        Ok(!news.is_empty())
    }

    async fn look_at_progress(&mut self) -> Result<()> {
        let (Some(job), Some(step)) = (self.job, self.executions[0].steps.waiting_for_container()) else {
            return Ok(());
        };
        match known(self.stack, job).await {
            Ok(Known { progress, callable }) => {
                if let Some(progress) = progress.filter(|news| Some(news) != self.known.progress.as_ref()) {
                    self.view.progress(0, step, &progress)?;
                    self.known.progress = Some(progress);
                }
                if let Some(callable) = callable.filter(|news| Some(news) != self.known.callable.as_ref()) {
                    let lines = callable.lines();
                    lines.into_iter().try_for_each(|(tone, line)| self.view.line(tone, &line))?;
                    self.known.callable = Some(callable);
                }
                Ok(())
            }
            // A person may see the job without the right to read the table.
            Err(error) => {
                self.job = None;
                self.view.line(Tone::Faint, &format!("  progress is not shown: {error:#}"))
            }
        }
    }
}

/// The events after the one called `seen`, in their order.
async fn history_after(stack: &Stack, execution: &str, seen: i64) -> Result<Vec<HistoryEvent>> {
    // A token leads on through one listing and never to what is added later; so list from the newest, to what is known.
    let request =
        stack.states.get_execution_history().execution_arn(execution).reverse_order(true).max_results(PAGE);
    let mut pages = request.into_paginator().send();
    let mut events = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            if error.as_service_error().is_some_and(GetExecutionHistoryError::is_execution_does_not_exist) {
                return stack.no_such_job(execution.rsplit(':').next().unwrap_or_default());
            }
            aws("follow the execution, which goes on by itself")(error)
        })?;
        let reaches_the_known = page.events.iter().any(|event| event.id <= seen);
        events.extend(page.events.into_iter().filter(|event| event.id > seen));
        if reaches_the_known {
            break;
        }
    }
    events.reverse();
    Ok(events)
}

/// What the table says now.
async fn known(stack: &Stack, job: &str) -> Result<Known> {
    let (wanted, names) = projection(&[&[record::PROGRESS][..], &service::ATTRIBUTES].concat());
    let item = stack
        .dynamodb
        .get_item()
        .table_name(&stack.jobs_table)
        .key(record::JOB, AttributeValue::S(job_id(job)))
        .projection_expression(wanted)
        .set_expression_attribute_names(Some(names))
        .send()
        .await
        .map_err(aws("read the job's progress"))?
        .item
        .unwrap_or_default();
    let progress = item.get(record::PROGRESS).and_then(|value| value.as_s().ok());
    let progress = progress.and_then(|progress| serde_json::from_str(progress).ok());
    Ok(Known { progress, callable: Callable::of(&item) })
}

/// A person's answer to Ctrl-C.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// End the job.
    Stop,
    /// Let it run.
    Leave,
}

/// Asks on the terminal; another Ctrl-C leaves the job running.
fn wants_to_stop() -> std::io::Result<Answer> {
    let terminal = Term::stderr();
    terminal.write_str("Ctrl-C: [s]top the job and tear it down, or [l]eave it running? ")?;
    let answer = loop {
        match terminal.read_key_raw()? {
            Key::Char('s' | 'S') => break Answer::Stop,
            Key::Char('l' | 'L') | Key::CtrlC | Key::Escape => break Answer::Leave,
            _ => {}
        }
    };
    terminal.write_line(if answer == Answer::Stop { "stop" } else { "leave" })?;
    Ok(answer)
}

/// Stops `execution`, in the name of whoever runs this.
pub async fn stop_execution(stack: &Stack, execution: &str) -> Result<()> {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_else(|_| "somebody".into());
    let cause = format!("stopped by {user} with mayfly");
    stack
        .states
        .stop_execution()
        .execution_arn(execution)
        .error("Stopped")
        .cause(cause)
        .send()
        .await
        .map_err(aws("stop the job"))?;
    Ok(())
}

/// Waits for the end of `execution`, which has been stopped.
pub async fn wait_for_end(stack: &Stack, execution: &str) -> Result<End> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let latest = stack
            .states
            .get_execution_history()
            .execution_arn(execution)
            .reverse_order(true)
            .max_results(1)
            .send()
            .await
            .map_err(aws("see the job's end"))?;
        if let Some(end) = latest.events.first().and_then(events::end) {
            return Ok(end);
        }
        if Instant::now() >= deadline {
            bail!(
                "the job was stopped but has not ended yet; stop it again, or see it end with `mayfly follow`"
            );
        }
        tokio::time::sleep(SHORT_PAUSE).await;
    }
}
