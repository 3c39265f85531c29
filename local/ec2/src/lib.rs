//! A strict stand-in for Amazon EC2, for just the calls that Mayfly makes, on the real wire protocol.
//!
//! One file per kind of resource. The stack's own network (VPC, subnets, groups) was made by CloudFormation inside
//! MiniStack, which stays its keeper: it is read from there at every look. What tasks need is made here.

#![allow(clippy::struct_field_names, reason = "the structs of resources have the names of the wire")]

mod addresses;
mod call;
mod describe;
mod error;
mod groups;
mod interfaces;
mod parameters;
mod server;
mod subnets;
mod tags;
mod vpcs;
mod xml;

use std::sync::{Arc, Mutex, MutexGuard};

use local_aws::{clock::TimeScale, upstream::Upstream};

pub use error::Ec2Error;
pub use interfaces::TaskInterface;
pub use server::serve;

use interfaces::Interface;

/// The EC2 of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct Ec2 {
    upstream: Upstream,
    scale: TimeScale,
    /// MiniStack's EC2.
    ministack: aws_sdk_ec2::Client,
    state: Arc<Mutex<State>>,
}

/// What exists here.
#[derive(Debug, Default)]
struct State {
    interfaces: Vec<Interface>,
}

impl Ec2 {
    /// An EC2 with the network that MiniStack behind `upstream` has; its delays go by `scale`.
    pub fn new(upstream: Upstream, scale: TimeScale) -> Self {
        let ministack = aws_sdk_ec2::Client::new(&upstream.root_config());
        Self { upstream, scale, ministack, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
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
