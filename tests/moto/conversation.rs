//! The rows of a conversation, and how it is held with both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::answer::{Answer, ask};
use crate::compare::{Difference, differences};
use crate::differences::Excuses;
use crate::model::Service;
use crate::sides::{Side, Sides};

/// How long a condition may take to come true, in real time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// How many operations are tried at the same time.
const AT_ONCE: usize = 16;

/// What is said where calls are too many, by EC2 and by the others.
const THROTTLED: [&str; 2] = ["RequestLimitExceeded", "ThrottlingException"];

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Both,
    Moto,
}

/// One row: a call, and what is to be done with its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// `ec2`, `ecs`, `elasticloadbalancing`, or `acm`, which only moto has.
    pub service: &'static str,
    /// `DescribeSubnets`.
    pub operation: &'static str,
    /// What makes the call different from others of the same operation.
    pub case: &'static str,
    /// The input. `${NAME}` stands for a value that the side has given earlier.
    pub input: Value,
    /// The JSON pointers at which both have to have the same value.
    pub same: &'static [&'static str],
    who: Who,
    keep: Vec<Kept>,
    until: Option<Condition>,
}

/// A value of an answer that is kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    name: &'static str,
    pointer: &'static str,
    /// What is cut off from its end.
    end: &'static str,
}

/// What an answer has to be like.
#[derive(Clone, Copy, Debug)]
enum Condition {
    /// This value is at this JSON pointer.
    Has(&'static str, &'static str),
    Success,
}

impl Condition {
    fn holds(self, answer: &Answer) -> bool {
        match self {
            Self::Has(pointer, value) => answer.body.pointer(pointer).is_some_and(|found| found == value),
            Self::Success => answer.code.is_none(),
        }
    }
}

impl Step {
    pub fn new(service: &'static str, operation: &'static str, case: &'static str, input: Value) -> Self {
        Self { service, operation, case, input, same: &[], who: Who::Both, keep: Vec::new(), until: None }
    }

    /// Has the values at these JSON pointers compared as well.
    pub fn same(mut self, pointers: &'static [&'static str]) -> Self {
        self.same = pointers;
        self
    }

    /// Keeps what each side has at `pointer` for later rows, as `${name}`.
    pub fn keep(self, name: &'static str, pointer: &'static str) -> Self {
        self.keep_before(name, pointer, "")
    }

    /// The same without the `end` of the value.
    pub fn keep_before(mut self, name: &'static str, pointer: &'static str, end: &'static str) -> Self {
        self.keep.push(Kept { name, pointer, end });
        self
    }

    /// Asks again until `pointer` has the `value`.
    pub fn until(mut self, pointer: &'static str, value: &'static str) -> Self {
        self.until = Some(Condition::Has(pointer, value));
        self
    }

    /// Asks again until the call succeeds.
    pub fn until_success(mut self) -> Self {
        self.until = Some(Condition::Success);
        self
    }

    /// Does for moto what happens by itself at AWS and in the stand-ins. What it keeps is kept for both.
    pub fn only_moto(mut self) -> Self {
        self.who = Who::Moto;
        self
    }

    pub fn name(&self) -> String {
        format!("{}: {}", self.operation, self.case)
    }

    /// What the side has kept of this row's answer.
    fn kept_by(&self, side: &Side) -> Vec<(String, String)> {
        let kept = self.keep.iter().filter_map(|Kept { name, .. }| side.values.get_key_value(*name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    async fn held_with(&self, side: &mut Side, service: &Service) -> Result<Answer> {
        let input = side.filled_in(&self.input);
        let deadline = Instant::now() + DEADLINE;
        let answer = loop {
            let answer = ask_in_time(side, service, self.operation, &input).await?;
            let Some(condition) = self.until.filter(|condition| !condition.holds(&answer)) else {
                break answer;
            };
            ensure!(Instant::now() < deadline, "never came {condition:?}: {}", answer.raw);
            sleep(PAUSE).await;
        };
        for Kept { name, pointer, end } in &self.keep {
            let value = answer.body.pointer(pointer).and_then(Value::as_str);
            let value = value.and_then(|value| value.strip_suffix(end));
            let value = value.with_context(|| format!("nothing is at {pointer}: {}", answer.raw))?;
            side.values.insert((*name).to_owned(), value.to_owned());
        }
        Ok(answer)
    }
}

/// What came of the conversation.
#[derive(Debug)]
pub struct Record {
    /// What is wrong with the answers to each step; empty where nothing is.
    pub troubles: Vec<String>,
    /// The operations that the stand-ins know.
    pub implemented: BTreeSet<String>,
    /// The meant differences that no answer had.
    pub stale: Vec<String>,
}

/// Starts both sides, holds the conversation, and stops both.
///
/// # Errors
/// When a side cannot be started or stopped.
pub fn hold(steps: &[Step]) -> Result<Record> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (sides, services) = tokio::try_join!(Sides::start(), Service::load())?;
        let mut sides = sides;
        let record = tokio::select! {
            record = held(steps, &mut sides, &services) => record,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        };
        sides.stop().await?;
        record
    })
}

