//! The two sides of the conversation: moto in a process, and the stand-ins in this one. The stand-ins have the network
//! and the cluster of moto's own, which is to them what MiniStack is in the local cloud: so both sides speak about the
//! same resources.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_credential_types::Credentials;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::events::EventBus;
use local_aws::ministack::MiniStackRights;
use local_aws::random::Random;
use local_aws::server::serve;
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use local_ecs::{Cache, Ecs, Faults, Images, Level, Processes, Quotas};
use local_elb::Elb;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::answer::REGION;
use crate::model::{programs, tools};

/// The account that moto speaks for.
const ACCOUNT: &str = "123456789012";

/// Real seconds per second of the cloud.
const SCALE: f64 = 0.005;

/// The images that there are: containers that run until they are stopped; `server` is called at port 8080.
const IMAGES: &str = r#"{
    "sleeper": { "entrypoint": ["/bin/sleep", "600"] },
    "server": { "entrypoint": ["python3", "-c", "import http.server as h; h.HTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"] }
}"#;

const START_LIMIT: Duration = Duration::from_mins(1);

/// Both sides.
pub struct Sides {
    pub moto: Side,
    pub ours: Side,
    process: Child,
    stand_ins: JoinSet<Result<()>>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

/// One side, and what it has said so far.
#[derive(Debug)]
pub struct Side {
    pub client: reqwest::Client,
    pub keys: Credentials,
    /// What later calls refer to, by name.
    pub values: BTreeMap<String, String>,
    ec2: String,
    ecs: String,
    elb: String,
}

impl Side {
    /// What both make under a name of their choice must have the side's `name` in it: the stand-ins see moto's.
    fn new(name: &str, client: &reqwest::Client, keys: &Credentials, [ec2, ecs, elb]: [&str; 3]) -> Self {
        let (client, keys) = (client.clone(), keys.clone());
        let values = BTreeMap::from([("side".to_owned(), name.to_owned())]);
        let [ec2, ecs, elb] = [ec2, ecs, elb].map(str::to_owned);
        Self { client, keys, values, ec2, ecs, elb }
    }

    pub fn origin(&self, service: &str) -> &str {
        match service {
            "ec2" => &self.ec2,
            "ecs" => &self.ecs,
            _ => &self.elb,
        }
    }

    /// `input` with the side's values in place of their names.
    pub fn filled_in(&self, input: &Value) -> Value {
        match input {
            Value::String(text) => self
                .values
                .iter()
                .fold(text.clone(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
                .into(),
            Value::Array(items) => items.iter().map(|item| self.filled_in(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.filled_in(value))).collect()
            }
            other => other.clone(),
        }
    }
}

impl Sides {
    /// Starts moto, and the stand-ins behind it.
    ///
    /// # Errors
    /// When the Python tools are missing.
    pub async fn start() -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let (process, moto) = start_moto(&client).await?;
        let (ec2, ecs, elb, agent) =
            (listener().await?, listener().await?, listener().await?, listener().await?);
        let origin = |listener: &TcpListener| anyhow::Ok(format!("http://{}", listener.local_addr()?));
        let root = Credentials::from_keys("AKIAROOT", "secret", None);
        let scale = TimeScale::new(SCALE);
        let clock = Clock::new(scale, scale);
        let upstream = Upstream {
            ministack: moto.clone(),
            ec2: origin(&ec2)?,
            ecs: origin(&ecs)?,
            elb: origin(&elb)?,
            ..Upstream::new(REGION, ACCOUNT, root, clock, Random::default())
        };
        keep_tasks_running(&client, &moto).await?;
        let moto = Side::new("moto", &client, &upstream.root, [&moto; 3]);
        let origins = [&*upstream.ec2, &upstream.ecs, &upstream.elb];
        let ours = Side::new("ours", &client, &upstream.root, origins);

        let (folder, stop) = (tempfile::tempdir()?, CancellationToken::new());
        let guard = Guard::new(upstream.clone(), MiniStackRights::new(&upstream));
        let calls = CallLog::new(clock);
        let network = Ec2::new(local_ec2::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            quotas: local_ec2::Quotas::default(),
            faults: local_ec2::Faults::default(),
        });
        let processes = Processes {
            images: Images::parse(IMAGES, &BTreeMap::new())?,
            init: programs()?.join("mayfly-cloud"),
            cache: Cache::new(folder.path().join("images")),
            level: Level::Processes,
            work_dir: folder.path().join("tasks"),
            clock,
        };
        let balancing = Elb::new(local_elb::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            ec2: network.clone(),
            quotas: local_elb::Quotas::default(),
            faults: local_elb::Faults::default(),
        });
        let containers = Ecs::new(local_ecs::Config {
            bus: Arc::new(EventBus::new(upstream.clone())),
            upstream,
            guard,
            calls,
            ec2: network.clone(),
            elb: balancing.clone(),
            runtime: Arc::new(processes),
            faults: Faults::default(),
            quotas: Quotas::default(),
            agent: origin(&agent)?,
        });
        let mut stand_ins = JoinSet::new();
        stand_ins.spawn(serve(ec2, network, stop.clone()));
        stand_ins.spawn(serve(elb, balancing, stop.clone()));
        stand_ins.spawn(serve(agent, containers.agent(), stop.clone()));
        stand_ins.spawn(serve(ecs, containers, stop.clone()));
        Ok(Self { moto, ours, process, stand_ins, stop, _folder: folder })
    }

    /// Stops everything, and waits for it.
    ///
    /// # Errors
    /// When a stand-in had failed.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(served) = self.stand_ins.join_next().await {
            served??;
        }
        self.process.kill().await.context("moto does not end")
    }
}

/// moto's tasks go on to their end at every look, unless it is told how many looks they take.
async fn keep_tasks_running(client: &reqwest::Client, moto: &str) -> Result<()> {
    let transition = r#"{"model_name":"ecs::task","transition":{"progression":"manual","times":1000}}"#;
    let request = client.post(format!("{moto}/moto-api/state-manager/set-transition")).body(transition);
    request.send().await?.error_for_status()?;
    Ok(())
}

async fn listener() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
}

/// moto, and its origin.
async fn start_moto(client: &reqwest::Client) -> Result<(Child, String)> {
    // moto takes a port number; between the look for a free one and its start another program may take it.
    for _ in 0..5 {
        let port = listener().await?.local_addr()?.port();
        let mut moto = spawn_moto(port)?;
        let origin = format!("http://127.0.0.1:{port}");
        if is_ready(client, &mut moto, &origin).await? {
            return Ok((moto, origin));
        }
    }
    bail!("moto does not start")
}

fn spawn_moto(port: u16) -> Result<Child> {
    let python = tools()?.join("python");
    ensure!(python.is_file(), "{} is missing; `make tools` installs it", python.display());
    // setpriv, of util-linux, so that moto does not outlive tests that were killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(python)
        .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
        // It issues certificates after so many seconds, at the first look.
        .env("MOTO_ACM_VALIDATION_WAIT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("could not start setpriv")
}

/// Waits until moto answers; false where it has ended.
async fn is_ready(client: &reqwest::Client, moto: &mut Child, origin: &str) -> Result<bool> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if moto.try_wait()?.is_some() {
            return Ok(false);
        }
        if client.get(format!("{origin}/moto-api/")).send().await.is_ok() {
            return Ok(true);
        }
        ensure!(Instant::now() < deadline, "moto does not answer");
        sleep(Duration::from_millis(50)).await;
    }
}
