//! A private job without a NAT gateway that reaches AWS's services by endpoints alone has just the network that it needs, and
//! leaves nothing of it. One that reaches whatever has IPv6 is in `tests/simulation/simulate/networks.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, VpcEndpoint};
use libtest_mimic::Trial;
use mayfly_model::inventory::Kind;

use crate::support::course::{self, Course, sample};
use crate::support::harness::Harness;
use crate::support::world::World;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_job_with_endpoints_has_no_way_to_the_internet", endpoints)]
}

fn in_vpc(vpc: &str) -> Filter {
    Filter::builder().name("vpc-id").values(vpc).build()
}

/// How many of each kind the job has had.
fn created(course: &Course) -> BTreeMap<Kind, u32> {
    let mut created = BTreeMap::new();
    course.outcome.receipt.created.iter().for_each(|named| *created.entry(named.kind).or_insert(0) += 1);
    created
}

async fn endpoints(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.endpoints.json")?.start(&world, &job).await?;
    let interface = course::interface(&world, &job).await?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let [group] = interface.groups() else { panic!("{:#?}", interface.groups()) };
    let endpoints = world.ec2.describe_vpc_endpoints().filters(in_vpc(vpc)).send().await?;
    let groups = world.ec2.describe_security_groups().filters(in_vpc(vpc)).send().await?;
    let tables = world.ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;

    assert!(interface.association().is_none(), "no public address");
    let service = |endpoint: &VpcEndpoint| {
        let name = endpoint.service_name().unwrap_or_default();
        name.trim_start_matches(&format!("com.amazonaws.{}.", local_cloud::REGION)).to_owned()
    };
    let mut services: Vec<_> = endpoints.vpc_endpoints().iter().map(service).collect();
    services.sort_unstable();
    assert_eq!(services, ["ecr.api", "ecr.dkr", "logs", "s3", "sqs"]);
    let interfaces = endpoints.vpc_endpoints().iter().filter(|endpoint| service(endpoint) != "s3");
    for endpoint in interfaces {
        assert_eq!((endpoint.private_dns_enabled(), endpoint.subnet_ids().len()), (Some(true), 1));
        let [of_endpoint] = endpoint.groups() else { panic!("{endpoint:#?}") };
        let of_endpoint = groups.security_groups().iter().find(|g| g.group_id() == of_endpoint.group_id());
        let [admits] = of_endpoint.context("its group")?.ip_permissions() else { panic!("{groups:#?}") };
        assert_eq!((admits.from_port(), admits.to_port()), (Some(443), Some(443)));
        let [from] = admits.user_id_group_pairs() else { panic!("{admits:#?}") };
        assert_eq!(from.group_id(), group.group_id(), "the container's alone");
        assert!(admits.ip_ranges().is_empty() && admits.ipv6_ranges().is_empty());
    }
    let mut routes = tables.route_tables().iter().flat_map(|table| table.routes());
    assert!(!routes.any(|route| route.destination_cidr_block() == Some("0.0.0.0/0")), "{tables:#?}");

    let course = course::of(&world, &job).await?;
    assert!(course.result()?.outputs[0].bytes > 0);
    // One interface is the container's, the others the endpoints'.
    let expected = BTreeMap::from([
        (Kind::Service, 1),
        (Kind::Task, 1),
        (Kind::Cluster, 1),
        (Kind::NetworkInterface, 5),
        (Kind::TaskDefinition, 1),
        (Kind::Queue, 1),
        (Kind::Vpc, 1),
        (Kind::Subnet, 1),
        (Kind::RouteTable, 1),
        (Kind::VpcEndpoint, 5),
        (Kind::SecurityGroup, 2),
    ]);
    assert_eq!(created(&course), expected);
    Ok(())
}
