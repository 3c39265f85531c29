//! Targets: the addresses that callers are sent to.

use std::io;
use std::net::IpAddr;
use std::sync::Weak;

use local_aws::reach::{Connection, Reachable, Transport};

use crate::health::Health;

/// An address that callers are sent to.
#[derive(Clone, Debug)]
pub struct Target {
    pub ip: IpAddr,
    pub port: u16,
    /// What has the address, as long as it is there.
    pub reached: Weak<dyn Reachable>,
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

    /// Connects to a port at the address.
    pub async fn connect(&self, transport: Transport, port: u16) -> io::Result<Box<dyn Connection>> {
        let reached = self.reached.upgrade().ok_or(io::ErrorKind::ConnectionRefused)?;
        reached.connect(transport, port).await
    }
}
