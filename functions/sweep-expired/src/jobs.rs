//! The jobs of this stack that have resources, by the resources' tags: one search per kind of resource.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Address, InternetGateway, NatGateway, NatGatewayState, Vpc};
use aws_sdk_ecs::types::{ClusterField, ServiceField, TaskDefinitionField, TaskDefinitionStatus};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use mayfly_common::error::Error;
use mayfly_common::tags;
use mayfly_network::find::{self, Described};

use crate::{Clients, SIDE_BY_SIDE, Settings};

/// Source: ECS API Reference, `DescribeServices`, `services`.
const SERVICES_PER_CALL: usize = 10;

/// Source: ECS API Reference, `DescribeClusters`, `clusters`.
const CLUSTERS_PER_CALL: usize = 100;

/// A job that has resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub id: String,
    /// That of one of its resources; none where the tag cannot be read. A job whose resources differ is found for each.
    pub expiry: Option<Timestamp>,
}

impl Job {
    /// The job of `stack` that a resource with these tags belongs to.
    fn of<'a>(stack: &str, tags: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let tags: BTreeMap<&str, &str> = tags.collect();
        let id = tags.get(tags::JOB).filter(|_| tags.get(tags::STACK) == Some(&stack))?;
        let expiry = tags.get(tags::EXPIRY).and_then(|expiry| expiry.parse().ok());
        Some(Self { id: (*id).to_owned(), expiry })
    }

    /// The ARN of its execution.
    pub fn execution(&self, settings: &Settings) -> String {
        format!("{}:{}", settings.run_job_executions, self.id)
    }
}

/// What a search has found, and where it failed: the one does not make the other worthless.
#[derive(Debug, Default)]
pub struct Found {
    pub jobs: BTreeSet<Job>,
    pub failures: Vec<Error>,
}

impl Found {
    fn add(&mut self, jobs: Result<Vec<Job>, Error>) {
        match jobs {
            Ok(jobs) => self.jobs.extend(jobs),
            Err(error) => self.failures.push(error),
        }
    }
}

/// Looks at each of `items`, a few side by side.
async fn each<T, L>(items: impl IntoIterator<Item = T>, look: impl Fn(T) -> L) -> Found
where
    L: Future<Output = Result<Vec<Job>, Error>>,
{
    let mut found = Found::default();
    let mut looks = stream::iter(items).map(look).buffer_unordered(SIDE_BY_SIDE);
    while let Some(jobs) = looks.next().await {
        found.add(jobs);
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

fn owners<T: Described>(settings: &Settings, found: Result<Vec<T>, Error>) -> Result<Vec<Job>, Error> {
    let owner = |resource: &T| Job::of(&settings.stack, mayfly_network::pairs(resource.tag_list()));
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
        Ok(left
            .filter_map(|cluster| Job::of(&settings.stack, mayfly_compute::pairs(cluster.tags())))
            .collect())
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
        let services = described.services().iter();
        Ok(services
            .filter_map(|service| Job::of(&settings.stack, mayfly_compute::pairs(service.tags())))
            .collect())
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
    let look = async |url| match clients.sqs.list_queue_tags().queue_url(url).send().await {
        Ok(listed) => {
            let tags = listed.tags.unwrap_or_default();
            let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            Ok(Vec::from_iter(Job::of(&settings.stack, tags)))
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
async fn family_owner(clients: &Clients, settings: &Settings, family: &str) -> Result<Vec<Job>, Error> {
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
            Ok(described) => {
                Ok(Vec::from_iter(Job::of(&settings.stack, mayfly_compute::pairs(described.tags()))))
            }
            // A teardown has deleted it since it was listed.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => Ok(Vec::new()),
            Err(error) => Err(Error::aws("describe a task definition")(error)),
        };
    }
    Ok(Vec::new())
}
