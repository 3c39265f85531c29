//! What goes on in the account beside the stacks: others take what is scarce and give it back, and AWS puts things of its own
//! into VPCs.

use anyhow::{Context as _, Result};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{DomainType, ResourceType, Tag, TagSpecification, VpcEndpointType};
use mayfly_lambda::SdkConfig;

use crate::account::REGION;
use crate::circumstance::Scarce;

/// More than there may be of anything scarce.
const ALL: usize = 20;

/// What strangers have.
#[derive(Debug)]
pub(crate) struct Taken {
    what: Scarce,
    ids: Vec<String>,
    ec2: Client,
}

impl Taken {
    /// All that there may still be of `what`.
    pub async fn all(root: &SdkConfig, what: Scarce) -> Self {
        let ec2 = Client::new(root);
        let mut ids = Vec::new();
        while ids.len() < ALL
            && let Some(id) = one(&ec2, what).await
        {
            ids.push(id);
        }
        Self { what, ids, ec2 }
    }

    /// Gives all of it back.
    pub async fn give_back(self) -> Result<()> {
        for id in self.ids {
            match self.what {
                Scarce::Vpcs => _ = self.ec2.delete_vpc().vpc_id(id).send().await?,
                Scarce::InternetGateways => {
                    _ = self.ec2.delete_internet_gateway().internet_gateway_id(id).send().await?;
                }
                Scarce::Addresses => _ = self.ec2.release_address().allocation_id(id).send().await?,
            }
        }
        Ok(())
    }
}

/// One more, where there may be one.
async fn one(ec2: &Client, what: Scarce) -> Option<String> {
    match what {
        Scarce::Vpcs => ec2.create_vpc().cidr_block("10.0.0.0/24").send().await.ok()?.vpc?.vpc_id,
        Scarce::InternetGateways => {
            let made = ec2.create_internet_gateway().send().await.ok()?;
            made.internet_gateway?.internet_gateway_id
        }
        Scarce::Addresses => ec2.allocate_address().domain(DomainType::Vpc).send().await.ok()?.allocation_id,
    }
}

/// Puts an endpoint and its group into a VPC that has a subnet, as GuardDuty's Runtime Monitoring does, by the names that
/// hashicorp/terraform-provider-aws#46747 has seen. GuardDuty's own has private DNS, which nothing here asks for.
pub(crate) async fn guard(root: &SdkConfig, vpc: &str) -> Result<()> {
    let ec2 = Client::new(root);
    let subnets = ec2.describe_subnets().send().await?.subnets.unwrap_or_default();
    let of_vpc = subnets.into_iter().find(|subnet| subnet.vpc_id.as_deref() == Some(vpc));
    let Some(subnet) = of_vpc.and_then(|subnet| subnet.subnet_id) else { return Ok(()) };
    let tagged = |kind| {
        let tag = Tag::builder().key("GuardDutyManaged").value("true").build();
        TagSpecification::builder().resource_type(kind).tags(tag).build()
    };
    let group = ec2.create_security_group().vpc_id(vpc).description("Associated with VPC-".to_owned() + vpc);
    let group = group.group_name(format!("GuardDutyManagedSecurityGroup-{vpc}"));
    let group = group.tag_specifications(tagged(ResourceType::SecurityGroup)).send().await?;
    let group = group.group_id.context("a group")?;
    let endpoint = ec2.create_vpc_endpoint().vpc_id(vpc).vpc_endpoint_type(VpcEndpointType::Interface);
    let endpoint = endpoint.service_name(format!("com.amazonaws.{REGION}.guardduty-data"));
    let endpoint = endpoint.private_dns_enabled(false).subnet_ids(subnet).security_group_ids(group);
    endpoint.tag_specifications(tagged(ResourceType::VpcEndpoint)).send().await?;
    Ok(())
}
