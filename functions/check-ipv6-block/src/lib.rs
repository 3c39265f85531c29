//! CheckIpv6Block: whether the VPC has its IPv6 addresses, which AWS associates a little after the VPC is made, and which they
//! are.
//! Source: EC2 API Reference, `VpcIpv6CidrBlockAssociation` and `VpcCidrBlockState`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Vpc, VpcCidrBlockStateCode, VpcIpv6CidrBlockAssociation};
use mayfly_ec2::creating;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

const DOING: &str = "give the job's VPC its IPv6 addresses";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CheckIpv6Block>();

/// The step.
pub struct CheckIpv6Block {
    ec2: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
}

/// What the step answers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Associated {
    ipv6_cidr_block: String,
}

impl Step for CheckIpv6Block {
    type Input = Input;
    type Output = Associated;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), clock: environment.clock() })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Associated, Error> {
        let Self { ec2, clock } = self;
        let Input { plan, vpc_id } = input;
        let described = ec2.describe_vpcs().vpc_ids(&vpc_id).send().await.map_err(creating(
            "look at the job's VPC",
            &plan,
            clock.now(),
        ))?;
        let vpc = described.vpcs().first();
        let vpc =
            vpc.ok_or_else(|| Error::not_visible_yet(DOING, format!("{vpc_id} is not described yet")))?;
        let ipv6_cidr_block = block(vpc)?;
        tracing::info!(vpc_id, ipv6_cidr_block, "IPv6 addresses associated");
        Ok(Associated { ipv6_cidr_block })
    }
}

/// The block that is associated with the VPC, which was made with one.
fn block(vpc: &Vpc) -> Result<String, Error> {
    let id = vpc.vpc_id().unwrap_or_default();
    let pending = || Error::BlockPending(format!("{id} has no IPv6 addresses yet"));
    let association = vpc.ipv6_cidr_block_association_set().first().ok_or_else(pending)?;
    let state = association.ipv6_cidr_block_state();
    match state.and_then(|state| state.state()) {
        None | Some(VpcCidrBlockStateCode::Associating) => Err(pending()),
        Some(VpcCidrBlockStateCode::Associated) => given(association),
        Some(code) => {
            let told = state.and_then(|state| state.status_message()).unwrap_or_default();
            let detail = format!("the association with {id} is {code}: {told}; nothing of the job has run");
            Err(Error::internal(DOING, detail))
        }
    }
}

fn given(association: &VpcIpv6CidrBlockAssociation) -> Result<String, Error> {
    mayfly_lambda::error::given(DOING, "ipv6CidrBlock", association.ipv6_cidr_block().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::VpcCidrBlockState;

    use super::*;

    fn of(state: VpcCidrBlockStateCode) -> Result<String, Error> {
        let state = VpcCidrBlockState::builder().state(state).status_message("No more of them.").build();
        let association = VpcIpv6CidrBlockAssociation::builder()
            .ipv6_cidr_block("2001:db8:0:5600::/56")
            .ipv6_cidr_block_state(state);
        block(&Vpc::builder().vpc_id("vpc-1").ipv6_cidr_block_association_set(association.build()).build())
    }

    #[test]
    fn only_a_block_that_is_on_its_way_is_looked_for_again() {
        assert_eq!(of(VpcCidrBlockStateCode::Associated).expect("a block"), "2001:db8:0:5600::/56");
        assert_eq!(of(VpcCidrBlockStateCode::Associating).expect_err("not yet").name(), "BlockPending");
        assert_eq!(block(&Vpc::builder().build()).expect_err("not seen yet").name(), "BlockPending");
        let failed = of(VpcCidrBlockStateCode::Failed).expect_err("failed");
        assert_eq!(failed.name(), "Internal");
        assert!(failed.to_string().contains("vpc-1 is failed: No more of them."), "{failed}");
    }
}
