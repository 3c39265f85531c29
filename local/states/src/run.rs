//! The interpreter: one run through a machine's states, and the events that it leaves in the history.
//!
//! Branches of a Parallel are futures of one Tokio task: dropping one aborts all that it has in flight, at any depth.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use local_aws::clock::Clock;
use local_aws::random::Random;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::execution::{Ending, Execution};
use crate::language::choice;
use crate::language::definition::{
    Choice, Effort, Fail, Kind, Pass, Plain, Scope, Seconds, State, Text, Wait, Work,
};
use crate::language::failure::{Failure, Retries, catcher};
use crate::language::fault::{DATA_LIMIT_EXCEEDED, Fault, PAYLOAD_LIMIT};
use crate::language::path::{Data, Path, ReferencePath};
use crate::language::template::Template;
use crate::world::World;

/// The longest that a Wait can be: 24,855 days from now were waited for, 24,856 were not (recorded), which is where
/// 2^31 seconds lie.
const MAX_DELAY: Duration = Duration::from_secs(i32::MAX as u64);

/// A run of an execution.
#[derive(Debug)]
pub struct Run<W> {
    pub(crate) engine: Arc<Engine<W>>,
    pub(crate) execution: Arc<Execution>,
}

/// Where one branch stands.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The indices of the branches on the way to this one; empty at the top level.
    path: Vec<usize>,
    /// The id of the branch's latest event.
    pub previous: u64,
}

/// One visit to a state.
#[derive(Debug)]
pub(crate) struct Visit<'s, 'r> {
    pub state: &'s State,
    /// The state's input before InputPath.
    pub raw: &'r Value,
    /// The id of the event `…StateEntered`.
    entered: u64,
    time: Timestamp,
    retries: u32,
    clock: Clock,
    random: &'r Random,
}

/// What a state hands on, and to which state; to none at the end of the scope.
type Step<'a> = (Value, Option<&'a str>);

impl<W: World> Run<W> {
    /// A run that has not begun.
    pub fn new(engine: Arc<Engine<W>>, execution: Arc<Execution>) -> Self {
        Self { engine, execution }
    }

    /// Runs the machine; gives the end and the event that it follows, nothing for the latest of all.
    pub async fn execute(&self, input: Value) -> (Ending, Option<u64>) {
        let mut cursor = Cursor { path: Vec::new(), previous: 0 };
        let outcome = self.scope(&self.execution.machine.definition.scope, &mut cursor, input).await;
        // A States.Runtime ends the execution from wherever it is: ExecutionFailed follows the latest event, even one
        // that nothing else follows, such as ParallelStateSucceeded (recorded).
        let runtime = outcome.as_ref().is_err_and(Failure::is_runtime);
        (Ending::of(outcome), (!runtime).then_some(cursor.previous))
    }

