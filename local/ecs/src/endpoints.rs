//! Where a task's container is called on this machine: at the task's public address, which is one of the loopback
//! interface's, as far as the groups of its network interface admit the caller.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::datagrams::{self, Flow};
use local_aws::reach::{Connection, Transport};
use local_ec2::TaskInterface;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::Ecs;
use crate::requests::{PortMapping, Protocol};
use crate::runtime::Container;

/// How long a flow of datagrams may be silent and still be one: EC2 User Guide, "Security group connection tracking", UDP
/// stream.
const FLOW_IDLE: Duration = Duration::from_mins(3);

/// The addresses of one task. When they are dropped nobody is served any more.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    doors: JoinSet<()>,
}

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
        let public = interface.public_ip.as_ref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let Some(ip) = public.filter(|_| ecs.upstream.is_public) else { return endpoints };
        for &PortMapping { container_port: port, protocol, .. } in ports {
            let door = Door {
                ecs: ecs.clone(),
                interface: interface.id.clone(),
                container: container.clone(),
                transport: if protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp },
                port,
            };
            let address = SocketAddr::new(ip, port);
            if let Err(error) = door.open(address).await.map(|open| endpoints.doors.spawn(open)) {
                tracing::warn!(%error, "{}", cannot_listen(address));
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
#[derive(Clone)]
struct Door {
    ecs: Ecs,
    interface: String,
    container: Arc<dyn Container>,
    transport: Transport,
    port: u16,
}

impl Door {
    /// Listens there, and says what keeps it.
    async fn open(self, address: SocketAddr) -> io::Result<BoxFuture<'static, ()>> {
        let door = Arc::new(self);
        Ok(match door.transport {
            Transport::Tcp => door.keep(TcpListener::bind(address).await?).boxed(),
            Transport::Udp => {
                let serve = move |flow| door.clone().pass(flow);
                datagrams::keep(UdpSocket::bind(address).await?, serve).boxed()
            }
        })
    }

    async fn keep(self: Arc<Self>, listener: TcpListener) {
        let mut visits = JoinSet::new();
        loop {
            // Those that are over are forgotten.
            while visits.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((caller, from)) => _ = visits.spawn(self.clone().visit(caller, from.ip())),
                Err(error) => {
                    tracing::warn!(%error, port = self.port, "a call of a task could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A caller whom the groups do not admit gets no answer on AWS, until it gives up (VPC User Guide, "Security groups").
    /// Here this machine has already taken the connection, and it is reset at once.
    async fn visit(self: Arc<Self>, mut caller: TcpStream, from: IpAddr) {
        let relayed = async {
            let mut inside = self.admit(from).await?;
            copy_bidirectional(&mut caller, &mut inside).await?;
            io::Result::Ok(())
        };
        if let Err(error) = relayed.await {
            self.tell(&error, from);
            let _ = caller.set_zero_linger();
        }
    }

    /// What a caller says whom the groups do not admit is dropped.
    async fn pass(self: Arc<Self>, flow: Flow) {
        let from = flow.from.ip();
        let relayed = async {
            let inside = datagrams::framed(self.admit(from).await?);
            flow.relay(inside, self.ecs.upstream.clock.work_scale.real(FLOW_IDLE)).await
        };
        if let Err(error) = relayed.await {
            self.tell(&error, from);
        }
    }

    /// Lets a caller in.
    async fn admit(&self, from: IpAddr) -> io::Result<Box<dyn Connection>> {
        let protocol = self.transport.name();
        match self.ecs.ec2.admits(&self.interface, from, &[], protocol, self.port).await {
            Ok(true) => self.container.connect(self.transport, self.port).await,
            Ok(false) => Err(io::ErrorKind::PermissionDenied.into()),
            Err(error) => Err(io::Error::other(format!("{}: {}", error.code, error.message))),
        }
    }

    fn tell(&self, error: &io::Error, from: IpAddr) {
        tracing::info!(%error, %from, port = self.port, interface = self.interface, "call of a task was cut off");
    }
}
