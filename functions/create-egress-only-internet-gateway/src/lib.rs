//! CreateEgressOnlyInternetGateway: the way out of the job's VPC by IPv6, through which nothing comes in. It is made attached.
//! Source: EC2 API Reference, `CreateEgressOnlyInternetGateway`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{EgressOnlyInternetGateway, ResourceType};
use mayfly_ec2::{creating_egress_only_gateway, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateEgressOnlyInternetGateway>();

/// The step.
pub struct CreateEgressOnlyInternetGateway {
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
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    egress_only_internet_gateway_id: String,
}

impl Step for CreateEgressOnlyInternetGateway {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// How long EC2 remembers the client token is not documented, so a first try's is looked for.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's egress-only internet gateway";
        let Self { ec2, stack, clock } = self;
        let Input { plan, vpc_id } = input;
        let owner = Owner { stack, job: &plan.job };
        let found = find::owned::<EgressOnlyInternetGateway>(ec2, owner).await?;
        let found = found.into_iter().find_map(|gateway| gateway.egress_only_internet_gateway_id);
        if let Some(egress_only_internet_gateway_id) = found {
            tracing::info!(egress_only_internet_gateway_id, "egress-only internet gateway found");
            return Ok(Created { egress_only_internet_gateway_id });
        }
        let created = ec2
            .create_egress_only_internet_gateway()
            .vpc_id(vpc_id)
            .client_token(plan.client_token("eigw"))
            .tag_specifications(tag_specification(ResourceType::EgressOnlyInternetGateway, &plan.tags))
            .send()
            .await
            .map_err(creating_egress_only_gateway(DOING, &plan, clock.now()))?;
        let gateway = created.egress_only_internet_gateway;
        let id = gateway.and_then(|gateway| gateway.egress_only_internet_gateway_id);
        let egress_only_internet_gateway_id = given(DOING, "egressOnlyInternetGatewayId", id)?;
        tracing::info!(egress_only_internet_gateway_id, "egress-only internet gateway created");
        Ok(Created { egress_only_internet_gateway_id })
    }
}
