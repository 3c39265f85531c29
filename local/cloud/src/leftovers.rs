//! An independent look at what a job has left: by the account's root, over every kind of resource, without a line of
//! the product's own search.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_ec2::types::NatGatewayState;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{ClusterField, DesiredStatus, ServiceField, TaskDefinitionStatus, TaskField};
use aws_sdk_s3::types::MultipartUpload;

use crate::Cloud;
use crate::deploy::DATA_BUCKET;

/// Source: Elastic Load Balancing API Reference, `DescribeTags`, `ResourceArns`.
const ARNS_PER_CALL: usize = 20;

const JOB_TAG: &str = "mayfly:job";

/// Source: ECS API Reference, `DescribeServices`, `services`.
const SERVICES_PER_CALL: usize = 10;

/// A resource of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Belonging {
    /// Its ARN, id or URL.
    pub id: String,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

impl Belonging {
    /// Whether it is tagged as one of this job, of whichever stack.
    pub fn is_of(&self, job: &str) -> bool {
        self.tags.get(JOB_TAG).is_some_and(|of| of == job)
    }
}

impl Cloud {
    /// Names everything in the account that carries `job` as the value of its tag `mayfly:job` and still exists.
    ///
    /// # Errors
    /// When a look fails.
    pub async fn leftovers(&self, job: &str) -> Result<Vec<String>> {
        let mut left = self.belongings().await?;
        left.retain(|belonging| belonging.is_of(job));
        Ok(left.into_iter().map(|belonging| belonging.id).collect())
    }

    /// The uploads in parts to the data bucket that are neither completed nor aborted, whoever has begun them.
    ///
    /// # Errors
    /// When a look fails.
    pub async fn uploads(&self) -> Result<Vec<String>> {
        let listed = self.s3().list_multipart_uploads().bucket(DATA_BUCKET).send().await?;
        let key = |upload: &MultipartUpload| upload.key().unwrap_or_default().to_owned();
        Ok(listed
            .uploads()
            .iter()
            .map(|upload| format!("upload of s3://{DATA_BUCKET}/{}", key(upload)))
            .collect())
    }

    /// Everything in the account that carries a tag `mayfly:job` and still exists, whatever its stack and job.
    ///
    /// # Errors
    /// When a look fails.
    pub async fn belongings(&self) -> Result<Vec<Belonging>> {
        let mut all = self.in_ecs().await?;
        all.extend(self.queues().await?);
        all.extend(self.in_ec2().await?);
        all.extend(self.in_elb().await?);
        all.retain(|belonging| belonging.tags.contains_key(JOB_TAG));
        Ok(all)
    }

