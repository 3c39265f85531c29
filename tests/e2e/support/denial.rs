//! A right that a role does without for a while.

use anyhow::Result;
use serde_json::json;

use crate::support::world::World;

/// For as long as it is not lifted, a role may not do something.
pub struct Denial {
    role: String,
    policy: String,
}

impl Denial {
    /// Denies `action` on `resource`, which only the job has, so that the other tests do not notice.
    pub async fn to_role(world: &World, arn: &str, job: &str, action: &str, resource: &str) -> Result<Self> {
        let role = arn.rsplit('/').next().unwrap_or_default();
        let statement = json!({ "Effect": "Deny", "Action": action, "Resource": resource });
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
