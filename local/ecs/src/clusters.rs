//! Clusters: those that are made here, and the stack's own one, which CloudFormation makes at MiniStack. That one is
//! taken over when it is first named.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::error::{DisplayErrorContext, SdkError};
use aws_sdk_ecs::types::ClusterField;
use local_aws::auth::Caller;
use local_aws::policy::Context;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::fargate::is_name;
use crate::pages::page;
use crate::requests::Tag;
use crate::requests::{
    ClusterSetting, CreateCluster, DeleteCluster, DescribeClusters, Include, Insights, ListClusters,
    SettingName, StrategyItem,
};
use crate::strategy::{self, is_fargate};
use crate::tags;
use crate::{Ecs, State, short_name};

/// How long a cluster's capacity providers are attached or detached. AWS gives no number.
const ATTACHING: Duration = Duration::from_secs(5);

/// An INACTIVE cluster "might remain discoverable in your account for a period of time": API Reference,
/// `DeleteCluster`. AWS gives no number.
const INACTIVE: Duration = Duration::from_hours(1);

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub arn: String,
    pub name: String,
    pub status: Status,
    /// The capacity providers that a service in this cluster may name.
    pub capacity_providers: Vec<String>,
    pub default_strategy: Vec<StrategyItem>,
    pub tags: Vec<Tag>,
    settings: Vec<ClusterSetting>,
    /// Whether it is MiniStack's, and only seen here.
    is_adopted: bool,
}

/// Where a cluster is in its life: API Reference, `Cluster$status`. One without capacity providers is at once what it
/// is to be; the Fargate providers take their time too, as recorded of `DeleteCluster` on AWS (status DEPROVISIONING,
/// `attachmentsStatus` UPDATE_IN_PROGRESS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Provisioning,
    Active,
    Deprovisioning,
    Inactive,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Active => "ACTIVE",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Inactive => "INACTIVE",
        }
    }
}

impl Cluster {
    fn new(arn: String, name: &str, request: CreateCluster) -> Self {
        // Without a setting it is the account's, `containerInsights` off: Developer Guide, "Account settings".
        let insights = ClusterSetting { name: SettingName::ContainerInsights, value: Insights::Disabled };
        let settings = if request.settings.is_empty() { vec![insights] } else { request.settings };
        Self {
            arn,
            name: name.to_owned(),
            status: if request.capacity_providers.is_empty() { Status::Active } else { Status::Provisioning },
            capacity_providers: request.capacity_providers,
            default_strategy: request.default_capacity_provider_strategy,
            tags: request.tags,
            settings,
            is_adopted: false,
        }
    }

    fn document(&self, state: &State) -> Value {
        let tasks = || state.tasks.values().filter(|task| task.cluster_arn == self.arn);
        let services = state.services.values().filter(|service| service.cluster_arn == self.arn);
        json!({
            "clusterArn": self.arn,
            "clusterName": self.name,
            "status": self.status.name(),
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": tasks().filter(|task| task.is_running()).count(),
            "pendingTasksCount": tasks().filter(|task| task.is_pending()).count(),
            "activeServicesCount": services.filter(|service| service.is_active()).count(),
            "statistics": [],
            "settings": [],
            "capacityProviders": self.capacity_providers,
            "defaultCapacityProviderStrategy": self.default_strategy,
        })
    }
}

impl State {
    /// Refuses a new service in a cluster that is not, or not any more, what it is to be.
    pub fn check_active(&self, cluster: &str) -> Result<()> {
        match self.clusters.get(cluster).map(|cluster| cluster.status) {
            Some(Status::Active) => Ok(()),
            // `PutClusterCapacityProviders` says so on AWS; what `CreateService` says is not documented.
            Some(Status::Provisioning | Status::Deprovisioning) => {
                Err(ApiError::client("Cluster was not ACTIVE."))
            }
            Some(Status::Inactive) => Err(ApiError::cluster_inactive()),
            None => Err(ApiError::cluster_not_found()),
        }
    }
}

impl Ecs {
    /// The cluster of a request; without a name it is the one called `default`.
    pub(crate) async fn cluster(&self, reference: Option<&str>) -> Result<Cluster> {
        let name = short_name(reference.unwrap_or("default"));
        let cluster = self.find_cluster(name).await?.ok_or_else(ApiError::cluster_not_found)?;
        if cluster.status == Status::Inactive {
            return Err(ApiError::cluster_inactive());
        }
        Ok(cluster)
    }

    async fn find_cluster(&self, name: &str) -> Result<Option<Cluster>> {
        if let Some(known) = self.state().clusters.get(name) {
            return Ok(Some(known.clone()));
        }
        let Some(cluster) = self.take_over(name).await? else { return Ok(None) };
        Ok(Some(self.state().clusters.entry(name.to_owned()).or_insert(cluster).clone()))
    }

