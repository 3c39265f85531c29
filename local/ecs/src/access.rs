//! What a call needs beyond the right to its own action.
//!
//! Actions, resource types and condition keys: Service Authorization Reference,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>

use local_aws::auth::Caller;
use local_aws::policy::Context;

use crate::Ecs;
use crate::error::Result;
use crate::requests::RegisterTaskDefinition;
use crate::requests::Tag;
use crate::tags;

impl Ecs {
    /// Whether the caller may do `action` on `resource`, which is in `cluster` and has `tags`.
    pub(crate) async fn allow(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        cluster: &str,
        tags: &[Tag],
    ) -> Result<()> {
        let mut context = tags::owned(tags);
        context.insert("ecs:cluster".to_owned(), vec![cluster.to_owned()]);
        Ok(self.guard.authorize(caller, &format!("ecs:{action}"), resource, &context).await?)
    }

    /// Whether the caller may put `tags` on what `creation` makes: Developer Guide, "Grant permission to tag
    /// resources on creation"; the account setting `tagResourceAuthorization` is on.
    pub(crate) async fn allow_tags(
        &self,
        caller: &Caller,
        creation: &str,
        resource: &str,
        tags: &[Tag],
    ) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let mut context = tags::requested(tags);
        context.insert("ecs:CreateAction".to_owned(), vec![creation.to_owned()]);
        Ok(self.guard.authorize(caller, "ecs:TagResource", resource, &context).await?)
    }

    /// Whether the caller may hand the definition's roles to a task: IAM User Guide, "Grant a user
    /// permissions to pass a role to an AWS service".
    pub(crate) async fn allow_passing_roles(
        &self,
        caller: &Caller,
        definition: &RegisterTaskDefinition,
    ) -> Result<()> {
        let service = vec!["ecs-tasks.amazonaws.com".to_owned()];
        let context = Context::from([("iam:PassedToService".to_owned(), service)]);
        for role in [&definition.task_role_arn, &definition.execution_role_arn].into_iter().flatten() {
            self.guard.authorize(caller, "iam:PassRole", role, &context).await?;
        }
        Ok(())
    }
}
