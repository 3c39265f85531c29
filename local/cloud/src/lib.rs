//! The local cloud: MiniStack and the stand-ins on loopback, started and stopped together, and the stack
//! deployed on them by the real SAM CLI.

pub mod deploy;
pub mod ffmpeg;
mod folder;
mod images;
pub mod leftovers;
mod ministack;
mod sts;

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::Clock;
use local_aws::events::EventBus;
use local_aws::ministack::MiniStackRights;
use local_aws::random::Random;
use local_aws::server::serve;
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use local_ecs::{Cache, Ecs, Images, Level, Processes};
use local_elb::Elb;
use local_registry::Registry;
use local_s3::S3;
use local_states::StepFunctions;
use nix::sys::statvfs::statvfs;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::folder::CloudFolder;
use crate::ministack::MiniStack;
use crate::sts::Sts;

/// The Region that the local cloud says it is.
pub const REGION: &str = "eu-central-1";
/// The account that everything is in.
pub const ACCOUNT: &str = "123456789012";
/// The bytes of disk that a cloud with one stack and a video job takes: its functions packed and unpacked, most of all.
/// On a full disk every function fails, and none can say why.
const DISK: u64 = 3 << 30;
/// The name of the file in the cloud's folder with the root of the load balancers' certificates.
const ROOT_CERTIFICATE: &str = "load-balancers.pem";

/// What a local cloud is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `bin` folder of the virtual environment that has MiniStack, the SAM CLI and imageio-ffmpeg.
    pub tools: PathBuf,
    /// The folder that Cargo has put the programs in.
    pub programs: PathBuf,
    /// What time it is in the cloud, and how fast it passes.
    pub clock: Clock,
    /// What the account may have of networks.
    pub ec2_quotas: local_ec2::Quotas,
    /// What the account may have of ECS and Fargate.
    pub ecs_quotas: local_ecs::Quotas,
    /// What the account may have of load balancers.
    pub elb_quotas: local_elb::Quotas,
}

/// A running local cloud.
pub struct Cloud {
    options: Options,
    upstream: Upstream,
    guard: Guard,
    calls: CallLog,
    ecs_faults: local_ecs::Faults,
    ec2_faults: local_ec2::Faults,
    elb_faults: local_elb::Faults,
    registry: Registry,
    _images: local_registry::Server,
    level: Level,
    folder: CloudFolder,
    stop: CancellationToken,
    running: Mutex<Running>,
}

/// What runs for as long as the cloud does.
struct Running {
    ministack: MiniStack,
    servers: JoinSet<Result<()>>,
}