    /// Adds an event to the branch.
    pub(crate) fn push(
        &self,
        cursor: &mut Cursor,
        kind: impl Into<String>,
        details: Option<(&'static str, Value)>,
    ) -> Result<(), Failure> {
        cursor.previous = self.execution.push(cursor.previous, kind, details)?;
        Ok(())
    }

    /// Runs the states of a scope from its first to its last. Boxed, because scopes nest.
    fn scope<'a>(
        &'a self,
        scope: &'a Scope,
        cursor: &'a mut Cursor,
        mut input: Value,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let mut name = scope.start_at.as_str();
            loop {
                let state = &scope.states[name];
                let (output, next) = self.state(state, cursor, &input).await?;
                match next {
                    Some(next) => (name, input) = (next, output),
                    None => return Ok(output),
                }
            }
        })
    }

    /// Runs one state.
    async fn state<'a>(
        &self,
        state: &'a State,
        cursor: &mut Cursor,
        raw: &Value,
    ) -> Result<Step<'a>, Failure> {
        let details =
            json!({ "name": state.name, "input": raw.to_string(), "inputDetails": { "truncated": false } });
        let kind = state.kind.name();
        self.push(cursor, format!("{kind}StateEntered"), Some(("stateEnteredEventDetails", details)))?;
        self.execution.enter(&cursor.path, kind);
        let Engine { clock, random, .. } = &*self.engine;
        let (entered, time) = (cursor.previous, clock.now());
        let mut visit = Visit { state, raw, entered, time, retries: 0, clock: *clock, random };

        let (output, next) = self.work(&mut visit, cursor).await?;
        let text = output.to_string();
        check_size(&text, &state.name)?;
        self.execution.leave(&cursor.path);
        let details = json!({ "name": state.name, "output": text, "outputDetails": { "truncated": false } });
        self.push(cursor, format!("{kind}StateExited"), Some(("stateExitedEventDetails", details)))?;
        Ok((output, next))
    }

    async fn work<'a>(&self, visit: &mut Visit<'a, '_>, cursor: &mut Cursor) -> Result<Step<'a>, Failure> {
        match &visit.state.kind {
            Kind::Work(work) => self.tries(work, visit, cursor).await,
            Kind::Plain(plain) => self.plain(plain, visit).await,
        }
    }

    async fn plain<'a>(&self, plain: &'a Plain, visit: &Visit<'a, '_>) -> Result<Step<'a>, Failure> {
        let context = self.context(visit, None);
        let input = visit.input(&context)?;
        let data = visit.data(&input, &context);
        let mut next = visit.state.next.as_deref();
        let output = match plain {
            Plain::Pass(pass) => visit.pass(pass, data)?,
            Plain::Choice(choice) => {
                next = Some(visit.choose(choice, data)?);
                input
            }
            Plain::Wait(wait) => {
                self.engine.clock.sleep(visit.wait_time(wait, data)?).await;
                input
            }
            Plain::Succeed => input,
            Plain::Fail(fail) => return Err(visit.fail(fail, data)?),
        };
        Ok((visit.output(&output, &context)?, next))
    }

    /// Tries a Task or Parallel as often as Retry says, then lets Catch decide.
    async fn tries<'a>(
        &self,
        work: &'a Work,
        visit: &mut Visit<'a, '_>,
        cursor: &mut Cursor,
    ) -> Result<Step<'a>, Failure> {
        let mut retries = Retries::new(&work.retry);
        loop {
            let tried = match &work.effort {
                Effort::Task(task) => self.task(task, work, visit, cursor).await,
                Effort::Parallel(branches) => self.parallel(branches, work, visit, cursor).await,
            };
            let failure = match tried {
                Ok(output) => return Ok((output, visit.state.next.as_deref())),
                Err(failure) => failure,
            };
            if let Some(delay) = retries.delay(&failure, &self.engine.random) {
                visit.retries += 1;
                self.engine.clock.sleep(delay).await;
                continue;
            }
            // It has failed for good only now: a retry begins with another ParallelStateStarted (recorded). A
            // States.Runtime ends the execution without a word from the states around it (recorded).
            if matches!(work.effort, Effort::Parallel(_)) && !failure.is_runtime() {
                self.push(cursor, "ParallelStateFailed", None)?;
            }
            let Some(catcher) = catcher(&work.catch, &failure) else { return Err(failure) };
            // OutputPath has no say in what a catcher hands on (recorded), nor has ResultSelector.
            let output = put(visit.raw, catcher.result_path.as_ref(), failure.output());
            return Ok((output.map_err(|fault| visit.place(fault))?, Some(&catcher.next)));
        }
    }

    /// Runs all branches; the first to fail ends the others
    /// (<https://docs.aws.amazon.com/step-functions/latest/dg/state-parallel.html#parallel-state-error-handling>).
    async fn parallel(
        &self,
        branches: &[Scope],
        work: &Work,
        visit: &Visit<'_, '_>,
        cursor: &mut Cursor,
    ) -> Result<Value, Failure> {
        let context = self.context(visit, None);
        let input = visit.input(&context)?;
        let input = visit.parameters(work.parameters.as_ref(), visit.data(&input, &context))?;
        self.push(cursor, "ParallelStateStarted", None)?;

        let start = |at| Cursor { path: [cursor.path.as_slice(), &[at]].concat(), previous: cursor.previous };
        let mut cursors: Vec<Cursor> = (0..branches.len()).map(start).collect();
        let branches = branches.iter().zip(&mut cursors).enumerate().map(|(at, (scope, cursor))| {
            let outcome = self.scope(scope, cursor, input.clone());
            async move { outcome.await.map_err(|failure| (at, failure)) }
        });
        match try_join_all(branches).await {
            Ok(outputs) => {
                cursor.previous = cursors.iter().map(|branch| branch.previous).max().unwrap_or_default();
                // Nothing follows it: what comes next follows the last event of the branches as well (recorded).
                self.execution.push(cursor.previous, "ParallelStateSucceeded", None)?;
                visit.result(outputs.into(), work, &context)
            }
            Err((failed, failure)) => {
                cursor.previous = cursors[failed].previous;
                if !failure.is_runtime() {
                    self.execution.abort_branches(&cursor.path, failed, cursor.previous)?;
                }
                Err(failure)
            }
        }
    }

    /// The context object (<https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html>).
    pub(crate) fn context(&self, visit: &Visit<'_, '_>, token: Option<&str>) -> Value {
        let execution = &self.execution;
        let source = &execution.machine.source;
        let mut context = json!({
            "Execution": {
                "Id": execution.arn,
                "Input": serde_json::from_str::<Value>(&execution.input).unwrap_or_default(),
                "Name": execution.name,
                "RoleArn": source.role,
                "StartTime": rfc3339(execution.started),
                "RedriveCount": 0,
            },
            "StateMachine": { "Id": source.arn, "Name": source.name() },
            "State": { "Name": visit.state.name, "EnteredTime": rfc3339(visit.time) },
        });
        // A Pass has none (recorded): only what can be retried is counted.
        if matches!(visit.state.kind, Kind::Work(_)) {
            context["State"]["RetryCount"] = visit.retries.into();
        }
        if let Some(token) = token {
            context["Task"] = json!({ "Token": token });
        }
        context
    }
}

