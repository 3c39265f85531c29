//! Lambda: execution environments, which are made, frozen and used again, and what becomes of the runs in them.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use aws_credential_types::Credentials;
use local_aws::upstream::{Session, Upstream};
use mayfly_lambda::{Clock, Environment, Handler, Randomness};
use serde_json::json;

use crate::phases::Phases;
use crate::router::Router;
use crate::steps::step;
use crate::wire::{Fates, Invocation, Wire};
use crate::witness::OnBehalfOf;

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its folder in `functions/`.
    pub folder: String,
    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    pub arn: String,
    /// The role that it acts as.
    pub role_arn: String,
    /// What the template sets.
    pub variables: BTreeMap<String, String>,
    /// How long a run may last.
    pub time_out: Duration,
}

/// What a run of a function came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It answered, in JSON.
    Answered(String),
    /// It threw, or Lambda ended it: the JSON that says what.
    Threw(String),
}

/// Why a function was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// There is none of this ARN.
    NotFound,
    /// The account runs as many as it may, or Lambda says so.
    Throttled,
    /// Nobody knows: it may have been run.
    Unanswered,
}

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The handler is called, so long after it was asked for.
    After(Duration),
    /// Lambda runs it not, for now.
    Throttled,
    /// The environment's process ends before the handler is called.
    Dies,
    /// The environment does nothing until the run's time is over.
    Hangs,
    /// The handler is called, and what it answers is lost: who has called knows nothing.
    Unanswered,
}

/// What can happen to a run besides what happens to its calls.
pub trait Runs: Debug + Send + Sync {
    /// What becomes of this one, in an environment that is new or not.
    fn start(&self, invocation: &Invocation, is_new: bool) -> Start;
}

/// What Lambda works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account.
    pub upstream: Upstream,
    /// Where the functions' calls go.
    pub router: Router,
    /// What becomes of them.
    pub fates: Arc<dyn Fates>,
    /// What becomes of runs.
    pub runs: Arc<dyn Runs>,
    /// What is wrong with them for a part of the time.
    pub phases: Phases,
    /// How many functions the account runs at a time.
    pub concurrency: usize,
}

/// The Lambda of the account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Lambda {
    config: Config,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    functions: BTreeMap<String, Function>,
    idle: BTreeMap<String, Vec<Warm>>,
    visits: BTreeMap<String, usize>,
    running: usize,
}

/// An execution environment that waits for its next run.
struct Warm {
    handler: Box<dyn Handler>,
    wire: Wire,
}

impl Debug for Warm {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Warm")
    }
}

/// Counts as running for as long as it lives.
struct Counted(Arc<Mutex<State>>);

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.0).running -= 1;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics while it holds the state")
}

impl Lambda {
    /// A Lambda without functions.
    pub fn new(config: Config) -> Self {
        Self { config, state: Arc::default() }
    }

    /// Deploys a function, or another version of it: environments of the old one are used no more.
    pub fn deploy(&self, function: Function) {
        let mut state = lock(&self.state);
        state.idle.remove(&function.arn);
        state.functions.insert(function.arn.clone(), function);
    }

    /// Runs the function `arn` with `payload` and waits for its end.
    ///
    /// # Errors
    /// Where it is not run at all.
    ///
    /// # Panics
    /// Where a step cannot be made: the template does not set what it needs.
    pub async fn invoke(&self, arn: &str, payload: &str) -> Result<Ran, NotRun> {
        let (function, warm, invocation, counted) = self.admit(arn)?;
        let clock = self.config.upstream.clock;
        let start = self.config.runs.start(&invocation, warm.is_none());
        match start {
            Start::After(wait) => clock.sleep(wait).await,
            Start::Throttled => return Err(NotRun::Throttled),
            Start::Dies => return Ok(self.died()),
            Start::Hangs => {
                clock.sleep(function.time_out).await;
                return Ok(self.timed_out(&function));
            }
            Start::Unanswered => {}
        }
        let warm = warm.unwrap_or_else(|| {
            self.made(&function).unwrap_or_else(|error| panic!("{}: {error:#}", function.folder))
        });
        self.config.router.witness.given(payload);
        let death = warm.wire.begin(invocation, OnBehalfOf::read(payload));
        let run = warm.handler.invoke(payload);
        let ended = tokio::select! {
            biased;
            () = death.cancelled() => None,
            ended = tokio::time::timeout(clock.scale.real(function.time_out), run) => Some(ended),
        };
        warm.wire.end();
        drop(counted);
        let reused = |answer: Ran, warm: Warm| {
            lock(&self.state).idle.entry(arn.to_owned()).or_default().push(warm);
            if start == Start::Unanswered { Err(NotRun::Unanswered) } else { Ok(answer) }
        };
        match ended {
            Some(Ok(Ok(output))) => {
                let output = output.get().to_owned();
                reused(Ran::Answered(self.config.phases.aged(&function.folder, output)), warm)
            }
            Some(Ok(Err(thrown))) => {
                let body = json!({ "errorType": thrown.error_type, "errorMessage": thrown.error_message });
                reused(Ran::Threw(body.to_string()), warm)
            }
            Some(Err(_)) => Ok(self.timed_out(&function)),
            None => Ok(self.died()),
        }
    }

