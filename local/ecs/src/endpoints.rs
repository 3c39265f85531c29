//! Where a task's container is called on this machine: at the task's public address, which is one of the loopback
//! interface's, as far as the groups of its network interface admit the caller; and at another, for load balancers alone.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::datagrams::{self, Flow};
use local_aws::random::Random;
use local_ec2::TaskInterface;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::Ecs;
use crate::requests::{PortMapping, Protocol};
use crate::runtime::{Connection, Container, Transport};

/// How long a flow of datagrams may be silent and still be one: EC2 User Guide, "Security group connection tracking", UDP
/// stream.
const FLOW_IDLE: Duration = Duration::from_mins(3);

/// The addresses of one task. When they are dropped nobody is served any more.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    doors: JoinSet<()>,
    relays: HashMap<u16, SocketAddr>,
}

impl Endpoints {
    /// Begins to serve the ports of a container that is called. A port that cannot be had here, as AWS always can, is told in
    /// the log: the task runs on.
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
        for &PortMapping { container_port: port, protocol, .. } in ports {
            let door = |admits_all| Door {
                ecs: ecs.clone(),
                interface: interface.id.clone(),
                container: container.clone(),
                transport: if protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp },
                port,
                admits_all,
            };
            if let Some(address) = public.map(|ip| SocketAddr::new(ip, port)) {
                let opened = door(false).open(address).await;
                if let Err(error) = opened.map(|(_, open)| endpoints.doors.spawn(open)) {
                    tracing::warn!(%error, "{}", cannot_listen(address));
                }
            }
            if let Some(ip) = balanced {
                // A number that TCP and UDP share is one target, at one place.
                let known = endpoints.relay(port).map_or(port, |relay| relay.port());
                if let Some((relay, open)) = door(true).open_for_balancer(ip, known).await {
                    endpoints.relays.insert(port, relay);
                    endpoints.doors.spawn(open);
                }
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
    /// A load balancer has asked the groups itself, in its own name.
    admits_all: bool,
}

impl Door {
    /// Listens there, and says where that is and what keeps it.
    async fn open(self, address: SocketAddr) -> io::Result<(SocketAddr, BoxFuture<'static, ()>)> {
        let door = Arc::new(self);
        Ok(match door.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(address).await?;
                (listener.local_addr()?, door.keep(listener).boxed())
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(address).await?;
                let serve = move |flow| door.clone().pass(flow);
                (socket.local_addr()?, datagrams::keep(socket, serve).boxed())
            }
        })
    }

    /// At the port itself, where a health check of another port finds it too; or, where this machine does not let us, at any.
    async fn open_for_balancer(self, ip: IpAddr, port: u16) -> Option<(SocketAddr, BoxFuture<'static, ()>)> {
        for port in [port, 0] {
            match self.clone().open(SocketAddr::new(ip, port)).await {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    tracing::info!(%error, port, "a load balancer's way to a task is not at its own port");
                }
            }
        }
        None
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
        let protocol = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let admitted = if self.admits_all {
            Ok(true)
        } else {
            self.ecs.ec2.admits(&self.interface, from, &[], protocol, self.port).await
        };
        match admitted {
            Ok(true) => self.container.connect(self.transport, self.port).await,
            Ok(false) => Err(io::ErrorKind::PermissionDenied.into()),
            Err(error) => Err(io::Error::other(format!("{}: {}", error.code, error.message))),
        }
    }

    fn tell(&self, error: &io::Error, from: IpAddr) {
        tracing::info!(%error, %from, port = self.port, interface = self.interface, "call of a task was cut off");
    }
}
