//! A private job has a network that exists only for it: what it looks like while it lives, in which order it is made,
//! and that nothing of it is left. What goes wrong with one is in `tests/simulation/simulate/networks.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, Route, RouteState, RouteTable, SecurityGroup};
use aws_sdk_sfn::types::HistoryEvent;
use libtest_mimic::Trial;
use mayfly_model::inventory::Kind;
use serde_json::Value;

use crate::support::course;
use crate::support::harness::Harness;
use crate::support::history::states_entered;
use crate::support::world::{self, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_private_job_has_a_network_of_its_own", network_of_its_own)]
}

async fn network_of_its_own(world: Arc<World>, job: String) -> Result<()> {
    let document = world::sample("run-job.private.json")?;
    world.start_job(&job, &document).await?;
    let interface = course::interface(&world, &job).await?;
    let subnet = interface.subnet_id().context("an interface has a subnet")?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let [group] = interface.groups() else { panic!("{:#?}", interface.groups()) };
    let group = group.group_id().context("a group has an id")?;
    // All looks first: the job does not wait for the test.
    let group = world.ec2.describe_security_groups().group_ids(group).send().await?;
    let tables = world.ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;
    let nats = world.ec2.describe_nat_gateways().filter(in_vpc(vpc)).send().await?;
    let mut belongings = world.belongings().await?;
    belongings.retain(|belonging| belonging.is_of(&job));

    assert!(interface.association().is_none(), "no public address");
    assert_group(&group.security_groups()[0], &document);
    let [nat] = nats.nat_gateways() else { panic!("{nats:#?}") };
    let nat_subnet = nat.subnet_id().context("a NAT gateway has a subnet")?;
    assert_ne!(nat_subnet, subnet);
    let tables = tables.route_tables();
    let out = default_route(tables, subnet)?;
    assert_eq!((out.nat_gateway_id(), out.state()), (nat.nat_gateway_id(), Some(&RouteState::Active)));
    let out = default_route(tables, nat_subnet)?;
    assert!(out.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-")), "{out:#?}");
    let to_s3 =
        table_of(tables, subnet)?.routes().iter().filter(|r| r.destination_prefix_list_id().is_some());
    assert_eq!(to_s3.count(), 1, "S3 is reached without the NAT gateway");

    let expected: BTreeSet<_> =
        ["Name", "mayfly:stack", "mayfly:job", "mayfly:execution", "expiry", "user", "team"].into();
    for belonging in &belongings {
        // AWS's own are those that ECS manages.
        let tags = belonging.tags.iter().filter(|(key, _)| !key.starts_with("aws:"));
        let keys: BTreeSet<_> = tags.clone().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, expected, "{belonging:#?}");
        let first = &belongings[0].tags;
        assert!(tags.clone().all(|(key, value)| first.get(key) == Some(value)), "{belonging:#?}");
    }
    // Neither of these is known here, so who tried was refused. Nobody has, for whatever job.
    let tagging = ["ec2:CreateTags", "ecs:TagResource"];
    let calls = world.cloud().calls().snapshot();
    let tagged_later = calls.iter().find(|call| tagging.contains(&&*call.action));
    assert_eq!(tagged_later.map(|call| &call.action), None, "the tags were inside the creation");

    let course = course::of(&world, &job).await?;
    let [output] = &course.result()?.outputs[..] else { panic!("{:#?}", course.outcome) };
    assert!(output.bytes > 0);
    let mut created = BTreeMap::new();
    course.outcome.receipt.created.iter().for_each(|named| *created.entry(named.kind).or_insert(0) += 1);
    assert_eq!(created, BTreeMap::from(CREATED));
    let listed = |id: &str| course.outcome.receipt.created.iter().any(|named| id.contains(&named.id));
    assert!(belongings.iter().all(|belonging| listed(&belonging.id)), "{belongings:#?}");
    assert_order(&course.events);
    Ok(())
}

fn in_vpc(vpc: &str) -> Filter {
    Filter::builder().name("vpc-id").values(vpc).build()
}

/// What the receipt of a private job lists. One interface is the container's, the other the NAT gateway's.
const CREATED: [(Kind, u32); 14] = [
    (Kind::Service, 1),
    (Kind::Task, 1),
    (Kind::Cluster, 1),
    (Kind::NetworkInterface, 2),
    (Kind::TaskDefinition, 1),
    (Kind::Queue, 1),
    (Kind::Vpc, 1),
    (Kind::Subnet, 3),
    (Kind::InternetGateway, 1),
    (Kind::Address, 1),
    (Kind::NatGateway, 1),
    (Kind::RouteTable, 2),
    (Kind::VpcEndpoint, 1),
    (Kind::SecurityGroup, 1),
];

/// Nothing may come in, and only what the document names may go out.
fn assert_group(group: &SecurityGroup, document: &Value) {
    assert!(group.ip_permissions().is_empty(), "{group:#?}");
    let egress = group.ip_permissions_egress().iter();
    let ports = egress.map(|rule| {
        assert_eq!((rule.ip_protocol(), rule.from_port()), (Some("tcp"), rule.to_port()), "{rule:#?}");
        rule.from_port()
    });
    let wanted = document["network"]["egressPorts"].as_array().into_iter().flatten();
    let wanted: BTreeSet<_> =
        wanted.map(|port| port.as_i64().and_then(|port| port.try_into().ok())).collect();
    assert_eq!(ports.collect::<BTreeSet<_>>(), wanted);
}

fn default_route<'a>(tables: &'a [RouteTable], subnet: &str) -> Result<&'a Route> {
    let mut routes = table_of(tables, subnet)?.routes().iter();
    routes.find(|route| route.destination_cidr_block() == Some("0.0.0.0/0")).context("no default route")
}

fn table_of<'a>(tables: &'a [RouteTable], subnet: &str) -> Result<&'a RouteTable> {
    let is_of = |table: &&RouteTable| table.associations().iter().any(|a| a.subnet_id() == Some(subnet));
    tables.iter().find(is_of).with_context(|| format!("no table of {subnet}"))
}

/// The VPC came first, and the container's way out when the NAT gateway was available.
fn assert_order(events: &[HistoryEvent]) {
    let entered = |state: &str| {
        let is_it = |event: &HistoryEvent| {
            event.state_entered_event_details().is_some_and(|details| details.name() == state)
        };
        events.iter().position(is_it).unwrap_or_else(|| panic!("{state} was never entered"))
    };
    let exited = |state: &str| {
        let is_it = |event: &HistoryEvent| {
            event.state_exited_event_details().is_some_and(|details| details.name() == state)
        };
        events.iter().position(is_it).unwrap_or_else(|| panic!("{state} was never exited"))
    };
    let others = states_entered(events).filter(|state| state.starts_with("Create") && *state != "CreateVpc");
    for other in others {
        assert!(exited("CreateVpc") < entered(other), "{other}");
    }
    assert!(exited("CheckNatGateway") < entered("CreatePrivateRoute"));
    assert!(exited("CreatePrivateRoute") < entered("CreateService"));
}
