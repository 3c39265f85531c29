//! Where a task's container is called on this machine: at the task's public address, which is one of the loopback
//! interface's, as far as the groups of its network interface admit the caller; and at another, for load balancers alone.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use local_aws::random::Random;
use local_ec2::TaskInterface;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Ecs;
use crate::requests::{PortMapping, Protocol};
use crate::runtime::Container;

/// The addresses of one task. When they are dropped nobody is served any more.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    doors: JoinSet<()>,
    relays: HashMap<u16, SocketAddr>,
}

impl Endpoints {
    /// Begins to serve the TCP ports of a container that is called; those of UDP are not served here. A port that cannot be had
    /// here, as AWS always can, is told in the log: the task runs on.
    pub async fn open(
        ecs: &Ecs,
        interface: &TaskInterface,
        ports: &[PortMapping],
        is_balanced: bool,
        container: &Arc<dyn Container>,
    ) -> Self {
        let mut endpoints = Self::default();
        let public = interface.public_ip.as_ref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let balanced = is_balanced.then(|| relay_address(&ecs.upstream.random));
        for PortMapping { container_port: port, protocol, .. } in ports {
            let door = |admits_all| Door {
                ecs: ecs.clone(),
                interface: interface.id.clone(),
                container: container.clone(),
                port: *port,
                admits_all,
            };
            if *protocol == Protocol::Udp {
                tracing::warn!(port, "the local cloud lets nobody call a task over UDP");
                continue;
            }
            if let Some(address) = public.map(|ip| SocketAddr::new(ip, *port)) {
                let listening = TcpListener::bind(address).await;
                if let Err(error) =
                    listening.map(|listener| endpoints.doors.spawn(door(false).keep(listener)))
                {
                    tracing::warn!(%error, "{}", cannot_listen(address));
                }
            }
            if let Some(address) = balanced
                && let Some(listener) = listen_for_balancer(address, *port).await
            {
                endpoints.relays.extend(listener.local_addr().ok().map(|relay| (*port, relay)));
                endpoints.doors.spawn(door(true).keep(listener));
            }
        }
        endpoints
    }

    /// Where a load balancer reaches a port.
    pub fn relay(&self, port: u16) -> Option<SocketAddr> {
        self.relays.get(&port).copied()
    }
}

/// One of the loopback interface's addresses beside those that EC2 lends, so that each task has all ports.
fn relay_address(random: &Random) -> IpAddr {
    let number: u32 = random.range(1..1 << 22);
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 128, 0, 0).to_bits() | number).into()
}

/// At the port itself, where a health check of another port finds it too; or, where this machine does not let us, at any.
async fn listen_for_balancer(address: IpAddr, port: u16) -> Option<TcpListener> {
    for port in [port, 0] {
        match TcpListener::bind((address, port)).await {
            Ok(listener) => return Some(listener),
            Err(error) => {
                tracing::info!(%error, port, "a load balancer's way to a task is not at its own port");
            }
        }
    }
    None
}

fn cannot_listen(address: SocketAddr) -> String {
    let port = address.port();
    let below = if port < 1024 {
        "; without root a port below 1024 needs the sysctl net.ipv4.ip_unprivileged_port_start=0"
    } else {
        ""
    };
    format!("nobody can call the task at {address}, because this machine does not let us listen there{below}")
}

/// One port of a container, and who may come in.
struct Door {
    ecs: Ecs,
    interface: String,
    container: Arc<dyn Container>,
    port: u16,
    /// A load balancer has asked the groups itself, in its own name.
    admits_all: bool,
}

impl Door {
    async fn keep(self, listener: TcpListener) {
        let door = Arc::new(self);
        let mut visits = JoinSet::new();
        loop {
            // Those that are over are forgotten.
            while visits.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((caller, from)) => _ = visits.spawn(door.clone().visit(caller, from.ip())),
                Err(error) => {
                    tracing::warn!(%error, port = door.port, "a call of a task could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A caller whom the groups do not admit gets no answer on AWS, until it gives up (VPC User Guide, "Security groups").
    /// Here this machine has already taken the connection, and it is reset at once.
    async fn visit(self: Arc<Self>, mut caller: TcpStream, from: IpAddr) {
        let admitted = if self.admits_all {
            Ok(true)
        } else {
            self.ecs.ec2.admits(&self.interface, from, &[], "tcp", self.port).await
        };
        let relayed = match admitted {
            Ok(true) => relay(&*self.container, self.port, &mut caller).await,
            Ok(false) => Err(io::ErrorKind::PermissionDenied.into()),
            Err(error) => Err(io::Error::other(format!("{}: {}", error.code, error.message))),
        };
        if let Err(error) = relayed {
            tracing::info!(%error, %from, port = self.port, interface = self.interface, "call of a task was cut off");
            let _ = caller.set_zero_linger();
        }
    }
}

async fn relay(container: &dyn Container, port: u16, caller: &mut TcpStream) -> io::Result<()> {
    let mut inside = container.connect(port).await?;
    copy_bidirectional(caller, &mut inside).await?;
    Ok(())
}
