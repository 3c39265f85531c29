//! The scripted world: functions that return, throw, fail or hang, and what the tests ask of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::Credentials;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::server::in_process;
use local_aws::upstream::{Session, Upstream};
use local_states::engine::Engine;
use local_states::error::ApiError;
use local_states::execution::{Execution, Status};
use local_states::language::failure::Failure;
use local_states::world::{Invoked, Source, World};
use local_states::{Config, StepFunctions};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A test that takes longer has hung.
const DEADLINE: Duration = Duration::from_secs(20);
pub const ROLE: &str = "arn:aws:iam::123456789012:role/machine";
const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "123456789012";

/// What a scripted function does when it is called.
#[derive(Clone, Debug)]
pub enum Reply {
    Returns(Value),
    /// Throws an error of this type; the message is always "no".
    Throws(&'static str),
    /// Throws with this payload as it stands.
    ThrowsRaw(&'static str),
    /// The Invoke call itself fails.
    Fails(&'static str),
    /// Never answers.
    Hangs,
}

type Script = Arc<dyn Fn(&Value, usize) -> Reply + Send + Sync>;

#[derive(Default)]
pub struct Scripted {
    machines: Mutex<HashMap<String, Source>>,
    functions: Mutex<HashMap<String, (Script, usize)>>,
    announced: Mutex<Vec<Value>>,
    events: Mutex<Vec<Value>>,
    /// Names of functions whose calls were dropped before they answered.
    aborted: Arc<Mutex<Vec<String>>>,
    calls: Mutex<Option<UnboundedSender<(String, Value)>>>,
}

impl World for Scripted {
    async fn machine(&self, arn: &str) -> anyhow::Result<Option<Source>> {
        Ok(self.machines.lock().unwrap().get(arn).cloned())
    }

    async fn machines(&self) -> anyhow::Result<Vec<String>> {
        let mut arns: Vec<_> = self.machines.lock().unwrap().keys().cloned().collect();
        arns.sort();
        Ok(arns)
    }

    async fn invoke(&self, _role: &str, function: &str, payload: &Value) -> Result<Invoked, Failure> {
        let reply = {
            let mut functions = self.functions.lock().unwrap();
            let (script, count) =
                functions.get_mut(function).expect("the test scripts every function it calls");
            *count += 1;
            script(payload, *count)
        };
        if let Some(calls) = &*self.calls.lock().unwrap() {
            let _ = calls.send((function.to_owned(), payload.clone()));
        }
        let answer = |payload: String, threw| Ok(Invoked { payload, threw, version: "$LATEST".into() });
        match reply {
            Reply::Returns(value) => answer(value.to_string(), false),
            Reply::Throws(name) => {
                answer(json!({ "errorType": name, "errorMessage": "no" }).to_string(), true)
            }
            Reply::ThrowsRaw(payload) => answer(payload.to_owned(), true),
            Reply::Fails(name) => Err(Failure::new(name, "the call failed")),
            Reply::Hangs => {
                let _aborted = Aborted { name: function.to_owned(), list: Arc::clone(&self.aborted) };
                std::future::pending().await
            }
        }
    }

    async fn put_events(&self, _role: &str, entries: &[Value]) -> Result<Value, Failure> {
        self.events.lock().unwrap().extend_from_slice(entries);
        let failed = entries.iter().filter(|entry| entry["Source"] == "refused").count();
        Ok(
            json!({ "Entries": entries.iter().map(|_| json!({ "EventId": "e" })).collect::<Vec<_>>(), "FailedEntryCount": failed }),
        )
    }

    fn announce(&self, _execution_arn: &str, detail: Value) {
        self.announced.lock().unwrap().push(detail);
    }
}

/// Every role may do everything, but for some actions.
#[derive(Clone, Debug, Default)]
struct AllBut(Arc<Mutex<BTreeSet<String>>>);

impl Rights for AllBut {
    fn session<'a>(&'a self, _access_key: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>> {
        async { Ok(None) }.boxed()
    }

    fn policies<'a>(&'a self, _role_arn: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>> {
        let statement = |effect: &str, actions: &BTreeSet<String>| json!({ "Effect": effect, "Action": actions, "Resource": "*" });
        let all = statement("Allow", &BTreeSet::from(["*".to_owned()]));
        let denied = statement("Deny", &self.0.lock().unwrap());
        let policy = json!({ "Version": "2012-10-17", "Statement": [all, denied] });
        async move { Ok(vec![Policy::parse(&policy.to_string())?]) }.boxed()
    }
}

/// Notes an invocation that is dropped while it hangs.
struct Aborted {
    name: String,
    list: Arc<Mutex<Vec<String>>>,
}

impl Drop for Aborted {
    fn drop(&mut self) {
        self.list.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

/// Step Functions in a scripted world, where a second lasts ten milliseconds.
pub struct Cloud {
    pub step_functions: StepFunctions<Scripted>,
    pub engine: Arc<Engine<Scripted>>,
    pub log: CallLog,
    upstream: Upstream,
    guard: Guard,
    denied: AllBut,
    calls: tokio::sync::Mutex<UnboundedReceiver<(String, Value)>>,
}

impl Cloud {
    pub fn new() -> Self {
        Self::scaled(0.01)
    }

    pub fn scaled(factor: f64) -> Self {
        Self::with_work(factor, factor)
    }

    /// With another scale for tasks that have sent a heartbeat.
    pub fn with_work(factor: f64, work: f64) -> Self {
        Self::of(Clock::new(TimeScale::new(factor), TimeScale::new(work)), Random::default())
    }

    /// In which everything random follows from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self::of(Clock::new(TimeScale::new(0.01), TimeScale::new(0.01)), Random::seeded(seed))
    }

    fn of(clock: Clock, random: Random) -> Self {
        let (sender, calls) = unbounded_channel();
        let world = Scripted { calls: Mutex::new(Some(sender)), ..Scripted::default() };
        let root = Credentials::from_keys("AKIAROOT", "secret", None);
        let upstream = Upstream::new(REGION, ACCOUNT, root, clock, random);
        let denied = AllBut::default();
        let guard = Guard::new(upstream.clone(), denied.clone());
        let log = CallLog::new(clock);
        let step_functions = StepFunctions::new(Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: log.clone(),
            world,
        });
        let engine = Arc::clone(&step_functions.engine);
        Self { step_functions, engine, log, upstream, guard, denied, calls: calls.into() }
    }

    /// A client in this process, which acts as a role of its own.
    pub fn client(&self) -> Client {
        let credentials = Credentials::from_keys("ASIACALLER", "secret", Some("token".into()));
        self.upstream.sessions.add(Session {
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/caller/test"),
            role_arn: format!("arn:aws:iam::{ACCOUNT}:role/caller"),
            name: "test".into(),
            credentials: credentials.clone(),
            policy: None,
        });
        let config = aws_sdk_sfn::config::Builder::from(&self.upstream.root_config())
            .endpoint_url("http://states")
            .http_client(in_process(self.step_functions.clone()))
            .credentials_provider(credentials);
        Client::from_conf(config.build())
    }

    /// Scripts a function: `script` is given the payload and which call it is, from 1.
    pub fn function(&self, name: &str, script: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) {
        self.engine.world.functions.lock().unwrap().insert(name.into(), (Arc::new(script), 0));
    }

    /// Scripts a function that always does the same.
    pub fn always(&self, name: &str, reply: Reply) {
        self.function(name, move |_, _| reply.clone());
    }

    pub fn deny(&self, action: &str) {
        self.denied.0.lock().unwrap().insert(action.into());
        self.guard.forget_policies();
    }

    pub fn deploy(&self, name: &str, definition: &Value) -> String {
        let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}");
        let mut machines = self.engine.world.machines.lock().unwrap();
        let source = Source {
            arn: arn.clone(),
            definition: definition.to_string(),
            role: ROLE.into(),
            revision: machines.contains_key(&arn).then(|| "updated".into()),
            created: 1.5,
            tags: [].into(),
        };
        machines.insert(arn.clone(), source);
        drop(machines);
        arn
    }

    pub async fn start(&self, definition: &Value, input: &Value) -> Arc<Execution> {
        let arn = self.deploy("machine", definition);
        self.engine.start(&arn, None, Some(&input.to_string())).await.expect("the execution starts")
    }

    /// Starts the machine and waits for its end.
    pub async fn run(&self, definition: &Value, input: &Value) -> Ended {
        ended(&self.start(definition, input).await).await
    }

    /// The error of a start that is refused.
    pub async fn refusal(&self, definition: &Value) -> ApiError {
        let arn = self.deploy("machine", definition);
        self.engine.start(&arn, None, None).await.expect_err("the start is refused")
    }

    /// The payload of the next call of a function; calls of others before it are passed over.
    pub async fn next_call(&self, function: &str) -> Value {
        let mut calls = self.calls.lock().await;
        let next = async {
            loop {
                let (name, payload) = calls.recv().await.expect("the world lives on");
                if name == function {
                    return payload;
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.expect("the function is called in time")
    }

    pub fn call_count(&self, function: &str) -> usize {
        self.engine.world.functions.lock().unwrap()[function].1
    }

    pub fn aborted_calls(&self) -> Vec<String> {
        let mut aborted = self.engine.world.aborted.lock().unwrap().clone();
        aborted.sort();
        aborted
    }

    pub fn announced(&self) -> Vec<Value> {
        self.engine.world.announced.lock().unwrap().clone()
    }

    pub fn put_events(&self) -> Vec<Value> {
        self.engine.world.events.lock().unwrap().clone()
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// An execution that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: Status,
    pub output: Value,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub events: Vec<Value>,
}

pub async fn ended(execution: &Arc<Execution>) -> Ended {
    let in_time = tokio::time::timeout(DEADLINE, execution.ended.cancelled()).await.is_ok();
    assert!(in_time, "the execution does not end: {:#?}", history(execution));
    let (ending, _) = execution.ending().expect("it has ended");
    let output = ending.output.map_or(Value::Null, |output| serde_json::from_str(&output).expect("JSON"));
    let events = history(execution);
    Ended { status: ending.status, output, error: ending.error, cause: ending.cause, events }
}

pub fn history(execution: &Execution) -> Vec<Value> {
    execution.events().iter().map(|event| event.view(true)).collect()
}

impl Ended {
    /// Each event as "id<previous type".
    pub fn shape(&self) -> Vec<String> {
        let line = |event: &Value| {
            format!("{}<{} {}", event["id"], event["previousEventId"], event["type"].as_str().unwrap())
        };
        self.events.iter().map(line).collect()
    }

    /// The last event, as [`Ended::shape`] has it.
    pub fn last(&self) -> String {
        self.shape().pop().expect("a history has events")
    }

    /// How many events are of a type.
    pub fn count(&self, kind: &str) -> usize {
        self.events.iter().filter(|event| event["type"] == kind).count()
    }

    /// The names of the states that were entered, in order.
    pub fn entered(&self) -> Vec<&str> {
        self.events.iter().filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str()).collect()
    }

    pub fn error(&self) -> &str {
        self.error.as_deref().unwrap_or_else(|| panic!("no error: {self:#?}"))
    }

    pub fn cause(&self) -> &str {
        self.cause.as_deref().unwrap_or_else(|| panic!("no cause: {self:#?}"))
    }

    /// The output of a success.
    pub fn succeeded(self) -> Value {
        assert_eq!(self.status, Status::Succeeded, "{self:#?}");
        self.output
    }
}

/// A machine of one state `Only`, which ends it.
pub fn only(state: &Value) -> Value {
    let mut state = state.clone();
    state["End"] = true.into();
    json!({ "StartAt": "Only", "States": { "Only": state } })
}

/// A Task that invokes `function` with nothing; `more` is merged into it.
pub fn invoke(function: &str, more: &Value) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": function },
    });
    merge(&mut state, more);
    state
}

/// A Task that invokes `function` with the token and waits for it.
pub fn callback(function: &str, more: &Value) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": { "FunctionName": function, "Payload": { "token.$": "$$.Task.Token" } },
    });
    merge(&mut state, more);
    state
}

fn merge(state: &mut Value, more: &Value) {
    let more = more.as_object().expect("an object").clone();
    state.as_object_mut().expect("an object").extend(more);
}

/// The token in the payload of a function that [`callback`] called.
pub fn token(payload: &Value) -> &str {
    payload["token"].as_str().expect("a token")
}
