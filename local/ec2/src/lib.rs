//! A strict stand-in for Amazon EC2, for just the calls that Mayfly makes, on the real wire protocol.
//!
//! One file per kind of resource. What the stacks have (VPC, subnets, groups, gateway, routes) was made by CloudFormation
//! inside MiniStack, which stays its keeper: it is read from there at every look, and nothing here changes it. What jobs
//! and tasks need is made and kept here.

#![allow(clippy::struct_field_names, reason = "the structs of resources have the names of the wire")]

mod addresses;
mod attributes;
mod call;
mod contents;
mod describe;
mod egress_only_gateways;
mod elastic_ips;
mod endpoint_services;
mod endpoints;
mod error;
mod faults;
mod groups;
mod interface_endpoints;
mod interfaces;
mod internet_gateways;
mod ipv6;
mod kinds;
mod limits;
mod load_balancers;
mod nat_failure;
mod nat_gateways;
mod new_routes;
mod parameters;
mod permissions;
mod quotas;
mod reach;
mod route_tables;
mod routes;
mod rules;
mod server;
mod subject;
mod subnets;
mod tags;
mod tokens;
mod vpcs;
mod xml;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::Clock;
use local_aws::random::Random;
use local_aws::upstream::Upstream;

use crate::egress_only_gateways::EgressOnlyGateway;
use crate::elastic_ips::ElasticIp;
use crate::endpoints::Endpoint;
use crate::groups::Group;
use crate::interfaces::Interface;
use crate::internet_gateways::InternetGateway;
use crate::kinds::Table;
use crate::limits::Limits;
use crate::nat_gateways::NatGateway;
use crate::route_tables::RouteTable;
use crate::subnets::Subnet;
use crate::vpcs::Vpc;

pub use crate::error::ApiError;
pub use crate::faults::{Fault, Faults};
pub use crate::interfaces::TaskInterface;
pub use crate::load_balancers::{LOAD_BALANCER_LINGERS, LoadBalancerInterface, SubnetFacts};
pub use crate::nat_failure::NatFailure;
pub use crate::quotas::Quotas;
pub use crate::reach::Server;

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account, and MiniStack, whose networks are seen here.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// What the account may have at once.
    pub quotas: Quotas,
    /// What goes wrong with which job's resources.
    pub faults: Faults,
}

/// The EC2 of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Ec2 {
    upstream: Upstream,
    guard: Guard,
    calls: CallLog,
    quotas: Quotas,
    faults: Faults,
    limits: Arc<Limits>,
    /// MiniStack's EC2.
    ministack: aws_sdk_ec2::Client,
    state: Arc<Mutex<State>>,
}

/// What exists here.
#[derive(Debug, Default)]
struct State {
    egress_only_gateways: Table<EgressOnlyGateway>,
    elastic_ips: Table<ElasticIp>,
    endpoints: Table<Endpoint>,
    groups: Table<Group>,
    interfaces: Vec<Interface>,
    internet_gateways: Table<InternetGateway>,
    nat_gateways: Table<NatGateway>,
    route_tables: Table<RouteTable>,
    subnets: Table<Subnet>,
    vpcs: Table<Vpc>,
}

impl Ec2 {
    /// An EC2 that has nothing yet but MiniStack's networks.
    pub fn new(config: Config) -> Self {
        let Config { upstream, guard, calls, quotas, faults } = config;
        Self {
            limits: Arc::new(Limits::new(upstream.clock.scale)),
            ministack: aws_sdk_ec2::Client::new(&upstream.root_config()),
            state: Arc::default(),
            upstream,
            guard,
            calls,
            quotas,
            faults,
        }
    }

    /// What goes wrong with which job's resources.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Changes the state `after` that much of the cloud's time, as EC2 does on its own.
    fn later(&self, after: Duration, change: impl FnOnce(&mut State) + Send + 'static) {
        let ec2 = self.clone();
        tokio::spawn(async move {
            ec2.upstream.clock.sleep(after).await;
            change(&mut ec2.state());
        });
    }

    /// How long something takes this time, of the `seconds` that it took before.
    fn draw(&self, seconds: &[u64]) -> Duration {
        Duration::from_secs(seconds[self.upstream.random.range(0..seconds.len())])
    }

    fn new_id(&self, prefix: &str) -> String {
        new_id(prefix, &self.upstream.random)
    }
}

/// This moment, the way the wire has it.
fn now_as_text(clock: Clock) -> String {
    clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// An id as EC2 makes them: the prefix of its kind and 17 hexadecimal digits (EC2 user guide, "Resource IDs").
fn new_id(prefix: &str, random: &Random) -> String {
    format!("{prefix}-{:017x}", random.value::<u128>() >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_prefix_and_17_hexadecimal_digits() {
        let id = new_id("eni", &Random::default());
        let digits = id.strip_prefix("eni-").expect("the prefix");
        assert_eq!((digits.len(), digits.chars().all(|digit| digit.is_ascii_hexdigit())), (17, true));
    }
}