    /// Lambda developer guide, "Troubleshoot invocation issues in Lambda": the words of a time-out.
    fn timed_out(&self, function: &Function) -> Ran {
        Ran::Threw(failure(
            "Sandbox.Timedout",
            &format!("Task timed out after {}.00 seconds", function.time_out.as_secs()),
            self.config.upstream.random.uuid(),
        ))
    }

    /// The same page: those of a process that has ended.
    fn died(&self) -> Ran {
        Ran::Threw(failure(
            "Runtime.ExitError",
            "Error: Runtime exited with error: signal: killed",
            self.config.upstream.random.uuid(),
        ))
    }

    fn admit(&self, arn: &str) -> Result<(Function, Option<Warm>, Invocation, Counted), NotRun> {
        let mut state = lock(&self.state);
        let function = state.functions.get(arn).cloned().ok_or(NotRun::NotFound)?;
        if state.running >= self.config.concurrency {
            return Err(NotRun::Throttled);
        }
        state.running += 1;
        let counted = Counted(Arc::clone(&self.state));
        let visits = state.visits.entry(function.folder.clone()).or_default();
        let invocation = Invocation { function: function.folder.clone(), visit: *visits };
        *visits += 1;
        let warm = state.idle.get_mut(arn).and_then(Vec::pop);
        Ok((function, warm, invocation, counted))
    }

    /// A new execution environment, with a session of the function's role.
    fn made(&self, function: &Function) -> anyhow::Result<Warm> {
        let Config { upstream, router, fates, phases, .. } = &self.config;
        let recipe = step(&function.folder).context("no such step")?;
        let name = function.arn.rsplit(':').next().unwrap_or_default();
        let (key, secret, token): (u64, u128, u128) =
            (upstream.random.value(), upstream.random.value(), upstream.random.value());
        let credentials = Credentials::new(
            format!("ASIA{key:016X}"),
            format!("{secret:040x}"),
            Some(format!("{token:032x}")),
            None,
            "Lambda",
        );
        let mut variables = function.variables.clone();
        // Lambda developer guide, "Defined runtime environment variables".
        for (name, value) in [
            ("AWS_REGION", upstream.region.as_str()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id()),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key()),
            ("AWS_SESSION_TOKEN", credentials.session_token().unwrap_or_default()),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        let (account, role) = (&upstream.account, function.role_arn.rsplit('/').next().unwrap_or_default());
        upstream.sessions.add(Session {
            arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
            role_arn: function.role_arn.clone(),
            name: name.to_owned(),
            credentials,
            policy: None,
        });
        let wire = Wire::new(router.clone(), Arc::clone(fates), phases.clone(), upstream.clock);
        let random = upstream.random.clone();
        let environment = Environment::new(
            variables,
            wire.connector(),
            Clock::new(phases.clock()),
            Randomness::new(move |bytes| bytes.iter_mut().for_each(|byte| *byte = random.value())),
            recipe.sdk_retries,
        )
        .map_err(anyhow::Error::msg)?;
        Ok(Warm { handler: (recipe.new)(&environment).map_err(anyhow::Error::msg)?, wire })
    }
}

fn failure(kind: &str, message: &str, request: impl fmt::Display) -> String {
    json!({ "errorType": kind, "errorMessage": format!("RequestId: {request} {message}") }).to_string()
}