impl Visit<'_, '_> {
    /// A fault as the failure of this state, in AWS's words (recorded).
    pub fn place(&self, fault: Fault) -> Failure {
        let Fault { error, message } = fault;
        let Self { state: State { name, .. }, entered, .. } = self;
        let cause = format!(
            "An error occurred while executing the state '{name}' (entered at the event id #{entered}). {message}"
        );
        Failure::new(error, cause)
    }

    /// What fields of the state are evaluated against.
    pub fn data<'a>(&'a self, input: &'a Value, context: &'a Value) -> Data<'a> {
        Data { input, context, random: self.random }
    }

    /// The raw input through InputPath.
    pub fn input(&self, context: &Value) -> Result<Value, Failure> {
        self.filter(self.state.input_path.as_ref(), self.raw, context)
    }

    /// `value` through OutputPath.
    fn output(&self, value: &Value, context: &Value) -> Result<Value, Failure> {
        self.filter(self.state.output_path.as_ref(), value, context)
    }

    fn filter(&self, path: Option<&Path>, input: &Value, context: &Value) -> Result<Value, Failure> {
        match path {
            None => Ok(json!({})),
            Some(path) => path.reach(self.data(input, context)).map_err(|fault| self.place(fault)),
        }
    }

    /// `data` through Parameters, which must not grow beyond the limit.
    pub fn parameters(&self, template: Option<&Template>, data: Data<'_>) -> Result<Value, Failure> {
        let Some(template) = template else { return Ok(data.input.clone()) };
        let value = template.fill(data).map_err(|fault| self.place(fault))?;
        check_size(&value.to_string(), &self.state.name)?;
        Ok(value)
    }

    /// A result through ResultSelector, ResultPath and OutputPath.
    pub fn result(&self, result: Value, work: &Work, context: &Value) -> Result<Value, Failure> {
        let result = match &work.result_selector {
            None => result,
            Some(selector) => {
                selector.fill(self.data(&result, context)).map_err(|fault| self.place(fault))?
            }
        };
        let output = put(self.raw, work.result_path.as_ref(), result).map_err(|fault| self.place(fault))?;
        self.output(&output, context)
    }

    fn pass(&self, pass: &Pass, data: Data<'_>) -> Result<Value, Failure> {
        let result = match &pass.result {
            Some(result) => result.clone(),
            None => self.parameters(pass.parameters.as_ref(), data)?,
        };
        put(self.raw, pass.result_path.as_ref(), result).map_err(|fault| self.place(fault))
    }

    fn choose<'c>(&self, choice: &'c Choice, data: Data<'_>) -> Result<&'c str, Failure> {
        for (rule, next) in &choice.rules {
            if rule.holds(data).map_err(|fault| self.place(fault))? {
                return Ok(next);
            }
        }
        // AWS documents States.NoChoiceMatched and fails with States.Runtime, in these words (recorded).
        choice.default.as_deref().ok_or_else(|| {
            let message = "Failed to transition out of the state. The state does not point to a next state.";
            self.place(Fault::runtime(message))
        })
    }

    fn wait_time(&self, wait: &Wait, data: Data<'_>) -> Result<Duration, Failure> {
        let until =
            |moment: Timestamp| self.clock.now().duration_until(moment).try_into().unwrap_or(Duration::ZERO);
        let delay = match wait {
            Wait::Seconds(Seconds::Fixed(seconds)) => Duration::from_secs(*seconds),
            Wait::Seconds(Seconds::Path(path)) => self.waited_seconds(path, data)?,
            Wait::Until(moment) => until(*moment),
            Wait::UntilPath(path) => {
                let value = self.waited_for(path, "TimestampPath", data)?;
                choice::moment(&value).map(until).ok_or_else(|| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    self.place(Fault::runtime(format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time \
                         format string: {} == {value}",
                        path.text()
                    )))
                })?
            }
        };
        if delay > MAX_DELAY {
            return Err(self.place(Fault::runtime("Wait state delay is too long.")));
        }
        Ok(delay)
    }

    fn waited_seconds(&self, path: &Path, data: Data<'_>) -> Result<Duration, Failure> {
        let value = self.waited_for(path, "SecondsPath", data)?;
        let wrong = |what: &str| {
            let message = format!("The SecondsPath parameter {what}: {} == {value}", path.text());
            self.place(Fault::runtime(message))
        };
        let seconds = value.as_i64().ok_or_else(|| wrong("cannot be parsed as a long value"))?;
        u64::try_from(seconds).map(Duration::from_secs).map_err(|_| wrong("references a negative value"))
    }

    /// What the path of a Wait leads to. A Wait has words of its own for each way in which it does not (recorded).
    fn waited_for(&self, path: &Path, field: &str, data: Data<'_>) -> Result<Value, Failure> {
        path.find(data).ok_or_else(|| {
            let message = format!("The {field} parameter does not reference an input value: {}", path.text());
            self.place(Fault::runtime(message))
        })
    }

    /// One of a Task's time-outs; `field` names the field of a path.
    pub fn timeout(&self, seconds: &Seconds, field: &str, data: Data<'_>) -> Result<Duration, Failure> {
        match seconds {
            Seconds::Fixed(seconds) => Ok(Duration::from_secs(*seconds)),
            Seconds::Path(path) => {
                let value = path.reach(data).map_err(|fault| self.place(fault))?;
                value.as_u64().filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(|| {
                    let path = path.text();
                    self.place(Fault::runtime(format!(
                        "The {field} parameter does not reference a positive integer: {path} == {value}"
                    )))
                })
            }
        }
    }

    fn fail(&self, fail: &Fail, data: Data<'_>) -> Result<Failure, Failure> {
        let text = |text: &Option<Text>, field: &str| match text {
            None => Ok(None),
            Some(Text::Literal(text)) => Ok(Some(text.clone())),
            Some(Text::Computed(expression)) => match expression.value(data, field) {
                Ok(Value::String(text)) => Ok(Some(text)),
                Ok(other) => {
                    Err(self.place(Fault::runtime(format!("The {field} parameter is not a string: {other}"))))
                }
                Err(fault) => Err(self.place(fault)),
            },
        };
        Ok(Failure {
            error: text(&fail.error, "ErrorPath")?,
            cause: text(&fail.cause, "CausePath")?,
            timeout: None,
        })
    }
}

/// `result` put into `raw` by a ResultPath; none discards the result.
fn put(raw: &Value, path: Option<&ReferencePath>, result: Value) -> Result<Value, Fault> {
    path.map_or_else(|| Ok(raw.clone()), |path| path.put(raw.clone(), result))
}

/// "The state/task … returned a result with a size exceeding the maximum number of bytes" (recorded).
pub(crate) fn check_size(text: &str, what: &str) -> Result<(), Failure> {
    if text.len() <= PAYLOAD_LIMIT {
        return Ok(());
    }
    let cause = format!(
        "The state/task '{what}' returned a result with a size exceeding the maximum number of bytes service limit."
    );
    Err(Failure::new(DATA_LIMIT_EXCEEDED, cause))
}

/// Times of the context object: UTC to the millisecond.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}
