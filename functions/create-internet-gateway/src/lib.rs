//! CreateInternetGateway: the door of the job's VPC to the internet.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{InternetGateway, ResourceType};
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateInternetGateway>();

/// The step.
pub struct CreateInternetGateway {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    internet_gateway_id: String,
}

impl Step for CreateInternetGateway {
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

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's internet gateway";
        let Self { ec2, stack, clock } = self;
        let Input { plan } = input;
        let owner = Owner { stack, job: &plan.job };
        let found = find::owned::<InternetGateway>(ec2, owner).await?;
        if let Some(internet_gateway_id) = found.into_iter().find_map(|gateway| gateway.internet_gateway_id) {
            tracing::info!(internet_gateway_id, "internet gateway found");
            return Ok(Created { internet_gateway_id });
        }
        let created = ec2
            .create_internet_gateway()
            .tag_specifications(tag_specification(ResourceType::InternetGateway, &plan.tags))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let gateway = created.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
        let internet_gateway_id = given(DOING, "internetGatewayId", gateway)?;
        tracing::info!(internet_gateway_id, "internet gateway created");
        Ok(Created { internet_gateway_id })
    }
}
