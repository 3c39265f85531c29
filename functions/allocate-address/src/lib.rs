//! AllocateAddress: the public address that the NAT gateway speaks from.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Address, DomainType, ResourceType};
use mayfly_ec2::{creating, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<AllocateAddress>();

/// The step.
pub struct AllocateAddress {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    allocation_id: String,
}

impl Step for AllocateAddress {
    type Input = Input;
    type Output = Allocated;

    const SDK_RETRIES: bool = false;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Allocated, Error> {
        const DOING: &str = "allocate the job's address";
        let Self { ec2, stack, clock } = self;
        let Input { plan } = input;
        let found = find::owned::<Address>(ec2, Owner { stack, job: &plan.job }).await?;
        if let Some(allocation_id) = found.into_iter().find_map(|address| address.allocation_id) {
            tracing::info!(allocation_id, "address found");
            return Ok(Allocated { allocation_id });
        }
        let allocated = ec2
            .allocate_address()
            .domain(DomainType::Vpc)
            .tag_specifications(tag_specification(ResourceType::ElasticIp, &plan.tags))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let allocation_id = given(DOING, "allocationId", allocated.allocation_id)?;
        tracing::info!(allocation_id, public_ip = allocated.public_ip, "address allocated");
        Ok(Allocated { allocation_id })
    }
}