impl Cloud {
    /// Starts everything on free ports of the loopback interface.
    ///
    /// # Errors
    /// When a tool is missing or MiniStack does not come up.
    pub async fn start(options: Options) -> Result<Self> {
        let init = program(&options, "mayfly-cloud")?;
        let folder = CloudFolder::create(&init)?;
        check_disk(folder.path())?;
        let [ec2, ecs, elb] = [listen().await?, listen().await?, listen().await?];
        let [s3, states, sts] = [listen().await?, listen().await?, listen().await?];
        let [ecr, agent] = [listen().await?, listen().await?];
        let (clock, random) = (options.clock, Random::default());
        let mut upstream = Upstream {
            ec2: origin(&ec2)?,
            ecr: origin(&ecr)?,
            ecs: origin(&ecs)?,
            elb: origin(&elb)?,
            s3: origin(&s3)?,
            states: origin(&states)?,
            sts: origin(&sts)?,
            ..Upstream::new(REGION, ACCOUNT, root_credentials(&random), clock, random)
        };
        let ministack = MiniStack::start(&options.tools, folder.path(), &mut upstream).await?;
        let calls = CallLog::new(clock);
        let (ec2_faults, ecs_faults) = (local_ec2::Faults::default(), local_ecs::Faults::default());
        let elb_faults = local_elb::Faults::default();
        let stop = CancellationToken::new();
        let guard = Guard::new(upstream.clone(), MiniStackRights::new(&upstream));
        let bus = EventBus::new(upstream.clone());
        let network = Ec2::new(local_ec2::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            quotas: options.ec2_quotas,
            faults: ec2_faults.clone(),
        });
        let balancing = Elb::new(local_elb::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            ec2: network.clone(),
            quotas: options.elb_quotas,
            faults: elb_faults.clone(),
        });
        std::fs::write(folder.path().join(ROOT_CERTIFICATE), balancing.root_certificate())?;
        let work_dir = folder.path().join("tasks");
        let level = Level::detect(&init, &work_dir).await;
        let (images, cache) = (images(&options, folder.path())?, Cache::new(image_cache()?));
        let processes = Processes { images, init, cache, level, work_dir, clock };
        let containers = Ecs::new(local_ecs::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            bus: Arc::new(bus.clone()),
            calls: calls.clone(),
            ec2: network.clone(),
            elb: balancing.clone(),
            runtime: Arc::new(processes),
            faults: ecs_faults.clone(),
            quotas: options.ecs_quotas,
            agent: origin(&agent)?,
        });
        let (registry, images, repositories) =
            images::start(folder.path(), &upstream, &guard, &calls).await?;
        let objects = folder.path().join("objects");
        std::fs::create_dir(&objects)?;
        let storage = S3::new(local_s3::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            folder: objects,
            faults: local_s3::Faults::default(),
        });
        let step_functions = StepFunctions::new(local_states::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            world: local_states::MiniStack::new(upstream.clone(), bus),
        });
        let mut servers = JoinSet::new();
        servers.spawn(serve(sts, Sts::new(upstream.clone())?, stop.clone()));
        servers.spawn(serve(ec2, network, stop.clone()));
        servers.spawn(serve(ecr, repositories, stop.clone()));
        servers.spawn(serve(agent, containers.agent(), stop.clone()));
        servers.spawn(serve(ecs, containers, stop.clone()));
        servers.spawn(serve(elb, balancing, stop.clone()));
        servers.spawn(local_s3::serve(s3, storage, None, stop.clone()));
        servers.spawn(serve(states, step_functions, stop.clone()));
        let running = Mutex::new(Running { ministack, servers });
        Ok(Self {
            options,
            upstream,
            guard,
            calls,
            ecs_faults,
            ec2_faults,
            elb_faults,
            registry,
            _images: images,
            level,
            folder,
            stop,
            running,
        })
    }

    /// Waits until the cloud is of no more use, because a part of it has ended by itself; says which and what to do.
    /// Whoever waits for anything else in the cloud waits for this beside it.
    pub async fn broken(&self) -> anyhow::Error {
        let Running { ministack, servers } = &mut *self.running.lock().await;
        tokio::select! {
            biased;
            ended = ministack.ended() => ended,
            Some(server) = servers.join_next() => {
                let how = told(server).err().unwrap_or_else(|| anyhow!("it has stopped"));
                how.context("a stand-in of the local cloud has ended by itself; start the local cloud again")
            }
        }
    }

    /// What a person exports to try `aws`, `sam` and `mayfly` by hand.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(&self.upstream)
    }

    /// Configuration for SDK clients that act as the account's root.
    pub fn sdk_config(&self) -> SdkConfig {
        self.upstream.root_config()
    }

    /// Where the services are.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Makes every change of a role's policies count at once.
    pub fn forget_policies(&self) {
        self.guard.forget_policies();
    }

    /// The calls that the stand-ins have answered.
    pub fn calls(&self) -> &CallLog {
        &self.calls
    }

    /// What its containers have of their own on this machine.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What goes wrong with which job's tasks.
    pub fn ecs_faults(&self) -> &local_ecs::Faults {
        &self.ecs_faults
    }

    /// What goes wrong with which job's network.
    pub fn ec2_faults(&self) -> &local_ec2::Faults {
        &self.ec2_faults
    }

    /// What goes wrong with which job's load balancer.
    pub fn elb_faults(&self) -> &local_elb::Faults {
        &self.elb_faults
    }

    /// A folder that lives as long as the cloud: the tasks' folders and the tools' logs are in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file, in PEM, with the root that the certificates of load balancers lead to.
    pub fn root_certificate(&self) -> PathBuf {
        self.folder().join(ROOT_CERTIFICATE)
    }

    /// What the cloud was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Stops every process that was started.
    ///
    /// # Errors
    /// When a stand-in had failed.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let Running { mut ministack, mut servers } = self.running.into_inner();
        let mut outcome = Ok(());
        while let Some(server) = servers.join_next().await {
            outcome = outcome.and(told(server));
        }
        ministack.stop().await?;
        outcome
    }
}

