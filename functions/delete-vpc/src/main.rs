//! DeleteVpc: the job's own VPC, last of all. StillInUse while anything but its default group, its default ACL and its
//! main route table is in it; those go with it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Vpc;
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
    let vpcs = find::owned::<Vpc>(ec2, owner).await?;
    delete_each(ec2, owner, &vpcs, async |vpc| {
        deleted("delete the job's VPC", ec2.delete_vpc().vpc_id(vpc.id()).send().await)
    })
    .await
}
