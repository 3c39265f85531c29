//! The job's services, tasks, cluster, task definitions and mailboxes.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Task, TaskDefinitionStatus};
use mayfly_common::error::Error;
use mayfly_common::inventory::{Kind, Resource};
use mayfly_compute::Owner;

pub async fn cluster(ecs: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let found = mayfly_compute::cluster(ecs, owner).await?;
    Ok(found.iter().map(|c| resource(Kind::Cluster, c.cluster_arn(), c.status())).collect())
}

pub async fn services(ecs: &Client, stack_cluster: &str, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let found = mayfly_compute::services(ecs, stack_cluster, owner).await?;
    Ok(found.iter().map(|s| resource(Kind::Service, s.service_arn(), s.status())).collect())
}

/// The job's tasks, and the ids of their network interfaces, which may be gone.
pub async fn tasks(
    ecs: &Client,
    stack_cluster: &str,
    owner: Owner<'_>,
) -> Result<(Vec<Resource>, Vec<String>), Error> {
    let found = mayfly_compute::tasks(ecs, stack_cluster, owner).await?;
    let tasks = found.iter().map(|task| resource(Kind::Task, task.task_arn(), task.last_status()));
    Ok((tasks.collect(), found.iter().flat_map(interface_ids).collect()))
}

/// Source: ECS API Reference, `Attachment`: details of an `ElasticNetworkInterface`.
fn interface_ids(task: &Task) -> impl Iterator<Item = String> {
    let details = task.attachments().iter().flat_map(|attachment| attachment.details());
    details
        .filter(|detail| detail.name() == Some("networkInterfaceId"))
        .filter_map(|d| d.value().map(str::to_owned))
}

pub async fn task_definitions(ecs: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let mut found = Vec::new();
    for status in
        [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive, TaskDefinitionStatus::DeleteInProgress]
    {
        for (arn, _) in mayfly_compute::task_definitions(ecs, owner, status.clone()).await? {
            found.push(resource(Kind::TaskDefinition, Some(&arn), Some(status.as_str())));
        }
    }
    Ok(found)
}

pub async fn mailboxes(sqs: &aws_sdk_sqs::Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let found = mayfly_compute::mailboxes(sqs, owner).await?;
    Ok(found.iter().map(|url| resource(Kind::Queue, Some(url), Some("EXISTS"))).collect())
}

fn resource(kind: Kind, id: Option<&str>, state: Option<&str>) -> Resource {
    Resource { kind, id: id.unwrap_or_default().to_owned(), state: state.unwrap_or("UNKNOWN").to_owned() }
}
