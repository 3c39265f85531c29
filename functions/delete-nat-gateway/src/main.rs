//! DeleteNatGateway: the job's NAT gateways, in whatever state. StillInUse until the last one is gone, because until
//! then it holds its address and its interface.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{NatGateway, NatGatewayState as State};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ec2 = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ec2, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let owner = Owner { stack, job: &target.job };
    let gateways = find::owned_or_inside::<NatGateway>(ec2, owner).await?;
    // One that has failed vanishes by itself, but holds its address until then.
    // Source: VPC user guide, "NAT gateway creation fails".
    let undeleted =
        gateways.iter().filter(|nat| !matches!(nat.state(), Some(State::Deleting | State::Deleted)));
    delete_each(ec2, owner, undeleted, async |nat| {
        let deletion = ec2.delete_nat_gateway().nat_gateway_id(nat.id());
        deleted("delete the job's NAT gateway", deletion.send().await)
    })
    .await?;
    let waiting: Vec<String> = gateways.iter().filter_map(still_there).collect();
    if !waiting.is_empty() {
        return Err(Error::StillInUse(format!("not gone yet: {}", waiting.join(", "))));
    }
    Ok(Deleted { deleted: gateways.len() })
}

/// The gateway in words, unless it has ended.
fn still_there(nat: &NatGateway) -> Option<String> {
    let has_ended = matches!(nat.state(), Some(State::Failed | State::Deleted));
    (!has_ended).then(|| format!("NAT gateway {} is being deleted", nat.id()))
}
