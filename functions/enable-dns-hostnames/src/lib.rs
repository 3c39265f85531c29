//! EnableDnsHostnames: lets the VPC give names, without which no endpoint can have AWS's own. In a new VPC it is off, and DNS
//! itself is on.
//! Source: EC2 API Reference, `CreateVpcEndpoint`, `PrivateDnsEnabled`, and `ModifyVpcAttribute`; VPC user guide, "DNS attributes
//! for your VPC".

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::AttributeBooleanValue;
use mayfly_ec2::creating;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<EnableDnsHostnames>();

/// The step.
pub struct EnableDnsHostnames {
    ec2: Client,
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
pub struct Enabled {}

impl Step for EnableDnsHostnames {
    type Input = Input;
    type Output = Enabled;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), clock: environment.clock() })
    }

    /// A call changes one attribute, and to repeat it changes nothing.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Enabled, Error> {
        let Self { ec2, clock } = self;
        let Input { plan, vpc_id } = input;
        ec2.modify_vpc_attribute()
            .vpc_id(&vpc_id)
            .enable_dns_hostnames(AttributeBooleanValue::builder().value(true).build())
            .send()
            .await
            .map_err(creating("let the job's VPC give names", &plan, clock.now()))?;
        tracing::info!(vpc_id, "DNS host names enabled");
        Ok(Enabled {})
    }
}
