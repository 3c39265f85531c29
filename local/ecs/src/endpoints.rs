//! Where a task's container is called on this machine: at the task's public address, which is one of the loopback
//! interface's, as far as the groups of its network interface admit the caller.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use local_ec2::TaskInterface;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Ecs;
use crate::requests::{PortMapping, Protocol};
use crate::runtime::Container;

/// The addresses of one task. When they are dropped nobody is served any more.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(JoinSet<()>);

impl Endpoints {
    /// Begins to serve the ports of a container that is called. A port that cannot be had here, as AWS always can, is told in
    /// the log: the task runs on.
    pub async fn open(
        ecs: &Ecs,
        interface: &TaskInterface,
        ports: &[PortMapping],
        container: &Arc<dyn Container>,
    ) -> Self {
        let mut endpoints = Self::default();
        let Some(address) = interface.public_ip.as_ref().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
            return endpoints;
        };
        for port in ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.container_port)
        {
            let address = SocketAddr::new(address, port);
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let door = Door {
                        ecs: ecs.clone(),
                        interface: interface.id.clone(),
                        container: container.clone(),
                        port,
                    };
                    endpoints.0.spawn(door.keep(listener));
                }
                Err(error) => tracing::warn!(%error, "{}", cannot_listen(address)),
            }
        }
        endpoints
    }
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
        let admitted = self.ecs.ec2.admits(&self.interface, from, &[], "tcp", self.port).await;
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
