//! A strict stand-in for Elastic Load Balancing version 2, for just the calls that Mayfly makes about network load
//! balancers, on the real wire protocol.
//!
//! One file per kind of resource. The interfaces of a load balancer, and the groups that let callers in, are EC2's. What
//! is registered with a target group comes from ECS, which tells where on this machine the target's port is reached; there
//! health checks go, and what callers say to a listener. The certificates of listeners are Certificate Manager's.

#![allow(clippy::struct_field_names, reason = "the structs of answers have the names of the wire")]

mod call;
mod certificates;
mod check;
mod error;
mod faults;
mod form;
mod health;
mod limits;
mod listeners;
mod load_balancers;
mod pages;
mod quotas;
mod registration;
mod relay;
mod server;
mod subject;
mod tag_descriptions;
mod tags;
mod target_groups;
mod targets;
mod watch;
mod xml;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Authority;
use crate::limits::Limits;
use crate::listeners::Listener;
use crate::load_balancers::LoadBalancer;
use crate::target_groups::TargetGroup;

pub use crate::error::ApiError;
pub use crate::faults::{Fault, Faults};
pub use crate::quotas::Quotas;

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// Whose networks load balancers are in.
    pub ec2: Ec2,
    /// What the account may have at once.
    pub quotas: Quotas,
    /// What goes wrong with which job's resources.
    pub faults: Faults,
}

/// The Elastic Load Balancing of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Elb {
    upstream: Upstream,
    guard: Guard,
    calls: CallLog,
    ec2: Ec2,
    quotas: Quotas,
    faults: Faults,
    limits: Arc<Limits>,
    /// Made when somebody first asks for it.
    authority: Arc<LazyLock<Authority>>,
    state: Arc<Mutex<State>>,
    /// Held while a load balancer is made.
    making: Arc<tokio::sync::Mutex<()>>,
    /// Ends listeners and health checks.
    stop: CancellationToken,
    background: TaskTracker,
}

/// What exists here, by ARN.
#[derive(Debug, Default)]
struct State {
    load_balancers: BTreeMap<String, LoadBalancer>,
    listeners: BTreeMap<String, Listener>,
    target_groups: BTreeMap<String, TargetGroup>,
    /// The target groups that each load balancer had that is deleted, and whose interfaces are still there.
    going: BTreeMap<String, Vec<String>>,
}

impl Elb {
    /// An Elastic Load Balancing that has nothing yet.
    pub fn new(config: Config) -> Self {
        let Config { upstream, guard, calls, ec2, quotas, faults } = config;
        Self {
            limits: Arc::new(Limits::new(upstream.clock.scale)),
            authority: Arc::new(LazyLock::new(Authority::new)),
            state: Arc::default(),
            making: Arc::default(),
            stop: CancellationToken::new(),
            background: TaskTracker::new(),
            upstream,
            guard,
            calls,
            ec2,
            quotas,
            faults,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Does something of its own until it is done, or all of this is stopped.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.background.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn sleep(&self, cloud: Duration) {
        self.upstream.clock.sleep(cloud).await;
    }

    /// The ARN of a resource, `loadbalancer/net/NAME/ID`.
    fn arn(&self, resource: &str) -> String {
        let (region, account) = (&self.upstream.region, &self.upstream.account);
        format!("arn:aws:elasticloadbalancing:{region}:{account}:{resource}")
    }

    /// The last part of an ARN: 16 hexadecimal digits (API reference, the examples).
    fn new_id(&self) -> String {
        format!("{:016x}", self.upstream.random.value::<u64>())
    }
}
