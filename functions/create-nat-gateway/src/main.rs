//! CreateNatGateway: what the private subnet reaches the internet through. EC2 answers at once; whether it comes to
//! work is for CheckNatGateway to say.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::ResourceType;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ec2 = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&ec2, &stack, event.payload))).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan: Plan,
    /// The public subnet.
    subnet_id: String,
    allocation_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    nat_gateway_id: String,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, input: Input) -> Result<Created, Error> {
    const DOING: &str = "create the job's NAT gateway";
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
        .map_err(creating(DOING, &plan))?;
    let id = created.nat_gateway.and_then(|nat| nat.nat_gateway_id);
    let nat_gateway_id = given(DOING, "natGatewayId", id)?;
    tracing::info!(nat_gateway_id, "NAT gateway created");
    Ok(Created { nat_gateway_id })
}
