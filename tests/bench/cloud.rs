//! A server that answers just what is asked of it here: Lambda's runtime API and four AWS services, which speak TLS where a
//! certificate is given; the runtime API never does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::serve::ListenerExt;
use mayfly_model::message::{FileSize, News, Order, Report, SignedUrls, Upload};
use mayfly_model::parts::PartsWanted;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bucket::Bucket;
use crate::tls::Certificate;
use crate::transfer::{FOLDER, INPUTS, OUTPUT, OUTPUTS};

/// Where the samples' queues are said to be; the calls go to the server all the same.
pub const QUEUES: &str = "http://localhost/123456789012";

/// What the server has seen.
#[derive(Debug)]
pub enum Event {
    /// A function has answered its invocation.
    Answered(Instant),
    /// A function has failed its invocation.
    Failed(String),
    /// A function waits for its next invocation.
    Idle,
    /// A worker has finished.
    Finished(Box<Report>),
}

/// The server. It is gone when this is dropped.
pub struct Cloud {
    pub url: String,
    /// Where the AWS services are.
    pub services: String,
    pub events: mpsc::UnboundedReceiver<Event>,
    _servers: JoinSet<()>,
}

struct State {
    /// The payload of the one invocation.
    invocation: Mutex<Option<Value>>,
    /// What waits in the mailbox.
    mail: Mutex<Vec<Order>>,
    events: mpsc::UnboundedSender<Event>,
    /// Where a worker's output goes, and the id of its upload.
    bucket: Option<Arc<Bucket>>,
    upload: tokio::sync::OnceCell<String>,
}

impl Cloud {
    /// A server with one invocation for a function and, in the mailbox, one order for a worker, whose outputs go to the bucket.
    pub async fn start(
        certificate: Option<&Certificate>,
        invocation: Option<Value>,
        order: Option<Order>,
        bucket: Option<Arc<Bucket>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, events) = mpsc::unbounded_channel();
        let (invocation, mail) = (Mutex::new(invocation), Mutex::new(order.into_iter().collect()));
        let upload = tokio::sync::OnceCell::new();
        let state = Arc::new(State { invocation, mail, events: sender, bucket, upload });
        let router = Router::new().fallback(move |request| answer(state.clone(), request));
        let (mut servers, mut services) = (JoinSet::new(), url.clone());
        if let Some(certificate) = certificate {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            services = format!("https://{}", listener.local_addr()?);
            let (listener, router) = (certificate.listen(listener), router.clone());
            servers.spawn(async { axum::serve(listener, router).await.expect("a server that serves") });
        }
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a new connection"));
        servers.spawn(async { axum::serve(listener, router).await.expect("a server that serves") });
        Ok(Self { url, services, events, _servers: servers })
    }
}

async fn answer(state: Arc<State>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let target =
        request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).map(str::to_owned);
    match (request.method().as_str(), path.as_str(), target) {
        (_, _, Some(target)) => service(&state, &target, request).await,
        ("GET", path, _) if path.ends_with("/invocation/next") => next_invocation(&state).await,
        ("POST", path, _) if path.ends_with("/response") => {
            state.tell(Event::Answered(Instant::now()));
            // Or the connection would be closed.
            text(request).await;
            status(StatusCode::ACCEPTED)
        }
        ("POST", path, _) if path.ends_with("/error") => {
            state.tell(Event::Failed(text(request).await));
            status(StatusCode::ACCEPTED)
        }
        ("GET", "/metadata/task", _) => {
            reply(&json!({ "TaskARN": "arn:aws:ecs:us-east-1:123456789012:task/m/1" }))
        }
        ("GET", "/credentials", _) => reply(&json!({
            "AccessKeyId": "key",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2999-12-31T23:59:59Z",
        })),
        (method, path, _) => panic!("nobody here answers {method} {path}"),
    }
}

/// Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes".
async fn next_invocation(state: &State) -> Response {
    let invocation = state.invocation.lock().expect("no thread has panicked").take();
    let Some(payload) = invocation else {
        state.tell(Event::Idle);
        return std::future::pending().await;
    };
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:f")
        .body(Body::from(payload.to_string()))
        .expect("a response")
}

