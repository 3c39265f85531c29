//! Listeners that really listen: on the public addresses of a load balancer, which are addresses of this machine. Who calls
//! is checked against the load balancer's groups and sent on to a target, in clear.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use local_aws::datagrams::{self, Flow};
use local_aws::reach::{Connection, Transport};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::Elb;
use crate::load_balancers::Node;
use crate::targets::Target;

/// How long a flow of datagrams may be silent (Network Load Balancers guide, "Connection idle timeout").
const FLOW_IDLE: Duration = Duration::from_mins(2);

/// What a listener does at one of the load balancer's addresses.
#[derive(Clone)]
struct Door {
    elb: Elb,
    listener: String,
    node: Node,
    address: SocketAddr,
    /// What ends TLS, where it is spoken.
    tls: Option<TlsAcceptor>,
    closed: CancellationToken,
}

impl Elb {
    /// Lets callers in, once the load balancer is active.
    pub(crate) fn open(&self, listener: &str) {
        let state = self.state();
        let Some(found) = state.listeners.get(listener) else { return };
        let Some(load_balancer) = state.load_balancers.get(&found.load_balancer) else { return };
        if !load_balancer.is_active || !self.upstream.is_public {
            return;
        }
        let transports: &[Transport] = match found.protocol() {
            "UDP" => &[Transport::Udp],
            "TCP_UDP" => &[Transport::Tcp, Transport::Udp],
            // And TLS over it.
            _ => &[Transport::Tcp],
        };
        for node in &load_balancer.nodes {
            let Some(ip) = node.public_ip() else { continue };
            let door = Door {
                elb: self.clone(),
                listener: listener.to_owned(),
                node: node.clone(),
                address: SocketAddr::new(ip, found.port()),
                tls: found.server.clone().map(TlsAcceptor::from),
                closed: found.closed.clone(),
            };
            for transport in transports {
                match transport {
                    Transport::Tcp => self.spawn(door.clone().listen()),
                    Transport::Udp => self.spawn(door.clone().hear()),
                }
            }
        }
    }
}

impl Door {
    async fn listen(self) {
        let Self { address, .. } = self;
        let Some(bound) = self.bound(TcpListener::bind(address).await) else { return };
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                accepted = bound.accept() => accepted,
            };
            match accepted {
                Ok((caller, from)) => self.elb.spawn(self.clone().serve(caller, from)),
                Err(error) => tracing::debug!(%address, %error, "a caller went away"),
            }
        }
    }

    /// The same for datagrams.
    async fn hear(self) {
        let Some(bound) = self.bound(UdpSocket::bind(self.address).await) else { return };
        let closed = self.closed.clone();
        closed.run_until_cancelled(datagrams::keep(bound, |flow| self.clone().pass(flow))).await;
    }

    fn bound<T>(&self, bound: io::Result<T>) -> Option<T> {
        let tell = |error: &io::Error| {
            tracing::warn!(
                address = %self.address, %error,
                "the load balancer cannot listen there; below 1024 a port takes root, or \
                 `sysctl net.ipv4.ip_unprivileged_port_start=0`"
            );
        };
        bound.inspect_err(tell).ok()
    }

    async fn pass(self, flow: Flow) {
        let from = flow.from;
        let Some(target) = self.target(from, Transport::Udp).await else { return };
        let relayed = async {
            let there = datagrams::framed(target.connect(Transport::Udp, target.port).await?);
            flow.relay(there, self.elb.upstream.clock.work_scale.real(FLOW_IDLE)).await
        };
        if let Err(error) = relayed.await {
            tracing::debug!(%from, address = %self.address, %error, "a flow broke");
        }
    }

    /// Where AWS would drop what a caller sends, who would wait in vain, the connection is closed here at once.
    async fn serve(self, caller: TcpStream, from: SocketAddr) {
        let Some(target) = self.target(from, Transport::Tcp).await else { return };
        let relayed = async {
            let mut caller: Box<dyn Connection> = match &self.tls {
                Some(tls) => Box::new(tls.accept(caller).await?),
                None => Box::new(caller),
            };
            let mut there = target.connect(Transport::Tcp, target.port).await?;
            copy_bidirectional(&mut caller, &mut there).await
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => {}
            relayed = relayed => {
                if let Err(error) = relayed {
                    tracing::debug!(%from, address = %self.address, %error, "a connection broke");
                }
            }
        }
    }

    /// Where a caller is sent, if it is let in and there is somewhere to go.
    async fn target(&self, from: SocketAddr, transport: Transport) -> Option<Target> {
        let Self { elb, node, address, .. } = self;
        let admitted =
            elb.ec2.admits(&node.interface.id, from.ip(), &[], transport.name(), address.port()).await;
        if !admitted.unwrap_or_default() {
            tracing::info!(%from, %address, "the load balancer's security groups do not let the caller in");
            return None;
        }
        let (mut open, groups) = self.open_targets()?;
        if open.is_empty() {
            tracing::info!(%from, %address, "the load balancer has no target");
            return None;
        }
        let target = open.swap_remove(elb.upstream.random.range(0..open.len()));
        // The target sees who calls by UDP, whatever its group says, and the load balancer's own address by TCP (the same
        // guide, "Client IP preservation").
        let source = match transport {
            Transport::Udp => from.ip(),
            Transport::Tcp => node.private_ip()?,
        };
        elb.reaches(node, source, &groups, &target, transport, target.port).await.then_some(target)
    }

    /// The targets, and the groups of the load balancer.
    fn open_targets(&self) -> Option<(Vec<Target>, Vec<String>)> {
        let state = self.elb.state();
        let listener = state.listeners.get(&self.listener)?;
        let load_balancer = state.load_balancers.get(&listener.load_balancer)?;
        let group = state.target_groups.get(&listener.target_group)?;
        Some((group.open_to(&self.node.zone, load_balancer.is_cross_zone), load_balancer.groups()))
    }
}
