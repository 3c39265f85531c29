//! The jobs of this stack that have resources, by the resources' tags: one search per kind of resource.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Address, InternetGateway, NatGateway, NatGatewayState, Vpc};
use aws_sdk_ecs::types::{
    Cluster, ClusterField, Service, ServiceField, TaskDefinitionField, TaskDefinitionStatus,
};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_model::names::job_id;
use mayfly_model::tags;

use crate::{Clients, SIDE_BY_SIDE, Settings};

/// Source: ECS API Reference, `DescribeServices`, `services`.
const SERVICES_PER_CALL: usize = 10;

/// Source: ECS API Reference, `DescribeClusters`, `clusters`.
const CLUSTERS_PER_CALL: usize = 100;

/// A job that has resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub id: String,
    /// The ARN of its execution; none where the tag does not name one of this job.
    pub execution: Option<String>,
    /// That of one of its resources; none where the tag cannot be read. A job whose resources differ is found for each.
    pub expiry: Option<Timestamp>,
}

/// Whose a resource of the stack is: a job's, or, in words, nobody's, because its tag is no job's id.
type Owner = Result<Job, String>;

/// The owner of a resource with these tags; none where it is not of the stack, or of no job.
fn owner<'a>(
    settings: &Settings,
    resource: &str,
    tags: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<Owner> {
    let tags: BTreeMap<&str, &str> = tags.collect();
    let id = *tags.get(tags::JOB).filter(|_| tags.get(tags::STACK) == Some(&settings.stack.as_str()))?;
    if job_id(id) != id {
        return Some(Err(format!("{resource} has the tag {} with {id:?}, which is no job's id", tags::JOB)));
    }
    let names_this = |arn: &&&str| {
        let name = arn.strip_prefix(&*settings.run_job_executions).and_then(|rest| rest.strip_prefix(':'));
        name.is_some_and(|name| job_id(name) == id)
    };
    Some(Ok(Job {
        id: id.to_owned(),
        execution: tags.get(tags::EXECUTION).filter(names_this).map(|arn| (*arn).to_owned()),
        expiry: tags.get(tags::EXPIRY).and_then(|expiry| expiry.parse().ok()),
    }))
}

/// What a search has found, and where it failed: the one does not make the other worthless.
#[derive(Debug, Default)]
pub struct Found {
    pub jobs: BTreeSet<Job>,
    /// What is of the stack and, by its tag, of no job, in words.
    pub strays: BTreeSet<String>,
    pub failures: Vec<Error>,
}

impl Found {
    fn add(&mut self, owners: Result<Vec<Owner>, Error>) {
        match owners {
            Ok(owners) => owners.into_iter().for_each(|owner| match owner {
                Ok(job) => _ = self.jobs.insert(job),
                Err(stray) => _ = self.strays.insert(stray),
            }),
            Err(error) => self.failures.push(error),
        }
    }
}

/// Looks at each of `items`, a few side by side.
async fn each<T, L>(items: impl IntoIterator<Item = T>, look: impl Fn(T) -> L) -> Found
where
    L: Future<Output = Result<Vec<Owner>, Error>>,
{
    let mut found = Found::default();
    let mut looks = stream::iter(items).map(look).buffer_unordered(SIDE_BY_SIDE);
    while let Some(owners) = looks.next().await {
        found.add(owners);
    }
    found
}

/// What can be left of a job's own network; all else is in its VPC, which cannot go first.
/// Source: EC2 API Reference, `DeleteVpc`.
pub async fn networks(clients: &Clients, settings: &Settings) -> Found {
    let mut gateways = find::of_stack::<NatGateway>(&clients.ec2, &settings.stack).await;
    if let Ok(gateways) = &mut gateways {
        gateways
            .retain(|nat| !matches!(nat.state(), Some(NatGatewayState::Deleted | NatGatewayState::Failed)));
    }
    let mut found = Found::default();
    found.add(owners(settings, gateways));
    found.add(owners(settings, find::of_stack::<Address>(&clients.ec2, &settings.stack).await));
    found.add(owners(settings, find::of_stack::<InternetGateway>(&clients.ec2, &settings.stack).await));
    found.add(owners(settings, find::of_stack::<Vpc>(&clients.ec2, &settings.stack).await));
    found
}

fn owners<T: Described>(settings: &Settings, found: Result<Vec<T>, Error>) -> Result<Vec<Owner>, Error> {
    let owner = |resource: &T| owner(settings, resource.id(), mayfly_ec2::pairs(resource.tag_list()));
    Ok(found?.iter().filter_map(owner).collect())
}

/// The clusters that jobs have of their own; a service in one needs no search, because the cluster cannot go first.
/// Source: ECS API Reference, `DeleteCluster`.
pub async fn clusters(clients: &Clients, settings: &Settings) -> Result<Found, Error> {
    let pages = clients.ecs.list_clusters().into_paginator();
    let mut arns: Vec<String> =
        pages.items().send().try_collect().await.map_err(Error::aws("list the clusters"))?;
    let of_stack = format!(":cluster/{}-", settings.stack);
    arns.retain(|arn| arn.contains(&of_stack));
    let look = async |arns: &[String]| {
        let described = clients
            .ecs
            .describe_clusters()
            .set_clusters(Some(arns.to_vec()))
            .include(ClusterField::Tags)
            .send()
            .await
            .map_err(Error::aws("describe the clusters"))?;
        let left = described.clusters().iter().filter(|cluster| cluster.status() != Some("INACTIVE"));
        let owner = |cluster: &Cluster| {
            owner(settings, cluster.cluster_arn().unwrap_or_default(), mayfly_ecs::pairs(cluster.tags()))
        };
        Ok(left.filter_map(owner).collect())
    };
    Ok(each(arns.chunks(CLUSTERS_PER_CALL), look).await)
}

