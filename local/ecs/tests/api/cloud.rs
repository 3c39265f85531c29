//! A stand-in on a free port, and what a test does with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::create_service::builders::CreateServiceFluentBuilder;
use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, Compatibility, ContainerDefinition,
    LinuxParameters, LogConfiguration, LogDriver, NetworkConfiguration, NetworkMode, Secret, Service, Tag,
    Task, TaskField, Volume,
};
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::events::EventBus;
use local_aws::ministack::MiniStackRights;
use local_aws::random::Random;
use local_aws::server::{in_process, serve};
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use local_ecs::{Cache, Config, Ecs, Faults, Images, Level, Processes, Quotas, Runtime};
use local_elb::Elb;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ministack::{MiniStack, Seen};

pub const REGION: &str = "eu-west-1";
pub const ACCOUNT: &str = "111122223333";
pub const CLUSTER: &str = "stack";
const DEADLINE: Duration = Duration::from_secs(20);

/// Real seconds per second of the cloud: a task is up in 0.12 s and gone in 0.1 s.
const SCALE: f64 = 0.005;

/// The init process of containers.
pub const INIT: &str = env!("CARGO_BIN_EXE_local-ecs-init");

/// The same for a cloud in which nothing ends while one looks.
pub const STANDSTILL: f64 = 1000.0;

/// The images of the tests. `stubborn` ignores SIGTERM, with a child that does too, whose id is in the file `child`;
/// `slow` has one as well, and takes longer for its end than any scaled time lasts; `crash` starts a daemon, whose id is in
/// the same file, and dies; `shell` runs the script that the definition has as its command; `family` has a child in a process group of its own, and prints its id; `hog` has one that takes
/// all memory, and writes down how that ended; `glutton` takes all memory itself; `server` serves its folder on port 8080 of all
/// addresses; `echo` answers the datagrams that come to that port with what they say.
const IMAGES: &str = r#"{
    "shell": { "entrypoint": ["/bin/sh", "-c"] },
    "sleep": { "entrypoint": ["/bin/sleep", "600"] },
    "false": { "entrypoint": ["/bin/false"] },
    "env": { "entrypoint": ["/bin/sh", "-c"], "command": ["env; echo told >&2; exec sleep 600"], "path": ["${TOOLS}"] },
    "slow": { "entrypoint": ["/bin/sh", "-c", "trap 'sleep 1.5; exit 7' TERM; sleep 600 & echo $! > child; wait"] },
    "stubborn": { "entrypoint": ["/bin/sh", "-c", "trap '' TERM; sleep 600 & echo $! > child; wait"] },
    "crash": { "entrypoint": ["/bin/sh", "-c", "setsid -f sh -c 'echo $$ >child; exec sleep 600'; until [ -s child ]; do sleep 0.01; done; kill -KILL $$"] },
    "family": { "entrypoint": ["/bin/sh", "-mc", "sleep 600 & echo $!; wait"] },
    "hog": { "entrypoint": ["/bin/sh", "-c", "tail /dev/zero; { echo $?; cat $MAYFLY_CGROUP/memory.events; echo end; } > seen; exec sleep 600"] },
    "server": { "entrypoint": ["python3", "-c"], "command": ["import http.server as h; h.HTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"] },
    "echo": { "entrypoint": ["python3", "-c"], "command": ["import socket as s; u = s.socket(type=s.SOCK_DGRAM); u.bind(('', 8080))\nwhile True: u.sendto(*u.recvfrom(65535))"] },
    "glutton": { "entrypoint": ["/usr/bin/tail", "/dev/zero"] }
}"#;

/// What containers may have here.
static LEVEL: OnceCell<Level> = OnceCell::const_new();

/// Everything that one test needs. Dropping it stops the processes.
pub struct Cloud {
    pub ecs: Client,
    pub stand_in: Ecs,
    pub upstream: Upstream,
    pub seen: Arc<Mutex<Seen>>,
    pub work_dir: PathBuf,
    /// What its containers have of their own.
    pub level: Level,
    /// Where the images are that have been pulled.
    pub cache: PathBuf,
    pub faults: Faults,
    pub ec2: Ec2,
    pub elb: Elb,
    stop: CancellationToken,
    served: Option<JoinHandle<anyhow::Result<()>>>,
    folder: Option<tempfile::TempDir>,
}

