//! The played worker holds the real one's conversations, and does what it is directed to do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::clock::{Clock, TimeScale};
use local_aws::random::Random;
use local_aws::reach::Transport;
use local_aws::server::{Service, in_process};
use local_aws::upstream::Upstream;
use local_ecs::{Container, Launch, NoImage, Runtime, Wanted};
use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Failure, News, OUTPUT_LIST, Object, Order, Page, Report, Upload};
use mayfly_model::turn::{Provider, Turn};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::*;
use conversation::{BYTES, FAILS, JOB, LASTS, Partner, conversations};

#[path = "../../../../container/tests/worker/conversation.rs"]
mod conversation;

const TASK: &str = "1dc5c17a";
const AGENT: &str = "http://169.254.170.2";
const CLOUD: &str = "http://cloud";

/// Two queues, without what makes them late or forgetful.
#[derive(Clone)]
struct Queues {
    clock: Clock,
    mail: Arc<Mutex<VecDeque<String>>>,
    has_mail: Arc<Notify>,
    reports: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Service for Queues {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let action = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let answer = match action.as_str() {
            "AmazonSQS.ReceiveMessage" => {
                let is_empty = || self.mail.lock().unwrap().is_empty();
                if is_empty() {
                    let _ = timeout(Duration::from_secs(20), self.has_mail.notified()).await;
                }
                let mail = self.mail.lock().unwrap().drain(..).collect::<Vec<_>>();
                let message = |body| json!({ "MessageId": "1", "ReceiptHandle": "1", "Body": body });
                json!({ "Messages": mail.into_iter().map(message).collect::<Vec<_>>() })
            }
            "AmazonSQS.SendMessage" => {
                assert!(request.headers().contains_key("x-amz-security-token"), "the task's role signs");
                let _ = self.reports.send(body["MessageBody"].as_str().unwrap().to_owned());
                json!({ "MessageId": "1", "MD5OfMessageBody": "" })
            }
            "AmazonSQS.DeleteMessage" => json!({}),
            action => panic!("the worker has no business with {action}"),
        };
        self.clock.sleep(Duration::from_millis(5)).await;
        Response::new(answer.to_string().into())
    }
}

/// What is at the link-local addresses.
#[derive(Clone)]
struct Local;

#[async_trait]
impl Service for Local {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let answer = match request.uri().path() {
            "/v4/me/task" => {
                json!({ "TaskARN": format!("arn:aws:ecs:eu-west-1:111122223333:task/c/{TASK}") })
            }
            "/v2/credentials/me" => json!({
                "AccessKeyId": "ASIA", "SecretAccessKey": "secret", "Token": "token",
                "Expiration": "2999-12-31T23:59:59Z"
            }),
            path => panic!("the worker has no business with {path}"),
        };
        Response::new(answer.to_string().into())
    }
}

/// Directs by the command, as a shell would, with a quirk.
#[derive(Debug)]
struct Shell(Option<Quirk>);

impl Director for Shell {
    fn behaviour(&self, _task: &str, assignment: &Assignment) -> Behaviour {
        let second = Behaviour::success(Duration::from_secs(1));
        let behaviour = match assignment.command.get(2).map(String::as_str) {
            Some(FAILS) => {
                let message = "the command `sh` ended with code 4".to_owned();
                let failure =
                    Failure { class: Class::CommandFailed, message, output: Some("no\n".to_owned()) };
                second.failing(Some(4), failure)
            }
            Some(LASTS) => Behaviour::success(Duration::from_secs(1000)),
            _ => second,
        };
        let is_gone = assignment.outputs.iter().any(|output| output.starts_with("gone/"));
        let folder_files = u64::from(!is_gone);
        Behaviour { output_bytes: BYTES, folder_files, quirk: self.0.clone(), ..behaviour }
    }
}

/// A played worker with its queues.
struct Play {
    queues: Queues,
    reports: mpsc::UnboundedReceiver<String>,
    news: Vec<News>,
    container: Box<dyn Container>,
    truth: Truth,
}

