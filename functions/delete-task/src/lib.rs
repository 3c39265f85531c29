//! DeleteTask: the job's task definitions. Deregistering alone would leave them behind for ever.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::TaskDefinitionStatus;
use mayfly_ecs::task_definitions;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// Source: ECS API Reference, `DeleteTaskDefinitions`, `taskDefinitions`.
const DELETIONS_PER_CALL: usize = 10;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteTask>();

/// The step.
pub struct DeleteTask {
    ecs: Client,
    stack: String,
}

impl Step for DeleteTask {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ecs: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ecs, stack } = self;
        let owner = Owner { stack, job: &target.job };
        for (arn, _) in task_definitions(ecs, owner, TaskDefinitionStatus::Active).await? {
            ecs.deregister_task_definition()
                .task_definition(&arn)
                .send()
                .await
                .map_err(Error::aws("deregister the job's task definition"))?;
            tracing::info!(task_definition = arn, "task definition deregistered");
        }
        let inactive = task_definitions(ecs, owner, TaskDefinitionStatus::Inactive).await?;
        let inactive: Vec<String> = inactive.into_iter().map(|(arn, _)| arn).collect();
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
}
