//! DeleteVpc: the job's own VPC, last of all. StillInUse while anything but its default group, its default ACL and its
//! main route table is in it; those go with it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Vpc;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteVpc>();

/// The step.
pub struct DeleteVpc {
    ec2: Client,
    stack: String,
}

impl Step for DeleteVpc {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let vpcs = find::owned::<Vpc>(ec2, owner).await?;
        delete_each(ec2, owner, &vpcs, async |vpc| {
            deleted("delete the job's VPC", ec2.delete_vpc().vpc_id(vpc.id()).send().await)
        })
        .await
    }
}
