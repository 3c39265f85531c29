//! AllocateAddress: the public address that the NAT gateway speaks from.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Address, DomainType, ResourceType};
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
struct Allocated {
    allocation_id: String,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, input: Input) -> Result<Allocated, Error> {
    const DOING: &str = "allocate the job's address";
    let Input { plan } = input;
    let found = find::owned::<Address>(ec2, Owner { stack, job: &plan.job }).await?;
    if let Some(allocation_id) = found.into_iter().find_map(|address| address.allocation_id) {
        tracing::info!(allocation_id, "address found");
        return Ok(Allocated { allocation_id });
    }
    let allocated = ec2
        .allocate_address()
        .domain(DomainType::Vpc)
        .tag_specifications(tag_specification(ResourceType::ElasticIp, &plan.tags))
        .send()
        .await
        .map_err(creating(DOING, &plan))?;
    let allocation_id = given(DOING, "allocationId", allocated.allocation_id)?;
    tracing::info!(allocation_id, public_ip = allocated.public_ip, "address allocated");
    Ok(Allocated { allocation_id })
}
