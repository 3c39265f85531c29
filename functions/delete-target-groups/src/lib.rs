//! DeleteTargetGroups: the target groups of the job's load balancer. StillInUse while a listener sends to one.

use aws_sdk_elasticloadbalancingv2::Client;
use mayfly_elb::{deleting, target_groups};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteTargetGroups>();

/// The step.
pub struct DeleteTargetGroups {
    elb: Client,
    stack: String,
}

impl Step for DeleteTargetGroups {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { elb: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        const DOING: &str = "delete a target group of the job's load balancer";
        let Self { elb, stack } = self;
        let found = target_groups(elb, Owner { stack, job: &target.job }).await?;
        for group in &found {
            let arn = given(DOING, "TargetGroupArn", group.target_group_arn())?;
            deleting(DOING, elb.delete_target_group().target_group_arn(arn).send().await)?;
            tracing::info!(arn, "target group deleted");
        }
        Ok(Deleted { deleted: found.len() })
    }
}
