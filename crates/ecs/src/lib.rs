//! A job's services, tasks, task definitions and cluster in ECS, by their tags, which are compared exactly. A job has its
//! services in the stack's cluster or, with a network of its own, in a cluster of its own.

pub mod classify;
pub mod event;
pub mod of_stack;
mod owner;

use std::error::Error as StdError;
use std::fmt::Debug;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{
    Cluster, ClusterField, DesiredStatus, Service, ServiceField, Tag, Task, TaskDefinitionField,
    TaskDefinitionStatus, TaskField,
};
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{Kind, Resource, UNKNOWN};
use mayfly_model::tags::{Owner, Tags};
use tokio::try_join;

pub use owner::{ServiceOfJob, service_of};

/// Tags as ECS has them, for the call that creates something.
pub fn tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Keys and values, for [`Owner::owns`].
pub fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)))
}

/// What ECS describes of a resource.
pub trait Described {
    /// The kind in the inventory.
    const KIND: Kind;

    /// Its ARN.
    fn arn(&self) -> &str;

    /// Its state in AWS's words.
    fn state(&self) -> &str;

    /// Whether it is described, as for a while after its end, and is gone all the same.
    fn is_gone(&self) -> bool {
        Self::KIND.is_gone(self.state())
    }

    /// Its entry in an inventory.
    fn resource(&self) -> Resource {
        Resource::new(Self::KIND, self.arn(), self.state())
    }
}

macro_rules! described {
    ($kind:ident, $arn:ident, $state:ident) => {
        impl Described for $kind {
            const KIND: Kind = Kind::$kind;

            fn arn(&self) -> &str {
                self.$arn().unwrap_or_default()
            }

            fn state(&self) -> &str {
                self.$state().unwrap_or(UNKNOWN)
            }
        }
    };
}

described!(Cluster, cluster_arn, status);
described!(Service, service_arn, status);
described!(Task, task_arn, last_status);

/// The job's own cluster, in whatever state: it is described for a while after it was deleted.
///
/// # Errors
/// As [`Error::aws`].
pub async fn cluster(ecs: &Client, owner: Owner<'_>) -> Result<Option<Cluster>, Error> {
    let described = ecs
        .describe_clusters()
        .clusters(owner.names().cluster())
        .include(ClusterField::Tags)
        .send()
        .await
        .map_err(Error::aws("describe the job's cluster"))?;
    Ok(described.clusters.unwrap_or_default().into_iter().find(|cluster| owner.owns(pairs(cluster.tags()))))
}

/// The job's services, in whatever state, in the stack's cluster and in its own.
///
/// # Errors
/// As [`Error::aws`].
pub async fn services(ecs: &Client, stack_cluster: &str, owner: Owner<'_>) -> Result<Vec<Service>, Error> {
    let own_cluster = owner.names().cluster();
    let (one, other) =
        try_join!(services_in(ecs, stack_cluster, owner), services_in(ecs, &own_cluster, owner))?;
    Ok([one, other].concat())
}

/// The job's tasks in the stack's cluster and in its own, those that have stopped within the last hour included.
///
/// # Errors
/// As [`Error::aws`].
pub async fn tasks(ecs: &Client, stack_cluster: &str, owner: Owner<'_>) -> Result<Vec<Task>, Error> {
    let own_cluster = owner.names().cluster();
    let (one, other) = try_join!(tasks_in(ecs, stack_cluster, owner), tasks_in(ecs, &own_cluster, owner))?;
    Ok([one, other].concat())
}

/// The tasks that a service has, or has had within the last hour, where `desired` says so.
///
/// # Errors
/// As [`Error::aws`].
pub async fn tasks_of_service(
    ecs: &Client,
    cluster: &str,
    service: &str,
    desired: DesiredStatus,
) -> Result<Vec<Task>, Error> {
    let list = ecs.list_tasks().cluster(cluster).service_name(service).desired_status(desired);
    let listed = list.send().await.map_err(Error::aws("list the service's tasks"))?;
    let arns = listed.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let describe = ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let described = describe.send().await.map_err(Error::aws("describe the service's tasks"))?;
    Ok(described.tasks.unwrap_or_default())
}

