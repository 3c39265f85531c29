//! A strict stand-in for Amazon ECS on Fargate, for just the calls that Mayfly makes, on the real wire
//! protocol. A task's container is run by a [`Runtime`] and has what it would find on Fargate: its environment,
//! its metadata and credentials endpoints, its log stream, its task's limit of memory, SIGTERM and then SIGKILL.
//! With [`Processes`] it is made of processes of this machine: no container engine is involved, and that is no sandbox, so run
//! only images that you would run as yourself.
//!
//! Everything goes well unless a rule says otherwise: [`Faults`] makes the tasks of one job fail in the ways
//! in which tasks fail on AWS.

mod access;
mod agent;
mod clusters;
mod containers;
mod creation;
mod definitions;
mod endpoints;
mod environment;
mod error;
mod fargate;
mod faults;
mod health;
mod lifecycle;
mod limits;
mod logs;
mod order;
mod pages;
mod parameters;
mod processes;
mod pull;
mod quotas;
mod reader;
mod registries;
mod requests;
mod runtime;
mod scheduler;
mod secrets;
mod server;
mod services;
mod strategy;
mod tags;
mod targets;
mod tasks;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::events::Events;
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use local_elb::Elb;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clusters::Cluster;
use crate::definitions::Definitions;
use crate::limits::Limits;
use crate::services::Service;
use crate::tasks::Task;

pub use crate::agent::Agent;
pub use crate::faults::{Fault, Faults, Refusal, Rule, SpotStopCode, Stage};
pub use crate::logs::{Line, LogStream};
pub use crate::processes::{Cache, Images, Level, Processes, init, remove};
pub use crate::quotas::Quotas;
pub use crate::runtime::{Container, Launch, Mount, NoImage, Runtime, Wanted};
pub use crate::secrets::Credentials;

/// What a process gets at least between SIGTERM and SIGKILL, or for a health check, however fast the cloud's time runs.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rest of the cloud: roles, logs, and the cluster of the stack.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where state changes are announced.
    pub bus: Arc<dyn Events>,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// Where the tasks' network interfaces are made.
    pub ec2: Ec2,
    /// Where the tasks of services are registered that have target groups.
    pub elb: Elb,
    /// What runs the tasks' containers.
    pub runtime: Arc<dyn Runtime>,
    /// What goes wrong with which job's tasks.
    pub faults: Faults,
    /// What the account may have at once.
    pub quotas: Quotas,
    /// The origin at which the tasks find their metadata and credentials, which [`Ecs::agent`] answers.
    pub agent: String,
}

/// The ECS of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Ecs {
    upstream: Upstream,
    guard: Guard,
    bus: Arc<dyn Events>,
    calls: CallLog,
    ec2: Ec2,
    elb: Elb,
    runtime: Arc<dyn Runtime>,
    faults: Faults,
    quotas: Quotas,
    agent: String,
    limits: Arc<Limits>,
    state: Arc<Mutex<State>>,
    background: TaskTracker,
    stop: CancellationToken,
}

/// Everything that the API shows. Services and tasks are under their ARNs, clusters under their names.
#[derive(Debug, Default)]
struct State {
    clusters: BTreeMap<String, Cluster>,
    definitions: Definitions,
    services: BTreeMap<String, Service>,
    tasks: BTreeMap<String, Task>,
}

impl Ecs {
    /// An ECS that has nothing yet but MiniStack's clusters.
    pub fn new(config: Config) -> Self {
        let Config { upstream, guard, bus, calls, ec2, elb, runtime, faults, quotas, agent } = config;
        Self {
            limits: Arc::new(Limits::new(upstream.clock.scale)),
            state: Arc::default(),
            background: TaskTracker::new(),
            stop: CancellationToken::new(),
            upstream,
            guard,
            bus,
            calls,
            ec2,
            elb,
            runtime,
            faults,
            quotas,
            agent,
        }
    }

    /// What the tasks find at their link-local addresses on AWS.
    pub fn agent(&self) -> Agent {
        Agent(self.clone())
    }

    /// The state; never held over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    /// The ARN of a resource of this account and Region.
    fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.upstream.region, self.upstream.account)
    }

    /// The time of day.
    fn now(&self) -> Timestamp {
        self.upstream.clock.now()
    }

    /// How much real time a process gets for what may last `cloud` on AWS.
    fn time_for_work(&self, cloud: Duration) -> Duration {
        self.upstream.clock.work_scale.real(cloud).max(LEAST_TIME)
    }

    /// Runs `work` until it ends or the stand-in stops.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.background.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }
}

impl State {
    /// Whether a service or a task that is not at its end refers to the definition.
    fn uses_definition(&self, arn: &str) -> bool {
        self.services.values().any(|service| service.definition.arn == arn && service.is_live())
            || self.tasks.values().any(|task| task.definition.arn == arn && !task.is_stopped())
    }
}

/// A time as JSON 1.1 has it: seconds since 1970.
fn seconds(time: Timestamp) -> Value {
    time.as_duration().as_secs_f64().into()
}

/// A time as events have it.
fn iso(time: Timestamp) -> Value {
    format!("{time:.3}").into()
}

/// The name at the end of a name or an ARN.
fn short_name(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}