    /// Clusters, services, tasks and task definitions.
    async fn in_ecs(&self) -> Result<Vec<Belonging>> {
        let ecs = self.ecs();
        let mut found = Vec::new();
        let arns = ecs.list_clusters().into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
        for cluster in &arns {
            // A job's own cluster may be deleted between two looks, and is not found then.
            match in_cluster(&ecs, cluster).await {
                Err(error) if error.code() == Some("ClusterNotFoundException") => {}
                in_cluster => found.extend(in_cluster?),
            }
        }
        let clusters = ecs.describe_clusters().set_clusters(Some(arns)).include(ClusterField::Tags).send();
        let clusters = clusters.await?;
        let alive = clusters.clusters().iter().filter(|cluster| cluster.status() != Some("INACTIVE"));
        found.extend(alive.map(|cluster| of_ecs(cluster.cluster_arn(), cluster.tags())));
        for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
            let listed = ecs.list_task_definitions().status(status).into_paginator().items().send();
            for arn in listed.collect::<Result<Vec<_>, _>>().await? {
                let tags = ecs.list_tags_for_resource().resource_arn(&arn).send().await?;
                found.push(of_ecs(Some(&arn), tags.tags()));
            }
        }
        Ok(found)
    }

    async fn queues(&self) -> Result<Vec<Belonging>> {
        let sqs = aws_sdk_sqs::Client::new(&self.sdk_config());
        let mut found = Vec::new();
        for url in sqs.list_queues().send().await?.queue_urls() {
            // It may be gone since it was listed.
            let Ok(tags) = sqs.list_queue_tags().queue_url(url).send().await else { continue };
            let tags = tags.tags.unwrap_or_default().into_iter().collect();
            found.push(Belonging { id: url.clone(), tags });
        }
        Ok(found)
    }

    /// All parts of networks. A NAT gateway and an endpoint are described for a while after their end.
    async fn in_ec2(&self) -> Result<Vec<Belonging>> {
        let ec2 = self.ec2();
        let mut found = Vec::new();
        let interfaces = ec2.describe_network_interfaces().send().await?;
        let interfaces = interfaces.network_interfaces().iter();
        found.extend(interfaces.map(|it| of_ec2(it.network_interface_id(), it.tag_set())));
        let nats = ec2.describe_nat_gateways().send().await?;
        let ended = [Some(&NatGatewayState::Deleted), Some(&NatGatewayState::Failed)];
        let nats = nats.nat_gateways().iter().filter(|nat| !ended.contains(&nat.state()));
        found.extend(nats.map(|it| of_ec2(it.nat_gateway_id(), it.tags())));
        let addresses = ec2.describe_addresses().send().await?;
        found.extend(addresses.addresses().iter().map(|it| of_ec2(it.allocation_id(), it.tags())));
        let gateways = ec2.describe_internet_gateways().send().await?;
        let gateways = gateways.internet_gateways().iter();
        found.extend(gateways.map(|it| of_ec2(it.internet_gateway_id(), it.tags())));
        let gateways = ec2.describe_egress_only_internet_gateways().send().await?;
        let gateways = gateways.egress_only_internet_gateways().iter();
        found.extend(gateways.map(|it| of_ec2(it.egress_only_internet_gateway_id(), it.tags())));
        let endpoints = ec2.describe_vpc_endpoints().send().await?;
        let is_there = |state: &str| !state.eq_ignore_ascii_case("deleted");
        let endpoints = endpoints.vpc_endpoints().iter();
        let endpoints = endpoints.filter(|it| it.state().is_none_or(|state| is_there(state.as_str())));
        found.extend(endpoints.map(|it| of_ec2(it.vpc_endpoint_id(), it.tags())));
        let tables = ec2.describe_route_tables().send().await?;
        found.extend(tables.route_tables().iter().map(|it| of_ec2(it.route_table_id(), it.tags())));
        let groups = ec2.describe_security_groups().send().await?;
        found.extend(groups.security_groups().iter().map(|it| of_ec2(it.group_id(), it.tags())));
        let subnets = ec2.describe_subnets().send().await?;
        found.extend(subnets.subnets().iter().map(|it| of_ec2(it.subnet_id(), it.tags())));
        let vpcs = ec2.describe_vpcs().send().await?;
        found.extend(vpcs.vpcs().iter().map(|it| of_ec2(it.vpc_id(), it.tags())));
        Ok(found)
    }

    /// Load balancers, their listeners aside, and target groups.
    async fn in_elb(&self) -> Result<Vec<Belonging>> {
        let elb = self.elb();
        let load_balancers = elb.describe_load_balancers().into_paginator().items().send();
        let load_balancers = load_balancers.collect::<Result<Vec<_>, _>>().await?;
        let groups = elb.describe_target_groups().into_paginator().items().send();
        let groups = groups.collect::<Result<Vec<_>, _>>().await?;
        let arns = load_balancers.into_iter().filter_map(|found| found.load_balancer_arn);
        let arns: Vec<_> =
            arns.chain(groups.into_iter().filter_map(|found| found.target_group_arn)).collect();
        let mut found = Vec::new();
        for arns in arns.chunks(ARNS_PER_CALL) {
            // One may be gone since it was listed.
            let Ok(tags) = elb.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await else {
                return Box::pin(self.in_elb()).await;
            };
            found.extend(tags.tag_descriptions().iter().map(|described| {
                let tags = described.tags().iter().map(|tag| (tag.key(), tag.value()));
                belonging(described.resource_arn(), tags)
            }));
        }
        Ok(found)
    }

    /// A client for the stand-in's EC2.
    pub fn ec2(&self) -> aws_sdk_ec2::Client {
        let config = self.sdk_config().to_builder().endpoint_url(&self.upstream().ec2).build();
        aws_sdk_ec2::Client::new(&config)
    }

    /// A client for the stand-in's ECS.
    pub fn ecs(&self) -> aws_sdk_ecs::Client {
        let config = self.sdk_config().to_builder().endpoint_url(&self.upstream().ecs).build();
        aws_sdk_ecs::Client::new(&config)
    }

    /// A client for the stand-in's Elastic Load Balancing.
    pub fn elb(&self) -> aws_sdk_elasticloadbalancingv2::Client {
        let config = self.sdk_config().to_builder().endpoint_url(&self.upstream().elb).build();
        aws_sdk_elasticloadbalancingv2::Client::new(&config)
    }
}

/// Services and tasks.
async fn in_cluster(ecs: &aws_sdk_ecs::Client, cluster: &str) -> Result<Vec<Belonging>, aws_sdk_ecs::Error> {
    let mut found = Vec::new();
    let services = ecs.list_services().cluster(cluster).into_paginator().items().send();
    let services = services.collect::<Result<Vec<_>, _>>().await?;
    for arns in services.chunks(SERVICES_PER_CALL) {
        let describe = ecs.describe_services().cluster(cluster).set_services(Some(arns.to_vec()));
        let described = describe.include(ServiceField::Tags).send().await?;
        let alive = described.services().iter().filter(|service| service.status() != Some("INACTIVE"));
        found.extend(alive.map(|service| of_ecs(service.service_arn(), service.tags())));
    }
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let list = ecs.list_tasks().cluster(cluster).desired_status(desired).into_paginator();
        let arns: Vec<_> = list.items().send().collect::<Result<_, _>>().await?;
        // As many as one call takes: ECS API Reference, DescribeTasks, tasks.
        for some in arns.chunks(100) {
            let describe = ecs.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec()));
            let described = describe.include(TaskField::Tags).send().await?;
            let alive = described.tasks().iter().filter(|task| task.last_status() != Some("STOPPED"));
            found.extend(alive.map(|task| of_ecs(task.task_arn(), task.tags())));
        }
    }
    Ok(found)
}

fn of_ecs(arn: Option<&str>, tags: &[aws_sdk_ecs::types::Tag]) -> Belonging {
    belonging(arn, tags.iter().map(|tag| (tag.key(), tag.value())))
}

fn of_ec2(id: Option<&str>, tags: &[aws_sdk_ec2::types::Tag]) -> Belonging {
    belonging(id, tags.iter().map(|tag| (tag.key(), tag.value())))
}

fn belonging<'a>(
    id: Option<&str>,
    tags: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>,
) -> Belonging {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Belonging { id: text(id), tags: tags.map(|(key, value)| (text(key), text(value))).collect() }
}
