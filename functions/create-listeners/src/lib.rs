//! CreateListeners: the ports of the job's load balancer. ECS takes a target group only when a listener sends to it.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, Certificate, ProtocolEnum};
use mayfly_elb::{creating, tags};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::balancing::MadeTargetGroup;
use mayfly_model::plan::{Plan, TargetProtocol};
use serde::{Deserialize, Serialize};

const DOING: &str = "create the listeners of the job's load balancer";

/// TLS 1.2 and 1.3; without a policy named, the API takes one of 2016 that knows TLS 1.0.
/// Source: Network Load Balancers guide, "Security policies for your Network Load Balancer".
const SSL_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateListeners>();

/// The step.
pub struct CreateListeners {
    elb: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    load_balancer_arn: String,
    target_groups: Vec<MadeTargetGroup>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Created {
    /// How many listeners there are.
    listeners: usize,
}

impl Step for CreateListeners {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { elb: Client::new(environment.sdk()), clock: environment.clock() })
    }

    /// A second call with the same port and settings answers the same listener.
    /// Source: Elastic Load Balancing API Reference, `CreateListener`: "This operation is idempotent".
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Input { plan, load_balancer_arn, target_groups } = input;
        let planned =
            plan.load_balancer().ok_or_else(|| Error::internal(DOING, "the plan has no load balancer"))?;
        for group in &target_groups {
            let certificate =
                planned.certificate_arn.as_ref().filter(|_| group.protocol == TargetProtocol::Tcp);
            let protocol = match certificate {
                Some(_) => ProtocolEnum::Tls,
                None => ProtocolEnum::from(group.protocol.name()),
            };
            let certificates =
                certificate.map(|arn| vec![Certificate::builder().certificate_arn(arn).build()]);
            let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&group.arn);
            self.elb
                .create_listener()
                .load_balancer_arn(&load_balancer_arn)
                .protocol(protocol)
                .port(i32::from(group.port))
                .set_ssl_policy(certificate.map(|_| SSL_POLICY.to_owned()))
                .set_certificates(certificates)
                .default_actions(forward.build())
                .set_tags(Some(tags(&plan.tags)))
                .send()
                .await
                .map_err(creating(DOING, &plan, self.clock.now()))?;
        }
        tracing::info!(listeners = target_groups.len(), "listeners ready");
        Ok(Created { listeners: target_groups.len() })
    }
}