/// The ARNs of the revisions of the job's task definition that are in that status, and their tags.
///
/// # Errors
/// As [`Error::aws`].
pub async fn task_definitions(
    ecs: &Client,
    owner: Owner<'_>,
    status: TaskDefinitionStatus,
) -> Result<Vec<(String, Vec<Tag>)>, Error> {
    let list = ecs.list_task_definitions().family_prefix(owner.names().family()).status(status);
    let pages = list.into_paginator().items().send();
    let arns: Vec<String> =
        pages.try_collect().await.map_err(Error::aws("list the job's task definitions"))?;
    let mut found = Vec::new();
    for arn in arns {
        if let Some(tags) = tags_of_revision(ecs, &arn, "describe the job's task definition").await? {
            found.push((arn, tags));
        }
    }
    found.retain(|(_, tags)| owner.owns(pairs(tags)));
    Ok(found)
}

/// The tags of a revision that was listed; none where a teardown has deleted it since.
async fn tags_of_revision(ecs: &Client, arn: &str, doing: &str) -> Result<Option<Vec<Tag>>, Error> {
    let description = ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
    match description.send().await {
        Ok(described) => Ok(Some(described.tags.unwrap_or_default())),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => Ok(None),
        Err(error) => Err(Error::aws(doing)(error)),
    }
}

/// What ECS says in the detail `name` of the task's network interfaces.
/// Source: ECS API Reference, `Attachment`: details of an `ElasticNetworkInterface`.
pub fn interface_details<'a>(task: &'a Task, name: &'a str) -> impl Iterator<Item = &'a str> {
    let details = task.attachments().iter().flat_map(|attachment| attachment.details());
    details.filter(move |detail| detail.name() == Some(name)).filter_map(|detail| detail.value())
}

async fn services_in(ecs: &Client, cluster: &str, owner: Owner<'_>) -> Result<Vec<Service>, Error> {
    let description = ecs
        .describe_services()
        .cluster(cluster)
        .set_services(Some(owner.names().services()))
        .include(ServiceField::Tags);
    let described = unless_no_cluster("describe the job's services", description.send().await)?;
    let mut services = described.and_then(|described| described.services).unwrap_or_default();
    services.retain(|service| is_of(owner, service));
    Ok(services)
}

/// A service that is deleted may have lost its tags and drain for minutes. Its exact name, in a cluster of the stack's or of
/// the job's own, then says whose it is; one with another's tags is never the job's.
/// Source: ECS API Reference, `CreateService`, `tags`: "When a service is deleted, the tags are deleted as well."
fn is_of(owner: Owner<'_>, service: &Service) -> bool {
    let is_deleted = service.status().is_some_and(|status| status != "ACTIVE");
    owner.owns(pairs(service.tags())) || (is_deleted && service.tags().is_empty())
}

/// Those that are to run come first, so that one which is stopped meanwhile is not missed.
async fn tasks_in(ecs: &Client, cluster: &str, owner: Owner<'_>) -> Result<Vec<Task>, Error> {
    let mut tasks = Vec::new();
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let list = ecs.list_tasks().cluster(cluster).family(owner.names().family()).desired_status(desired);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let listed = unless_no_cluster("list the job's tasks", page)?;
            let arns = listed.and_then(|listed| listed.task_arns).unwrap_or_default();
            if arns.is_empty() {
                continue;
            }
            let description =
                ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns)).include(TaskField::Tags);
            let described = unless_no_cluster("describe the job's tasks", description.send().await)?;
            tasks.extend(described.and_then(|described| described.tasks).unwrap_or_default());
        }
    }
    tasks.retain(|task| owner.owns(pairs(task.tags())));
    Ok(tasks)
}

/// The answer; none where the cluster was never there, or is not any more.
/// Source: ECS API Reference, `DescribeServices`, `ListTasks` and `DescribeTasks`, errors.
fn unless_no_cluster<T, E, R>(doing: &str, answer: Result<T, SdkError<E, R>>) -> Result<Option<T>, Error>
where
    E: StdError + ProvideErrorMetadata + 'static,
    R: Debug + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("ClusterNotFoundException") => Ok(None),
        Err(error) => Err(Error::aws(doing)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_has_lost_its_tags_while_it_drains_is_still_its_jobs() {
        let owner = Owner { stack: "mayfly", job: "a" };
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let service = |status: &str, job: Option<&str>| {
            let tags = job.map(|job| vec![tag("mayfly:stack", "mayfly"), tag("mayfly:job", job)]);
            Service::builder().status(status).set_tags(tags).build()
        };
        for (status, job, is_the_jobs) in [
            ("ACTIVE", Some("a"), true),
            ("DRAINING", None, true),
            ("INACTIVE", None, true),
            ("DRAINING", Some("b"), false),
            // One that lives has the tags that its creation gave it.
            ("ACTIVE", None, false),
        ] {
            assert_eq!(is_of(owner, &service(status, job)), is_the_jobs, "{status} {job:?}");
        }
    }
}
