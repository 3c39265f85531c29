//! A teardown that cannot remove everything says so, names what is left, and the next one removes it.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use local_cloud::{ACCOUNT, REGION};
use mayfly_common::inventory::Kind;
use mayfly_common::names::Names;
use mayfly_common::outcome::Status;
use serde_json::json;

use crate::harness::Harness;
use crate::world::{self, STACK, World, nested_arn};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("what_cannot_be_deleted_is_named", what_cannot_be_deleted)]
}

async fn what_cannot_be_deleted(world: Arc<World>, job: String) -> Result<()> {
    let denial = Denial::of_task_definitions(&world, &job).await?;
    let execution = world.run_job(&job, &world::command(&["true"])).await?;

    let teardown = world.ended(&nested_arn(&job)).await?;
    assert_eq!((teardown.status(), teardown.error()), (&ExecutionStatus::Failed, Some("LeftoversRemain")));
    let outcome = world::outcome(&execution)?;
    assert_eq!(outcome.status, Status::Succeeded, "the job itself went well");
    let [residual] = outcome.receipt.residual.as_slice() else { panic!("{:#?}", outcome.receipt) };
    assert_eq!((residual.kind, residual.state.as_str()), (Kind::TaskDefinition, "INACTIVE"));
    assert_eq!(outcome.receipt.created.len(), 5, "{:#?}", outcome.receipt);
    assert_eq!(outcome.receipt.deleted.len(), 4, "{:#?}", outcome.receipt);

    denial.lift(&world).await?;
    world.tear_down(&job).await?;
    world.nothing_left(&job).await
}

/// For as long as it is not lifted, delete-task may not delete one job's task definitions.
struct Denial {
    role: String,
    policy: String,
}

impl Denial {
    /// Denies the deletion of the job's task definitions, and of no other job's.
    async fn of_task_definitions(world: &World, job: &str) -> Result<Self> {
        let function = world.function("delete-task").await?;
        let configuration = world.lambda.get_function_configuration().function_name(function).send().await?;
        let role =
            configuration.role().and_then(|arn| arn.rsplit('/').next()).context("the function has a role")?;
        let family = Names::new(STACK, job).family();
        let document = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny",
            "Action": "ecs:DeleteTaskDefinitions",
            "Resource": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{family}:*"),
        }] });
        let denial = Self { role: role.to_owned(), policy: format!("Deny-{job}") };
        let put = world.iam.put_role_policy().role_name(role).policy_name(&denial.policy);
        put.policy_document(document.to_string()).send().await?;
        Ok(denial)
    }

    /// Gives the right back.
    async fn lift(self, world: &World) -> Result<()> {
        let delete = world.iam.delete_role_policy().role_name(self.role).policy_name(self.policy);
        delete.send().await?;
        Ok(())
    }
}
