//! The job's services, tasks, network interfaces and task definitions.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    DesiredStatus, ServiceField, Tag, Task, TaskDefinitionField, TaskDefinitionStatus, TaskField,
};
use mayfly_common::error::Error;
use mayfly_common::inventory::{Kind, Resource};
use mayfly_common::tags;

use crate::Owner;

impl Owner<'_> {
    fn owns(&self, tags: &[Tag]) -> bool {
        let pairs = tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        tags::belong_to(pairs, self.stack, self.job)
    }
}

pub async fn services(ecs: &Client, cluster: &str, owner: &Owner<'_>) -> Result<Vec<Resource>, Error> {
    let described = ecs
        .describe_services()
        .cluster(cluster)
        .set_services(Some(owner.names.services()))
        .include(ServiceField::Tags)
        .send()
        .await
        .map_err(Error::aws("describe the job's services"))?;
    let own = described.services().iter().filter(|service| owner.owns(service.tags()));
    Ok(own.map(|s| resource(Kind::Service, s.service_arn(), s.status())).collect())
}

/// The job's tasks and those of their network interfaces that are still there.
pub async fn tasks(
    ecs: &Client,
    ec2: &aws_sdk_ec2::Client,
    cluster: &str,
    owner: &Owner<'_>,
) -> Result<Vec<Resource>, Error> {
    let mut tasks = Vec::new();
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let list = ecs.list_tasks().cluster(cluster).family(owner.names.family()).desired_status(desired);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let arns = page.map_err(Error::aws("list the job's tasks"))?.task_arns.unwrap_or_default();
            if arns.is_empty() {
                continue;
            }
            let described = ecs
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(arns))
                .include(TaskField::Tags)
                .send()
                .await
                .map_err(Error::aws("describe the job's tasks"))?;
            tasks.extend(described.tasks.unwrap_or_default());
        }
    }
    let own: Vec<&Task> = tasks.iter().filter(|task| owner.owns(task.tags())).collect();
    let mut found: Vec<Resource> =
        own.iter().map(|task| resource(Kind::Task, task.task_arn(), task.last_status())).collect();
    found.extend(interfaces(ec2, own.into_iter().flat_map(interface_ids).collect()).await?);
    Ok(found)
}

/// Source: ECS API Reference, `Attachment`: details of an `ElasticNetworkInterface`.
fn interface_ids(task: &Task) -> impl Iterator<Item = String> {
    let details = task.attachments().iter().flat_map(|attachment| attachment.details());
    details
        .filter(|detail| detail.name() == Some("networkInterfaceId"))
        .filter_map(|d| d.value().map(str::to_owned))
}

/// A filter instead of ids, because an id that is gone would fail the call.
async fn interfaces(ec2: &aws_sdk_ec2::Client, ids: Vec<String>) -> Result<Vec<Resource>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let by_id =
        aws_sdk_ec2::types::Filter::builder().name("network-interface-id").set_values(Some(ids)).build();
    let described = ec2
        .describe_network_interfaces()
        .filters(by_id)
        .send()
        .await
        .map_err(Error::aws("describe the network interfaces of the job's tasks"))?;
    let interfaces = described.network_interfaces().iter();
    Ok(interfaces
        .map(|i| {
            resource(
                Kind::NetworkInterface,
                i.network_interface_id(),
                i.status().map(|status| status.as_str()),
            )
        })
        .collect())
}

pub async fn task_definitions(ecs: &Client, owner: &Owner<'_>) -> Result<Vec<Resource>, Error> {
    let statuses = [
        TaskDefinitionStatus::Active,
        TaskDefinitionStatus::Inactive,
        TaskDefinitionStatus::DeleteInProgress,
    ];
    let mut found = Vec::new();
    for status in statuses {
        let list = ecs
            .list_task_definitions()
            .family_prefix(owner.names.family())
            .status(status.clone())
            .send()
            .await
            .map_err(Error::aws("list the job's task definitions"))?;
        for arn in list.task_definition_arns() {
            let description =
                ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
            let described = match description.send().await {
                Ok(described) => described,
                // Another teardown may have deleted it since it was listed.
                Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => continue,
                Err(error) => return Err(Error::aws("describe the job's task definition")(error)),
            };
            if owner.owns(described.tags()) {
                found.push(resource(Kind::TaskDefinition, Some(arn), Some(status.as_str())));
            }
        }
    }
    Ok(found)
}

fn resource(kind: Kind, id: Option<&str>, state: Option<&str>) -> Resource {
    Resource { kind, id: id.unwrap_or_default().to_owned(), state: state.unwrap_or("UNKNOWN").to_owned() }
}