async fn service(state: &State, target: &str, request: Request) -> Response {
    let body: Value = serde_json::from_str(&text(request).await).unwrap_or_default();
    let (_, action) = target.split_once('.').unwrap_or_default();
    match action {
        "CreateQueue" => reply(
            &json!({ "QueueUrl": format!("{QUEUES}/{}", body["QueueName"].as_str().unwrap_or_default()) }),
        ),
        "GetItem" | "PutItem" | "DeleteMessage" => reply(&json!({})),
        "ListTaskDefinitions" => reply(&json!({ "taskDefinitionArns": [] })),
        "RegisterTaskDefinition" => {
            reply(&json!({ "taskDefinition": { "taskDefinitionArn": "arn:aws:ecs:t:1" } }))
        }
        "ReceiveMessage" => receive(state).await,
        "SendMessage" => {
            let message = body["MessageBody"].as_str().unwrap_or_default();
            if let Ok(report) = serde_json::from_str::<Report>(message) {
                state.hear(report).await;
            }
            reply(&json!({ "MessageId": "1" }))
        }
        action => panic!("nobody here answers {action}"),
    }
}

async fn receive(state: &State) -> Response {
    let order = state.mail.lock().expect("no thread has panicked").pop();
    let Some(order) = order else {
        tokio::time::sleep(Duration::from_millis(20)).await;
        return reply(&json!({}));
    };
    let body = serde_json::to_string(&order).expect("an order is JSON");
    reply(&json!({ "Messages": [{ "MessageId": "1", "ReceiptHandle": "1", "Body": body }] }))
}

impl State {
    fn tell(&self, event: Event) {
        // Nobody listens any more when all is measured.
        let _ = self.events.send(event);
    }

    async fn hear(&self, report: Report) {
        match &report.news {
            News::PartsWanted(wanted) => {
                let order = self.sign(wanted, report.turn.start).await.expect("a bucket that signs");
                self.mail.lock().expect("no thread has panicked").push(order);
            }
            News::Finished(_) => self.tell(Event::Finished(Box::new(report))),
            News::UrlsWanted { uploads, .. } => {
                let uploads = uploads.iter().map(|wanted| self.form(wanted)).collect();
                let urls = SignedUrls { start: report.turn.start, downloads: Vec::new(), uploads };
                self.mail.lock().expect("no thread has panicked").push(Order::Urls(urls));
            }
            News::PageWanted { folder, after } => {
                let page = self.bucket().page(INPUTS, report.turn.start, folder, after.as_deref()).await;
                let page = Order::Page(page.expect("a bucket that lists"));
                self.mail.lock().expect("no thread has panicked").push(page);
            }
            News::Heartbeat(_) | News::Lost(_) => {}
        }
    }

    async fn sign(&self, wanted: &PartsWanted, start: u32) -> Result<Order> {
        let id = self.upload.get_or_try_init(|| self.bucket().begin(OUTPUT)).await?;
        Ok(Order::Parts(self.bucket().sign(OUTPUT, id, wanted, start)?))
    }

    /// Asked for with every output; a large one goes up in parts.
    fn form(&self, wanted: &FileSize) -> Upload {
        if wanted.file == FOLDER {
            return self.bucket().form(OUTPUTS, FOLDER).expect("a bucket that signs");
        }
        Upload {
            file: wanted.file.clone(),
            url: "http://nobody.posts".to_owned(),
            fields: [("key".to_owned(), OUTPUT.to_owned())].into(),
        }
    }

    fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("a worker has a bucket")
    }
}

async fn text(request: Request) -> String {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    String::from_utf8_lossy(&body).into_owned()
}

fn reply(body: &Value) -> Response {
    Response::builder()
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(body.to_string()))
        .expect("a response")
}

fn status(status: StatusCode) -> Response {
    Response::builder().status(status).body(Body::empty()).expect("a response")
}
