//! `CreateService`: who may, what is refused, and what comes of it.

use std::collections::VecDeque;

use local_aws::auth::Caller;
use serde_json::{Value, json};

use crate::clusters::Cluster;
use crate::definitions::Revision;
use crate::error::{ApiError, Result};
use crate::requests::{
    CreateService, DeploymentConfiguration, LoadBalancer, NetworkConfiguration, PropagateTags, StrategyItem,
    Switch,
};
use crate::services::{Deployment, PLATFORM_VERSION, Rollout, Service, Status, service_arn};
use crate::{Ecs, fargate, scheduler, strategy, tags};

/// `CreateService`.
pub(crate) async fn create(ecs: &Ecs, caller: &Caller, mut request: CreateService) -> Result<Value> {
    let cluster = ecs.cluster(request.cluster.as_deref()).await?;
    let arn = service_arn(ecs, &cluster, &request.service_name);
    let definition = ecs.state().definitions.revision(&request.task_definition);
    authorize_creation(ecs, caller, &arn, &cluster, definition.as_deref(), &request).await?;
    validate(&request)?;
    check_network(ecs, &request).await?;
    let strategy = capacity(&request, &cluster)?;

    // The token is how a request is repeated, not what it asks for.
    let token = request.client_token.take();
    let mut state = ecs.state();
    // `CreateService$clientToken`; Developer Guide, "Ensuring idempotency": within the cluster.
    let same_token = token.is_some().then(|| {
        let live = |service: &&Service| service.cluster_arn == cluster.arn && service.is_live();
        state.services.values().filter(live).find(|service| service.request.client_token == token)
    });
    if let Some(earlier) = same_token.flatten().or_else(|| state.services.get(&arn).filter(|s| s.is_live())) {
        if earlier.status == Status::Draining {
            return Err(ApiError::invalid_parameter("Unable to Start a service that is still Draining."));
        }
        if (CreateService { client_token: None, ..earlier.request.clone() }) != request {
            return Err(ApiError::invalid_parameter("Creation of service was not idempotent."));
        }
        return Ok(json!({ "service": state.service_document(&earlier.arn, true) }));
    }
    state.check_active(&cluster.name)?;
    let definition = state.definitions.for_service(&request.task_definition)?;
    check_load_balancers(ecs, &definition, &request)?;
    request.client_token = token;
    let now = ecs.now();
    let service = Service {
        arn: arn.clone(),
        cluster_arn: cluster.arn,
        status: Status::Active,
        definition,
        strategy,
        // `CreateService$desiredCount` is required for REPLICA, which `validate` has seen to.
        desired: request.desired_count.unwrap_or_default(),
        deployment: Deployment {
            id: format!("ecs-svc/{:019}", ecs.upstream.random.range(0..10_u64.pow(19))),
            rollout: Rollout::InProgress,
            has_run: false,
            failed_tasks: 0,
            updated_at: now,
        },
        steady: false,
        failures: 0,
        retry_at: ecs.upstream.clock.instant(),
        events: VecDeque::new(),
        created_at: now,
        created_by: caller.role.clone().unwrap_or_else(|| caller.arn.clone()),
        request,
    };
    scheduler::announce_deployment(ecs, &service);
    state.services.insert(arn.clone(), service);
    scheduler::reconcile(ecs, &mut state, &arn);
    Ok(json!({ "service": state.service_document(&arn, true) }))
}

/// Service Authorization Reference: CreateService has the service as its resource, and these keys.
async fn authorize_creation(
    ecs: &Ecs,
    caller: &Caller,
    arn: &str,
    cluster: &Cluster,
    definition: Option<&Revision>,
    request: &CreateService,
) -> Result<()> {
    let mut context = tags::requested(&request.tags);
    let mut key = |name: &str, values: Vec<String>| context.insert(format!("ecs:{name}"), values);
    key("cluster", vec![cluster.arn.clone()]);
    key(
        "capacity-provider",
        request.capacity_provider_strategy.iter().map(|i| i.capacity_provider.clone()).collect(),
    );
    key("enable-ecs-managed-tags", vec![request.enable_ecs_managed_tags.to_string()]);
    let propagated = json!(request.propagate_tags.unwrap_or(PropagateTags::None));
    key("propagate-tags", propagated.as_str().map(str::to_owned).into_iter().collect());
    if let Some(network) = &request.network_configuration {
        let network = &network.awsvpc_configuration;
        key("auto-assign-public-ip", vec![(network.assign_public_ip == Switch::Enabled).to_string()]);
        key("subnet", network.subnets.clone());
    }
    if let Some(definition) = definition {
        key("task-definition", vec![definition.arn.clone()]);
        key("task-cpu", definition.request.cpu.iter().cloned().collect());
        key("task-memory", definition.request.memory.iter().cloned().collect());
    }
    ecs.guard.authorize(caller, "ecs:CreateService", arn, &context).await?;
    ecs.allow_tags(caller, "CreateService", arn, &request.tags).await?;
    match definition {
        Some(definition) => ecs.allow_passing_roles(caller, &definition.request).await,
        None => Ok(()),
    }
}

