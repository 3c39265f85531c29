//! The job's services, tasks, cluster, task definitions and mailboxes.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::TaskDefinitionStatus;
use mayfly_ecs::{Described, interface_details};
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{EXISTS, Kind, Resource};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::DeletedQueues;

pub async fn cluster(ecs: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    Ok(mayfly_ecs::cluster(ecs, owner).await?.iter().map(Described::resource).collect())
}

pub async fn services(ecs: &Client, stack_cluster: &str, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    Ok(mayfly_ecs::services(ecs, stack_cluster, owner).await?.iter().map(Described::resource).collect())
}

/// The job's tasks, and the ids of their network interfaces, which may be gone.
pub async fn tasks(
    ecs: &Client,
    stack_cluster: &str,
    owner: Owner<'_>,
) -> Result<(Vec<Resource>, Vec<String>), Error> {
    let found = mayfly_ecs::tasks(ecs, stack_cluster, owner).await?;
    let tasks = found.iter().map(Described::resource);
    let interfaces = found.iter().flat_map(|task| interface_details(task, "networkInterfaceId"));
    Ok((tasks.collect(), interfaces.map(str::to_owned).collect()))
}

pub async fn task_definitions(ecs: &Client, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let mut found = Vec::new();
    for status in
        [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive, TaskDefinitionStatus::DeleteInProgress]
    {
        for (arn, _) in mayfly_ecs::task_definitions(ecs, owner, status.clone()).await? {
            found.push(Resource::new(Kind::TaskDefinition, arn, status.as_str()));
        }
    }
    Ok(found)
}

pub async fn mailboxes(
    sqs: &aws_sdk_sqs::Client,
    owner: Owner<'_>,
    deleted: &DeletedQueues,
) -> Result<Vec<Resource>, Error> {
    let found = mayfly_sqs::mailboxes(sqs, owner).await?;
    Ok(found.iter().map(|url| mailbox(url, deleted)).collect())
}

/// SQS does not say of a queue that it is being deleted, and answers for it up to a minute longer.
/// Source: SQS API Reference, `DeleteQueue`.
fn mailbox(url: &str, deleted: &DeletedQueues) -> Resource {
    let is_going = deleted.accepted.iter().any(|accepted| accepted == url);
    Resource::new(Kind::Queue, url, if is_going { "DELETED" } else { EXISTS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_that_still_answers_is_gone_once_its_own_deletion_was_accepted() {
        let deleted = DeletedQueues { accepted: vec!["https://sqs/1/mine".into()] };
        assert!(mailbox("https://sqs/1/mine", &deleted).is_gone());
        assert!(!mailbox("https://sqs/1/mine-2", &deleted).is_gone());
        assert!(!mailbox("https://sqs/1/mine", &DeletedQueues::default()).is_gone());
    }
}
