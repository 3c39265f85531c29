//! The target groups in which a task of a service is registered: Developer Guide, "Use load balancing to distribute Amazon
//! ECS service traffic".

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use local_aws::reach::Reachable;
use local_ec2::TaskInterface;

use crate::Ecs;
use crate::requests::LoadBalancer;
use crate::runtime::Container;

/// How often the scheduler asks for the health of targets. A guess.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What one task is registered as, until this is dropped.
#[derive(Debug)]
pub(crate) struct Targets {
    ecs: Ecs,
    address: IpAddr,
    groups: Vec<LoadBalancer>,
}

impl Targets {
    /// Registers the task that has the interface, and whose ports are the container's.
    pub fn register(
        ecs: &Ecs,
        interface: &TaskInterface,
        groups: Vec<LoadBalancer>,
        container: &Arc<dyn Container>,
    ) -> Option<Self> {
        let address = interface.private_ip.as_ref().or(interface.ipv6.as_ref())?.parse().ok()?;
        for LoadBalancer { target_group_arn, container_port, .. } in &groups {
            let reached: Arc<dyn Reachable> = container.clone();
            ecs.elb.register(target_group_arn, address, *container_port, &reached);
        }
        Some(Self { ecs: ecs.clone(), address, groups })
    }

    /// Looks at the targets' health again and again. `tell` hears whether all are healthy, and when one is not healthy, which,
    /// once `grace` is over: `CreateService$healthCheckGracePeriodSeconds`.
    pub async fn watch(&self, grace: Duration, tell: impl Fn(bool, Option<&LoadBalancer>)) -> Infallible {
        let clock = self.ecs.upstream.clock;
        let began = clock.instant();
        loop {
            clock.sleep(LOOK_AGAIN).await;
            let is_healthy = |group: &&LoadBalancer| {
                self.ecs.elb.is_healthy(&group.target_group_arn, self.address, group.container_port)
            };
            let all = self.groups.iter().all(|group| is_healthy(&group) == Some(true));
            let is_over = clock.scale.cloud(clock.instant() - began) >= grace;
            let failing = self.groups.iter().find(|group| is_healthy(group) == Some(false));
            tell(all, failing.filter(|_| is_over));
        }
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        for group in &self.groups {
            self.ecs.elb.deregister(&group.target_group_arn, self.address, group.container_port);
        }
    }
}
