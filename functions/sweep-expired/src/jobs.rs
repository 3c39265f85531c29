//! The jobs of this stack that have resources, by the resources' tags.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Address, InternetGateway, NatGateway, NatGatewayState, Vpc};
use aws_sdk_ecs::types::{
    Cluster, ClusterField, Service, ServiceField, Tag, TaskDefinitionField, TaskDefinitionStatus,
};
use jiff::Timestamp;
use mayfly_common::error::Error;
use mayfly_common::tags;
use mayfly_network::find::{self, Described};

use crate::{Clients, Settings};

/// Source: ECS API Reference, `DescribeServices`, `services`.
const SERVICES_PER_CALL: usize = 10;

/// Source: ECS API Reference, `DescribeClusters`, `clusters`.
const CLUSTERS_PER_CALL: usize = 100;

/// A job that has resources.
pub struct Job {
    pub id: String,
    /// The earliest of its resources'; none where a tag cannot be read.
    pub expiry: Option<Timestamp>,
}

impl Job {
    /// The ARN of its execution.
    pub fn execution(&self, settings: &Settings) -> String {
        format!("{}:{}", settings.run_job_executions, self.id)
    }
}

pub async fn with_resources(clients: &Clients, settings: &Settings) -> Result<Vec<Job>, Error> {
    let mut jobs = Jobs { stack: &settings.stack, found: BTreeMap::new() };
    clusters(clients, settings, &mut jobs).await?;
    networks(clients, settings, &mut jobs).await?;
    services(clients, settings, &mut jobs).await?;
    task_definitions(clients, settings, &mut jobs).await?;
    mailboxes(clients, settings, &mut jobs).await?;
    Ok(jobs.found.into_iter().map(|(id, expiry)| Job { id, expiry }).collect())
}

struct Jobs<'a> {
    stack: &'a str,
    found: BTreeMap<String, Option<Timestamp>>,
}

impl Jobs<'_> {
    fn add_ec2<T: Described>(&mut self, found: &[T]) {
        for resource in found {
            let tags = resource.tag_list().iter();
            self.add(tags.filter_map(|tag| Some((tag.key()?, tag.value()?))));
        }
    }

    fn add_ecs(&mut self, tags: &[Tag]) {
        self.add(tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?))));
    }

    /// Takes in the tags of one resource.
    fn add<'a>(&mut self, tags: impl Iterator<Item = (&'a str, &'a str)>) {
        let tags: BTreeMap<&str, &str> = tags.collect();
        let Some(job) = tags.get(tags::JOB).filter(|_| tags.get(tags::STACK) == Some(&self.stack)) else {
            return;
        };
        let expiry: Option<Timestamp> = tags.get(tags::EXPIRY).and_then(|expiry| expiry.parse().ok());
        let earliest = self.found.entry((*job).to_owned()).or_default();
        *earliest = earliest.iter().chain(&expiry).min().copied();
    }
}

/// The clusters that jobs have of their own; a service in one needs no search, because the cluster cannot go first.
/// Source: ECS API Reference, `DeleteCluster`.
async fn clusters(clients: &Clients, settings: &Settings, jobs: &mut Jobs<'_>) -> Result<(), Error> {
    let pages = clients.ecs.list_clusters().into_paginator();
    let mut arns: Vec<String> =
        pages.items().send().try_collect().await.map_err(Error::aws("list the clusters"))?;
    let of_stack = format!(":cluster/{}-", settings.stack);
    arns.retain(|arn| arn.contains(&of_stack));
    for arns in arns.chunks(CLUSTERS_PER_CALL) {
        let described = clients
            .ecs
            .describe_clusters()
            .set_clusters(Some(arns.to_vec()))
            .include(ClusterField::Tags)
            .send()
            .await
            .map_err(Error::aws("describe the clusters"))?;
        let left = described.clusters().iter().filter(|cluster| cluster.status() != Some("INACTIVE"));
        left.map(Cluster::tags).for_each(|tags| jobs.add_ecs(tags));
    }
    Ok(())
}

/// What can be left of a job's own network; all else is in its VPC, which cannot go first.
/// Source: EC2 API Reference, `DeleteVpc`.
async fn networks(clients: &Clients, settings: &Settings, jobs: &mut Jobs<'_>) -> Result<(), Error> {
    let (ec2, stack) = (&clients.ec2, settings.stack.as_str());
    jobs.add_ec2(&find::of_stack::<Vpc>(ec2, stack).await?);
    jobs.add_ec2(&find::of_stack::<InternetGateway>(ec2, stack).await?);
    jobs.add_ec2(&find::of_stack::<Address>(ec2, stack).await?);
    let mut gateways = find::of_stack::<NatGateway>(ec2, stack).await?;
    gateways.retain(|nat| !matches!(nat.state(), Some(NatGatewayState::Deleted | NatGatewayState::Failed)));
    jobs.add_ec2(&gateways);
    Ok(())
}

async fn services(clients: &Clients, settings: &Settings, jobs: &mut Jobs<'_>) -> Result<(), Error> {
    let pages = clients.ecs.list_services().cluster(&settings.cluster).into_paginator();
    let arns: Vec<String> =
        pages.items().send().try_collect().await.map_err(Error::aws("list the cluster's services"))?;
    for arns in arns.chunks(SERVICES_PER_CALL) {
        let described = clients
            .ecs
            .describe_services()
            .cluster(&settings.cluster)
            .set_services(Some(arns.to_vec()))
            .include(ServiceField::Tags)
            .send()
            .await
            .map_err(Error::aws("describe the cluster's services"))?;
        described.services().iter().map(Service::tags).for_each(|tags| jobs.add_ecs(tags));
    }
    Ok(())
}

async fn task_definitions(clients: &Clients, settings: &Settings, jobs: &mut Jobs<'_>) -> Result<(), Error> {
    let prefix = format!("{}-", settings.stack);
    let pages = clients.ecs.list_task_definition_families().family_prefix(prefix).into_paginator();
    let families: Vec<String> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(Error::aws("list the task definitions' families"))?;
    for family in families {
        for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
            let listed = clients
                .ecs
                .list_task_definitions()
                .family_prefix(&family)
                .status(status)
                .send()
                .await
                .map_err(Error::aws("list a family's task definitions"))?;
            // All revisions of a family are of one job.
            let Some(arn) = listed.task_definition_arns().first() else { continue };
            let description = clients
                .ecs
                .describe_task_definition()
                .task_definition(arn)
                .include(TaskDefinitionField::Tags);
            match description.send().await {
                Ok(described) => jobs.add_ecs(described.tags()),
                // A teardown has deleted it since it was listed.
                Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => {}
                Err(error) => return Err(Error::aws("describe a task definition")(error)),
            }
        }
    }
    Ok(())
}

async fn mailboxes(clients: &Clients, settings: &Settings, jobs: &mut Jobs<'_>) -> Result<(), Error> {
    let queues =
        clients.sqs.list_queues().queue_name_prefix(format!("{}-", settings.stack)).max_results(1000);
    let urls: Vec<String> = queues
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(Error::aws("list the mailboxes"))?;
    for url in urls {
        match clients.sqs.list_queue_tags().queue_url(url).send().await {
            Ok(listed) => {
                let queue_tags = listed.tags.unwrap_or_default();
                jobs.add(queue_tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            }
            // A deleted queue may be listed for up to a minute.
            // Source: SQS API Reference, `DeleteQueue`.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {}
            Err(error) => return Err(Error::aws("read the tags of a mailbox")(error)),
        }
    }
    Ok(())
}
