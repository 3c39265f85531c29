//! CreateTargetGroups: one target group for each port of a service that is called through a load balancer. ECS puts the
//! addresses of the containers into them.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetGroupAttribute, TargetTypeEnum};
use mayfly_elb::{check_owner, creating, tags};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::balancing::MadeTargetGroup;
use mayfly_model::plan::{Plan, PlannedTargets};
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const DOING: &str = "create the target groups of the job's load balancer";

/// The shortest way to a healthy target: two checks that are right, ten seconds apart. Nobody waits longer for an answer
/// than for the next check.
/// Source: Elastic Load Balancing API Reference, `CreateTargetGroup`: 5 to 300 s, 2 to 120 s and 2 to 10 checks.
const INTERVAL_SECONDS: i32 = 10;
const TIMEOUT_SECONDS: i32 = 6;
const THRESHOLD: i32 = 2;

/// A container that is told to stop is not sent callers any more, and nothing waits for those that it has: the job's end
/// would take five minutes longer.
/// Source: Elastic Load Balancing API Reference, `TargetGroupAttribute`; it is no member of `CreateTargetGroup`.
const ATTRIBUTE: (&str, &str) = ("deregistration_delay.timeout_seconds", "0");

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateTargetGroups>();

/// The step.
pub struct CreateTargetGroups {
    elb: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    /// The VPC of the containers.
    vpc_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    target_groups: Vec<MadeTargetGroup>,
}

impl Step for CreateTargetGroups {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            elb: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// A second call with the same name and settings answers the same group.
    /// Source: Elastic Load Balancing API Reference, `CreateTargetGroup`: "This operation is idempotent".
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Input { plan, vpc_id } = input;
        let planned =
            plan.load_balancer().ok_or_else(|| Error::internal(DOING, "the plan has no load balancer"))?;
        let mut target_groups = Vec::new();
        for targets in &planned.targets {
            let arn = self.create(&plan, &vpc_id, targets).await?;
            target_groups.push(MadeTargetGroup { port: targets.port, protocol: targets.protocol, arn });
        }
        let owner = Owner { stack: &self.stack, job: &plan.job };
        let arns: Vec<_> = target_groups.iter().map(|group| group.arn.clone()).collect();
        check_owner(&self.elb, owner, DOING, arns).await?;
        for group in &target_groups {
            self.set_delay(&plan, &group.arn).await?;
        }
        tracing::info!(groups = target_groups.len(), "target groups ready");
        Ok(Created { target_groups })
    }
}

impl CreateTargetGroups {
    async fn create(&self, plan: &Plan, vpc_id: &str, targets: &PlannedTargets) -> Result<String, Error> {
        let PlannedTargets { name, port, protocol, health_port, health_path } = targets;
        let check = if health_path.is_some() { ProtocolEnum::Http } else { ProtocolEnum::Tcp };
        let created = self
            .elb
            .create_target_group()
            .name(name)
            .target_type(TargetTypeEnum::Ip)
            .protocol(ProtocolEnum::from(protocol.name()))
            .port(i32::from(*port))
            .vpc_id(vpc_id)
            .health_check_protocol(check)
            .health_check_port(health_port.to_string())
            .set_health_check_path(health_path.clone())
            .health_check_interval_seconds(INTERVAL_SECONDS)
            .health_check_timeout_seconds(TIMEOUT_SECONDS)
            .healthy_threshold_count(THRESHOLD)
            .unhealthy_threshold_count(THRESHOLD)
            .set_tags(Some(tags(&plan.tags)))
            .send()
            .await
            .map_err(creating(DOING, plan, self.clock.now()))?;
        let arn = created.target_groups().first().and_then(|group| group.target_group_arn());
        given(DOING, "TargetGroupArn", arn.map(str::to_owned))
    }

    async fn set_delay(&self, plan: &Plan, arn: &str) -> Result<(), Error> {
        let (key, value) = ATTRIBUTE;
        let attribute = TargetGroupAttribute::builder().key(key).value(value).build();
        let modify = self.elb.modify_target_group_attributes().target_group_arn(arn).attributes(attribute);
        modify.send().await.map_err(creating(DOING, plan, self.clock.now()))?;
        Ok(())
    }
}
