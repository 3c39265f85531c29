//! What the steps that make a service's load balancer hand to one another.

use serde::{Deserialize, Serialize};

use crate::plan::TargetProtocol;

/// A target group that was made for a port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeTargetGroup {
    /// The port, of the listener and of the containers.
    pub port: u16,
    /// The target group's protocol.
    pub protocol: TargetProtocol,
    /// Its ARN.
    pub arn: String,
}
