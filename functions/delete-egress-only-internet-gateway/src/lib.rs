//! DeleteEgressOnlyInternetGateway: the job's egress-only internet gateway, which nobody has to detach.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::EgressOnlyInternetGateway;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteEgressOnlyInternetGateway>();

/// The step.
pub struct DeleteEgressOnlyInternetGateway {
    ec2: Client,
    stack: String,
}

impl Step for DeleteEgressOnlyInternetGateway {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    /// Nothing holds it up: a route that led to it leads nowhere then.
    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let gateways = find::owned::<EgressOnlyInternetGateway>(ec2, owner).await?;
        delete_each(ec2, owner, &gateways, async |gateway| {
            let deletion = ec2.delete_egress_only_internet_gateway();
            let deletion = deletion.egress_only_internet_gateway_id(gateway.id());
            deleted("delete the job's egress-only internet gateway", deletion.send().await)
        })
        .await
    }
}