impl Cloud {
    pub async fn start() -> Self {
        Self::at_scale(SCALE).await
    }

    /// With a scale of its own, in real seconds per second of the cloud.
    pub async fn at_scale(scale: f64) -> Self {
        Self::start_with(scale, scale, scale, Quotas::default()).await
    }

    /// In which a container that is told to stop has real time.
    pub async fn where_work_has_real_time() -> Self {
        Self::start_with(SCALE, SCALE, 1.0, Quotas::default()).await
    }

    /// In which no network interface is ever detached, so that a task that stops remains DEPROVISIONING.
    pub async fn where_tasks_do_not_end() -> Self {
        Self::start_with(SCALE, STANDSTILL, SCALE, Quotas::default()).await
    }

    /// In an account with other quotas.
    pub async fn with_quotas(quotas: Quotas) -> Self {
        Self::start_with(SCALE, SCALE, SCALE, quotas).await
    }

    /// In this process alone: no socket, and no container but those that `runtime` has.
    pub fn in_process(runtime: impl Runtime + 'static) -> Self {
        let (seen, scale) = (Arc::new(Mutex::new(Seen::default())), TimeScale::new(SCALE));
        let upstream = Upstream {
            ministack: "http://ministack".into(),
            ecs: "http://ecs".into(),
            http: in_process(MiniStack(seen.clone())),
            ..upstream(scale, scale)
        };
        let mut cloud =
            Self::new(upstream, seen, scale, Quotas::default(), Arc::new(runtime), "http://agent".into());
        let config = config(&cloud.upstream, cloud.upstream.root.clone());
        cloud.ecs = Client::from_conf(config.http_client(in_process(cloud.stand_in.clone())).build());
        cloud
    }

    /// In which this program is the init process of containers.
    pub async fn with_init(init: PathBuf) -> Self {
        Box::pin(Self::start_on(init, Some(Level::Processes), SCALE, SCALE, SCALE, Quotas::default())).await
    }

    /// In which containers have no more than this; without it as much as this machine lets them have.
    pub async fn at_level(level: Option<Level>) -> Self {
        Box::pin(Self::start_on(INIT.into(), level, SCALE, SCALE, SCALE, Quotas::default())).await
    }

    async fn start_with(scale: f64, scale_of_ec2: f64, scale_of_work: f64, quotas: Quotas) -> Self {
        Box::pin(Self::start_on(INIT.into(), None, scale, scale_of_ec2, scale_of_work, quotas)).await
    }

    async fn start_on(
        init: PathBuf,
        level: Option<Level>,
        scale: f64,
        scale_of_ec2: f64,
        scale_of_work: f64,
        quotas: Quotas,
    ) -> Self {
        let ministack = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let upstream = Upstream {
            ministack: origin(&ministack),
            ecs: origin(&listener),
            ..upstream(TimeScale::new(scale), TimeScale::new(scale_of_work))
        };
        let (seen, folder) = (Arc::new(Mutex::new(Seen::default())), tempfile::tempdir().unwrap());
        let level = match level {
            Some(level) => level,
            None => *LEVEL.get_or_init(|| detect(folder.path())).await,
        };
        let processes = Processes {
            images: Images::parse(IMAGES, &BTreeMap::from([("TOOLS".into(), "/opt/tools".into())])).unwrap(),
            init,
            cache: Cache::new(folder.path().join("images")),
            level,
            work_dir: folder.path().join("tasks"),
            clock: upstream.clock,
        };
        let (work_dir, scale_of_ec2) = (processes.work_dir.clone(), TimeScale::new(scale_of_ec2));
        let mut cloud =
            Self::new(upstream, seen.clone(), scale_of_ec2, quotas, Arc::new(processes), origin(&agent));
        let stop = &cloud.stop;
        tokio::spawn(serve(ministack, MiniStack(seen), stop.clone()));
        tokio::spawn(serve(agent, cloud.stand_in.agent(), stop.clone()));
        let served = tokio::spawn(serve(listener, cloud.stand_in.clone(), stop.clone()));
        (cloud.served, cloud.work_dir, cloud.folder) = (Some(served), work_dir, Some(folder));
        (cloud.level, cloud.cache) = (level, cloud.work_dir.with_file_name("images"));
        cloud
    }