    /// The cluster as MiniStack has it.
    async fn take_over(&self, name: &str) -> Result<Option<Cluster>> {
        let describe = self.ministack().describe_clusters().clusters(name).include(ClusterField::Tags);
        let answer = describe.send().await.map_err(no_answer)?;
        let found = answer.clusters.unwrap_or_default().into_iter();
        Ok(found.filter(|cluster| cluster.status() == Some("ACTIVE")).find_map(|cluster| {
            let strategy = cluster.default_capacity_provider_strategy().iter();
            let tags = cluster.tags().iter();
            Some(Cluster {
                arn: cluster.cluster_arn.clone()?,
                name: name.to_owned(),
                status: Status::Active,
                capacity_providers: cluster.capacity_providers().to_vec(),
                default_strategy: strategy
                    .map(|item| StrategyItem {
                        capacity_provider: item.capacity_provider().to_owned(),
                        weight: item.weight().try_into().unwrap_or_default(),
                        base: item.base().try_into().unwrap_or_default(),
                    })
                    .collect(),
                tags: tags
                    .map(|tag| Tag::new(tag.key().unwrap_or_default(), tag.value().unwrap_or_default()))
                    .collect(),
                settings: Vec::new(),
                is_adopted: true,
            })
        }))
    }

    fn ministack(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.upstream.root_config())
    }
}

fn no_answer<E, R>(error: SdkError<E, R>) -> ApiError
where
    SdkError<E, R>: std::error::Error,
{
    ApiError::new(
        "ServerException",
        format!("cannot ask MiniStack for its clusters: {}", DisplayErrorContext(error)),
    )
}

/// `CreateCluster`. A name that is in use gives the cluster that has it, whatever else is asked for.
pub(crate) async fn create(ecs: &Ecs, caller: &Caller, request: CreateCluster) -> Result<Value> {
    let name = request.cluster_name.clone().unwrap_or_else(|| "default".to_owned());
    let arn = ecs.arn(&format!("cluster/{name}"));
    // Service Authorization Reference, "Actions defined by Amazon Elastic Container Service": its resource is the cluster.
    ecs.guard.authorize(caller, "ecs:CreateCluster", &arn, &tags::requested(&request.tags)).await?;
    ecs.allow_tags(caller, "CreateCluster", &arn, &request.tags).await?;
    validate(&name, &request)?;
    if ecs.faults.is_role_missing(tags::job(&request.tags)) {
        // As seen on AWS at the first use of an account (aws/containers-roadmap#2614).
        return Err(ApiError::invalid_parameter(
            "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
        ));
    }
    // A cluster of MiniStack's would be known now.
    ecs.find_cluster(&name).await?;

    let mut state = ecs.state();
    let live = state.clusters.values().filter(|cluster| cluster.status != Status::Inactive).count();
    let cluster = match state.clusters.get(&name) {
        Some(cluster) if cluster.status != Status::Inactive => cluster.clone(),
        // General Reference, "Amazon ECS endpoints and quotas".
        _ if live >= ecs.quotas.clusters => {
            return Err(ApiError::new(
                "LimitExceededException",
                format!("The account already has {live} clusters, which is its quota."),
            ));
        }
        _ => {
            let cluster = Cluster::new(arn, &name, request);
            state.clusters.insert(name.clone(), cluster.clone());
            ecs.spawn(provision(ecs.clone(), name));
            cluster
        }
    };
    let mut document = cluster.document(&state);
    document["settings"] = json!(cluster.settings);
    document["tags"] = json!(cluster.tags);
    Ok(json!({ "cluster": document }))
}

fn validate(name: &str, request: &CreateCluster) -> Result<()> {
    // `CreateCluster$clusterName`.
    if !is_name(name) {
        return Err(ApiError::invalid_parameter(
            "Invalid cluster name. It should be 1 to 255 letters, numbers, hyphens and underscores.",
        ));
    }
    // `CreateCluster$capacityProviders`: others than Fargate's must have been created, which cannot be done here.
    if let Some(other) = request.capacity_providers.iter().find(|provider| !is_fargate(provider)) {
        return Err(ApiError::invalid_parameter(format!(
            "The specified capacity provider '{other}' was not found."
        )));
    }
    if !request.default_capacity_provider_strategy.is_empty() {
        strategy::validate(&request.default_capacity_provider_strategy, &request.capacity_providers)?;
    }
    tags::validate(&request.tags)
}

/// Lets a new cluster become ACTIVE.
async fn provision(ecs: Ecs, name: String) {
    ecs.upstream.clock.sleep(ATTACHING).await;
    if let Some(cluster) = ecs.state().clusters.get_mut(&name).filter(|c| c.status == Status::Provisioning) {
        cluster.status = Status::Active;
    }
}

