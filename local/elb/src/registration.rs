//! Targets come and go with ECS, and are described with their health.

use std::net::IpAddr;
use std::sync::Arc;

use local_aws::reach::Reachable;
use serde::Serialize;

use crate::call::Call;
use crate::error::ApiError;
use crate::health::{Health, TargetHealth};
use crate::targets::Target;
use crate::xml::{self, Members};
use crate::{Elb, State};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeTargetHealthResult {
    target_health_descriptions: Members<TargetHealthDescription>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetHealthDescription {
    target: TargetDescription,
    health_check_port: String,
    target_health: TargetHealth,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetDescription {
    id: String,
    port: u16,
    availability_zone: String,
}

impl Elb {
    /// Registers a target, as ECS does it with its service-linked role: `reached` has the address.
    pub fn register(&self, target_group_arn: &str, ip: IpAddr, port: u16, reached: &Arc<dyn Reachable>) {
        {
            let mut state = self.state();
            let Some(group) = state.target_groups.get_mut(target_group_arn) else {
                tracing::warn!(target_group_arn, %ip, "a target is of no target group that exists");
                return;
            };
            let Some((interface_id, zone)) = self.ec2.interface_at(&group.settings.vpc_id, ip) else {
                tracing::warn!(target_group_arn, %ip, "a target has no interface in the VPC of its target group");
                return;
            };
            group.targets.retain(|other| (other.ip, other.port) != (ip, port));
            let health = Health::Registering;
            let reached = Arc::downgrade(reached);
            let target = Target { ip, port, reached, interface_id, zone, health, is_draining: false };
            group.targets.push(target);
        }
        self.watch(target_group_arn.to_owned(), ip, port);
    }

    /// Takes a target away: no new callers are sent to it, and it is `draining` as long as the target group says.
    pub fn deregister(&self, target_group_arn: &str, ip: IpAddr, port: u16) {
        let delay = {
            let mut state = self.state();
            let Some(group) = state.target_groups.get_mut(target_group_arn) else { return };
            for target in group.targets.iter_mut().filter(|target| target.is(ip, port)) {
                target.is_draining = true;
            }
            group.deregistration_delay
        };
        let (elb, arn) = (self.clone(), target_group_arn.to_owned());
        self.spawn(async move {
            elb.sleep(delay).await;
            if let Some(group) = elb.state().target_groups.get_mut(&arn) {
                group.targets.retain(|target| !(target.is(ip, port) && target.is_draining));
            }
        });
    }

    /// What the health checks of a target have come to, which ECS asks for: nothing while they are being made for the first
    /// time, or for a target that is not there.
    pub fn is_healthy(&self, target_group_arn: &str, ip: IpAddr, port: u16) -> Option<bool> {
        let state = self.state();
        let mut targets = state.target_groups.get(target_group_arn)?.targets.iter();
        match targets.find(|target| target.is(ip, port))?.health {
            Health::Healthy { .. } => Some(true),
            Health::Unhealthy { .. } => Some(false),
            Health::Registering | Health::Initial { .. } => None,
        }
    }

    /// API reference: DescribeTargetHealth.
    pub(crate) async fn describe_target_health(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let arn = call.form.require("TargetGroupArn")?;
        call.describe().await?;
        let state = self.state();
        let group = state.target_group(&arn, self.upstream.clock.instant())?;
        let described = group.targets.iter().map(|target| TargetHealthDescription {
            target: TargetDescription {
                id: target.ip.to_string(),
                port: target.port,
                availability_zone: target.zone.clone(),
            },
            health_check_port: group.settings.check.port.unwrap_or(target.port).to_string(),
            target_health: state.health_of(&arn, target),
        });
        let result = DescribeTargetHealthResult { target_health_descriptions: described.collect() };
        xml::document(call.action, &result, call.request_id)
    }
}

impl State {
    fn health_of(&self, group: &str, target: &Target) -> TargetHealth {
        let load_balancer = self.load_balancer_of(group).and_then(|arn| self.load_balancers.get(arn));
        if target.is_draining {
            return TargetHealth::new(
                "draining",
                "Target.DeregistrationInProgress",
                "Target deregistration is in progress",
            );
        }
        match load_balancer {
            Some(load_balancer) if load_balancer.node_for(target).is_some() => {
                target.health.describe(load_balancer.is_active)
            }
            Some(_) => TargetHealth::new(
                "unused",
                "Target.NotInUse",
                "Target is in an Availability Zone that is not enabled for the load balancer",
            ),
            None => TargetHealth::new(
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            ),
        }
    }
}
