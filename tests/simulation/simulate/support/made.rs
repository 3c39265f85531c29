//! Resources of EC2 that somebody else makes, by single calls of the account's root, and takes away again.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::types::{DomainType, ResourceType, Tag, TagSpecification};
use aws_sdk_ec2::{Client, Error};
use mayfly_model::tags;
use mayfly_simulation::account::REGION;

use crate::support::world::World;

/// The codes of a delete that is to be tried again: something else is still being deleted, or the calls were too many.
const TRY_AGAIN: [&str; 4] =
    ["DependencyViolation", "AuthFailure", "InvalidNetworkInterfaceID.NotFound", "RequestLimitExceeded"];

/// All that was made, in order.
pub struct Made {
    ec2: Client,
    /// The tags of everything that is made from now on.
    tags: BTreeMap<String, String>,
    things: Vec<Thing>,
}

enum Thing {
    Vpc(String),
    Subnet(String),
    Group(String),
    InternetGateway { id: String, vpc: Option<String> },
    Address(String),
    NatGateway(String),
}

impl Made {
    /// Nothing yet.
    pub fn nothing(world: &World) -> Self {
        let ec2 = Client::new(&world.run.account.root());
        Self { ec2, tags: BTreeMap::new(), things: Vec::new() }
    }

    /// What is made from now on has the tags of this job.
    pub fn tag(&mut self, world: &mut World, job: &str) {
        world.run.is_disturbed = true;
        let stack = &world.run.stacks[0].name;
        self.tags = [(tags::STACK, &**stack), (tags::JOB, job)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    }

    /// What is made from now on has no tags.
    pub fn untag(&mut self) {
        self.tags.clear();
    }

    pub async fn vpc(&mut self, cidr: &str) -> Result<String, Error> {
        let make = self.ec2.create_vpc().cidr_block(cidr);
        let made = make.set_tag_specifications(self.specification(ResourceType::Vpc)).send().await?;
        let id = made.vpc.and_then(|vpc| vpc.vpc_id).unwrap_or_default();
        Ok(self.keep(Thing::Vpc, id))
    }

    pub async fn subnet(&mut self, vpc: &str, cidr: &str) -> Result<String, Error> {
        let make = self.ec2.create_subnet().vpc_id(vpc).cidr_block(cidr);
        let make = make.availability_zone(format!("{REGION}a"));
        let made = make.set_tag_specifications(self.specification(ResourceType::Subnet)).send().await?;
        let id = made.subnet.and_then(|subnet| subnet.subnet_id).unwrap_or_default();
        Ok(self.keep(Thing::Subnet, id))
    }

    pub async fn group(&mut self, vpc: &str, name: &str) -> Result<String, Error> {
        let make = self.ec2.create_security_group().vpc_id(vpc).group_name(name).description(name);
        let tags = self.specification(ResourceType::SecurityGroup);
        let id = make.set_tag_specifications(tags).send().await?.group_id.unwrap_or_default();
        Ok(self.keep(Thing::Group, id))
    }

    /// An internet gateway, attached where a VPC is given.
    pub async fn internet_gateway(&mut self, vpc: Option<&str>) -> Result<String, Error> {
        let make = self.ec2.create_internet_gateway();
        let tags = self.specification(ResourceType::InternetGateway);
        let made = make.set_tag_specifications(tags).send().await?.internet_gateway;
        let id = made.and_then(|gateway| gateway.internet_gateway_id).unwrap_or_default();
        if let Some(vpc) = vpc {
            self.ec2.attach_internet_gateway().internet_gateway_id(&id).vpc_id(vpc).send().await?;
        }
        let vpc = vpc.map(str::to_owned);
        Ok(self.keep(|id| Thing::InternetGateway { id, vpc }, id))
    }

    pub async fn address(&mut self) -> Result<String, Error> {
        let make = self.ec2.allocate_address().domain(DomainType::Vpc);
        let made = make.set_tag_specifications(self.specification(ResourceType::ElasticIp)).send().await?;
        Ok(self.keep(Thing::Address, made.allocation_id.unwrap_or_default()))
    }

    /// A NAT gateway, which is pending.
    pub async fn nat_gateway(&mut self, subnet: &str, address: &str) -> Result<String, Error> {
        let make = self.ec2.create_nat_gateway().subnet_id(subnet).allocation_id(address);
        let made = make.set_tag_specifications(self.specification(ResourceType::Natgateway)).send().await?;
        let id = made.nat_gateway.and_then(|nat| nat.nat_gateway_id).unwrap_or_default();
        Ok(self.keep(Thing::NatGateway, id))
    }

    /// Takes the newest thing away.
    pub async fn remove_last(&mut self, world: &World) -> Result<()> {
        match self.things.pop() {
            Some(thing) => self.delete(world, &thing).await,
            None => Ok(()),
        }
    }

    /// Takes everything away, the newest first.
    pub async fn remove(mut self, world: &World) -> Result<()> {
        while let Some(thing) = self.things.pop() {
            self.delete(world, &thing).await?;
        }
        Ok(())
    }

    fn keep(&mut self, thing: impl FnOnce(String) -> Thing, id: String) -> String {
        self.things.push(thing(id.clone()));
        id
    }

    fn specification(&self, kind: ResourceType) -> Option<Vec<TagSpecification>> {
        let tags = self.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let specification = TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect()));
        (!self.tags.is_empty()).then(|| vec![specification.build()])
    }

    /// Tries until it is gone. A teardown may have deleted it already.
    async fn delete(&self, world: &World, thing: &Thing) -> Result<()> {
        world
            .until("somebody else's things to be gone", async || {
                match try_to_delete(&self.ec2, thing).await {
                    Err(error) if error.code().is_some_and(|code| TRY_AGAIN.contains(&code)) => Ok(None),
                    Err(error) if !error.code().is_some_and(|code| code.ends_with("NotFound")) => {
                        Err(error.into())
                    }
                    _ => Ok(Some(())),
                }
            })
            .await
    }
}

async fn try_to_delete(ec2: &Client, thing: &Thing) -> Result<(), Error> {
    match thing {
        Thing::Vpc(id) => _ = ec2.delete_vpc().vpc_id(id).send().await?,
        Thing::Subnet(id) => _ = ec2.delete_subnet().subnet_id(id).send().await?,
        Thing::Group(id) => _ = ec2.delete_security_group().group_id(id).send().await?,
        Thing::InternetGateway { id, vpc } => {
            if let Some(vpc) = vpc {
                let detach = ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
                match detach.send().await.map_err(Error::from) {
                    Err(error) if error.code() != Some("Gateway.NotAttached") => return Err(error),
                    _ => {}
                }
            }
            ec2.delete_internet_gateway().internet_gateway_id(id).send().await?;
        }
        Thing::Address(id) => _ = ec2.release_address().allocation_id(id).send().await?,
        Thing::NatGateway(id) => _ = ec2.delete_nat_gateway().nat_gateway_id(id).send().await?,
    }
    Ok(())
}

/// Makes as many as the account may have, and gives the refusal of one more.
pub async fn refused(mut make: impl AsyncFnMut() -> Result<String, Error>) -> Error {
    loop {
        if let Err(error) = make().await {
            return error;
        }
    }
}
