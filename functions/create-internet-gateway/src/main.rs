//! CreateInternetGateway: the door of the job's VPC to the internet.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{InternetGateway, ResourceType};
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
    let ec2 = Client::new(&sdk::config_without_retries()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&ec2, &stack, event.payload))).await
}

#[derive(Debug, Deserialize)]
struct Input {
    plan: Plan,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    internet_gateway_id: String,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, input: Input) -> Result<Created, Error> {
    const DOING: &str = "create the job's internet gateway";
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
        .map_err(creating(DOING, &plan))?;
    let gateway = created.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
    let internet_gateway_id = given(DOING, "internetGatewayId", gateway)?;
    tracing::info!(internet_gateway_id, "internet gateway created");
    Ok(Created { internet_gateway_id })
}
