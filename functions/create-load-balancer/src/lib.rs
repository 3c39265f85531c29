//! CreateLoadBalancer: the network load balancer that a service is called through. It answers at once; whether it lets
//! callers in is for CheckLoadBalancer to say.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerTypeEnum,
};
use mayfly_elb::{check_owner, creating, tags};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const DOING: &str = "create the job's load balancer";

/// A caller that came in in one zone may be sent to a container in the other: there may be one container alone.
/// Source: Elastic Load Balancing API Reference, `LoadBalancerAttribute`: off by default, and no member of
/// `CreateLoadBalancer`.
const ATTRIBUTE: (&str, &str) = ("load_balancing.cross_zone.enabled", "true");

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateLoadBalancer>();

/// The step.
pub struct CreateLoadBalancer {
    elb: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    /// One in each zone that the containers may be in.
    subnets: Vec<String>,
    /// The group that lets callers in. One that a load balancer was not made with it never gets.
    /// Source: Network Load Balancers guide, "Update the security groups for your Network Load Balancer".
    security_group_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    load_balancer_arn: String,
    /// The host that is called.
    address: String,
}

impl Step for CreateLoadBalancer {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            elb: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// A second call with the same name and settings answers the same load balancer.
    /// Source: Elastic Load Balancing API Reference, `CreateLoadBalancer`: "This operation is idempotent".
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Self { elb, stack, clock } = self;
        let Input { plan, subnets, security_group_id } = input;
        let planned =
            plan.load_balancer().ok_or_else(|| Error::internal(DOING, "the plan has no load balancer"))?;
        let scheme = if planned.internet_facing {
            LoadBalancerSchemeEnum::InternetFacing
        } else {
            LoadBalancerSchemeEnum::Internal
        };
        let created = elb
            .create_load_balancer()
            .name(&planned.name)
            .r#type(LoadBalancerTypeEnum::Network)
            .scheme(scheme)
            .set_subnets(Some(subnets))
            .security_groups(security_group_id)
            .set_tags(Some(tags(&plan.tags)))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let made = created.load_balancers.and_then(|made| made.into_iter().next());
        let made = given(DOING, "LoadBalancers", made)?;
        let arn = given(DOING, "LoadBalancerArn", made.load_balancer_arn)?;
        let address = given(DOING, "DNSName", made.dns_name)?;
        check_owner(elb, Owner { stack, job: &plan.job }, DOING, vec![arn.clone()]).await?;
        let (key, value) = ATTRIBUTE;
        let attribute = LoadBalancerAttribute::builder().key(key).value(value).build();
        elb.modify_load_balancer_attributes()
            .load_balancer_arn(&arn)
            .attributes(attribute)
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        tracing::info!(arn, address, "load balancer ready to be checked");
        Ok(Created { load_balancer_arn: arn, address })
    }
}