impl Play {
    async fn start(quirk: Option<Quirk>) -> Self {
        let clock =
            Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let (sender, reports) = mpsc::unbounded_channel();
        let queues = Queues { clock, mail: Arc::default(), has_mail: Arc::default(), reports: sender };
        let root = Credentials::from_keys("AKIA", "secret", None);
        let upstream = Upstream {
            ministack: CLOUD.to_owned(),
            http: in_process(queues.clone()),
            ..Upstream::new("eu-west-1", "111122223333", root, clock, Random::seeded(1))
        };
        let images = [("worker".to_owned(), Image::Worker), ("nginx".to_owned(), Image::Service)].into();
        let objects = Objects::default();
        let stage = Stage::new(Config { upstream, images, director: Arc::new(Shell(quirk)), objects });
        stage.ask(Local);
        let environment = [
            ("MAYFLY_JOB", JOB),
            ("MAYFLY_MAILBOX_URL", "http://cloud/111122223333/mailbox"),
            ("MAYFLY_DONE_QUEUE_URL", "http://cloud/111122223333/done"),
            ("MAYFLY_ENDPOINT_URL", CLOUD),
            ("ECS_CONTAINER_METADATA_URI_V4", &format!("{AGENT}/v4/me")),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{AGENT}/v2/credentials/me")),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let container = stage.start(launch("worker", environment)).await.unwrap();
        Self { queues, reports, news: Vec::new(), container, truth: stage.truth() }
    }

    fn life(&self) -> Life {
        self.truth.lives().remove(TASK).unwrap()
    }

    fn order(&mut self, command: &str) {
        let assignment = Assignment {
            job: JOB.to_owned(),
            turn: Turn::first(Provider::Spot),
            nonce: "nonce".to_owned(),
            command: ["sh", "-c", command].map(str::to_owned).into(),
            inputs: Vec::new(),
            input_folders: Vec::new(),
            outputs: Vec::new(),
            optional_outputs: Vec::new(),
            lists_outputs: false,
            timeout_seconds: 3600,
            report_every_seconds: 10,
        };
        self.mail(serde_json::to_string(&Order::Run(assignment)).unwrap());
    }

    /// All reports in this time that are not heartbeats, and how many of those there were.
    async fn within(&mut self, time: Duration) -> (Vec<String>, usize) {
        tokio::time::sleep(time).await;
        let reports: Vec<_> = std::iter::from_fn(|| self.reports.try_recv().ok()).collect();
        let (heartbeats, others): (Vec<_>, Vec<_>) =
            reports.into_iter().partition(|report| report.contains(r#""kind":"heartbeat""#));
        (others, heartbeats.len())
    }
}

fn launch(image: &str, environment: BTreeMap<String, String>) -> Launch {
    Launch {
        task: TASK.to_owned(),
        container: "worker".to_owned(),
        image: image.to_owned(),
        architecture: "amd64",
        entry_point: None,
        command: None,
        environment,
        mounts: Vec::new(),
        user: None,
        is_read_only: false,
        open_files: None,
        has_init: true,
        memory: 1 << 30,
        is_called: image == "nginx",
        logs: None,
    }
}

impl Partner for Play {
    fn mail(&mut self, message: String) {
        self.queues.mail.lock().unwrap().push_back(message);
        self.queues.has_mail.notify_one();
    }

    async fn report(&mut self) -> Report {
        let next = timeout(Duration::from_mins(10), self.reports.recv()).await;
        let report: Report = serde_json::from_str(&next.expect("in time").unwrap()).unwrap();
        self.news.push(report.news.clone());
        report
    }

    fn terminate(&self) {
        self.container.terminate();
    }

    async fn ended(mut self) -> (Option<i32>, Vec<News>) {
        let code = timeout(Duration::from_mins(10), self.container.exit_code()).await.ok();
        while let Ok(report) = self.reports.try_recv() {
            self.news.push(serde_json::from_str::<Report>(&report).unwrap().news);
        }
        (code, self.news)
    }

    fn input(&self, expired: bool) -> String {
        let date = if expired { "20260102T020405Z" } else { "20260102T030405Z" };
        format!(
            "https://bucket.s3.eu-west-1.amazonaws.com/in.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&\
             X-Amz-Credential=ASIA%2F20260102%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Expires=3600&\
             X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            "0f".repeat(32)
        )
    }

    fn output(&self) -> Upload {
        form("out.txt", BYTES, &json!({ "key": "out.txt" }))
    }

    fn output_folder(&self) -> Upload {
        form("out/", 1 << 30, &json!(["starts-with", "$key", "out/"]))
    }

    fn output_list(&self, bytes: u64) -> Upload {
        let list = form("list", bytes, &json!({ "key": "list" }));
        Upload { file: OUTPUT_LIST.to_owned(), ..list }
    }

    fn page(&self, after: Option<&str>, names: &[&str], has_more: bool) -> Page {
        let object = |name: &&str| Object {
            name: (*name).to_owned(),
            bytes: BYTES,
            tag: "\"1\"".to_owned(),
            signature: "0f".repeat(32),
        };
        let url = self.input(false).replace("in.txt", "in/");
        let url = url.split("&X-Amz-Signature").next().unwrap().to_owned();
        Page {
            start: 1,
            folder: "in/".to_owned(),
            after: after.map(str::to_owned),
            url,
            objects: names.iter().map(object).collect(),
            has_more,
        }
    }
}

/// A form whose policy admits this key and at most so many bytes.
fn form(key: &str, bytes: u64, admits: &Value) -> Upload {
    let mut fields = BTreeMap::from(
        [
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", "ASIA/20260102/eu-west-1/s3/aws4_request"),
            ("x-amz-date", "20260102T030405Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mut conditions = vec![
        json!({ "bucket": "bucket" }),
        json!(["content-length-range", 0, bytes]),
        json!(["starts-with", "$Content-Type", ""]),
        admits.clone(),
    ];
    conditions.extend(fields.iter().map(|(name, value)| json!({ name: value })));
    let policy = json!({ "expiration": "2026-01-02T04:04:05.000Z", "conditions": conditions });
    fields.insert("policy".to_owned(), BASE64_STANDARD.encode(policy.to_string()));
    fields.insert("x-amz-signature".to_owned(), "0f".repeat(32));
    fields.insert("key".to_owned(), key.to_owned());
    let url = "https://bucket.s3.eu-west-1.amazonaws.com/".to_owned();
    Upload { file: key.to_owned(), url, fields }
}

#[tokio::test(start_paused = true)]
async fn the_played_worker_says_what_the_real_one_says() {
    for (about, lines) in conversations() {
        conversation::hold(about, lines, Play::start(None).await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_truth_is_kept_of_what_is_done_and_of_what_is_reported() {
    let mut play = Play::start(None).await;
    play.order(LASTS);
    let (reports, heartbeats) = play.within(Duration::from_secs(1010)).await;
    assert_eq!((reports.len(), heartbeats), (1, 100));
    let life = play.life();
    let [start] = &life.starts[..] else { panic!("one start: {life:?}") };
    assert_eq!((life.job.as_deref(), start.job.as_str(), start.nonce.as_str()), (Some(JOB), JOB, "nonce"));
    assert_eq!(start.ended.unwrap().duration_since(start.began).as_secs(), 1000);
    assert_eq!(start.result.as_ref().unwrap().failure, None);
    assert!(start.sent[0].accepted.unwrap() > start.ended.unwrap());
    play.terminate();
    assert_eq!(play.container.exit_code().await, 0);
    assert_eq!(play.life().ended.unwrap().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_misbehaves_as_it_is_directed() {
    let (soon, minute) = (Duration::from_secs(55), Duration::from_mins(1));
    let dies = |moment| Quirk::Dies { moment, signal: 9, out_of_memory: true };
    // How it ends, how many results arrive, and how many have been sent; all in the time that the command takes and more.
    let cases = [
        (dies(Moment::TakenOn), Some(137), 0, 0),
        (dies(Moment::After(soon)), Some(137), 0, 0),
        (dies(Moment::Stored), Some(137), 0, 0),
        (dies(Moment::Reported), Some(137), 1, 1),
        (Quirk::EndsWithoutReport(0), Some(0), 0, 0),
        (Quirk::Hangs(soon), None, 0, 0),
        (Quirk::ReportsLate(minute), None, 1, 1),
        (Quirk::ReportsTwice(minute), None, 2, 2),
        (Quirk::Garbles("garbage".to_owned()), None, 1, 0),
        (Quirk::Forges, None, 10, 1),
    ];
    for (quirk, code, arrive, sent) in cases {
        let mut play = Play::start(Some(quirk.clone())).await;
        play.order(LASTS);
        let (reports, heartbeats) = play.within(Duration::from_secs(2000)).await;
        let life = play.life();
        let start = &life.starts[0];
        assert_eq!((reports.len(), start.sent.len()), (arrive, sent), "{quirk:?}");
        assert_eq!(life.ended.map(|(_, code)| code), code, "{quirk:?}");
        let is_short = matches!(quirk, Quirk::Hangs(_) | Quirk::Dies { moment: Moment::After(_), .. });
        assert_eq!(
            heartbeats,
            if quirk == dies(Moment::TakenOn) {
                0
            } else if is_short {
                6
            } else {
                100
            }
        );
        let worked = start.ended.unwrap().duration_since(start.began).as_secs();
        assert_eq!(
            worked,
            if is_short {
                55
            } else if heartbeats == 0 {
                0
            } else {
                1000
            },
            "{quirk:?}"
        );
        assert_eq!(play.container.is_out_of_memory(), matches!(quirk, Quirk::Dies { .. }));
        play.container.terminate();
        let ended = timeout(minute, play.container.exit_code()).await;
        assert_eq!(ended.is_err(), matches!(quirk, Quirk::Hangs(_)), "{quirk:?}");
        play.container.kill();
        let code = play.container.exit_code().await;
        assert_eq!(
            code,
            if matches!(quirk, Quirk::Hangs(_)) { 137 } else { life.ended.map_or(0, |end| end.1) }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ignores_sigterm_works_on() {
    let mut play = Play::start(Some(Quirk::IgnoresTerm)).await;
    play.order(LASTS);
    play.within(Duration::from_secs(10)).await;
    play.terminate();
    assert_eq!(play.within(Duration::from_secs(1010)).await.0.len(), 1);
    assert_eq!(play.container.exit_code().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_container_is_there_but_says_nothing() {
    let mut play = Play::start(None).await;
    play.order(LASTS);
    play.within(Duration::from_secs(10)).await;
    play.container.freeze();
    play.terminate();
    assert_eq!(play.within(Duration::from_secs(2000)).await, (Vec::new(), 0));
    assert!(play.life().hung.is_some() && play.life().ended.is_none());
    play.container.kill();
    assert_eq!(play.container.exit_code().await, 137);
}

/// A service that takes its time.
#[derive(Debug)]
struct Slow;

impl Director for Slow {
    fn behaviour(&self, _task: &str, _assignment: &Assignment) -> Behaviour {
        unreachable!("a service has no orders")
    }

    fn service(&self, _task: &str) -> ServiceBehaviour {
        ServiceBehaviour { start_up: Duration::from_secs(5), check: 3, ..ServiceBehaviour::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_serves_its_page_until_it_is_told_to_stop() {
    let clock =
        Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at("2026-01-02T03:04:05Z".parse().unwrap());
    let root = Credentials::from_keys("AKIA", "secret", None);
    let upstream = Upstream::new("eu-west-1", "111122223333", root, clock, Random::seeded(1));
    let images = [("nginx".to_owned(), Image::Service)].into();
    let objects = Objects::default();
    let stage = Stage::new(Config { upstream, images, director: Arc::new(Slow), objects });
    let wanted = |image: &str| Wanted { image: image.to_owned(), architecture: "amd64", credentials: None };
    assert_eq!(stage.pull(&wanted("nginx")).await, Ok(()));
    assert_eq!(stage.pull(&wanted("worker")).await, Err(NoImage::NotFound));
    let container = stage.start(launch("nginx", BTreeMap::new())).await.unwrap();
    let refused = container.connect(Transport::Tcp, 80).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(io::ErrorKind::ConnectionRefused));
    clock.sleep(Duration::from_secs(5)).await;
    let mut connection = container.connect(Transport::Tcp, 80).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<h1>"), "{page}");
    assert_eq!(container.run(&["true".to_owned()]).await.unwrap(), 3);
    container.terminate();
    assert_eq!(container.exit_code().await, 0);
    assert!(
        container.connect(Transport::Tcp, 80).await.is_err()
            && container.run(&["true".to_owned()]).await.is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn what_brings_the_worker_ends_by_itself_and_is_no_life_of_its_task() {
    let clock =
        Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at("2026-01-02T03:04:05Z".parse().unwrap());
    let root = Credentials::from_keys("AKIA", "secret", None);
    let upstream = Upstream::new("eu-west-1", "111122223333", root, clock, Random::seeded(1));
    let images = [("init".to_owned(), Image::Init)].into();
    let objects = Objects::default();
    let stage = Stage::new(Config { upstream, images, director: Arc::new(Slow), objects });
    let container = stage.start(launch("init", BTreeMap::new())).await.unwrap();
    assert_eq!(timeout(Duration::from_secs(5), container.exit_code()).await, Ok(0));
    assert!(stage.truth().lives().is_empty());
}