    fn new(
        upstream: Upstream,
        seen: Arc<Mutex<Seen>>,
        scale_of_ec2: TimeScale,
        quotas: Quotas,
        runtime: Arc<dyn Runtime>,
        agent: String,
    ) -> Self {
        let guard = Guard::new(upstream.clone(), MiniStackRights::new(&upstream));
        let calls = CallLog::new(upstream.clock);
        let ec2 = Ec2::new(local_ec2::Config {
            upstream: Upstream { clock: Clock::new(scale_of_ec2, TimeScale::REAL), ..upstream.clone() },
            guard: guard.clone(),
            calls: calls.clone(),
            quotas: local_ec2::Quotas::default(),
            faults: local_ec2::Faults::default(),
        });
        let elb = Elb::new(local_elb::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            ec2: ec2.clone(),
            quotas: local_elb::Quotas::default(),
            faults: local_elb::Faults::default(),
        });
        let faults = Faults::default();
        let stand_in = Ecs::new(Config {
            upstream: upstream.clone(),
            guard,
            bus: Arc::new(EventBus::new(upstream.clone())),
            calls,
            ec2: ec2.clone(),
            elb: elb.clone(),
            runtime,
            faults: faults.clone(),
            quotas,
            agent,
        });
        Self {
            ecs: Client::from_conf(config(&upstream, upstream.root.clone()).build()),
            stand_in,
            upstream,
            seen,
            work_dir: PathBuf::new(),
            level: Level::Processes,
            cache: PathBuf::new(),
            faults,
            ec2,
            elb,
            stop: CancellationToken::new(),
            served: None,
            folder: None,
        }
    }

    /// Stops the stand-in and waits until it says that it has.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.served.take().unwrap().await.unwrap().unwrap();
    }

    /// A client that acts as a role; see [`MiniStack`] for what it may do.
    pub async fn as_role(&self, role: &str) -> Client {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let credentials = self.upstream.role_credentials(&role, "test").await.unwrap();
        Client::from_conf(config(&self.upstream, credentials).build())
    }

    /// A client of the EC2 whose networks tasks are in.
    pub fn networks(&self) -> aws_sdk_ec2::Client {
        let http = in_process(self.ec2.clone());
        let ec2 = aws_sdk_ec2::config::Builder::from(&self.upstream.root_config()).http_client(http);
        aws_sdk_ec2::Client::from_conf(ec2.endpoint_url("http://ec2").build())
    }

    /// Registers a definition of one container that logs to the group of the test.
    pub async fn register(&self, image: &str) -> String {
        self.register_with(image, "group", "task").await
    }

    pub async fn register_with(&self, image: &str, log_group: &str, task_role: &str) -> String {
        self.register_changed(image, log_group, task_role, |container| container).await
    }

    /// Registers a definition whose container is as `change` leaves it.
    pub async fn register_changed(
        &self,
        image: &str,
        log_group: &str,
        task_role: &str,
        change: impl FnOnce(ContainerDefinitionBuilder) -> ContainerDefinitionBuilder,
    ) -> String {
        let variable = aws_sdk_ecs::types::KeyValuePair::builder().name("GREETING").value("hello").build();
        let secret = Secret::builder()
            .name("PASSWORD")
            .value_from(format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s-AbCdEf:password::"));
        let container = ContainerDefinition::builder()
            .name("worker")
            .image(format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}"))
            .environment(variable)
            .secrets(secret.build().unwrap())
            .stop_timeout(20)
            // As a job's has; without it nothing that takes no notice of SIGTERM ends by it.
            .linux_parameters(LinuxParameters::builder().init_process_enabled(true).build())
            .log_configuration(logs(log_group));
        self.register_together(image, task_role, [change(container)], &[]).await
    }

    /// Registers a definition of these containers, which may have these volumes.
    pub async fn register_together(
        &self,
        family: &str,
        task_role: &str,
        containers: impl IntoIterator<Item = ContainerDefinitionBuilder>,
        volumes: &[&str],
    ) -> String {
        let volumes = volumes.iter().map(|name| Volume::builder().name(*name).build());
        let answer = self
            .ecs
            .register_task_definition()
            .family(family)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("256")
            .memory("512")
            .task_role_arn(format!("arn:aws:iam::{ACCOUNT}:role/{task_role}"))
            .execution_role_arn(format!("arn:aws:iam::{ACCOUNT}:role/execution"))
            .set_container_definitions(Some(
                containers.into_iter().map(|container| container.build()).collect(),
            ))
            .set_volumes(Some(volumes.collect()))
            .send()
            .await
            .unwrap();
        answer.task_definition.unwrap().task_definition_arn.unwrap()
    }

    /// The services of a cluster.
    pub fn cluster<'a>(&'a self, name: &'a str) -> Cluster<'a> {
        Cluster { ecs: &self.ecs, name }
    }

    /// A service in the stack's cluster.
    pub fn service(&self, name: &str, definition: &str) -> CreateServiceFluentBuilder {
        self.cluster(CLUSTER).service(name, definition)
    }

    pub async fn describe(&self, service: &str) -> Service {
        self.cluster(CLUSTER).describe(service).await
    }

    pub async fn tasks(&self, service: &str) -> Vec<Task> {
        self.cluster(CLUSTER).tasks(service).await
    }

    pub async fn task_in(&self, service: &str, status: &str) -> Task {
        self.cluster(CLUSTER).task_in(service, status).await
    }

    /// What the image `env` has told in the log of a task, line by line, once it has told all.
    pub async fn told(&self, task: &Task) -> Vec<String> {
        let id = task.task_arn().unwrap().rsplit('/').next().unwrap();
        eventually("its output in the log stream", || async {
            let logs = self.seen.lock().unwrap().logs.get(&format!("jobs/worker/{id}")).cloned();
            logs.filter(|lines| lines.contains(&"told".to_owned()))
        })
        .await
    }

    /// The folder of a task's only container.
    pub fn folder(&self, task: &Task) -> PathBuf {
        self.work_dir.join(task.task_arn().unwrap().rsplit('/').next().unwrap()).join("worker")
    }

    /// Where that container's working directory is here.
    pub fn files(&self, task: &Task) -> PathBuf {
        let files = self.folder(task).join("files");
        if self.level == Level::Processes { files } else { files.join("work") }
    }

    /// What a process of that container is called here that is called `id` inside.
    pub fn process(&self, task: &Task, id: &str) -> Option<String> {
        self.processes(task).into_iter().find(|process| {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            ids.and_then(|ids| ids.split_whitespace().last()) == Some(id.trim())
        })
    }

    /// The processes of that container, as they are called here.
    pub fn processes(&self, task: &Task) -> Vec<String> {
        let folder = self.folder(task).display().to_string();
        let all = std::fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_in = |process: &String| {
            let proc = Path::new("/proc").join(process);
            let mounts = std::fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
            // Those outside have the mount of the root as well, where it is put together.
            let has_root =
                mounts.lines().any(|mount| mount.contains(&folder) && mount.split(' ').nth(4) == Some("/"));
            has_root || std::fs::read_link(proc.join("cwd")).is_ok_and(|place| place.starts_with(&folder))
        };
        all.filter(|name| name.parse::<u32>().is_ok())
            .filter(is_in)
            .filter(|process| is_alive(process))
            .collect()
    }

    pub fn events(&self, kind: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.events
            .iter()
            .filter(|event| event["detail-type"] == kind)
            .map(|event| event["detail"].clone())
            .collect()
    }
}

