//! CreateService: the Fargate service whose one task does the job's work, or whose tasks are called.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, AwsVpcConfiguration, CapacityProviderStrategyItem,
    DeploymentCircuitBreaker, DeploymentConfiguration, LoadBalancer, NetworkConfiguration, PropagateTags,
    ThresholdConfiguration, ThresholdType,
};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::names::{Names, SERVICE_CONTAINER};
use mayfly_model::plan::{JoinedNetwork, Plan};
use mayfly_model::turn::{Provider, Turn};
use serde::{Deserialize, Serialize};

/// How long a task may be ill from its start on: until the load balancer has found it well, it is not.
const GRACE_SECONDS: i32 = 300;

/// So many tasks that fail before one has run, and ECS gives the service up.
const FAILED_TASKS_LIMIT: i32 = 3;

/// What ECS says of a cluster of the job's own that is still PROVISIONING, because it is given its capacity providers.
/// Source: ECS API Reference, `Cluster`, `status`; the words are those that `PutClusterCapacityProviders` is refused with.
const NOT_ACTIVE: &str = "not ACTIVE";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateService>();

/// The step.
pub struct CreateService {
    ecs: Client,
    stack: String,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    /// The plan's, or that which was made for the job.
    network: JoinedNetwork,
    turn: Turn,
    task_definition: String,
    /// Those of the job's load balancer, if it has one.
    #[serde(default)]
    target_groups: Vec<TargetGroup>,
}

#[derive(Debug, Deserialize)]
struct TargetGroup {
    port: u16,
    arn: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    service: String,
}

impl Step for CreateService {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ecs: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job, launch = input.turn.launch), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's service";
        let Self { ecs, stack } = self;
        let Input { plan, network, turn, task_definition, target_groups } = input;
        let service = plan.service();
        let count = service.map_or(1, |service| service.count);
        let grace = (!target_groups.is_empty()).then_some(GRACE_SECONDS);
        let deployment = if service.is_some() { of_service()? } else { of_work() };
        let name = Names::new(stack, &plan.job).service(turn.launch);
        let created = ecs
            .create_service()
            .cluster(&network.cluster)
            .service_name(&name)
            .client_token(plan.client_token(turn.launch))
            .task_definition(task_definition)
            .desired_count(i32::try_from(count).unwrap_or(i32::MAX))
            .capacity_provider_strategy(strategy(turn.provider)?)
            .network_configuration(configuration(&network)?)
            .deployment_configuration(deployment)
            .set_load_balancers(
                grace.map(|_| target_groups.into_iter().map(TargetGroup::of_container).collect()),
            )
            .set_health_check_grace_period_seconds(grace)
            .availability_zone_rebalancing(AvailabilityZoneRebalancing::Disabled)
            .propagate_tags(PropagateTags::Service)
            .set_tags(Some(mayfly_ecs::tags(&plan.tags)))
            .send()
            .await
            .map_err(|error| match error.message().filter(|told| told.contains(NOT_ACTIVE)) {
                Some(told) => Error::not_visible_yet(DOING, told),
                None => Error::aws(DOING)(error),
            })?;
        let arn = created.service.and_then(|service| service.service_arn);
        let service = given(DOING, "serviceArn", arn)?;
        tracing::info!(service, "service created");
        Ok(Created { service })
    }
}

/// A launch type instead would switch Spot off.
/// Source: ECS API Reference, `CreateService`, `capacityProviderStrategy`.
fn strategy(provider: Provider) -> Result<CapacityProviderStrategyItem, Error> {
    CapacityProviderStrategyItem::builder()
        .capacity_provider(provider.name())
        .weight(1)
        .build()
        .map_err(|error| Error::internal("describe the capacity", error))
}

fn configuration(network: &JoinedNetwork) -> Result<NetworkConfiguration, Error> {
    let public = if network.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(network.subnets.clone()))
        .set_security_groups(Some(network.security_groups.clone()))
        .assign_public_ip(public)
        .build()
        .map_err(|error| Error::internal("describe the network", error))?;
    Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

/// Never two tasks of one job side by side. Without the circuit breaker: a try that finds no room counts as a failed task,
/// three end a deployment, and a job waits longer for room than that. ECS tries again by itself, ever less often, until
/// the state machine ends it; of a task that could not start there is an event anyway.
/// Source: ECS API Reference, `DeploymentCircuitBreaker`, `ThresholdConfiguration` and `Deployment`, `failedTasks`; ECS
/// developer guide, "Service throttle logic".
fn of_work() -> DeploymentConfiguration {
    let breaker = DeploymentCircuitBreaker::builder().enable(false).rollback(false).build();
    DeploymentConfiguration::builder()
        .minimum_healthy_percent(0)
        .maximum_percent(100)
        .deployment_circuit_breaker(breaker)
        .build()
}

/// What replaces a task that is ill, or that AWS retires, is there before that one goes. A service that cannot start is
/// given up soon, for somebody waits to call it.
/// Source: ECS API Reference, `DeploymentCircuitBreaker` and `ThresholdConfiguration`.
fn of_service() -> Result<DeploymentConfiguration, Error> {
    let threshold = ThresholdConfiguration::builder().r#type(ThresholdType::Count).value(FAILED_TASKS_LIMIT);
    let threshold =
        threshold.build().map_err(|error| Error::internal("describe the circuit breaker", error))?;
    let breaker = DeploymentCircuitBreaker::builder()
        .enable(true)
        .rollback(false)
        .reset_on_healthy_task(true)
        .threshold_configuration(threshold)
        .build();
    Ok(DeploymentConfiguration::builder()
        .minimum_healthy_percent(100)
        .maximum_percent(200)
        .deployment_circuit_breaker(breaker)
        .build())
}

impl TargetGroup {
    fn of_container(self) -> LoadBalancer {
        LoadBalancer::builder()
            .target_group_arn(self.arn)
            .container_name(SERVICE_CONTAINER)
            .container_port(self.port.into())
            .build()
    }
}
