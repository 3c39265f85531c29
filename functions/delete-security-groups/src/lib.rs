//! DeleteSecurityGroups: the groups of the job's own VPC, but for the default one, which goes with the VPC. StillInUse
//! while an interface has one, or another group names it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::SecurityGroup;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted, in_order_of_deletion};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteSecurityGroups>();

/// The step.
pub struct DeleteSecurityGroups {
    ec2: Client,
    stack: String,
}

impl Step for DeleteSecurityGroups {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let groups = find::owned_or_inside::<SecurityGroup>(ec2, owner).await?;
        let groups = in_order_of_deletion(groups.iter().filter(|group| !group.is_of_vpc()));
        delete_each(ec2, owner, groups, async |group| {
            let deletion = ec2.delete_security_group().group_id(group.id());
            deleted("delete a security group of the job", deletion.send().await)
        })
        .await
    }
}
