//! Targets: the addresses that callers are sent to.

use std::net::{IpAddr, SocketAddr};

use crate::health::Health;

/// An address that callers are sent to.
#[derive(Clone, Debug)]
pub struct Target {
    pub ip: IpAddr,
    pub port: u16,
    /// Where on this machine the port is reached.
    pub endpoint: SocketAddr,
    /// The interface that has the address, and its zone.
    pub interface_id: String,
    pub zone: String,
    pub health: Health,
    pub is_draining: bool,
}

impl Target {
    pub fn is(&self, ip: IpAddr, port: u16) -> bool {
        (self.ip, self.port) == (ip, port)
    }
}