/// The services in the stack's own cluster.
pub async fn services(clients: &Clients, settings: &Settings) -> Result<Found, Error> {
    let pages = clients.ecs.list_services().cluster(&settings.cluster).into_paginator();
    let arns: Vec<String> =
        pages.items().send().try_collect().await.map_err(Error::aws("list the cluster's services"))?;
    let look = async |arns: &[String]| {
        let described = clients
            .ecs
            .describe_services()
            .cluster(&settings.cluster)
            .set_services(Some(arns.to_vec()))
            .include(ServiceField::Tags)
            .send()
            .await
            .map_err(Error::aws("describe the cluster's services"))?;
        let owner = |service: &Service| {
            owner(settings, service.service_arn().unwrap_or_default(), mayfly_ecs::pairs(service.tags()))
        };
        Ok(described.services().iter().filter_map(owner).collect())
    };
    Ok(each(arns.chunks(SERVICES_PER_CALL), look).await)
}

/// The mailboxes.
pub async fn mailboxes(clients: &Clients, settings: &Settings) -> Result<Found, Error> {
    let queues =
        clients.sqs.list_queues().queue_name_prefix(format!("{}-", settings.stack)).max_results(1000);
    let urls: Vec<String> = queues
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(Error::aws("list the mailboxes"))?;
    let look = async |url: String| match clients.sqs.list_queue_tags().queue_url(&url).send().await {
        Ok(listed) => {
            let tags = listed.tags.unwrap_or_default();
            let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            Ok(Vec::from_iter(owner(settings, &url, tags)))
        }
        // A deleted queue may be listed for up to a minute.
        // Source: SQS API Reference, `DeleteQueue`.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => Ok(Vec::new()),
        Err(error) => Err(Error::aws("read the tags of a mailbox")(error)),
    };
    Ok(each(urls, look).await)
}

/// The task definitions' families.
pub async fn task_definitions(clients: &Clients, settings: &Settings) -> Result<Found, Error> {
    let prefix = format!("{}-", settings.stack);
    let pages = clients.ecs.list_task_definition_families().family_prefix(prefix).into_paginator();
    let families: Vec<String> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(Error::aws("list the task definitions' families"))?;
    Ok(each(families, async |family| family_owner(clients, settings, &family).await).await)
}

/// All revisions of a family are of one job.
async fn family_owner(clients: &Clients, settings: &Settings, family: &str) -> Result<Vec<Owner>, Error> {
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let listed = clients
            .ecs
            .list_task_definitions()
            .family_prefix(family)
            .status(status)
            .send()
            .await
            .map_err(Error::aws("list a family's task definitions"))?;
        let Some(arn) = listed.task_definition_arns().first() else { continue };
        let description =
            clients.ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
        return match description.send().await {
            Ok(described) => Ok(Vec::from_iter(owner(settings, arn, mayfly_ecs::pairs(described.tags())))),
            // A teardown has deleted it since it was listed.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => Ok(Vec::new()),
            Err(error) => Err(Error::aws("describe a task definition")(error)),
        };
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTIONS: &str = "arn:aws:states:eu-central-1:111122223333:execution:mayfly-run-job";

    fn owner_by(job: &str, execution: &str) -> Option<Owner> {
        let settings = Settings {
            stack: "mayfly".into(),
            cluster: String::new(),
            run_job_executions: EXECUTIONS.into(),
            tear_down: String::new(),
        };
        let tags = [(tags::STACK, "mayfly"), (tags::JOB, job), (tags::EXECUTION, execution)];
        owner(&settings, "vpc-1", tags.into_iter())
    }

    #[test]
    fn a_job_s_execution_is_the_one_that_its_tag_names() {
        let name = "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f_0c7d1c52-3b0e-4f6e-8a53-5d3f1f9a7b21";
        for name in ["my-job", "v1.2.3", "Übung", name] {
            let arn = format!("{EXECUTIONS}:{name}");
            let job = owner_by(&job_id(name), &arn).unwrap().unwrap();
            assert_eq!(job.execution, Some(arn));
        }
    }

    #[test]
    fn a_tag_that_names_another_job_s_execution_names_none() {
        for execution in ["", "mine", &format!("{EXECUTIONS}:other"), &format!("{EXECUTIONS}-2:mine")] {
            assert_eq!(owner_by("mine", execution).unwrap().unwrap().execution, None, "{execution}");
        }
        // An execution with a name that no tag can hold.
        let arn = format!("{EXECUTIONS}:it_s");
        assert_eq!(owner_by(&job_id("it's"), &arn).unwrap().unwrap().execution, None);
    }

    #[test]
    fn a_resource_whose_job_tag_is_no_id_is_told_by_its_own() {
        for no_id in ["", "a b", "v1.2.3", &"j".repeat(65)] {
            let stray = owner_by(no_id, "").unwrap().unwrap_err();
            assert!(stray.starts_with("vpc-1 has the tag mayfly:job with"), "{stray}");
        }
    }
}
