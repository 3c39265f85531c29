//! CreateVpc: the network that exists only for the job. It comes first of everything, and first of all quotas, so that
//! jobs which wait for room cannot hold each other up.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, Vpc};
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::job::Egress;
use mayfly_model::plan::{Plan, PrivateNetwork};
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateVpc>();

/// The step.
pub struct CreateVpc {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
    network: PrivateNetwork,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    vpc_id: String,
}

impl Step for CreateVpc {
    type Input = Input;
    type Output = Created;

    const SDK_RETRIES: bool = false;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// Every VPC has a block of IPv4, and one of IPv6 beside it on request, which AWS chooses and associates a little later.
    /// Source: EC2 API Reference, `CreateVpc`, `AmazonProvidedIpv6CidrBlock`.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's VPC";
        let Self { ec2, stack, clock } = self;
        let Input { plan, network } = input;
        let owner = Owner { stack, job: &plan.job };
        if let Some(vpc_id) = find::owned::<Vpc>(ec2, owner).await?.into_iter().find_map(|vpc| vpc.vpc_id) {
            tracing::info!(vpc_id, "vpc found");
            return Ok(Created { vpc_id });
        }
        let created = ec2
            .create_vpc()
            .cidr_block(&network.vpc_cidr)
            .set_amazon_provided_ipv6_cidr_block((network.egress == Egress::Ipv6).then_some(true))
            .tag_specifications(tag_specification(ResourceType::Vpc, &plan.tags))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let vpc_id = given(DOING, "vpcId", created.vpc.and_then(|vpc| vpc.vpc_id))?;
        tracing::info!(vpc_id, "vpc created");
        Ok(Created { vpc_id })
    }
}
