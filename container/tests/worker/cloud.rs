//! What the worker sees of AWS: two queues, a bucket and the metadata endpoint, in one server.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{self, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use mayfly_model::message::{Assignment, Finished, News, Order, Report, SignedUrls, Upload};
use mayfly_model::turn::{Provider, Turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::server::{header, no_content, s3_error, serve};

pub const TASK_ARN: &str = "arn:aws:ecs:us-east-1:123456789012:task/mayfly/1dc5c17a";
pub const NONCE: &str = "0123456789abcdef";
/// What the worker signs its own requests with.
pub const KEYS: [&str; 3] = ["ASIAOFTHEWORKER", "secretofthesecretkey", "tokenofthetaskrole"];
/// Nothing in these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many lines are shown of the log of a worker that does not report in time.
const LAST: usize = 20;

/// What answers requests for files.
pub type Files = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// The first start of a job that runs `script`.
pub fn assignment(start: u32, script: &str) -> Assignment {
    Assignment {
        job: "my-job".to_owned(),
        turn: Turn { start, ..Turn::first(Provider::Spot) },
        nonce: NONCE.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).into(),
        inputs: Vec::new(),
        input_folders: Vec::new(),
        outputs: Vec::new(),
        optional_outputs: Vec::new(),
        lists_outputs: false,
        timeout_seconds: 60,
        report_every_seconds: 1,
    }
}

/// What the server knows.
#[derive(Default)]
pub struct State {
    mail: Mutex<VecDeque<String>>,
    has_mail: Notify,
    /// How many results SQS refuses before it takes one.
    pub refuse_results: Mutex<u32>,
    /// The bucket's objects by path. A GET needs the signature `good`.
    pub objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The news of all reports, as JSON.
    pub news: Mutex<Vec<String>>,
    deleted: AtomicUsize,
}

impl State {
    /// Whether all mail has been collected.
    pub fn is_empty(&self) -> bool {
        self.mail.lock().unwrap().is_empty()
    }

    /// At most so many messages, as SQS gives them to one request.
    fn take_mail(&self, most: u64) -> Vec<Value> {
        let mut mail = self.mail.lock().unwrap();
        let count = mail.len().min(usize::try_from(most).unwrap());
        let message = |body| json!({ "MessageId": "1", "ReceiptHandle": "1", "Body": body });
        mail.drain(..count).map(message).collect()
    }

    /// How many messages have been deleted from the mailbox.
    pub fn deleted(&self) -> usize {
        self.deleted.load(Ordering::Relaxed)
    }
}

/// The server with what has arrived in the done queue.
pub struct Queues {
    pub url: Url,
    pub state: Arc<State>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Queues {
    /// Starts the server, with a bucket.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let bucket = state.clone();
        Self::serve(state, Arc::new(move |request| Box::pin(bucket_answer(request, bucket.clone())))).await
    }

    /// Starts the server, with `files` in place of the bucket.
    pub async fn with(files: Files) -> Self {
        Self::serve(Arc::default(), files).await
    }

    async fn serve(state: Arc<State>, files: Files) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let shared = state.clone();
        let url = serve(move |request| {
            let (state, files, sender) = (shared.clone(), files.clone(), sender.clone());
            async move { answer(request, &state, files, &sender).await }
        })
        .await;
        Self { url, state, reports }
    }

    /// The next report that is `wanted`.
    pub async fn report(&mut self, wanted: impl Fn(&News) -> bool) -> Report {
        self.next(wanted).await.expect("the worker reports in time")
    }

    /// The same; none where it does not come in time.
    async fn next(&mut self, wanted: impl Fn(&News) -> bool) -> Option<Report> {
        let next = async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if wanted(&report.news) {
                    return report;
                }
            }
        };
        timeout(DEADLINE, next).await.ok()
    }
}