async fn held(
    steps: &[Step],
    sides: &mut Sides,
    services: &BTreeMap<&'static str, Service>,
) -> Result<Record> {
    let (mut excuses, mut troubles) = (Excuses::default(), Vec::new());
    for step in steps {
        let trouble = trouble(step, sides, &services[step.service], &mut excuses).await;
        troubles.push(trouble.unwrap_or_else(|error| format!("{error:#}")));
    }
    let mut implemented = BTreeSet::new();
    for service in services.values().filter(|service| !service.unknown_operation.is_empty()) {
        implemented.extend(known(&sides.ours, service).await?);
    }
    Ok(Record { troubles, implemented, stale: excuses.stale() })
}

/// What is wrong with the answers to one step.
async fn trouble(step: &Step, sides: &mut Sides, service: &Service, excuses: &mut Excuses) -> Result<String> {
    let moto = step.held_with(&mut sides.moto, service).await.context("moto")?;
    if step.who == Who::Moto {
        ensure!(moto.code.is_none(), "moto refuses: {}", moto.raw);
        let kept = step.kept_by(&sides.moto);
        sides.ours.values.extend(kept);
        return Ok(String::new());
    }
    let ours = step.held_with(&mut sides.ours, service).await.context("the stand-in")?;
    let unexcused = differences(step, &moto, &ours).into_iter().filter(|found| !excuses.excuse(step, found));
    let line =
        |Difference { at, moto, ours }: Difference| format!("{at}: moto has {moto}, the stand-in {ours}");
    let violations = ours.violations.iter().map(|violation| format!("against the model: {violation}"));
    let lines: Vec<_> = unexcused.map(line).chain(violations).collect();
    if lines.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{}\n\nmoto: {}\n\nthe stand-in: {}", lines.join("\n"), moto.raw, ours.raw))
}

/// Asks until it is not too often: how fast the rows follow each other is no matter of theirs.
async fn ask_in_time(side: &Side, service: &Service, operation: &str, input: &Value) -> Result<Answer> {
    loop {
        let answer = ask(side, service, operation, input).await?;
        if !answer.code.as_deref().is_some_and(|code| THROTTLED.contains(&code)) {
            return Ok(answer);
        }
        sleep(PAUSE).await;
    }
}

/// The operations of the service that the stand-in does not call unknown. It is asked for all that the model has.
async fn known(ours: &Side, service: &Service) -> Result<Vec<String>> {
    let mut known = Vec::new();
    let operations: Vec<_> = service.operations().collect();
    for some in operations.chunks(AT_ONCE) {
        let asks = some.iter().map(|operation| ask_in_time(ours, service, operation, &service.probe));
        let answers = try_join_all(asks).await?;
        let is_known = |answer: &Answer| answer.code.as_deref() != Some(service.unknown_operation);
        let named = some.iter().zip(&answers).filter(|(_, answer)| is_known(answer));
        known.extend(named.map(|(operation, _)| format!("{}:{operation}", service.name)));
    }
    Ok(known)
}
