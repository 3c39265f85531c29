//! CreateSubnet: the public subnet, which holds the NAT gateway, or a private one, which may hold the container.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, Subnet};
use mayfly_ec2::{creating_once, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// The step.
pub struct CreateSubnet {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
    cidr_block: String,
    availability_zone: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    subnet_id: String,
}

impl Step for CreateSubnet {
    type Input = Input;
    type Output = Created;

    const SDK_RETRIES: bool = false;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// The job has three subnets with the same tags, so the CIDR tells them apart.
    #[tracing::instrument(skip_all, fields(job = input.plan.job, cidr_block = input.cidr_block), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create a subnet of the job";
        let Self { ec2, stack, clock } = self;
        let Input { plan, vpc_id, cidr_block, availability_zone } = input;
        let mut found = find::owned::<Subnet>(ec2, Owner { stack, job: &plan.job }).await?;
        found.retain(|subnet| subnet.vpc_id() == Some(&vpc_id) && subnet.cidr_block() == Some(&cidr_block));
        if let Some(subnet_id) = found.into_iter().find_map(|subnet| subnet.subnet_id) {
            tracing::info!(subnet_id, "subnet found");
            return Ok(Created { subnet_id });
        }
        let created = ec2
            .create_subnet()
            .vpc_id(vpc_id)
            .cidr_block(cidr_block)
            .availability_zone(availability_zone)
            .tag_specifications(tag_specification(ResourceType::Subnet, &plan.tags))
            .send()
            .await
            .map_err(creating_once(DOING, &plan, clock.now(), "InvalidSubnet.Conflict"))?;
        let subnet_id = given(DOING, "subnetId", created.subnet.and_then(|subnet| subnet.subnet_id))?;
        tracing::info!(subnet_id, "subnet created");
        Ok(Created { subnet_id })
    }
}
