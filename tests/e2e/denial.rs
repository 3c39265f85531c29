//! A right that a role does without for a while.

use anyhow::{Context, Result};
use serde_json::json;

use crate::world::World;

/// For as long as it is not lifted, a role may not do something.
pub struct Denial {
    role: String,
    policy: String,
}

impl Denial {
    /// Denies `action` on `resource`, which only the job has, so that the other tests do not notice.
    pub async fn to_role(world: &World, arn: &str, job: &str, action: &str, resource: &str) -> Result<Self> {
        let role = arn.rsplit('/').next().unwrap_or_default();
        let document = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny",
            "Action": action,
            "Resource": resource,
        }] });
        let denial = Self { role: role.to_owned(), policy: format!("Deny-{job}") };
        let put = world.iam.put_role_policy().role_name(role).policy_name(&denial.policy);
        put.policy_document(document.to_string()).send().await?;
        // Like AWS, the cloud would take a moment to notice.
        world.cloud().forget_policies();
        Ok(denial)
    }

    /// The same for the role of the function that comes from this folder of functions/.
    pub async fn to_function(
        world: &World,
        folder: &str,
        job: &str,
        action: &str,
        resource: &str,
    ) -> Result<Self> {
        let function = world.function(folder).await?;
        let configuration = world.lambda.get_function_configuration().function_name(function).send().await?;
        let role = configuration.role().context("the function has a role")?;
        Self::to_role(world, role, job, action, resource).await
    }

    /// Gives the right back.
    pub async fn lift(self, world: &World) -> Result<()> {
        let delete = world.iam.delete_role_policy().role_name(self.role).policy_name(self.policy);
        delete.send().await?;
        world.cloud().forget_policies();
        Ok(())
    }
}
