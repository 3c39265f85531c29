//! Clusters. The stack's own one is made by CloudFormation at MiniStack, and taken over when it is first
//! named.

use aws_sdk_ecs::types::ClusterField;
use local_aws::auth::Caller;
use serde_json::{Value, json};

use crate::{
    Ecs, State,
    error::{Error, Result},
    requests::{DescribeClusters, Include, StrategyItem},
    short_name,
    tags::Tag,
};

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub arn: String,
    pub name: String,
    /// The capacity providers that a service in this cluster may name.
    pub capacity_providers: Vec<String>,
    pub default_strategy: Vec<StrategyItem>,
    pub tags: Vec<Tag>,
}

impl Cluster {
    fn document(&self, state: &State, with_tags: bool) -> Value {
        let running = |task: &&crate::tasks::Task| task.cluster_arn == self.arn && task.is_running();
        let pending = |task: &&crate::tasks::Task| task.cluster_arn == self.arn && task.is_pending();
        let active =
            |service: &&crate::services::Service| service.cluster_arn == self.arn && service.is_active();
        let mut document = json!({
            "clusterArn": self.arn,
            "clusterName": self.name,
            "status": "ACTIVE",
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": state.tasks.values().filter(running).count(),
            "pendingTasksCount": state.tasks.values().filter(pending).count(),
            "activeServicesCount": state.services.values().filter(active).count(),
            "statistics": [],
            "settings": [],
            "capacityProviders": self.capacity_providers,
            "defaultCapacityProviderStrategy": self.default_strategy,
        });
        if with_tags {
            document["tags"] = json!(self.tags);
        }
        document
    }
}

impl Ecs {
    /// The cluster of a request; without a name it is the one called `default`.
    pub async fn cluster(&self, reference: Option<&str>) -> Result<Cluster> {
        let name = short_name(reference.unwrap_or("default"));
        self.find_cluster(name).await?.ok_or_else(Error::cluster_not_found)
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
        let answer = aws_sdk_ecs::Client::new(&self.upstream.root_config())
            .describe_clusters()
            .clusters(name)
            .include(ClusterField::Tags)
            .send()
            .await
            .map_err(|error| {
                let error = aws_sdk_ecs::error::DisplayErrorContext(error);
                Error::new("ServerException", format!("cannot ask MiniStack for the cluster {name}: {error}"))
            })?;
        let found = answer.clusters.unwrap_or_default().into_iter();
        Ok(found.filter(|cluster| cluster.status() == Some("ACTIVE")).find_map(|cluster| {
            let strategy = cluster.default_capacity_provider_strategy().iter();
            let tags = cluster.tags().iter();
            Some(Cluster {
                arn: cluster.cluster_arn.clone()?,
                name: name.to_owned(),
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
            })
        }))
    }
}

/// `DescribeClusters`; an unknown cluster is a failure inside a successful answer.
pub(crate) async fn describe(ecs: &Ecs, caller: &Caller, request: DescribeClusters) -> Result<Value> {
    let wanted = if request.clusters.is_empty() { vec!["default".to_owned()] } else { request.clusters };
    // `DescribeClusters$clusters`.
    if wanted.len() > 100 {
        return Err(Error::invalid_parameter("clusters must have at most 100 members"));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in wanted.iter().map(|reference| short_name(reference)) {
        let found = ecs.find_cluster(name).await?;
        let arn = ecs.arn(&format!("cluster/{name}"));
        let tags = found.as_ref().map(|cluster| cluster.tags.as_slice()).unwrap_or_default();
        ecs.guard.authorize(caller, "ecs:DescribeClusters", &arn, &crate::tags::owned(tags)).await?;
        match found {
            Some(cluster) => {
                clusters.push(cluster.document(&ecs.state(), request.include.contains(&Include::Tags)));
            }
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}
