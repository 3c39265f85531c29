//! A strict stand-in for Amazon EC2, for just the calls that Mayfly makes, on the real wire protocol.
//!
//! One file per kind of resource. What the stacks have (VPC, subnets, groups, gateway, routes) was made by CloudFormation
//! inside MiniStack, which stays its keeper: it is read from there at every look, and nothing here changes it. What jobs
//! and tasks need is made and kept here.

#![allow(clippy::struct_field_names, reason = "the structs of resources have the names of the wire")]

mod addresses;
mod call;
mod contents;
mod describe;
mod elastic_ips;
mod endpoints;
mod error;
mod faults;
mod groups;
mod interfaces;
mod internet_gateways;
mod kinds;
mod limits;
mod nat_failure;
mod nat_gateways;
mod parameters;
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

use local_aws::clock::TimeScale;
use local_aws::upstream::Upstream;

pub use error::Ec2Error;
pub use faults::{Fault, Faults};
pub use interfaces::TaskInterface;
pub use nat_failure::NatFailure;
pub use quotas::Quotas;
pub use server::serve;

use elastic_ips::ElasticIp;
use endpoints::Endpoint;
use groups::Group;
use interfaces::Interface;
use internet_gateways::InternetGateway;
use kinds::Table;
use limits::Limits;
use nat_gateways::NatGateway;
use route_tables::RouteTable;
use subnets::Subnet;
use vpcs::Vpc;

/// The EC2 of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Ec2 {
    upstream: Upstream,
    scale: TimeScale,
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
    /// An EC2 with the network that MiniStack behind `upstream` has and AWS's default quotas; its delays go by `scale`.
    pub fn new(upstream: Upstream, scale: TimeScale) -> Self {
        Self {
            scale,
            quotas: Quotas::default(),
            faults: Faults::default(),
            limits: Arc::new(Limits::new(scale)),
            ministack: aws_sdk_ec2::Client::new(&upstream.root_config()),
            state: Arc::default(),
            upstream,
        }
    }

    /// The same for an account that has other quotas.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
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
            ec2.scale.sleep(after).await;
            change(&mut ec2.state());
        });
    }
}

/// An id as EC2 makes them: the prefix of its kind and 17 hexadecimal digits (EC2 user guide, "Resource IDs").
fn new_id(prefix: &str) -> String {
    format!("{prefix}-{:017x}", rand::random::<u128>() >> 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_is_its_prefix_and_17_hexadecimal_digits() {
        let id = super::new_id("eni");
        let digits = id.strip_prefix("eni-").expect("the prefix");
        assert_eq!((digits.len(), digits.chars().all(|digit| digit.is_ascii_hexdigit())), (17, true));
    }
}
