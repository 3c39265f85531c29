//! CreateService: the Fargate service whose one task does the job's work.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, AwsVpcConfiguration, CapacityProviderStrategyItem,
    DeploymentCircuitBreaker, DeploymentConfiguration, NetworkConfiguration, PropagateTags, Tag,
    ThresholdConfiguration, ThresholdType,
};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::names::Names;
use mayfly_common::plan::{Plan, PlannedNetwork};
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use serde::{Deserialize, Serialize};

/// Starts that may fail before ECS gives the deployment up.
const FAILED_STARTS: i32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ecs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&ecs, &stack, event.payload))).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan: Plan,
    task_definition: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    service: String,
}

#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ecs: &Client, stack: &str, input: Input) -> Result<Created, Error> {
    let Input { plan, task_definition } = input;
    let name = Names::new(stack, &plan.job).service(1);
    let created = ecs
        .create_service()
        .cluster(&plan.network.cluster)
        .service_name(&name)
        .client_token(client_token(&plan))
        .task_definition(task_definition)
        .desired_count(1)
        .capacity_provider_strategy(strategy(&plan)?)
        .network_configuration(network(&plan.network)?)
        .deployment_configuration(deployment()?)
        .availability_zone_rebalancing(AvailabilityZoneRebalancing::Disabled)
        .propagate_tags(PropagateTags::Service)
        .set_tags(Some(
            plan.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect(),
        ))
        .send()
        .await
        .map_err(Error::aws("create the job's service"))?;
    let service = created.service.and_then(|service| service.service_arn).unwrap_or_default();
    tracing::info!(service, "service created");
    Ok(Created { service })
}

/// At most 36 characters; the mailbox's random part is this run's alone.
/// Source: ECS API Reference, `CreateService`, `clientToken`.
fn client_token(plan: &Plan) -> String {
    plan.mailbox_name.chars().rev().take(26).collect()
}

/// A launch type instead would switch Spot off.
/// Source: ECS API Reference, `CreateService`, `capacityProviderStrategy`.
fn strategy(plan: &Plan) -> Result<CapacityProviderStrategyItem, Error> {
    CapacityProviderStrategyItem::builder()
        .capacity_provider(plan.capacity.provider())
        .weight(1)
        .build()
        .map_err(|error| Error::internal("could not describe the capacity", error))
}

fn network(network: &PlannedNetwork) -> Result<NetworkConfiguration, Error> {
    let public = if network.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(network.subnets.clone()))
        .set_security_groups(Some(network.security_groups.clone()))
        .assign_public_ip(public)
        .build()
        .map_err(|error| Error::internal("could not describe the network", error))?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

/// Never two tasks of one job side by side, and an end to starts that keep failing.
fn deployment() -> Result<DeploymentConfiguration, Error> {
    let threshold = ThresholdConfiguration::builder()
        .r#type(ThresholdType::Count)
        .value(FAILED_STARTS)
        .build()
        .map_err(|error| Error::internal("could not describe the circuit breaker", error))?;
    let breaker = DeploymentCircuitBreaker::builder()
        .enable(true)
        .rollback(false)
        .threshold_configuration(threshold)
        .build();
    Ok(DeploymentConfiguration::builder()
        .minimum_healthy_percent(0)
        .maximum_percent(100)
        .deployment_circuit_breaker(breaker)
        .build())
}
