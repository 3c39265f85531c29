//! Where a service is that joins a network which is there: its VPC, for a security group, and, for a load balancer, the
//! subnets' zones and addresses and whether the internet leads to them.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, RouteTable, Subnet};
use mayfly_lambda::error::{Error, given};

/// What a load balancer takes of a subnet.
/// Source: Network Load Balancers guide, "Availability Zones", requirements.
const ADDRESSES_NEEDED: i32 = 8;

/// Where a service is.
#[derive(Debug, Default, PartialEq)]
pub struct Place {
    pub vpc_id: String,
    pub cidrs: Vec<String>,
    /// Whether every subnet's route table leads to an internet gateway.
    pub is_public: bool,
}

/// Looks at the subnets that a service joins.
pub async fn look(ec2: &Client, subnets: &[String], has_load_balancer: bool) -> Result<Place, Error> {
    const DOING: &str = "look at the service's subnets";
    let by_id = Filter::builder().name("subnet-id").set_values(Some(subnets.to_vec())).build();
    let described = ec2.describe_subnets().filters(by_id).send().await.map_err(Error::aws(DOING))?;
    let found = described.subnets.unwrap_or_default();
    let vpc_id = given(DOING, "vpcId", found.iter().find_map(|subnet| subnet.vpc_id.clone()))?;
    let cidrs = found.iter().filter_map(|subnet| subnet.cidr_block.clone()).collect();
    if !has_load_balancer {
        return Ok(Place { vpc_id, cidrs, is_public: false });
    }
    check_zones(&found)?;
    check_room(&found)?;
    let by_vpc = Filter::builder().name("vpc-id").values(&vpc_id).build();
    let tables = ec2.describe_route_tables().filters(by_vpc).into_paginator().items().send();
    let tables: Result<Vec<RouteTable>, _> = tables.try_collect().await;
    let tables = tables.map_err(Error::aws("look at the route tables of the service's subnets"))?;
    let is_public = subnets.iter().all(|subnet| leads_to_internet(&tables, subnet));
    Ok(Place { vpc_id, cidrs, is_public })
}

/// Source: Elastic Load Balancing API Reference, `CreateLoadBalancer`, `Subnets`: one of each zone.
fn check_zones(subnets: &[Subnet]) -> Result<(), Error> {
    let mut zones = BTreeMap::new();
    for subnet in subnets {
        let (id, zone) = (subnet.subnet_id().unwrap_or_default(), subnet.availability_zone());
        if let (Some(other), Some(zone)) = (zones.insert(zone, id), zone) {
            return Err(Error::InvalidJob(format!(
                "network.subnets: given {other} and {id}, both in {zone}; allowed with a load balancer: one of each zone"
            )));
        }
    }
    Ok(())
}

fn check_room(subnets: &[Subnet]) -> Result<(), Error> {
    let is_full =
        |subnet: &&Subnet| subnet.available_ip_address_count().is_some_and(|count| count < ADDRESSES_NEEDED);
    match subnets.iter().find(is_full) {
        None => Ok(()),
        Some(subnet) => Err(Error::InvalidJob(format!(
            "network.subnets: given {}, which has {} free addresses; allowed with a load balancer: {ADDRESSES_NEEDED} or \
             more",
            subnet.subnet_id().unwrap_or_default(),
            subnet.available_ip_address_count().unwrap_or_default()
        ))),
    }
}

/// A subnet without a table of its own has the VPC's main one.
/// Source: VPC user guide, "Route table concepts".
fn leads_to_internet(tables: &[RouteTable], subnet: &str) -> bool {
    let is_own = |table: &&RouteTable| table.associations().iter().any(|one| one.subnet_id() == Some(subnet));
    let is_main = |table: &&RouteTable| table.associations().iter().any(|one| one.main() == Some(true));
    let table = tables.iter().find(is_own).or_else(|| tables.iter().find(is_main));
    let routes = table.map(|table| table.routes()).unwrap_or_default();
    routes.iter().any(|route| {
        let leads = route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-"));
        leads && route.destination_cidr_block() == Some("0.0.0.0/0")
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{Route, RouteTableAssociation};

    use super::*;

    #[test]
    fn a_subnet_is_public_by_its_own_table_or_the_main_one() {
        let table = |association: RouteTableAssociation, gateway: &str| {
            let route = Route::builder().destination_cidr_block("0.0.0.0/0").gateway_id(gateway).build();
            RouteTable::builder().associations(association).routes(route).build()
        };
        let of = |subnet: &str| RouteTableAssociation::builder().subnet_id(subnet).main(false).build();
        let main = RouteTableAssociation::builder().main(true).build();
        let tables = [table(of("subnet-1"), "igw-1"), table(of("subnet-2"), "local"), table(main, "igw-1")];
        assert!(leads_to_internet(&tables, "subnet-1") && leads_to_internet(&tables, "subnet-3"));
        assert!(!leads_to_internet(&tables, "subnet-2") && !leads_to_internet(&tables[..2], "subnet-3"));
    }

    #[test]
    fn a_load_balancer_takes_one_subnet_of_each_zone_with_room() {
        let subnet = |id: &str, zone: &str, room: i32| {
            Subnet::builder().subnet_id(id).availability_zone(zone).available_ip_address_count(room).build()
        };
        let twice = [subnet("subnet-1", "a", 100), subnet("subnet-2", "a", 100)];
        let refused = check_zones(&twice).unwrap_err().to_string();
        assert!(refused.contains("given subnet-1 and subnet-2, both in a"), "{refused}");
        let full = [subnet("subnet-1", "a", 8), subnet("subnet-2", "b", 7)];
        check_zones(&full).unwrap();
        let refused = check_room(&full).unwrap_err().to_string();
        assert!(refused.contains("given subnet-2, which has 7 free addresses"), "{refused}");
    }
}
