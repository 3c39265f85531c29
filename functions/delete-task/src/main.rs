//! DeleteTask: the job's task definitions. Deregistering alone would leave them behind for ever.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Tag, TaskDefinitionField, TaskDefinitionStatus};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::names::Names;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use mayfly_common::tags;
use mayfly_common::teardown::{Deleted, Target};

/// Source: ECS API Reference, `DeleteTaskDefinitions`, `taskDefinitions`.
const DELETIONS_PER_CALL: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ecs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ecs, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ecs: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let family = Names::new(stack, &target.job).family();
    for arn in find(ecs, stack, &target.job, &family, TaskDefinitionStatus::Active).await? {
        ecs.deregister_task_definition()
            .task_definition(&arn)
            .send()
            .await
            .map_err(Error::aws("deregister the job's task definition"))?;
        tracing::info!(task_definition = arn, "task definition deregistered");
    }
    let inactive = find(ecs, stack, &target.job, &family, TaskDefinitionStatus::Inactive).await?;
    for arns in inactive.chunks(DELETIONS_PER_CALL) {
        let deletion = ecs
            .delete_task_definitions()
            .set_task_definitions(Some(arns.to_vec()))
            .send()
            .await
            .map_err(Error::aws("delete the job's task definitions"))?;
        // The call succeeds even when a deletion did not.
        // Source: ECS API Reference, `DeleteTaskDefinitions`, `failures`.
        if let Some(failure) = deletion.failures().first() {
            return Err(Error::StillInUse(format!(
                "{}: {}",
                failure.arn().unwrap_or_default(),
                failure.reason().unwrap_or_default()
            )));
        }
        tracing::info!(task_definitions = ?arns, "task definitions deleted");
    }
    Ok(Deleted { deleted: inactive.len() })
}

async fn find(
    ecs: &Client,
    stack: &str,
    job: &str,
    family: &str,
    status: TaskDefinitionStatus,
) -> Result<Vec<String>, Error> {
    let list = ecs
        .list_task_definitions()
        .family_prefix(family)
        .status(status)
        .send()
        .await
        .map_err(Error::aws("list the job's task definitions"))?;
    let mut found = Vec::new();
    for arn in list.task_definition_arns.unwrap_or_default() {
        let description =
            ecs.describe_task_definition().task_definition(&arn).include(TaskDefinitionField::Tags);
        let described = match description.send().await {
            Ok(described) => described,
            // Another teardown may have deleted it since it was listed.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => continue,
            Err(error) => return Err(Error::aws("describe the job's task definition")(error)),
        };
        let pairs = described.tags().iter().filter_map(|tag: &Tag| Some((tag.key()?, tag.value()?)));
        if tags::belong_to(pairs, stack, job) {
            found.push(arn);
        }
    }
    Ok(found)
}
