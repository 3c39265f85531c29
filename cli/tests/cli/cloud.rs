//! A cloud that shows what a test scripts: the calls that the command line makes, on their real wire protocols.

use std::collections::{HashMap, VecDeque};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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
    /// What each execution's history shows: the first until it has been read once, then the next; the last stays.
    histories: HashMap<String, VecDeque<Vec<Value>>>,
    name_is_taken: bool,
    progress: Option<String>,
    log: Vec<String>,
    /// Executions of tear-down, the latest first: name, start in epoch seconds, input.
    teardowns: Vec<(String, f64, String)>,
    calls: Vec<(String, Value)>,
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

    /// Refuses every job's name.
    pub fn name_is_taken(&self) {
        self.script.lock().unwrap().name_is_taken = true;
    }

    /// The execution called `name` next shows `history`.
    pub fn shows(&self, name: &str, history: &History) {
        let mut script = self.script.lock().unwrap();
        script.histories.entry(name.to_owned()).or_default().push_back(history.events().to_vec());
    }

    /// The table has `progress` for every job.
    pub fn progress(&self, progress: &Value) {
        self.script.lock().unwrap().progress = Some(progress.to_string());
    }

    /// The container's log has `lines`.
    pub fn log(&self, lines: &[&str]) {
        self.script.lock().unwrap().log = lines.iter().map(ToString::to_string).collect();
    }

    /// There is an execution of tear-down; the latest must come first.
    pub fn has_teardown(&self, name: &str, start: f64, input: &Value) {
        self.script.lock().unwrap().teardowns.push((name.to_owned(), start, input.to_string()));
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
    let is_progress = line.contains(" % ");
    let line = if is_progress { format!("  CLOCK{}", &line[10..]) } else { line.to_owned() };
    line + "\n"
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, headers: HeaderMap, body: String) -> Response {
    let mut script = script.lock().unwrap();
    let Some(target) = headers.get("x-amz-target") else { return script.describe_stacks() };
    let action = target.to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let input: Value = serde_json::from_str(&body).unwrap();
    script.calls.push((action.clone(), input.clone()));
    match script.json(&action, &input) {
        Ok(output) => output.to_string().into_response(),
        Err(error) => {
            let body = json!({ "__type": error, "message": "in words" }).to_string();
            (StatusCode::BAD_REQUEST, body).into_response()
        }
    }
}

impl Script {
    fn describe_stacks(&self) -> Response {
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
        ];
        let outputs = outputs.map(|(key, value)| {
            format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
        });
        let answer = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>mayfly</StackName>\
             <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
             <Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.concat()
        );
        ([(header::CONTENT_TYPE, "text/xml")], answer).into_response()
    }

    fn json(&mut self, action: &str, input: &Value) -> Result<Value, &'static str> {
        Ok(match action {
            "StartExecution" if self.name_is_taken => return Err("ExecutionAlreadyExists"),
            "StartExecution" => {
                let name = input["name"].as_str().unwrap();
                json!({ "executionArn": execution("run-job", name), "startDate": 1 })
            }
            "GetExecutionHistory" => self.history(input)?,
            "ListExecutions" => {
                let executions = self.teardowns.iter().map(|(name, start, _)| {
                    json!({ "executionArn": execution("tear-down", name), "name": name, "startDate": start,
                            "stateMachineArn": format!("{MACHINE}:tear-down"), "status": "RUNNING" })
                });
                json!({ "executions": executions.collect::<Vec<_>>() })
            }
            "DescribeExecution" => {
                let arn = input["executionArn"].as_str().unwrap();
                let (_, start, input) = self.teardowns.iter().find(|(name, ..)| arn.ends_with(name)).unwrap();
                json!({ "executionArn": arn, "stateMachineArn": format!("{MACHINE}:tear-down"),
                        "status": "RUNNING", "startDate": start, "input": input })
            }
            "GetItem" => match &self.progress {
                Some(progress) => json!({ "Item": { "progress": { "S": progress } } }),
                None => json!({}),
            },
            "DescribeLogStreams" if self.log.is_empty() => json!({ "logStreams": [] }),
            "DescribeLogStreams" => json!({ "logStreams": [{ "logStreamName": "s", "creationTime": 1 }] }),
            "GetLogEvents" => {
                let events = self.log.iter().map(|line| json!({ "timestamp": 1, "message": line }));
                json!({ "events": events.collect::<Vec<_>>() })
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
