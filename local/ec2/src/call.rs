//! One call while it is answered: whose it is, what it is about, and whether the caller may.

use local_aws::auth::{Caller, Guard};
use local_aws::policy::Context;
use local_aws::upstream::Upstream;

use crate::error::ApiError;
use crate::kinds::Kind;
use crate::parameters::Parameters;
use crate::tags::Tags;
use crate::xml;

/// A call by someone whose signature has been checked.
#[derive(Debug)]
pub struct Call<'a> {
    pub guard: &'a Guard,
    pub upstream: &'a Upstream,
    pub caller: &'a Caller,
    /// `DescribeSubnets`.
    pub action: &'a str,
    pub request_id: &'a str,
    /// What no one has taken yet.
    pub parameters: Parameters,
}

/// A resource that a mutating call is about, as policies see it.
#[derive(Clone, Debug)]
pub struct Target {
    kind: &'static str,
    /// `*` for what the call makes.
    id: String,
    vpc: Option<String>,
    tags: Tags,
    is_new: bool,
}

impl Target {
    /// A resource that is there.
    pub fn existing<T: Kind>(resource: &T) -> Self {
        Self {
            kind: T::TYPE,
            id: resource.id().to_owned(),
            vpc: resource.policy_vpc().map(str::to_owned),
            tags: resource.tags().clone(),
            is_new: false,
        }
    }

    /// One that is not there, which has its ARN and no tags.
    pub fn unknown<T: Kind>(id: &str) -> Self {
        Self { kind: T::TYPE, id: id.to_owned(), vpc: None, tags: Tags::default(), is_new: false }
    }

    /// What the call makes, with its `tags`; `vpc` for the kinds that have the key `ec2:Vpc`.
    pub fn new<T: Kind>(tags: &Tags, vpc: Option<&str>) -> Self {
        Self::new_of_type(T::TYPE, tags, vpc)
    }

    /// The same for what is part of another resource and yet has its own type.
    pub fn new_of_type(kind: &'static str, tags: &Tags, vpc: Option<&str>) -> Self {
        Self { kind, id: "*".into(), vpc: vpc.map(str::to_owned), tags: tags.clone(), is_new: true }
    }

    /// The condition keys that every type here has, and `ec2:Vpc` (Service Authorization Reference, "Resource types
    /// defined by Amazon EC2").
    fn context(&self, call: &Call<'_>) -> Context {
        let prefixes: &[&str] =
            if self.is_new { &["aws:RequestTag"] } else { &["aws:ResourceTag", "ec2:ResourceTag"] };
        let mut context = Context::from([("ec2:Region".to_owned(), vec![call.upstream.region.clone()])]);
        for (key, value) in &self.tags.0 {
            context.extend(prefixes.iter().map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()])));
        }
        if self.is_new && !self.tags.0.is_empty() {
            context.insert("aws:TagKeys".into(), self.tags.0.keys().cloned().collect());
        }
        if let Some(vpc) = &self.vpc {
            context.insert("ec2:Vpc".into(), vec![call.arn("vpc", vpc)]);
        }
        context
    }
}

impl Call<'_> {
    /// Lets the call pass if it has no parameter left, the caller may do it, and it is no dry run. Describe actions
    /// have no resource-level rights (Service Authorization Reference, "Actions defined by Amazon EC2").
    pub async fn describe(&mut self) -> Result<(), ApiError> {
        let dry_run = self.finish()?;
        self.authorize(self.action, "*", &Context::new()).await?;
        refuse_dry_run(dry_run)
    }

    /// The same for a call that changes something: the caller has to be allowed the action on each of `targets`, which
    /// are those of the action's resource types (same page, "Actions defined by Amazon EC2"), and to tag what it makes
    /// with tags (EC2 user guide, "Grant permission to tag Amazon EC2 resources during creation").
    pub async fn mutate(&mut self, targets: &[Target]) -> Result<(), ApiError> {
        let dry_run = self.finish()?;
        for target in targets {
            let (resource, context) = (self.arn(target.kind, &target.id), target.context(self));
            self.authorize(self.action, &resource, &context).await?;
            if target.is_new && !target.tags.0.is_empty() {
                let mut context = context;
                context.insert("ec2:CreateAction".into(), vec![self.action.to_owned()]);
                self.authorize("CreateTags", &resource, &context).await?;
            }
        }
        refuse_dry_run(dry_run)
    }

    /// Checks the right to associate the VPC with the private hosted zone of an endpoint's names, on which CreateVpcEndpoint
    /// depends (Service Authorization Reference, "Actions defined by Amazon EC2"; hasura/ddn-docs#1075). The zone is
    /// AWS's, and its id is not told.
    pub async fn check_private_dns(&self, vpc_id: &str) -> Result<(), ApiError> {
        let vpc = format!("VPCId={vpc_id},VPCRegion={}", self.upstream.region);
        let context = Context::from([("route53:VPCs".to_owned(), vec![vpc])]);
        let (action, zone) =
            ("route53:AssociateVPCWithHostedZone", "arn:aws:route53:::hostedzone/Z0LOCALCLOUD");
        Ok(self.guard.authorize(self.caller, action, zone, &context).await?)
    }

    /// The answer that it is done, and nothing more.
    pub fn done(&self) -> Result<String, ApiError> {
        xml::done(self.action, self.request_id)
    }

    /// The ARN of a resource of the type `kind`.
    pub fn arn(&self, kind: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{}:{kind}/{id}", self.upstream.region, self.upstream.account)
    }

    /// Whether it is a dry run. All other parameters must have been taken.
    fn finish(&mut self) -> Result<bool, ApiError> {
        let dry_run = self.parameters.take_bool("DryRun")?;
        std::mem::take(&mut self.parameters).finish()?;
        Ok(dry_run)
    }

    async fn authorize(&self, action: &str, resource: &str, context: &Context) -> Result<(), ApiError> {
        Ok(self.guard.authorize(self.caller, &format!("ec2:{action}"), resource, context).await?)
    }
}

fn refuse_dry_run(dry_run: bool) -> Result<(), ApiError> {
    if dry_run {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ApiError::new("DryRunOperation", message));
    }
    Ok(())
}
