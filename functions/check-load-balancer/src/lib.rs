//! CheckLoadBalancer: whether a service can be called: its load balancer is active, and as many containers are healthy
//! behind each of its ports as there are to be. It takes AWS minutes.
//! Source: Elastic Load Balancing API Reference, `LoadBalancerState` and `TargetHealth`.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer, LoadBalancerStateEnum, TargetHealthDescription, TargetHealthStateEnum,
};
use mayfly_elb::creating;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::balancing::MadeTargetGroup;
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

const DOING: &str = "prepare the job's load balancer";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CheckLoadBalancer>();

/// The step.
pub struct CheckLoadBalancer {
    elb: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    load_balancer_arn: String,
    target_groups: Vec<MadeTargetGroup>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The host that is called.
    address: String,
}

impl Step for CheckLoadBalancer {
    type Input = Input;
    type Output = Ready;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { elb: Client::new(environment.sdk()), clock: environment.clock() })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Ready, Error> {
        let Self { elb, clock } = self;
        let Input { plan, load_balancer_arn, target_groups } = input;
        let described = elb
            .describe_load_balancers()
            .load_balancer_arns(&load_balancer_arn)
            .send()
            .await
            .map_err(creating("look at the job's load balancer", &plan, clock.now()))?;
        let load_balancer = described.load_balancers().first().ok_or_else(|| {
            Error::not_visible_yet(DOING, format!("{load_balancer_arn} is not described yet"))
        })?;
        let mut ready = Ok(());
        let count = plan.service().map_or(0, |service| service.count);
        for MadeTargetGroup { port, arn, .. } in target_groups {
            let health = elb
                .describe_target_health()
                .target_group_arn(arn)
                .send()
                .await
                .map_err(creating("look at the health of the job's containers", &plan, clock.now()))?;
            ready = ready.and(are_healthy(port, count, health.target_health_descriptions()));
        }
        is_active(load_balancer).and(ready)?;
        let address = given(DOING, "DNSName", load_balancer.dns_name().map(str::to_owned))?;
        tracing::info!(address, "load balancer ready");
        Ok(Ready { address })
    }
}

fn is_active(load_balancer: &LoadBalancer) -> Result<(), Error> {
    let arn = load_balancer.load_balancer_arn().unwrap_or_default();
    let state = load_balancer.state();
    let code = state.and_then(|state| state.code());
    match code.ok_or_else(|| Error::internal(DOING, format!("{arn} has no state")))? {
        // It routes, and has not the room that it may need.
        LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired => Ok(()),
        LoadBalancerStateEnum::Provisioning => {
            Err(Error::LoadBalancerPending(format!("the load balancer {arn} is still provisioning")))
        }
        other => {
            let reason = state.and_then(|state| state.reason()).unwrap_or_default();
            let detail = format!("{arn} is {other}: {reason}; nobody can call the job");
            Err(Error::internal(DOING, detail))
        }
    }
}

fn are_healthy(port: u16, count: u32, targets: &[TargetHealthDescription]) -> Result<(), Error> {
    let state =
        |target: &TargetHealthDescription| target.target_health().and_then(|health| health.state.clone());
    let healthy =
        targets.iter().filter(|target| state(target) == Some(TargetHealthStateEnum::Healthy)).count();
    if u32::try_from(healthy).is_ok_and(|healthy| healthy >= count) {
        return Ok(());
    }
    let others: Vec<_> = targets.iter().filter_map(told).collect();
    let others = if others.is_empty() { "no other is registered".into() } else { others.join(", ") };
    Err(Error::LoadBalancerPending(format!(
        "behind port {port} of the load balancer {healthy} of {count} containers are healthy; {others}"
    )))
}

/// What is said of a target that is not healthy.
fn told(target: &TargetHealthDescription) -> Option<String> {
    let health = target.target_health()?;
    let state = health.state().filter(|state| **state != TargetHealthStateEnum::Healthy)?;
    let ip = target.target()?.id().unwrap_or_default();
    Some(format!("{ip} is {state}: {}", health.description().unwrap_or("no reason given")))
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::{LoadBalancerState, TargetDescription, TargetHealth};

    use super::*;

    #[test]
    fn only_a_load_balancer_that_provisions_is_looked_at_again() {
        let ending = |code| {
            let state = LoadBalancerState::builder().code(code).reason("no room").build();
            is_active(&LoadBalancer::builder().load_balancer_arn("arn:lb").state(state).build())
        };
        assert!(ending(LoadBalancerStateEnum::Active).is_ok());
        assert!(ending(LoadBalancerStateEnum::ActiveImpaired).is_ok());
        let pending = ending(LoadBalancerStateEnum::Provisioning).unwrap_err();
        assert_eq!(pending.name(), "LoadBalancerPending");
        let failed = ending(LoadBalancerStateEnum::Failed).unwrap_err();
        assert_eq!(failed.name(), "Internal");
        assert!(failed.to_string().contains("arn:lb is failed: no room"), "{failed}");
    }

    #[test]
    fn containers_that_are_not_healthy_are_told_with_the_reason() {
        let target = |ip: &str, state, description: Option<&str>| {
            let health = TargetHealth::builder().state(state).set_description(description.map(str::to_owned));
            let target = TargetDescription::builder().id(ip).build();
            TargetHealthDescription::builder().target(target).target_health(health.build()).build()
        };
        let well = target("10.0.0.4", TargetHealthStateEnum::Healthy, None);
        let ill = target("10.0.0.5", TargetHealthStateEnum::Unhealthy, Some("Health checks failed"));
        assert!(are_healthy(80, 1, &[well.clone(), ill.clone()]).is_ok());
        let pending = are_healthy(80, 2, &[well.clone(), ill]).unwrap_err();
        assert_eq!(pending.name(), "LoadBalancerPending");
        assert_eq!(
            pending.to_string(),
            "behind port 80 of the load balancer 1 of 2 containers are healthy; 10.0.0.5 is unhealthy: Health checks failed"
        );
        let pending = are_healthy(80, 2, &[well]).unwrap_err().to_string();
        assert!(pending.ends_with("no other is registered"), "{pending}");
    }
}
