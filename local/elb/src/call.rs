//! One call while it is answered: whose it is, what it says, and whether the caller may.

use local_aws::auth::{Caller, Guard};
use local_aws::policy::Context;

use crate::error::ApiError;
use crate::form::Form;
use crate::tags::Tags;
use crate::xml;

/// A call by someone whose signature has been checked.
#[derive(Debug)]
pub struct Call<'a> {
    pub guard: &'a Guard,
    pub caller: &'a Caller,
    /// `DescribeTags`.
    pub action: &'a str,
    pub request_id: &'a str,
    /// What no one has taken yet.
    pub form: Form,
}

impl Call<'_> {
    /// Lets the call pass if it has no field left and the caller may do it. The describing actions have no resource-level
    /// rights (Service Authorization Reference, "Actions defined by AWS Elastic Load Balancing V2").
    pub async fn describe(&self) -> Result<(), ApiError> {
        self.form.finish()?;
        self.authorize(self.action, "*", &Context::new()).await
    }

    /// The same for a call that changes the resource `arn`, which has `tags`.
    pub async fn change(&self, arn: &str, tags: &Tags) -> Result<(), ApiError> {
        self.form.finish()?;
        self.authorize(self.action, arn, &of_resource(tags)).await
    }

    /// The same for a call that makes the resource `arn` with `tags`.
    pub async fn create(&self, arn: &str, tags: &Tags) -> Result<(), ApiError> {
        self.form.finish()?;
        self.authorize(self.action, arn, &of_request(tags)).await?;
        self.tag(arn, tags).await
    }

    /// The same for a listener: its type of resource is its load balancer's (the same page, CreateListener).
    pub async fn create_part(
        &self,
        arn: &str,
        tags: &Tags,
        whole: &str,
        of_whole: &Tags,
    ) -> Result<(), ApiError> {
        self.form.finish()?;
        let mut context = of_resource(of_whole);
        context.extend(of_request(tags));
        self.authorize(self.action, whole, &context).await?;
        self.tag(arn, tags).await
    }

    /// Who makes something with tags needs the right to do that too (Elastic Load Balancing user guide, "Grant permission to
    /// tag resources during creation").
    async fn tag(&self, arn: &str, tags: &Tags) -> Result<(), ApiError> {
        if tags.0.is_empty() {
            return Ok(());
        }
        let mut context = of_request(tags);
        context.insert("elasticloadbalancing:CreateAction".into(), vec![self.action.to_owned()]);
        self.authorize("AddTags", arn, &context).await
    }

    async fn authorize(&self, action: &str, resource: &str, context: &Context) -> Result<(), ApiError> {
        let action = format!("elasticloadbalancing:{action}");
        Ok(self.guard.authorize(self.caller, &action, resource, context).await?)
    }

    /// The answer that it is done, and nothing more.
    pub fn done(&self) -> Result<String, ApiError> {
        xml::document(self.action, &(), self.request_id)
    }
}

/// The condition keys of what is there (the same page as above, "Condition keys").
fn of_resource(tags: &Tags) -> Context {
    let prefixes = ["aws:ResourceTag", "elasticloadbalancing:ResourceTag"];
    let pairs = tags.0.iter();
    pairs
        .flat_map(|(key, value)| prefixes.map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()])))
        .collect()
}

/// Of what is to be made.
fn of_request(tags: &Tags) -> Context {
    let mut context: Context =
        tags.0.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()])).collect();
    if !tags.0.is_empty() {
        context.insert("aws:TagKeys".into(), tags.0.keys().cloned().collect());
    }
    context
}
