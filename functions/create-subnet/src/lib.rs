//! CreateSubnet: the public subnet, which holds the NAT gateway, or a private one, which may hold the container.

mod block;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Subnet};
use mayfly_ec2::{creating, creating_once, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const DOING: &str = "create a subnet of the job";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateSubnet>();

/// The step.
pub struct CreateSubnet {
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
    #[serde(flatten)]
    addresses: Addresses,
    availability_zone: String,
}

/// The subnet's addresses.
#[derive(Debug, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Addresses {
    /// A block of IPv4.
    Ipv4 { cidr_block: String },
    /// IPv6 alone: of the VPC's block the part with this index.
    Ipv6 { ipv6_cidr_block: String, index: u8 },
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    subnet_id: String,
}

impl Step for CreateSubnet {
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

    /// All subnets of a job have the same tags, so their blocks tell them apart.
    #[tracing::instrument(skip_all, fields(job = input.plan.job, addresses = ?input.addresses), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Self { ec2, stack, .. } = self;
        let Input { plan, vpc_id, addresses, availability_zone } = input;
        let (ipv4, ipv6) = match addresses {
            Addresses::Ipv4 { cidr_block } => (Some(cidr_block), None),
            Addresses::Ipv6 { ipv6_cidr_block, index } => (None, Some(block::part(&ipv6_cidr_block, index)?)),
        };
        let mut found = find::owned::<Subnet>(ec2, Owner { stack, job: &plan.job }).await?;
        found.retain(|subnet| {
            let has_block = match &ipv6 {
                Some(block) => block::is_of(subnet, block),
                None => subnet.cidr_block() == ipv4.as_deref(),
            };
            subnet.vpc_id() == Some(&vpc_id) && has_block
        });
        let subnet = match found.into_iter().next() {
            Some(subnet) => subnet,
            None => self.create(&plan, vpc_id, ipv4, ipv6.clone(), availability_zone).await?,
        };
        let gives_addresses = subnet.assign_ipv6_address_on_creation() == Some(true);
        let subnet_id = given(DOING, "subnetId", subnet.subnet_id)?;
        if ipv6.is_some() && !gives_addresses {
            self.give_addresses(&plan, &subnet_id).await?;
        }
        tracing::info!(subnet_id, "subnet ready");
        Ok(Created { subnet_id })
    }
}

impl CreateSubnet {
    async fn create(
        &self,
        plan: &Plan,
        vpc_id: String,
        ipv4: Option<String>,
        ipv6: Option<String>,
        availability_zone: String,
    ) -> Result<Subnet, Error> {
        let created = self
            .ec2
            .create_subnet()
            .vpc_id(vpc_id)
            .set_cidr_block(ipv4)
            .set_ipv6_native(ipv6.is_some().then_some(true))
            .set_ipv6_cidr_block(ipv6)
            .availability_zone(availability_zone)
            .tag_specifications(tag_specification(ResourceType::Subnet, &plan.tags))
            .send()
            .await
            .map_err(creating_once(DOING, plan, self.clock.now(), "InvalidSubnet.Conflict"))?;
        given(DOING, "subnet", created.subnet)
    }

    /// Lets a task's interface have an address of IPv6, which it has none of by itself. To repeat the call changes nothing.
    /// Source: ECS developer guide, "Fargate task networking", IPv6-only subnets.
    async fn give_addresses(&self, plan: &Plan, subnet_id: &str) -> Result<(), Error> {
        self.ec2
            .modify_subnet_attribute()
            .subnet_id(subnet_id)
            .assign_ipv6_address_on_creation(AttributeBooleanValue::builder().value(true).build())
            .send()
            .await
            .map_err(creating("let a subnet of the job give addresses", plan, self.clock.now()))?;
        Ok(())
    }
}
