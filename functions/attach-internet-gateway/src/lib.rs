//! AttachInternetGateway: joins the internet gateway to the job's VPC. A NAT gateway that is made before fails at once.
//! Source: EC2 API Reference, `NatGateway`, `FailureCode`, `Gateway.NotAttached`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::InternetGateway;
use mayfly_ec2::creating_once;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const DOING: &str = "attach the job's internet gateway";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<AttachInternetGateway>();

/// The step.
pub struct AttachInternetGateway {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
    internet_gateway_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Attached {}

impl Step for AttachInternetGateway {
    type Input = Input;
    type Output = Attached;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Attached, Error> {
        let Self { ec2, stack, clock } = self;
        let Input { plan, vpc_id, internet_gateway_id } = input;
        let shows_it = async || {
            let found = find::owned::<InternetGateway>(ec2, Owner { stack, job: &plan.job }).await?;
            is_attached(found.iter().find(|gateway| gateway.id() == internet_gateway_id), &vpc_id)
        };
        if shows_it().await? {
            tracing::info!(internet_gateway_id, vpc_id, "internet gateway found attached");
            return Ok(Attached {});
        }
        ec2.attach_internet_gateway()
            .internet_gateway_id(&internet_gateway_id)
            .vpc_id(&vpc_id)
            .send()
            .await
            .map_err(creating_once(DOING, &plan, clock.now(), "Resource.AlreadyAssociated"))?;
        tracing::info!(internet_gateway_id, vpc_id, "internet gateway attached");
        // Not every call sees it at once, and a NAT gateway that does not fails for good (`Gateway.NotAttached`).
        // Source: VPC user guide, "NAT gateway creation fails".
        if !shows_it().await? {
            let doing = format!("{DOING} for all to see");
            return Err(Error::not_visible_yet(doing, "EC2 does not show it yet"));
        }
        Ok(Attached {})
    }
}

/// Whether the gateway is attached to the VPC already, as far as EC2 shows it.
fn is_attached(gateway: Option<&InternetGateway>, vpc_id: &str) -> Result<bool, Error> {
    match gateway.and_then(|gateway| gateway.attachments().first()?.vpc_id()) {
        None => Ok(false),
        Some(attached) if attached == vpc_id => Ok(true),
        Some(other) => {
            let detail = format!("it is attached to {other} and not to {vpc_id}");
            Err(Error::internal(DOING, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::InternetGatewayAttachment;

    use super::*;

    #[test]
    fn only_the_jobs_own_vpc_counts_as_attached() {
        let attachment = InternetGatewayAttachment::builder().vpc_id("vpc-a").build();
        let gateway = InternetGateway::builder().attachments(attachment).build();
        assert!(is_attached(Some(&gateway), "vpc-a").expect("the job's own"));
        assert_eq!(is_attached(Some(&gateway), "vpc-b").expect_err("another VPC").name(), "Internal");
        let unattached = InternetGateway::builder().build();
        for unseen in [None, Some(&unattached)] {
            assert!(!is_attached(unseen, "vpc-a").expect("nothing to say"));
        }
    }
}
