//! DeleteLoadBalancer: the job's load balancer, with its listeners. StillInUse until the last of its interfaces is gone,
//! because those hold its group, its subnets and, by their public addresses, the internet gateway.

use aws_sdk_ec2::types::NetworkInterface;
use mayfly_ec2::find::{self, Described};
use mayfly_elb::{deleting, load_balancers};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteLoadBalancer>();

/// The step.
pub struct DeleteLoadBalancer {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    stack: String,
}

impl Step for DeleteLoadBalancer {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        const DOING: &str = "delete the job's load balancer";
        let Self { ec2, elb, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let found = load_balancers(elb, owner).await?;
        for load_balancer in &found {
            let arn = given(DOING, "LoadBalancerArn", load_balancer.load_balancer_arn())?;
            deleting(DOING, elb.delete_load_balancer().load_balancer_arn(arn).send().await)?;
            tracing::info!(arn, "load balancer deleted");
        }
        let left = find::load_balancer_interfaces(ec2, owner).await?;
        if !left.is_empty() {
            let ids: Vec<_> = left.iter().map(NetworkInterface::id).collect();
            return Err(Error::StillInUse(format!(
                "not gone yet: the interfaces {} of the job's load balancer",
                ids.join(", ")
            )));
        }
        Ok(Deleted { deleted: found.len() })
    }
}
