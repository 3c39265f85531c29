//! Health checks, which are really made: a connection to the target's port, or a page that is fetched.

use std::net::IpAddr;
use std::time::Duration;

use local_aws::reach::{Connection, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::Elb;
use crate::check::{HEALTHY_STATUSES, HealthCheck};
use crate::health::Failure;
use crate::load_balancers::Node;
use crate::targets::Target;

/// How long after its registration a target is looked at for the first time. A guess: "The registration process can take a
/// few minutes to complete" (Network Load Balancers guide, "Register targets"), of which a target that comes to a load
/// balancer that is active sees a part.
const REGISTRATION: Duration = Duration::from_secs(30);

/// One check that is to be made.
struct Due {
    check: HealthCheck,
    target: Target,
    node: Node,
    /// The load balancer's groups.
    groups: Vec<String>,
}

impl Elb {
    /// Looks at the target again and again, until it is deregistered.
    pub(crate) fn watch(&self, group: String, ip: IpAddr, port: u16) {
        let elb = self.clone();
        self.spawn(async move {
            elb.sleep(REGISTRATION).await;
            while let Some(interval) = elb.interval(&group, ip, port) {
                if let Some(due) = elb.due(&group, ip, port) {
                    let outcome = elb.check(&due).await;
                    elb.note(&group, ip, port, &outcome);
                }
                elb.sleep(interval).await;
            }
        });
    }

    /// How often it is looked at; `None` when it is no target any more.
    fn interval(&self, group: &str, ip: IpAddr, port: u16) -> Option<Duration> {
        let state = self.state();
        let group = state.target_groups.get(group)?;
        group.targets.iter().find(|target| target.is(ip, port) && !target.is_draining)?;
        Some(Duration::from_secs(group.settings.check.interval_seconds.into()))
    }

    /// What is to be checked, if the group has a load balancer that is active.
    fn due(&self, group: &str, ip: IpAddr, port: u16) -> Option<Due> {
        let state = self.state();
        let load_balancer = state.load_balancers.get(state.load_balancer_of(group)?)?;
        let group = state.target_groups.get(group)?;
        let target = group.targets.iter().find(|target| target.is(ip, port))?;
        let node = load_balancer.node_for(target).filter(|_| load_balancer.is_active)?;
        Some(Due {
            check: group.settings.check.clone(),
            target: target.clone(),
            node: node.clone(),
            groups: load_balancer.groups(),
        })
    }

    fn note(&self, group: &str, ip: IpAddr, port: u16, outcome: &Result<(), Failure>) {
        let mut state = self.state();
        let Some(group) = state.target_groups.get_mut(group) else { return };
        for target in group.targets.iter_mut().filter(|target| target.is(ip, port)) {
            target.health = target.health.clone().after(outcome.clone(), &group.settings.check);
        }
    }

    /// A process of this machine answers no faster in a cloud that is: the time-out is real time.
    async fn check(&self, due: &Due) -> Result<(), Failure> {
        let port = due.check.port.unwrap_or(due.target.port);
        let from = due.node.private_ip().ok_or(Failure::Timeout)?;
        if !self.reaches(&due.node, from, &due.groups, &due.target, Transport::Tcp, port).await {
            return Err(Failure::Timeout);
        }
        let limit =
            self.upstream.clock.work_scale.real(Duration::from_secs(due.check.timeout_seconds.into()));
        let found = async {
            let stream = due.target.connect(Transport::Tcp, port).await.map_err(|_| Failure::Connection)?;
            match &due.check.path {
                Some(path) => ask(stream, due.target.ip, path).await,
                None => Ok(()),
            }
        };
        timeout(limit, found).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Whether the groups of both sides let the load balancer reach the target, which sees the address `from`. "Health checks are subject to outbound
    /// rules" (Network Load Balancers guide, "Security groups").
    pub(crate) async fn reaches(
        &self,
        node: &Node,
        from: IpAddr,
        groups: &[String],
        target: &Target,
        transport: Transport,
        port: u16,
    ) -> bool {
        let protocol = transport.name();
        let out = self.ec2.lets_out(&node.interface.id, target.ip, protocol, port).await;
        let passes = match out {
            Ok(true) => self.ec2.admits(&target.interface_id, from, groups, protocol, port).await,
            out => out,
        };
        // An interface that is gone lets nothing pass.
        passes.unwrap_or_default()
    }
}

/// Fetches the page.
async fn ask(mut stream: impl Connection, host: IpAddr, path: &str) -> Result<(), Failure> {
    let connection = |_| Failure::Connection;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(connection)?;
    // `HTTP/1.1 200`
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.map_err(connection)?;
    let status = start.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(&rest[2..]).ok());
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or(Failure::Connection)?;
    if HEALTHY_STATUSES.contains(&status) { Ok(()) } else { Err(Failure::Status(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_healthy_by_its_status() {
        let asked = async |answer: &str| {
            let (stream, mut page) = tokio::io::duplex(1024);
            page.write_all(answer.as_bytes()).await.unwrap();
            page.shutdown().await.unwrap();
            let found = ask(stream, IpAddr::from([10, 0, 0, 1]), "/up").await;
            let mut request = String::new();
            page.read_to_string(&mut request).await.unwrap();
            assert!(request.starts_with("GET /up HTTP/1.1\r\nHost: 10.0.0.1\r\n"), "{request}");
            found
        };
        assert_eq!(asked("HTTP/1.1 204 No Content\r\n\r\n").await, Ok(()));
        assert_eq!(asked("HTTP/1.0 404 Not Found\r\n\r\n").await, Err(Failure::Status(404)));
        assert_eq!(asked("SSH-2.0-OpenSSH").await, Err(Failure::Connection));
        assert_eq!(asked("").await, Err(Failure::Connection));
    }
}