/// Refuses what `CreateService` refuses, as far as the request alone shows it.
fn validate(request: &CreateService) -> Result<()> {
    let refuse = |message: &str| Err(ApiError::invalid_parameter(message));
    // `CreateService$serviceName`.
    if !fargate::is_name(&request.service_name) {
        return refuse(
            "Invalid service name. It should be 1 to 255 letters, numbers, hyphens and underscores.",
        );
    }
    // `CreateService$clientToken`: up to 36 characters of the ASCII range 33 to 126.
    if let Some(token) = &request.client_token
        && !((1..=36).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return refuse("clientToken must have 1 to 36 ASCII characters in the range of 33-126.");
    }
    if request.desired_count.is_none() {
        return refuse("desiredCount is required for the scheduling strategy REPLICA.");
    }
    // A version that was never there: API Reference, `PlatformUnknownException`.
    if !matches!(request.platform_version.as_deref(), None | Some("LATEST" | PLATFORM_VERSION)) {
        return Err(ApiError::new(
            "PlatformUnknownException",
            "The specified platform version doesn't exist.",
        ));
    }
    let Some(network) = &request.network_configuration else {
        return refuse("Network Configuration must be provided when networkMode 'awsvpc' is specified.");
    };
    // `AwsVpcConfiguration`: 1 to 16 subnets, at most 5 groups.
    let network = &network.awsvpc_configuration;
    if !(1..=16).contains(&network.subnets.len()) || network.security_groups.len() > 5 {
        return refuse("awsvpcConfiguration takes 1 to 16 subnets and at most 5 security groups.");
    }
    if let Some(configuration) = &request.deployment_configuration {
        deployment_limits(configuration)?;
    }
    // Developer Guide, "Use load balancing to distribute Amazon ECS service traffic"; its words are not documented.
    if request.load_balancers.len() > 5 {
        return refuse("A service can have at most five target groups.");
    }
    tags::validate(&request.tags)
}

/// What target groups lead to is there, and a load balancer leads to them. As seen, but for the words about the container,
/// which are a guess: pulumi/pulumi-aws#3095 and cloudcomponents/cdk-constructs#67 have those about the port,
/// umotif-public/terraform-aws-ecs-fargate#43 and hashicorp/terraform#32908 those about the target group.
fn check_load_balancers(ecs: &Ecs, definition: &Revision, request: &CreateService) -> Result<()> {
    let refuse = |message: String| Err(ApiError::invalid_parameter(message));
    for LoadBalancer { target_group_arn, container_name, container_port } in &request.load_balancers {
        let mut containers = definition.request.container_definitions.iter();
        let Some(container) = containers.find(|container| container.name == *container_name) else {
            return refuse(format!("The container {container_name} does not exist in the task definition."));
        };
        if !container.port_mappings.iter().any(|mapping| mapping.container_port == *container_port) {
            return refuse(format!(
                "The container {container_name} did not have a container port {container_port} defined."
            ));
        }
        if !ecs.elb.has_load_balancer(target_group_arn) {
            return refuse(format!(
                "The target group with targetGroupArn {target_group_arn} does not have an associated load balancer."
            ));
        }
    }
    Ok(())
}

/// The subnets and groups exist and are in one VPC: API Reference, `AwsVpcConfiguration`.
async fn check_network(ecs: &Ecs, request: &CreateService) -> Result<()> {
    let Some(NetworkConfiguration { awsvpc_configuration: network }) = &request.network_configuration else {
        return Ok(());
    };
    let unknown = |what: &str, ids: &[String], error: &local_ec2::ApiError| {
        let local_ec2::ApiError { code, message } = error;
        let ids = ids.join(", ");
        ApiError::invalid_parameter(format!(
            "Error retrieving {what} information for [{ids}]: {message} (ErrorCode: {code})"
        ))
    };
    let subnets = &network.subnets;
    let vpcs = ecs.ec2.vpcs_of_subnets(subnets).await.map_err(|error| unknown("subnet", subnets, &error))?;
    if vpcs.iter().any(|vpc| *vpc != vpcs[0]) {
        // The words for it are not documented.
        return Err(ApiError::invalid_parameter("All specified subnets must be from the same VPC."));
    }
    let groups = &network.security_groups;
    let of_groups = ecs.ec2.vpcs_of_groups(groups).await;
    let of_groups = of_groups.map_err(|error| unknown("security group", groups, &error))?;
    match groups.iter().zip(of_groups).find(|(_, vpc)| *vpc != vpcs[0]) {
        Some((group, _)) => Err(ApiError::invalid_parameter(format!(
            "Security group {group} does not appear to belong to the same VPC as the input subnets."
        ))),
        None => Ok(()),
    }
}

/// `DeploymentConfiguration`.
fn deployment_limits(configuration: &DeploymentConfiguration) -> Result<()> {
    let DeploymentConfiguration { maximum_percent: maximum, minimum_healthy_percent: minimum, .. } =
        configuration;
    if *minimum > 100 || !(100..=200).contains(maximum) {
        return Err(ApiError::invalid_parameter(
            "minimumHealthyPercent must be between 0 and 100, and maximumPercent between 100 and 200.",
        ));
    }
    if *minimum == 100 && *maximum == 100 {
        return Err(ApiError::invalid_parameter(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    // `ThresholdConfiguration`; the words and the bounds are not documented.
    let breaker = configuration.deployment_circuit_breaker.as_ref();
    if breaker.and_then(|breaker| breaker.threshold_configuration.as_ref()).is_some_and(|c| c.value == 0) {
        return Err(ApiError::invalid_parameter("thresholdConfiguration.value must be at least 1."));
    }
    Ok(())
}

/// The capacity that the tasks of a new service run on.
fn capacity(request: &CreateService, cluster: &Cluster) -> Result<Vec<StrategyItem>> {
    let given = &request.capacity_provider_strategy;
    // `CreateService$capacityProviderStrategy`: none means the cluster's default.
    let strategy = if given.is_empty() { &cluster.default_strategy } else { given };
    if strategy.is_empty() {
        return Err(ApiError::unsupported("the launch type EC2, which a service has without any capacity"));
    }
    strategy::validate(strategy, &cluster.capacity_providers)?;
    Ok(strategy.clone())
}