/// `DeleteCluster`. An INACTIVE cluster can be deleted again, as long as it is known.
pub(crate) async fn delete(ecs: &Ecs, caller: &Caller, request: DeleteCluster) -> Result<Value> {
    let name = short_name(&request.cluster).to_owned();
    let found = ecs.find_cluster(&name).await?;
    let arn = ecs.arn(&format!("cluster/{name}"));
    let owned = found.as_ref().map(|cluster| tags::owned(&cluster.tags)).unwrap_or_default();
    ecs.guard.authorize(caller, "ecs:DeleteCluster", &arn, &owned).await?;

    let state = &mut *ecs.state();
    let cluster = state.clusters.get(&name).ok_or_else(ApiError::cluster_not_found)?;
    if matches!(cluster.status, Status::Provisioning | Status::Deprovisioning) {
        return Err(ApiError::new(
            "UpdateInProgressException",
            "The specified cluster is in a busy state. Cluster attachments must be in UPDATE_COMPLETE or \
             UPDATE_FAILED state before they can be updated. Wait and try again.",
        ));
    }
    if state.services.values().any(|service| service.cluster_arn == arn && service.is_live()) {
        return Err(ApiError::new(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    // Those that have not started and those that are stopping too.
    if state.tasks.values().any(|task| task.cluster_arn == arn && !task.is_stopped()) {
        return Err(ApiError::new(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    if cluster.is_adopted {
        return Err(ApiError::unsupported(format!("to delete the cluster {name}, which is MiniStack's")));
    }
    if cluster.status == Status::Active {
        let is_empty = cluster.capacity_providers.is_empty();
        let status = if is_empty { Status::Inactive } else { Status::Deprovisioning };
        state.clusters.entry(name.clone()).and_modify(|cluster| cluster.status = status);
        ecs.spawn(vanish(ecs.clone(), name.clone()));
    }
    let cluster = &state.clusters[&name];
    let mut document = cluster.document(state);
    document["settings"] = json!(cluster.settings);
    Ok(json!({ "cluster": document }))
}

/// Lets a deleted cluster become INACTIVE, and forgets it later, unless its name is in use again.
async fn vanish(ecs: Ecs, name: String) {
    ecs.upstream.clock.sleep(ATTACHING).await;
    if let Some(cluster) = ecs.state().clusters.get_mut(&name).filter(|c| c.status == Status::Deprovisioning)
    {
        cluster.status = Status::Inactive;
    }
    ecs.upstream.clock.sleep(INACTIVE).await;
    let mut state = ecs.state();
    if state.clusters.get(&name).is_some_and(|cluster| cluster.status == Status::Inactive) {
        state.clusters.remove(&name);
    }
}

/// `ListClusters`, without those that are deleted.
pub(crate) async fn list(ecs: &Ecs, caller: &Caller, request: ListClusters) -> Result<Value> {
    ecs.guard.authorize(caller, "ecs:ListClusters", "*", &Context::new()).await?;
    let ministacks = ecs.ministack().list_clusters().send().await.map_err(no_answer)?;
    let mut arns: BTreeSet<_> = ministacks.cluster_arns.unwrap_or_default().into_iter().collect();
    let state = ecs.state();
    let live = state.clusters.values().filter(|cluster| cluster.status != Status::Inactive);
    arns.extend(live.map(|cluster| cluster.arn.clone()));
    let arns = arns.into_iter().collect();
    page("clusterArns", arns, request.next_token.as_deref(), request.max_results, 100)
}

/// `DescribeClusters`; an unknown cluster is a failure inside a successful answer.
pub(crate) async fn describe(ecs: &Ecs, caller: &Caller, request: DescribeClusters) -> Result<Value> {
    let wanted = if request.clusters.is_empty() { vec!["default".to_owned()] } else { request.clusters };
    // `DescribeClusters$clusters`.
    if wanted.len() > 100 {
        return Err(ApiError::invalid_parameter("clusters must have at most 100 members"));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in wanted.iter().map(|reference| short_name(reference)) {
        let found = ecs.find_cluster(name).await?;
        let arn = ecs.arn(&format!("cluster/{name}"));
        let tags = found.as_ref().map(|cluster| cluster.tags.as_slice()).unwrap_or_default();
        ecs.guard.authorize(caller, "ecs:DescribeClusters", &arn, &tags::owned(tags)).await?;
        match found {
            Some(cluster) => {
                let mut document = cluster.document(&ecs.state());
                if request.include.contains(&Include::Tags) {
                    document["tags"] = json!(cluster.tags);
                }
                clusters.push(document);
            }
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}
