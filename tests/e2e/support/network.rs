//! A network of somebody else's, which the stack knows nothing of.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::made::{self, Made};
use crate::support::world::World;

/// A VPC of somebody else's with a subnet and a group.
pub struct Network<'a> {
    made: Made<'a>,
    zone: String,
    pub vpc: String,
    pub subnet: String,
    pub group: String,
}

impl<'a> Network<'a> {
    /// One that has no way out.
    pub async fn make(world: &'a World) -> Result<Self> {
        let zone = world.zone().await?;
        let mut made = Made::nothing(world);
        let vpc = made.vpc("10.9.0.0/16").await?;
        let subnet = made.subnet(&vpc, "10.9.1.0/24", &zone).await?;
        let group = made.group(&vpc, "own").await?;
        Ok(Self { made, zone, vpc, subnet, group })
    }

    /// Gives it a way out: its subnet is routed to a NAT gateway in a public one.
    pub async fn open(&mut self, world: &World) -> Result<()> {
        let Self { made, zone, vpc, subnet, .. } = self;
        let gateway = made.internet_gateway(Some(vpc)).await?;
        let public = made.subnet(vpc, "10.9.2.0/24", zone).await?;
        made.default_route(vpc, &public, &gateway).await?;
        let address = made.address().await?;
        let nat = made.nat_gateway(&public, &address).await?;
        made::available(world, &nat).await?;
        made.default_route(vpc, subnet, &nat).await?;
        Ok(())
    }

    /// What a job document says that is to run here.
    pub fn document(&self) -> Value {
        json!({ "mode": "existing", "subnets": [self.subnet], "securityGroups": [self.group] })
    }

    pub async fn remove(self) -> Result<()> {
        self.made.remove().await
    }
}
