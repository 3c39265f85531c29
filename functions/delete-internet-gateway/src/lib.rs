//! DeleteInternetGateway: the job's internet gateway. StillInUse while the VPC has a public address.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::InternetGateway;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteInternetGateway>();

/// The step.
pub struct DeleteInternetGateway {
    ec2: Client,
    stack: String,
}

impl Step for DeleteInternetGateway {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let gateways = find::owned_or_inside::<InternetGateway>(ec2, owner).await?;
        delete_each(ec2, owner, &gateways, |gateway| delete(ec2, gateway)).await
    }
}

async fn delete(ec2: &Client, gateway: &InternetGateway) -> Result<(), Error> {
    for attachment in gateway.attachments() {
        let detachment = ec2
            .detach_internet_gateway()
            .internet_gateway_id(gateway.id())
            .set_vpc_id(attachment.vpc_id.clone());
        match detachment.send().await {
            // Source: EC2 API Reference, "Error codes".
            Err(error) if error.code() == Some("Gateway.NotAttached") => {}
            detached => deleted("detach the job's internet gateway", detached)?,
        }
    }
    let deletion = ec2.delete_internet_gateway().internet_gateway_id(gateway.id());
    deleted("delete the job's internet gateway", deletion.send().await)
}