/// A log in the group of this name.
pub fn logs(group: &str) -> LogConfiguration {
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", group)
        .options("awslogs-region", REGION)
        .options("awslogs-stream-prefix", "jobs")
        .options("mode", "blocking");
    logs.build().unwrap()
}

/// The services of one cluster.
pub struct Cluster<'a> {
    ecs: &'a Client,
    name: &'a str,
}

impl Cluster<'_> {
    /// A service of one task, ready to be sent or changed.
    pub fn service(&self, name: &str, definition: &str) -> CreateServiceFluentBuilder {
        let network = AwsVpcConfiguration::builder()
            .subnets("subnet-1")
            .security_groups("sg-1")
            .assign_public_ip(AssignPublicIp::Enabled)
            .build()
            .unwrap();
        let spot = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1);
        self.ecs
            .create_service()
            .cluster(self.name)
            .service_name(name)
            .task_definition(definition)
            .desired_count(1)
            .capacity_provider_strategy(spot.build().unwrap())
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .tags(Tag::builder().key("mayfly:job").value(name).build())
    }

    pub async fn describe(&self, service: &str) -> Service {
        let answer = self.ecs.describe_services().cluster(self.name).services(service).send().await.unwrap();
        answer.services.unwrap().remove(0)
    }

    /// All tasks of a service, in the order of their creation.
    pub async fn tasks(&self, service: &str) -> Vec<Task> {
        let mut arns = Vec::new();
        for status in ["RUNNING", "STOPPED"] {
            let list =
                self.ecs.list_tasks().cluster(self.name).service_name(service).desired_status(status.into());
            arns.extend(list.send().await.unwrap().task_arns.unwrap());
        }
        if arns.is_empty() {
            return Vec::new();
        }
        let describe = self.ecs.describe_tasks().cluster(self.name).set_tasks(Some(arns));
        let describe = describe.include(TaskField::Tags);
        let mut tasks = describe.send().await.unwrap().tasks.unwrap();
        tasks.sort_by_key(|task| task.created_at);
        tasks
    }

    /// The first task of a service that is in `status`.
    pub async fn task_in(&self, service: &str, status: &str) -> Task {
        eventually(&format!("a task of {service} in {status}"), || async {
            self.tasks(service).await.into_iter().find(|task| task.last_status() == Some(status))
        })
        .await
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(folder) = &self.folder {
            // What is running fills it again, and ends with the test.
            let _ = local_ecs::remove(Path::new(INIT), folder.path());
        }
    }
}

