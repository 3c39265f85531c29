//! DeleteNatGateway: the job's NAT gateways, in whatever state. StillInUse until the last one is gone, because until
//! then it holds its address and its interface.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{NatGateway, NatGatewayState};
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteNatGateway>();

/// The step.
pub struct DeleteNatGateway {
    ec2: Client,
    stack: String,
}

impl Step for DeleteNatGateway {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let gateways = find::owned_or_inside::<NatGateway>(ec2, owner).await?;
        // One that has failed vanishes by itself, but holds its address until then.
        // Source: VPC user guide, "NAT gateway creation fails".
        let undeleted = gateways
            .iter()
            .filter(|nat| !nat.is_deleting() && nat.state() != Some(&NatGatewayState::Deleted));
        delete_each(ec2, owner, undeleted, async |nat| {
            let deletion = ec2.delete_nat_gateway().nat_gateway_id(nat.id());
            deleted("delete the job's NAT gateway", deletion.send().await)
        })
        .await?;
        let left = gateways.iter().filter(|nat| !nat.is_gone());
        let waiting: Vec<_> = left.map(|nat| format!("NAT gateway {} is being deleted", nat.id())).collect();
        if !waiting.is_empty() {
            return Err(Error::StillInUse(format!("not gone yet: {}", waiting.join(", "))));
        }
        Ok(Deleted { deleted: gateways.len() })
    }
}
