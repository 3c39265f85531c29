//! A right that a function does without for a while.

use anyhow::{Context as _, Result};
use local_aws::policy::Policy;
use serde_json::json;

use crate::support::world::World;

impl World {
    /// Denies the function that comes from this folder of functions/ `action` on `resource`, until that is lifted.
    pub fn deny(&mut self, function: &str, action: &str, resource: &str) -> Result<()> {
        let role = self.function(function)?.role_arn.clone();
        let statement = json!({ "Effect": "Deny", "Action": action, "Resource": resource });
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        let stack = &mut self.run.stacks[0];
        let policies = stack.policies.get_mut(&role).context("the function has a role")?;
        policies.push(Policy::parse(&document.to_string())?);
        self.denied.push(role);
        self.noticed();
        self.run.is_disturbed = true;
        Ok(())
    }

    /// Gives all rights back.
    pub fn lift(&mut self) {
        let stack = &mut self.run.stacks[0];
        for role in self.denied.drain(..) {
            if let Some(policies) = stack.policies.get_mut(&role) {
                policies.pop();
            }
        }
        self.noticed();
    }

    /// Lets the account have the rights that the stack has now.
    fn noticed(&self) {
        self.run.account.stacks.insert(self.run.stacks[0].clone());
        self.run.account.guard.forget_policies();
    }
}