/// The server and a worker that talks to it.
pub struct Cloud {
    pub queues: Queues,
    /// The worker's working directory, with a file `kept` that is its own.
    pub folder: TempDir,
    /// The folder of its control group.
    pub cgroup: TempDir,
    /// Stands in all URLs that nobody but the worker may know.
    pub unguessable: String,
    worker: Child,
}

impl Cloud {
    /// Starts both.
    pub async fn start() -> Self {
        Self::start_as(None, Queues::start().await)
    }

    /// Starts both, with `files` in place of the bucket.
    pub async fn with(
        files: impl Fn(Request) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(None, Queues::with(Arc::new(files)).await)
    }

    /// Starts both, with these variables in the container's environment as well.
    pub async fn start_in(environment: &[(&str, &str)]) -> Self {
        Self::start_with(None, Queues::start().await, environment)
    }

    /// Starts the worker as `user`, or else as this process's own.
    pub fn start_as(user: Option<u32>, queues: Queues) -> Self {
        Self::start_with(user, queues, &[])
    }

    fn start_with(user: Option<u32>, queues: Queues, environment: &[(&str, &str)]) -> Self {
        static CLOUDS: AtomicUsize = AtomicUsize::new(0);
        let unguessable = format!("unguessable-{}-{}", process::id(), CLOUDS.fetch_add(1, Ordering::Relaxed));
        let place = |path: &str| queues.url.join(path).unwrap().to_string();
        let (folder, cgroup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // As on the task's volume, which anybody may enter.
        for folder in [&folder, &cgroup] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let kept = folder.path().join("kept");
        fs::write(&kept, &unguessable).unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_mayfly-worker"));
        if user.is_some() {
            // The build's folder may be closed to that user.
            let copy = cgroup.path().join("worker");
            fs::copy(&program, &copy).unwrap();
            program = copy;
        }
        for path in [folder.path(), &kept] {
            chown(path, user, user).unwrap();
        }
        let mut command = Command::new(program);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let worker = command
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GREETING", "hello")
            .env("RUST_LOG", "trace")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", place(&format!("credentials/{unguessable}")))
            .env("MAYFLY_ENDPOINT_URL", place(""))
            .env("ECS_CONTAINER_METADATA_URI_V4", place(&format!("metadata/{unguessable}")))
            .env("MAYFLY_JOB", "my-job")
            .env("MAYFLY_CGROUP", cgroup.path())
            .env("MAYFLY_FOLDER", folder.path())
            .env("MAYFLY_MAILBOX_URL", place(&format!("123456789012/{unguessable}")))
            .env("MAYFLY_DONE_QUEUE_URL", place("123456789012/done"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { queues, folder, cgroup, unguessable, worker }
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
        if let Some(report) = self.queues.next(wanted).await {
            return report;
        }
        self.worker.start_kill().unwrap();
        let log = self.output().await;
        let lines: Vec<_> = log.lines().collect();
        panic!(
            "the worker does not report in time; it said last:\n{}",
            lines[lines.len().saturating_sub(LAST)..].join("\n")
        );
    }

    /// The next result, with the start that it is of.
    pub async fn finished(&mut self) -> (u32, Finished) {
        let report = self.report(|news| matches!(news, News::Finished(_))).await;
        let News::Finished(finished) = report.news else { unreachable!() };
        (report.turn.start, finished)
    }

    /// Answers the next question for URLs: where to post `file`, with the fields of the form.
    pub async fn sign_upload(&mut self, start: u32, file: &str, place: &str, fields: &[(&str, &str)]) {
        self.report(|news| matches!(news, News::UrlsWanted { .. })).await;
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let upload = Upload { file: file.to_owned(), url: self.place(place), fields };
        self.order(&Order::Urls(SignedUrls { start, downloads: Vec::new(), uploads: vec![upload] }));
    }

    /// The working folder of the start that is going on.
    pub fn work(&self) -> PathBuf {
        let mut paths = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        paths.find(|path| path.is_dir()).unwrap().join("work")
    }

    /// Waits until the worker's directory holds nothing but the worker's own file.
    pub async fn is_cleaned_up(&self) {
        let names = || fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let cleaned = async {
            while names().any(|name| name != "kept") {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, cleaned).await.expect("the worker cleans up in time");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.worker.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }

    /// Waits for the worker's end; tells its exit status and what it printed on both its outputs.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let end = async {
            let log = self.output().await;
            (self.worker.wait().await.unwrap(), log)
        };
        timeout(DEADLINE, end).await.expect("the worker ends in time")
    }

    /// What it prints on both its outputs until its end.
    async fn output(&mut self) -> String {
        let (mut log, mut errors) = (String::new(), String::new());
        let (mut out, mut err) = (self.worker.stdout.take().unwrap(), self.worker.stderr.take().unwrap());
        tokio::try_join!(out.read_to_string(&mut log), err.read_to_string(&mut errors)).unwrap();
        log + &errors
    }
}

/// Whether the process with this number is there. A zombie is dead; who buries it does not matter here.
pub fn is_alive(number: &str) -> bool {
    fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn answer(
    request: Request,
    state: &State,
    files: Files,
    reports: &mpsc::UnboundedSender<Report>,
) -> Response {
    let action = header(&request, "x-amz-target").map(|target| target.replace("AmazonSQS.", ""));
    let path = request.uri().path();
    let Some(action) = action else {
        if path.starts_with("/metadata/") && path.ends_with("/task") {
            return json_answer(200, &json!({ "Cluster": "mayfly", "TaskARN": TASK_ARN }));
        }
        if path.starts_with("/credentials/") {
            let [key, secret, token] = KEYS;
            let expiration = "2999-12-31T23:59:59Z";
            let keys = json!({ "AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": expiration });
            return json_answer(200, &keys);
        }
        return files(request).await;
    };
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    match action.as_str() {
        "ReceiveMessage" => {
            let most = body["MaxNumberOfMessages"].as_u64().unwrap_or(1);
            let messages = loop {
                let messages = state.take_mail(most);
                if !messages.is_empty() {
                    break messages;
                }
                state.has_mail.notified().await;
            };
            json_answer(200, &json!({ "Messages": messages }))
        }
        "SendMessage" => {
            let report: Report = serde_json::from_str(body["MessageBody"].as_str().unwrap()).unwrap();
            state.news.lock().unwrap().push(serde_json::to_string(&report.news).unwrap());
            let mut refusals = state.refuse_results.lock().unwrap();
            if *refusals > 0 && matches!(report.news, News::Finished(_)) {
                *refusals -= 1;
                return json_answer(400, &json!({ "__type": "com.amazonaws.sqs#RequestThrottled" }));
            }
            // The test may have seen enough.
            let _ = reports.send(report);
            json_answer(200, &json!({ "MessageId": "1", "MD5OfMessageBody": "" }))
        }
        "DeleteMessage" => {
            state.deleted.fetch_add(1, Ordering::Relaxed);
            json_answer(200, &json!({}))
        }
        action => panic!("the worker has no business with {action}"),
    }
}

async fn bucket_answer(request: Request, state: Arc<State>) -> Response {
    let path = request.uri().path().to_owned();
    let is_signed = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature=good"));
    let method = request.method().to_string();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut objects = state.objects.lock().unwrap();
    match method.as_str() {
        "GET" if !is_signed => s3_error(403, "AccessDenied"),
        "GET" => match objects.get(&path) {
            Some(object) => Response::new(Body::from(object.clone())),
            None => s3_error(404, "NoSuchKey"),
        },
        _ => {
            objects.insert(path, body.to_vec());
            no_content()
        }
    }
}

fn json_answer(status: u16, body: &Value) -> Response {
    let answer = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    answer.body(Body::from(body.to_string())).unwrap()
}
