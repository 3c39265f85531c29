//! CreateNatGateway: the NAT gateway, through which the private subnets reach the internet. EC2 answers at once;
//! whether it comes to work is for CheckNatGateway to say.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::ResourceType;
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateNatGateway>();

/// The step.
pub struct CreateNatGateway {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    /// The public subnet.
    subnet_id: String,
    allocation_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    nat_gateway_id: String,
}

impl Step for CreateNatGateway {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's NAT gateway";
        let Self { ec2, stack, clock } = self;
        let Input { plan, subnet_id, allocation_id } = input;
        let found = find::nat_gateways(ec2, Owner { stack, job: &plan.job }).await?;
        if let Some(nat_gateway_id) = found.into_iter().find_map(|nat| nat.nat_gateway_id) {
            tracing::info!(nat_gateway_id, "NAT gateway found");
            return Ok(Created { nat_gateway_id });
        }
        let created = ec2
            .create_nat_gateway()
            .subnet_id(subnet_id)
            .allocation_id(allocation_id)
            .client_token(plan.client_token("nat"))
            .tag_specifications(tag_specification(ResourceType::Natgateway, &plan.tags))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let id = created.nat_gateway.and_then(|nat| nat.nat_gateway_id);
        let nat_gateway_id = given(DOING, "natGatewayId", id)?;
        tracing::info!(nat_gateway_id, "NAT gateway created");
        Ok(Created { nat_gateway_id })
    }
}
