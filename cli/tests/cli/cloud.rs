//! A cloud that shows what a test scripts: the calls that the command line makes, on their real wire protocols.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::history::History;

/// The job document of every test; its odd spacing shows that it is sent unchanged.
pub const DOCUMENT: &str = "{ \"task\":   {\"command\": [\"true\"]} }\n";

const MACHINE: &str = "arn:aws:states:eu-west-1:111111111111:stateMachine";

/// The ARN of the execution `name` of the machine `machine`.
pub fn execution(machine: &str, name: &str) -> String {
    format!("{}:{machine}:{name}", MACHINE.replace("stateMachine", "execution"))
}

/// A scripted cloud on a port of its own.
pub struct Cloud {
    script: Arc<Mutex<Script>>,
    endpoint: String,
    /// The folder in which commands run, with a job document.
    folder: TempDir,
}

#[derive(Default)]
struct Script {
    has_no_stack: bool,
    /// The stack's, with the registry's host.
    repository: String,
    /// The stack's parameters.
    parameters: Vec<(&'static str, &'static str)>,
    /// What ECR gives out.
    token: String,
    /// What each execution's history shows: the first until it has been read once, then the next; the last stays, and
    /// is what comes of stopping the execution.
    histories: HashMap<String, VecDeque<Vec<Value>>>,
    name_is_taken: bool,
    /// The jobs that have ended once they are stopped.
    end_when_stopped: Vec<String>,
    /// What each function answers: whether that is an error, and what; the last one stays.
    functions: HashMap<&'static str, VecDeque<(bool, Value)>>,
    /// What the table shows of the job that is followed, each until it has been read once; the last stays.
    items: VecDeque<Value>,
    /// The containers' logs: the container's name and its task's id, `worker/0123`, and its lines.
    logs: Vec<(String, Vec<String>)>,
    /// The latest first.
    executions: Vec<Execution>,
    /// The records of jobs, by attribute.
    records: Vec<Value>,
    /// How often a call of this action is still refused, and with which error.
    refusals: HashMap<String, (usize, &'static str)>,
    calls: Vec<(String, Value)>,
}

/// What ListExecutions and DescribeExecution tell.
struct Execution {
    machine: &'static str,
    name: String,
    status: String,
    /// In epoch seconds.
    start: f64,
    stop: Option<f64>,
    error: Option<String>,
    cause: Option<String>,
    input: String,
}

impl Execution {
    fn view(&self) -> Value {
        let Self { machine, name, status, start, stop, error, cause, input } = self;
        json!({ "executionArn": execution(machine, name), "name": name, "status": status, "startDate": start,
                "stateMachineArn": format!("{MACHINE}:{machine}"), "stopDate": stop, "error": error, "cause": cause,
                "input": input })
    }
}

/// What a command came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Cloud {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("job.json"), DOCUMENT).unwrap();
        Self { script, endpoint, folder }
    }

    /// Forgets the stack.
    pub fn has_no_stack(&self) {
        self.script.lock().unwrap().has_no_stack = true;
    }

    /// The stack has this repository, for which ECR gives out this token, and containers for this processor.
    pub fn has_repository(&self, repository: &str, token: &str, processor: &'static str) {
        let mut script = self.script.lock().unwrap();
        (script.repository, script.token) = (repository.to_owned(), token.to_owned());
        script.parameters = vec![("DefaultCpu", "1024"), ("Architecture", processor)];
    }

    /// The folder in which commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Refuses every job's name.
    pub fn name_is_taken(&self) {
        self.script.lock().unwrap().name_is_taken = true;
    }

    /// The execution called `name` next shows `history`.
    pub fn shows(&self, name: &str, history: &History) {
        let mut script = self.script.lock().unwrap();
        script.histories.entry(name.to_owned()).or_default().push_back(history.events().to_vec());
    }

    /// The job called `name` has ended once it is stopped.
    pub fn ends_when_stopped(&self, name: &str) {
        self.script.lock().unwrap().end_when_stopped.push(name.to_owned());
    }

    /// The sweeper answers this, after what was said before.
    pub fn sweeper_answers(&self, answer: &Value) {
        self.function_answers("sweeper", answer);
    }

    /// The sweeper fails with this error.
    pub fn sweeper_fails(&self, error: &str) {
        self.function_fails("sweeper", error, "in words");
    }

    /// The function called `name` answers this, after what was said before.
    pub fn function_answers(&self, name: &'static str, answer: &Value) {
        self.script.lock().unwrap().functions.entry(name).or_default().push_back((false, answer.clone()));
    }

    /// The function fails with this error.
    pub fn function_fails(&self, name: &'static str, error: &str, words: &str) {
        let error = json!({ "errorType": error, "errorMessage": words });
        self.script.lock().unwrap().functions.entry(name).or_default().push_back((true, error));
    }

    /// The table has `progress` for every job.
    pub fn progress(&self, progress: &Value) {
        self.shows_item(&json!({ "progress": progress.to_string() }));
    }

    /// The table next has `item` for every job; each attribute is a text.
    pub fn shows_item(&self, item: &Value) {
        let texts =
            item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), json!({ "S": value })));
        let item = texts.collect::<serde_json::Map<_, _>>().into();
        self.script.lock().unwrap().items.push_back(item);
    }

    /// The container of the task `task` has written `lines`, all that it ever will.
    pub fn log(&self, task: &str, lines: &[&str]) {
        self.log_of("worker", task, lines);
    }

    /// The same of the container called `container`.
    pub fn log_of(&self, container: &str, task: &str, lines: &[&str]) {
        let lines = lines.iter().map(ToString::to_string).collect();
        self.script.lock().unwrap().logs.push((format!("{container}/{task}"), lines));
    }

    /// There is an execution of tear-down; the latest must come first.
    pub fn has_teardown(&self, name: &str, start: f64, input: &Value) {
        self.has(Execution {
            machine: "tear-down",
            name: name.to_owned(),
            status: "RUNNING".to_owned(),
            start,
            stop: None,
            error: None,
            cause: None,
            input: input.to_string(),
        });
    }

    /// The teardown of `job` that is started here ends at once, with `cause` where it fails.
    pub fn has_ended_teardown(&self, job: &str, status: &str, cause: Option<&str>) {
        self.has(Execution {
            machine: "tear-down",
            name: job.to_owned(),
            status: status.to_owned(),
            start: 0.0,
            stop: Some(1.0),
            error: None,
            cause: cause.map(ToOwned::to_owned),
            input: json!({ "job": job }).to_string(),
        });
    }

    /// There is a job that runs, or that has ended a minute after its start; the latest must come first.
    pub fn has_job(&self, name: &str, status: &str, start: f64, error: Option<&str>) {
        self.has(Execution {
            machine: "run-job",
            name: name.to_owned(),
            status: status.to_owned(),
            start,
            stop: (status != "RUNNING").then_some(start + 60.0),
            error: error.map(ToOwned::to_owned),
            cause: None,
            input: json!({ "task": {}, "user": "al\u{1b}[31mice" }).to_string(),
        });
    }

    /// The job called `name` ends, a second after its start.
    pub fn ends(&self, name: &str, status: &str) {
        let mut script = self.script.lock().unwrap();
        let execution = script.executions.iter_mut().find(|execution| execution.name == name).unwrap();
        (execution.status, execution.stop) = (status.to_owned(), Some(execution.start + 1.0));
    }

    fn has(&self, execution: Execution) {
        self.script.lock().unwrap().executions.push(execution);
    }

    /// The table has this of the job called `job`; each attribute is a string.
    pub fn has_record(&self, job: &str, attributes: &Value) {
        let attributes = attributes.as_object().unwrap().iter();
        let item = attributes.map(|(name, value)| (name.clone(), json!({ "S": value.to_string() })));
        let mut item: Value = item.collect::<serde_json::Map<_, _>>().into();
        item["job"] = json!({ "S": job });
        self.script.lock().unwrap().records.push(item);
    }

    /// The record of `job` has this text besides.
    pub fn has_text(&self, job: &str, attribute: &str, text: &str) {
        let mut script = self.script.lock().unwrap();
        let record = script.records.iter_mut().find(|record| record["job"]["S"] == job).unwrap();
        record[attribute] = json!({ "S": text });
    }

    /// Answers the next `times` calls of `action` with `error`.
    pub fn refuses(&self, action: &str, times: usize, error: &'static str) {
        self.script.lock().unwrap().refusals.insert(action.to_owned(), (times, error));
    }

    /// The inputs of the calls of `action` so far.
    pub fn calls_of(&self, action: &str) -> Vec<Value> {
        let script = self.script.lock().unwrap();
        script.calls.iter().filter(|(name, _)| name == action).map(|(_, input)| input.clone()).collect()
    }

    /// Runs `mayfly` to its end.
    pub async fn mayfly(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let out = text(output.stdout).lines().map(without_now).collect();
        Ran { code: output.status.code().unwrap(), out, error: text(output.stderr) }
    }

    /// `mayfly` with nothing of this machine's environment but the cloud.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs([("AWS_ENDPOINT_URL", self.endpoint.as_str()), ("AWS_REGION", "eu-west-1")])
            .envs([("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("TZ", "UTC")])
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// Progress is told with the clock of this machine; events of histories are in the first minute of 1970.
fn without_now(line: &str) -> String {
    let is_progress = line.starts_with("  ") && line.contains(" % ");
    let line = if is_progress { format!("  CLOCK{}", &line[10..]) } else { line.to_owned() };
    line + "\n"
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut script = script.lock().unwrap();
    if let Some(path) = uri.path().strip_prefix("/2015-03-31/functions/") {
        return script.invoke(path.trim_end_matches("/invocations"), &body);
    }
    let Some(target) = headers.get("x-amz-target") else { return script.describe_stacks() };
    let action = target.to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let input: Value = serde_json::from_str(&body).unwrap();
    script.calls.push((action.clone(), input.clone()));
    match script.refusal(&action).map_or_else(|| script.json(&action, &input), Err) {
        Ok(output) => output.to_string().into_response(),
        Err(error) => {
            let body = json!({ "__type": error, "message": "in words" }).to_string();
            (StatusCode::BAD_REQUEST, body).into_response()
        }
    }
}

impl Script {
    fn refusal(&mut self, action: &str) -> Option<&'static str> {
        let (times, error) = self.refusals.get_mut(action)?;
        *times = times.checked_sub(1)?;
        Some(error)
    }

    fn describe_stacks(&mut self) -> Response {
        if let Some(code) = self.refusal("DescribeStacks") {
            let error = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>in words</Message></Error>\
                 </ErrorResponse>"
            );
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        if self.has_no_stack {
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                         <Message>Stack with id mayfly does not exist</Message></Error></ErrorResponse>";
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        let outputs = [
            ("RunJobMachineArn", format!("{MACHINE}:run-job")),
            ("TearDownMachineArn", format!("{MACHINE}:tear-down")),
            ("JobsTableName", "jobs".into()),
            ("LogGroupName", "group".into()),
            ("SweepExpiredFunctionName", "sweeper".into()),
            ("ExtendServiceFunctionName", "extender".into()),
            ("RepositoryUri", self.repository.clone()),
        ];
        let outputs = outputs.map(|(key, value)| {
            format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
        });
        let parameters = self.parameters.iter().map(|(key, value)| {
            format!(
                "<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
            )
        });
        let parameters = parameters.collect::<String>();
        let answer = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>mayfly</StackName>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
             <Parameters>{parameters}</Parameters><Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.concat()
        );
        ([(header::CONTENT_TYPE, "text/xml")], answer).into_response()
    }

    fn invoke(&mut self, function: &str, body: &str) -> Response {
        self.calls.push(("Invoke".into(), serde_json::from_str(body).unwrap()));
        let answers = self.functions.get_mut(function).expect("a test says what a function answers");
        let stays = answers.len() == 1;
        let (is_error, answer) = answers.pop_front().expect("and never too little");
        let text = answer.to_string();
        if stays {
            answers.push_back((is_error, answer));
        }
        if is_error {
            ([("x-amz-function-error", "Unhandled")], text).into_response()
        } else {
            text.into_response()
        }
    }

    fn json(&mut self, action: &str, input: &Value) -> Result<Value, &'static str> {
        Ok(match action {
            "StartExecution" if self.name_is_taken => return Err("ExecutionAlreadyExists"),
            "StartExecution" => {
                let machine = input["stateMachineArn"].as_str().unwrap().rsplit(':').next().unwrap();
                // A teardown is known by its job.
                let given: Value = serde_json::from_str(input["input"].as_str().unwrap()).unwrap_or_default();
                let name = input["name"].as_str().or(given["job"].as_str()).unwrap();
                json!({ "executionArn": execution(machine, name), "startDate": 1 })
            }
            "GetAuthorizationToken" => json!({ "authorizationData": [{ "authorizationToken": self.token }] }),
            "GetExecutionHistory" => self.history(input)?,
            "StopExecution" => {
                let name = input["executionArn"].as_str().unwrap().rsplit(':').next().unwrap();
                let shows = self.histories.get_mut(name).ok_or("ExecutionDoesNotExist")?;
                shows.drain(..shows.len() - 1);
                if self.end_when_stopped.iter().any(|ended| ended == name) {
                    let job = self.executions.iter_mut().find(|execution| execution.name == name).unwrap();
                    (job.status, job.stop) = ("ABORTED".into(), Some(job.start + 1.0));
                }
                json!({ "stopDate": 1 })
            }
            "ListExecutions" => {
                let is_listed = |execution: &&Execution| {
                    let of_machine = input["stateMachineArn"].as_str().unwrap().ends_with(execution.machine);
                    let status = input["statusFilter"].as_str();
                    of_machine && status.is_none_or(|status| status == execution.status)
                };
                let size = usize::try_from(input["maxResults"].as_u64().unwrap_or(100)).unwrap();
                let listed = self.executions.iter().filter(is_listed).take(size).map(Execution::view);
                json!({ "executions": listed.collect::<Vec<_>>() })
            }
            "DescribeExecution" => {
                let arn = input["executionArn"].as_str().unwrap();
                let is_meant = |known: &&Execution| execution(known.machine, &known.name) == arn;
                self.executions.iter().find(is_meant).ok_or("ExecutionDoesNotExist")?.view()
            }
            "BatchGetItem" => {
                let keys = input["RequestItems"]["jobs"]["Keys"].as_array().unwrap();
                let is_wanted = |item: &&Value| keys.iter().any(|key| key["job"] == item["job"]);
                let items = self.records.iter().filter(is_wanted).collect::<Vec<_>>();
                json!({ "Responses": { "jobs": items }, "UnprocessedKeys": {} })
            }
            "GetItem" => match self.items.pop_front() {
                Some(item) => {
                    if self.items.is_empty() {
                        self.items.push_back(item.clone());
                    }
                    json!({ "Item": item })
                }
                None => json!({}),
            },
            "DescribeLogStreams" => {
                let (job, begins) = input["logStreamNamePrefix"].as_str().unwrap().split_once('/').unwrap();
                // By name, as CloudWatch Logs lists them.
                let mut streams: Vec<_> = self.logs.iter().enumerate().collect();
                streams.sort_by_key(|(_, (name, _))| name);
                let streams = streams.into_iter().filter(|(_, (name, _))| name.starts_with(begins)).map(
                    |(index, (name, _))| json!({ "logStreamName": format!("{job}/{name}"), "creationTime": index }),
                );
                json!({ "logStreams": streams.collect::<Vec<_>>() })
            }
            "GetLogEvents" => {
                let name = input["logStreamName"].as_str().unwrap();
                let (_, lines) = self.logs.iter().find(|(log, _)| name.ends_with(log)).unwrap();
                // From the head by token, two lines in a page; else the whole, as the end of it.
                let size = if input["startFromHead"] == true { 2 } else { lines.len() };
                let skip: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let page: Vec<_> = lines.iter().skip(skip).take(size).collect();
                let events = page.iter().map(|line| json!({ "timestamp": 1, "message": line }));
                json!({ "events": events.collect::<Vec<_>>(),
                        "nextForwardToken": (skip + page.len()).to_string() })
            }
            unexpected => panic!("no test expects a call of {unexpected}"),
        })
    }

    /// One page of a history; a token is the number of events that were shown before.
    fn history(&mut self, input: &Value) -> Result<Value, &'static str> {
        let name = input["executionArn"].as_str().unwrap().rsplit(':').next().unwrap();
        let shows = self.histories.get_mut(name).ok_or("ExecutionDoesNotExist")?;
        let skip: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let size = usize::try_from(input["maxResults"].as_u64().unwrap()).unwrap();
        assert_eq!(input["reverseOrder"], true);
        let events = &shows[0];
        let page: Vec<_> = events.iter().rev().skip(skip).take(size).cloned().collect();
        let is_last = skip + size >= events.len();
        let token = (!is_last).then(|| (skip + size).to_string());
        if is_last && shows.len() > 1 {
            shows.pop_front();
        }
        Ok(json!({ "events": page, "nextToken": token }))
    }
}
