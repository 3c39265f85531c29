//! All that any job of a stack has in ECS, with its tags, for the sweeper.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ClusterField, ServiceField, TaskDefinitionStatus};
use mayfly_lambda::error::Error;
use mayfly_lambda::search::Search;
use mayfly_model::tags::Tagged;

use crate::{Described, pairs, tags_of_revision};

/// Source: ECS API Reference, `DescribeServices`, `services`.
const SERVICES_PER_CALL: usize = 10;

/// Source: ECS API Reference, `DescribeClusters`, `clusters`.
const CLUSTERS_PER_CALL: usize = 100;

/// The clusters that jobs have of their own.
pub async fn clusters(ecs: &Client, stack: &str) -> Search<Tagged> {
    let pages = ecs.list_clusters().into_paginator().items().send();
    let arns: Result<Vec<String>, _> = pages.try_collect().await;
    let of_stack = format!(":cluster/{stack}-");
    let arns =
        arns.map(|arns| chunks(arns.into_iter().filter(|arn| arn.contains(&of_stack)), CLUSTERS_PER_CALL));
    let look = async |arns: Vec<String>| {
        let description = ecs.describe_clusters().set_clusters(Some(arns)).include(ClusterField::Tags);
        let described = description.send().await.map_err(Error::aws("describe the clusters"))?;
        let left = described.clusters().iter().filter(|cluster| !cluster.is_gone());
        Ok(left.map(|cluster| Tagged::new(cluster.arn(), pairs(cluster.tags()))).collect())
    };
    Search::of(arns.map_err(Error::aws("list the clusters")), look).await
}

/// The services in the stack's own cluster.
pub async fn services(ecs: &Client, stack_cluster: &str) -> Search<Tagged> {
    let pages = ecs.list_services().cluster(stack_cluster).into_paginator().items().send();
    let arns: Result<Vec<String>, _> = pages.try_collect().await;
    let arns = arns.map(|arns| chunks(arns.into_iter(), SERVICES_PER_CALL));
    let look = async |arns: Vec<String>| {
        let description = ecs.describe_services().cluster(stack_cluster).set_services(Some(arns));
        let described = description
            .include(ServiceField::Tags)
            .send()
            .await
            .map_err(Error::aws("describe the cluster's services"))?;
        let services = described.services().iter();
        Ok(services.map(|service| Tagged::new(service.arn(), pairs(service.tags()))).collect())
    };
    Search::of(arns.map_err(Error::aws("list the cluster's services")), look).await
}

/// One revision of each family of task definitions: all revisions of a family are of one job.
pub async fn task_definitions(ecs: &Client, stack: &str) -> Search<Tagged> {
    let list = ecs.list_task_definition_families().family_prefix(format!("{stack}-"));
    let families: Result<Vec<String>, _> = list.into_paginator().items().send().try_collect().await;
    let families = families.map_err(Error::aws("list the task definitions' families"));
    Search::of(families, async |family| revision(ecs, &family).await.map(Vec::from_iter)).await
}

async fn revision(ecs: &Client, family: &str) -> Result<Option<Tagged>, Error> {
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let list = ecs.list_task_definitions().family_prefix(family).status(status);
        let listed = list.send().await.map_err(Error::aws("list a family's task definitions"))?;
        let Some(arn) = listed.task_definition_arns().first() else { continue };
        let tags = tags_of_revision(ecs, arn, "describe a task definition").await?;
        return Ok(tags.map(|tags| Tagged::new(arn, pairs(&tags))));
    }
    Ok(None)
}

fn chunks(arns: impl Iterator<Item = String>, size: usize) -> Vec<Vec<String>> {
    arns.collect::<Vec<_>>().chunks(size).map(<[String]>::to_vec).collect()
}
