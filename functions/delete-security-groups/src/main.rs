//! DeleteSecurityGroups: the groups of the job's own VPC, but for the default one, which goes with the VPC. StillInUse
//! while an interface has one.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::SecurityGroup;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ec2 = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ec2, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let owner = Owner { stack, job: &target.job };
    let groups = find::owned_or_inside::<SecurityGroup>(ec2, owner).await?;
    let groups = groups.iter().filter(|group| !find::is_default(group));
    delete_each(ec2, owner, groups, async |group| {
        let deletion = ec2.delete_security_group().group_id(group.id());
        deleted("delete a security group of the job", deletion.send().await)
    })
    .await
}
