//! A right that a role does without for a while.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::world::World;

/// For as long as it is not lifted, a role may not do something.
pub struct Denial {
    role: String,
    policy: String,
}

impl Denial {
    /// Denies `action` on `resource`, which only the job has, so that the other tests do not notice.
    pub async fn to_role(world: &World, arn: &str, job: &str, action: &str, resource: &str) -> Result<Self> {
        let statement = json!({ "Effect": "Deny", "Action": action, "Resource": resource });
        Self::put(world, arn, job, statement).await
    }

    /// The same for the role of the function that comes from this folder of functions/.
    pub async fn to_function(
        world: &World,
        folder: &str,
        job: &str,
        action: &str,
        resource: &str,
    ) -> Result<Self> {
        Self::to_role(world, &role(world, folder).await?, job, action, resource).await
    }

    /// Denies the function `action` on what has the job's tag.
    pub async fn of_change(world: &World, folder: &str, job: &str, action: &str) -> Result<Self> {
        let condition = json!({ "StringEquals": { "aws:ResourceTag/mayfly:job": job } });
        let statement =
            json!({ "Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition });
        Self::put(world, &role(world, folder).await?, job, statement).await
    }

    async fn put(world: &World, role: &str, job: &str, statement: Value) -> Result<Self> {
        let role = role.rsplit('/').next().unwrap_or_default();
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        let denial = Self { role: role.to_owned(), policy: format!("Deny-{job}") };
        let put = world.iam.put_role_policy().role_name(role).policy_name(&denial.policy);
        put.policy_document(document.to_string()).send().await?;
        // Like AWS, the cloud would take a moment to notice.
        world.cloud().forget_policies();
        Ok(denial)
    }

    /// Gives the right back.
    pub async fn lift(self, world: &World) -> Result<()> {
        let delete = world.iam.delete_role_policy().role_name(self.role).policy_name(self.policy);
        delete.send().await?;
        world.cloud().forget_policies();
        Ok(())
    }
}

/// The ARN of the function's role.
async fn role(world: &World, folder: &str) -> Result<String> {
    let function = world.function(folder).await?;
    let configuration = world.lambda.get_function_configuration().function_name(function).send().await?;
    configuration.role.context("the function has a role")
}