/// How a stand-in has ended.
fn told(server: Result<Result<()>, JoinError>) -> Result<()> {
    server.context("a stand-in panicked").flatten()
}

fn check_disk(folder: &Path) -> Result<()> {
    let disk = statvfs(folder).with_context(|| format!("could not ask how full {} is", folder.display()))?;
    let free = disk.fragment_size() * disk.blocks_available();
    ensure!(
        free >= DISK,
        "{} MB are free where temporary files go, and a local cloud needs {}; free some, or set TMPDIR to a folder \
         on another disk",
        free >> 20,
        DISK >> 20
    );
    Ok(())
}

async fn listen() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("could not listen on loopback")
}

fn origin(listener: &TcpListener) -> Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

/// New keys at every start, so that nothing but this cloud takes them.
fn root_credentials(random: &Random) -> Credentials {
    let (id, secret) = (random.value::<u64>(), random.value::<u128>());
    Credentials::new(format!("AKIA{id:016X}"), format!("{secret:040x}"), None, None, "local cloud")
}

fn environment(upstream: &Upstream) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", upstream.ministack.as_str()),
        ("AWS_ENDPOINT_URL_EC2", &upstream.ec2),
        ("AWS_ENDPOINT_URL_ECR", &upstream.ecr),
        ("AWS_ENDPOINT_URL_ECS", &upstream.ecs),
        ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", &upstream.elb),
        ("AWS_ENDPOINT_URL_S3", &upstream.s3),
        ("AWS_ENDPOINT_URL_SFN", &upstream.states),
        ("AWS_ENDPOINT_URL_STS", &upstream.sts),
        ("AWS_ACCESS_KEY_ID", upstream.root.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", upstream.root.secret_access_key()),
        ("AWS_REGION", &upstream.region),
        ("AWS_DEFAULT_REGION", &upstream.region),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn program(options: &Options, name: &str) -> Result<PathBuf> {
    let program = options.programs.join(name);
    ensure!(program.is_file(), "{} is missing; `make run` builds it", program.display());
    Ok(program)
}

/// Where the images are that local clouds have pulled: below the folder that the Makefile keeps its own in.
fn image_cache() -> Result<PathBuf> {
    let cache = match env::var_os("MAYFLY_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => env::home_dir().context("nobody is at home here; set MAYFLY_CACHE")?.join(".cache/mayfly"),
    };
    Ok(cache.join("images"))
}

fn images(options: &Options, folder: &Path) -> Result<Images> {
    let ffmpeg = ffmpeg::install(&options.tools, &folder.join("image/bin"))?;
    let worker = program(options, "mayfly-worker")?;
    let roots = folder.join("image/ca-certificates.crt");
    std::fs::write(&roots, mayfly_images::roots())?;
    // The tools are a virtual environment, whose Python is elsewhere; an image has no more than that.
    let python = options.tools.join("python").canonicalize();
    let python = python.with_context(|| format!("no Python in {}", options.tools.display()))?;
    let above = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let places = [
        ("WORKER", worker),
        ("ROOTS", roots),
        ("FFMPEG_DIR", above(&ffmpeg)),
        ("FFMPEG", ffmpeg),
        ("PYTHON_HOME", above(&above(&python))),
    ];
    Images::checked_in(&places.map(|(name, place)| (name.to_owned(), place.display().to_string())).into())
}
