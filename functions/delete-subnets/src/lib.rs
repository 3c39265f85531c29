//! DeleteSubnets: the subnets of the job's own VPC. StillInUse while anything has an interface in one.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Subnet;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteSubnets>();

/// The step.
pub struct DeleteSubnets {
    ec2: Client,
    stack: String,
}

impl Step for DeleteSubnets {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let subnets = find::owned_or_inside::<Subnet>(ec2, owner).await?;
        delete_each(ec2, owner, &subnets, async |subnet| {
            deleted("delete a subnet of the job", ec2.delete_subnet().subnet_id(subnet.id()).send().await)
        })
        .await
    }
}
