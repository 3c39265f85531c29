//! What the worker sees of AWS: two queues, a bucket and the metadata endpoint, in one server.

use std::collections::{BTreeMap, VecDeque};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use mayfly_common::message::{Finished, News, Order, Report};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use url::Url;

use crate::server::{header, s3_error, serve};

pub const TASK_ARN: &str = "arn:aws:ecs:us-east-1:123456789012:task/mayfly/1dc5c17a";
/// Nothing in these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the server knows.
#[derive(Default)]
pub struct State {
    mail: Mutex<VecDeque<String>>,
    has_mail: Notify,
    /// How many results SQS refuses before it takes one.
    pub refuse_results: Mutex<u32>,
    /// The bucket's objects by path. A GET needs the signature `good`.
    pub objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl State {
    /// Whether all mail has been collected.
    pub fn is_empty(&self) -> bool {
        self.mail.lock().unwrap().is_empty()
    }
}

/// The server with what has arrived in the done queue.
pub struct Queues {
    pub url: Url,
    pub state: Arc<State>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Queues {
    /// Starts the server.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let (sender, reports) = mpsc::unbounded_channel();
        let shared = state.clone();
        let url = serve(move |request| answer(request, shared.clone(), sender.clone())).await;
        Self { url, state, reports }
    }

    /// The next report that is `wanted`.
    pub async fn report(&mut self, wanted: impl Fn(&News) -> bool) -> Report {
        let next = async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if wanted(&report.news) {
                    return report;
                }
            }
        };
        timeout(DEADLINE, next).await.expect("the worker reports in time")
    }
}

/// The server and a worker that talks to it.
pub struct Cloud {
    pub queues: Queues,
    pub folder: TempDir,
    worker: Child,
}

impl Cloud {
    /// Starts both.
    pub async fn start() -> Self {
        let queues = Queues::start().await;
        let place = |path: &str| queues.url.join(path).unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let worker = Command::new(env!("CARGO_BIN_EXE_mayfly-worker"))
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GREETING", "hello")
            .env("RUST_LOG", "trace")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "worker")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_ENDPOINT_URL", place(""))
            .env("ECS_CONTAINER_METADATA_URI_V4", place("metadata"))
            .env("MAYFLY_JOB", "my-job")
            .env("MAYFLY_MAILBOX_URL", place("123456789012/mailbox"))
            .env("MAYFLY_DONE_QUEUE_URL", place("123456789012/done"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { queues, folder, worker }
    }

    /// Where `path` is on the server.
    pub fn place(&self, path: &str) -> String {
        self.queues.url.join(path).unwrap().to_string()
    }

    /// Puts an order into the mailbox.
    pub fn order(&self, order: &Order) {
        self.mail(serde_json::to_string(order).unwrap());
    }

    /// Puts anything into the mailbox.
    pub fn mail(&self, message: String) {
        self.queues.state.mail.lock().unwrap().push_back(message);
        self.queues.state.has_mail.notify_one();
    }

    /// The next report that is `wanted`.
    pub async fn report(&mut self, wanted: impl Fn(&News) -> bool) -> Report {
        self.queues.report(wanted).await
    }

    /// The next result, with the attempt that it is of.
    pub async fn finished(&mut self) -> (u32, Finished) {
        let report = self.report(|news| matches!(news, News::Finished(_))).await;
        let News::Finished(finished) = report.news else { unreachable!() };
        (report.attempt, finished)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.worker.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }

    /// Waits for the worker's end; tells its exit status and what it printed.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let mut out = self.worker.stdout.take().unwrap();
        let end = async {
            out.read_to_string(&mut log).await.unwrap();
            self.worker.wait().await.unwrap()
        };
        let status = timeout(DEADLINE, end).await.expect("the worker ends in time");
        (status, log)
    }
}

async fn answer(request: Request, state: Arc<State>, reports: mpsc::UnboundedSender<Report>) -> Response {
    let action = header(&request, "x-amz-target").map(|target| target.replace("AmazonSQS.", ""));
    let path = request.uri().path().to_owned();
    let is_signed = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature=good"));
    let method = request.method().to_string();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let Some(action) = action else {
        return match (method.as_str(), path.as_str()) {
            ("GET", "/metadata/task") => {
                json_answer(200, &json!({ "Cluster": "mayfly", "TaskARN": TASK_ARN }))
            }
            ("GET", _) if !is_signed => s3_error(403, "AccessDenied"),
            ("GET", path) => match state.objects.lock().unwrap().get(path) {
                Some(object) => Response::new(Body::from(object.clone())),
                None => s3_error(404, "NoSuchKey"),
            },
            _ => {
                state.objects.lock().unwrap().insert(path, body.to_vec());
                Response::builder().status(204).body(Body::empty()).unwrap()
            }
        };
    };
    let body: Value = serde_json::from_slice(&body).unwrap();
    match action.as_str() {
        "ReceiveMessage" => {
            let mail = loop {
                if let Some(mail) = state.mail.lock().unwrap().pop_front() {
                    break mail;
                }
                state.has_mail.notified().await;
            };
            json_answer(
                200,
                &json!({ "Messages": [{ "MessageId": "1", "ReceiptHandle": "1", "Body": mail }] }),
            )
        }
        "SendMessage" => {
            let report: Report = serde_json::from_str(body["MessageBody"].as_str().unwrap()).unwrap();
            let mut refusals = state.refuse_results.lock().unwrap();
            if *refusals > 0 && matches!(report.news, News::Finished(_)) {
                *refusals -= 1;
                return json_answer(400, &json!({ "__type": "com.amazonaws.sqs#RequestThrottled" }));
            }
            // The test may have seen enough.
            let _ = reports.send(report);
            json_answer(200, &json!({ "MessageId": "1", "MD5OfMessageBody": "" }))
        }
        _ => json_answer(200, &json!({})),
    }
}

fn json_answer(status: u16, body: &Value) -> Response {
    let answer = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    answer.body(Body::from(body.to_string())).unwrap()
}