/// Finds out what containers may have here, and says it.
async fn detect(folder: &Path) -> Level {
    let level = Level::detect(Path::new(INIT), folder).await;
    say(&format!("{level}"));
    level
}

/// Says something even of a test that passes.
pub fn say(what: &str) {
    io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

/// An account without services.
fn upstream(scale: TimeScale, work_scale: TimeScale) -> Upstream {
    let root = Credentials::from_keys("AKIAROOT", "secret", None);
    Upstream::new(REGION, ACCOUNT, root, Clock::new(scale, work_scale), Random::default())
}

fn config(upstream: &Upstream, credentials: Credentials) -> aws_sdk_ecs::config::Builder {
    let config = aws_sdk_ecs::config::Builder::from(&upstream.root_config());
    config.endpoint_url(&upstream.ecs).credentials_provider(credentials)
}

/// Looks until there is something, or the deadline has passed.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The code and the message of a failed call.
pub fn refusal<T: std::fmt::Debug, E: aws_sdk_ecs::error::ProvideErrorMetadata + std::fmt::Debug>(
    outcome: Result<T, E>,
) -> (String, String) {
    let error = outcome.expect_err("should have been refused");
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

/// Whether a process, named by a file with its id, is there.
pub fn is_alive(id: &str) -> bool {
    // A zombie is dead; who reaps it does not matter here.
    let state = std::fs::read_to_string(Path::new("/proc").join(id.trim()).join("stat"));
    state.is_ok_and(|stat| !stat.contains(") Z "))
}
