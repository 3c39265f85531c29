//! CheckNatGateway: whether the NAT gateway is available. It takes a minute or two, and what was wrong with its making
//! shows only now.
//! Source: EC2 API Reference, `NatGateway`, `State` and `FailureCode`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{NatGateway, NatGatewayState};
use mayfly_ec2::creating;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

const DOING: &str = "prepare the job's NAT gateway";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CheckNatGateway>();

/// The step.
pub struct CheckNatGateway {
    ec2: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    nat_gateway_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Available {}

impl Step for CheckNatGateway {
    type Input = Input;
    type Output = Available;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), clock: environment.clock() })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Available, Error> {
        let Self { ec2, clock } = self;
        let Input { plan, nat_gateway_id } = input;
        let described = ec2
            .describe_nat_gateways()
            .nat_gateway_ids(&nat_gateway_id)
            .send()
            .await
            .map_err(creating("look at the job's NAT gateway", &plan, clock.now()))?;
        let nat = described
            .nat_gateways()
            .first()
            .ok_or_else(|| Error::not_visible_yet(DOING, format!("{nat_gateway_id} is not described yet")))?;
        is_available(nat)?;
        tracing::info!(nat_gateway_id, "NAT gateway available");
        Ok(Available {})
    }
}

fn is_available(nat: &NatGateway) -> Result<(), Error> {
    let id = nat.nat_gateway_id().unwrap_or_default();
    let state = nat.state().ok_or_else(|| Error::internal(DOING, format!("{id} has no state")))?;
    match state {
        NatGatewayState::Available => Ok(()),
        NatGatewayState::Pending => Err(Error::NatPending(format!("the NAT gateway {id} is still pending"))),
        NatGatewayState::Failed => {
            let code = nat.failure_code().unwrap_or_default();
            let message = nat.failure_message().unwrap_or_default();
            let detail = format!("{id} has failed: {code}: {message}; nothing of the job has run");
            Err(Error::internal(DOING, detail))
        }
        NatGatewayState::Deleting | NatGatewayState::Deleted => Err(Error::internal(
            DOING,
            format!("somebody has deleted {id}, which is {state}; nothing of the job has run"),
        )),
        other => Err(Error::internal(DOING, format!("{id} is in the state {other}, which is not known"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(state: NatGatewayState) -> Result<(), Error> {
        let nat = NatGateway::builder()
            .nat_gateway_id("nat-1")
            .state(state)
            .failure_code("Gateway.NotAttached")
            .failure_message("Network vpc-1 has no Internet gateway attached");
        is_available(&nat.build())
    }

    #[test]
    fn only_a_pending_gateway_is_looked_at_again() {
        assert!(ending(NatGatewayState::Available).is_ok());
        let pending = ending(NatGatewayState::Pending).expect_err("not yet");
        assert_eq!(
            (pending.name(), &*pending.to_string()),
            ("NatPending", "the NAT gateway nat-1 is still pending")
        );
        for ended in [NatGatewayState::Deleting, NatGatewayState::Deleted, NatGatewayState::from("strange")] {
            assert_eq!(ending(ended).expect_err("ended").name(), "Internal");
        }
    }

    #[test]
    fn a_failed_gateway_says_why_in_awss_words() {
        let failed = ending(NatGatewayState::Failed).expect_err("failed");
        assert_eq!(failed.name(), "Internal");
        let message = failed.to_string();
        for part in ["nat-1", "Gateway.NotAttached: Network vpc-1 has no", "nothing of the job has run"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
