//! An independent look at what a job has left: by the account's root, over every kind of resource, without a line of
//! the product's own search.

use anyhow::Result;
use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};

use crate::Cloud;

impl Cloud {
    /// Names everything in the account that carries `job` as the value of its tag `mayfly:job` and still exists.
    ///
    /// # Errors
    /// When a look fails.
    pub async fn leftovers(&self, job: &str) -> Result<Vec<String>> {
        let mut left = self.left_services_and_tasks(job).await?;
        left.extend(self.left_task_definitions(job).await?);
        left.extend(self.left_queues(job).await?);
        left.extend(self.left_interfaces(job).await?);
        Ok(left)
    }

    async fn left_services_and_tasks(&self, job: &str) -> Result<Vec<String>> {
        let ecs = aws_sdk_ecs::Client::new(&self.ecs_config());
        let mut left = Vec::new();
        for cluster in self.clusters().await? {
            let services = ecs.list_services().cluster(&cluster).max_results(100).send().await?;
            for arn in services.service_arns() {
                if has_job(&ecs, arn, job).await? {
                    left.push(arn.clone());
                }
            }
            for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
                let tasks = ecs.list_tasks().cluster(&cluster).desired_status(desired).send().await?;
                if tasks.task_arns().is_empty() {
                    continue;
                }
                let described = ecs
                    .describe_tasks()
                    .cluster(&cluster)
                    .set_tasks(tasks.task_arns)
                    .include(aws_sdk_ecs::types::TaskField::Tags)
                    .send()
                    .await?;
                let of_job = described.tasks().iter().filter(|task| is_tagged(task.tags(), job));
                let alive = of_job.filter(|task| task.last_status() != Some("STOPPED"));
                left.extend(alive.filter_map(|task| task.task_arn.clone()));
            }
        }
        Ok(left)
    }

    async fn left_task_definitions(&self, job: &str) -> Result<Vec<String>> {
        let ecs = aws_sdk_ecs::Client::new(&self.ecs_config());
        let mut left = Vec::new();
        for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
            let list = ecs.list_task_definitions().status(status).send().await?;
            for arn in list.task_definition_arns() {
                if has_job(&ecs, arn, job).await? {
                    left.push(arn.clone());
                }
            }
        }
        Ok(left)
    }

    async fn left_queues(&self, job: &str) -> Result<Vec<String>> {
        let sqs = aws_sdk_sqs::Client::new(&self.sdk_config());
        let mut left = Vec::new();
        for url in sqs.list_queues().send().await?.queue_urls() {
            let tags = sqs.list_queue_tags().queue_url(url).send().await;
            let is_jobs =
                tags.is_ok_and(|t| t.tags().and_then(|tags| tags.get(JOB_TAG)).is_some_and(|j| j == job));
            left.extend(is_jobs.then(|| url.clone()));
        }
        Ok(left)
    }

    async fn left_interfaces(&self, job: &str) -> Result<Vec<String>> {
        let config =
            aws_sdk_ec2::config::Builder::from(&self.sdk_config()).endpoint_url(&self.upstream().ec2).build();
        let described = aws_sdk_ec2::Client::from_conf(config).describe_network_interfaces().send().await?;
        let of_job = described.network_interfaces().iter().filter(|interface| {
            interface.tag_set().iter().any(|tag| tag.key() == Some(JOB_TAG) && tag.value() == Some(job))
        });
        Ok(of_job.filter_map(|interface| interface.network_interface_id.clone()).collect())
    }

    fn ecs_config(&self) -> aws_config::SdkConfig {
        self.sdk_config().to_builder().endpoint_url(&self.upstream().ecs).build()
    }

    /// The clusters that CloudFormation made, from MiniStack, which made them.
    async fn clusters(&self) -> Result<Vec<String>> {
        let ministack = aws_sdk_ecs::Client::new(&self.sdk_config());
        Ok(ministack.list_clusters().send().await?.cluster_arns.unwrap_or_default())
    }
}

const JOB_TAG: &str = "mayfly:job";

async fn has_job(ecs: &aws_sdk_ecs::Client, arn: &str, job: &str) -> Result<bool> {
    Ok(is_tagged(ecs.list_tags_for_resource().resource_arn(arn).send().await?.tags(), job))
}

fn is_tagged(tags: &[aws_sdk_ecs::types::Tag], job: &str) -> bool {
    tags.iter().any(|tag| tag.key() == Some(JOB_TAG) && tag.value() == Some(job))
}
