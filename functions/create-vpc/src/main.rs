//! CreateVpc: the network that exists only for the job. It comes first of everything, and first of all quotas, so that
//! jobs which wait for room cannot hold each other up.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, Vpc};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::plan::{Plan, PrivateNetwork};
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
    network: PrivateNetwork,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    vpc_id: String,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, input: Input) -> Result<Created, Error> {
    const DOING: &str = "create the job's VPC";
    let Input { plan, network } = input;
    let owner = Owner { stack, job: &plan.job };
    if let Some(vpc_id) = find::owned::<Vpc>(ec2, owner).await?.into_iter().find_map(|vpc| vpc.vpc_id) {
        tracing::info!(vpc_id, "vpc found");
        return Ok(Created { vpc_id });
    }
    let created = ec2
        .create_vpc()
        .cidr_block(&network.vpc_cidr)
        .tag_specifications(tag_specification(ResourceType::Vpc, &plan.tags))
        .send()
        .await
        .map_err(creating(DOING, &plan))?;
    let vpc_id = given(DOING, "vpcId", created.vpc.and_then(|vpc| vpc.vpc_id))?;
    tracing::info!(vpc_id, "vpc created");
    Ok(Created { vpc_id })
}
