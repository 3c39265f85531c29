//! A private job has a network that exists only for it: what it looks like while it lives, in which order it is made,
//! and that nothing of it is left, whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, Route, RouteState, RouteTable, SecurityGroup};
use aws_sdk_sfn::types::HistoryEvent;
use futures_util::future::try_join;
use libtest_mimic::Trial;
use local_ec2::{Fault, NatFailure};
use mayfly_model::class::Class;
use mayfly_model::inventory::Kind;
use mayfly_model::names::Names;
use serde_json::Value;

use crate::support::course;
use crate::support::denial::Denial;
use crate::support::documents::private;
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY};
use crate::support::history::{refusals, states_entered, states_exited};
use crate::support::world::{self, STACK, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_private_job_has_a_network_of_its_own", network_of_its_own),
        harness.trial("a_private_job_has_a_subnet_in_each_of_two_zones", two_zones),
        harness.trial("a_stack_is_in_the_zones_that_its_parameters_name", named_zones),
        harness.trial("a_nat_gateway_that_fails_ends_the_job_at_the_next_look", nat_fails),
        harness.trial("a_branch_that_fails_ends_the_others_and_leaves_nothing", branch_fails),
    ]
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

/// The service names both, so that ECS may go to the second where the first has no room. Both lead to the one gateway.
async fn two_zones(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &private(&["true"])).await?;
    let interface = course::interface(&world, &job).await?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let names = Names::new(STACK, &job);
    let services = world.ecs.describe_services().cluster(names.cluster()).services(names.service(1));
    let services = services.send().await?;
    let [service] = services.services() else { panic!("{services:#?}") };
    let network = service.network_configuration().and_then(|network| network.awsvpc_configuration());
    let named: BTreeSet<_> = network.context("a service has a network")?.subnets().iter().cloned().collect();
    let subnets = world.ec2.describe_subnets().filters(in_vpc(vpc)).send().await?;
    let tables = world.ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;
    let nats = world.ec2.describe_nat_gateways().filter(in_vpc(vpc)).send().await?;

    let [nat] = nats.nat_gateways() else { panic!("{nats:#?}") };
    let (public, private): (Vec<_>, Vec<_>) =
        subnets.subnets().iter().partition(|subnet| subnet.subnet_id() == nat.subnet_id());
    let [public] = public[..] else { panic!("{subnets:#?}") };
    assert_eq!(public.availability_zone(), Some(&*world.zone().await?), "the gateway is in the first zone");
    let zones: BTreeSet<_> = private.iter().filter_map(|subnet| subnet.availability_zone()).collect();
    assert!(private.len() == 2 && zones.len() == 2 && zones.contains(&*world.zone().await?), "{zones:?}");
    let ids: BTreeSet<_> =
        private.iter().filter_map(|subnet| subnet.subnet_id().map(str::to_owned)).collect();
    assert_eq!(ids, named, "the service names both");
    for subnet in &ids {
        assert_eq!(default_route(tables.route_tables(), subnet)?.nat_gateway_id(), nat.nat_gateway_id());
    }
    course::of(&world, &job).await?.result()?;
    Ok(())
}

async fn named_zones(world: Arc<World>, _: String) -> Result<()> {
    hasty::deployed(&world).await?;
    let settings = world.settings_of(HASTY, "plan-job").await?;
    let zones = hasty::ZONES.map(|letter| format!("{}{letter}", local_cloud::REGION));
    assert_eq!(settings["AVAILABILITY_ZONES"], zones.join(","));
    let subnets: Vec<_> = settings["SUBNETS"].split(',').map(str::to_owned).collect();
    for (subnet, zone) in subnets.iter().zip(&zones) {
        let described = world.ec2.describe_subnets().subnet_ids(subnet).send().await?;
        assert_eq!(described.subnets()[0].availability_zone(), Some(&**zone));
    }
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

/// Before the first look, and when some looks have found it pending.
async fn nat_fails(world: Arc<World>, base: String) -> Result<()> {
    let was_pending = async |after_seconds: u32| {
        let job = format!("{base}-{after_seconds}");
        let fault = Fault::NatFails { failure: NatFailure::InternalError, after_seconds };
        world.cloud().ec2_faults().add(&job, fault);
        let execution = world.run_job(&job, &private(&["true"])).await?;
        let failure = course::failure_of_network(&world, &job, Class::Internal).await?;
        for words in [
            "has failed: InternalError: Network interface eni-",
            "is in an invalid state",
            "nothing of the job has run",
        ] {
            assert!(failure.contains(words), "{failure}");
        }
        let events = world.history(execution.execution_arn()).await?;
        assert!(!events.iter().any(|event| event.task_timed_out_event_details().is_some()), "it was told");
        let looks = refusals(&events).filter(|refusal| refusal.state == "CheckNatGateway");
        let looks: Vec<_> = looks.map(|refusal| refusal.error).collect();
        let (last, earlier) = looks.split_last().context("a look has told it")?;
        assert_eq!(*last, Class::Internal.name());
        assert!(earlier.iter().all(|error| *error == "NatPending"), "it was told once: {looks:?}");
        anyhow::Ok(!earlier.is_empty())
    };
    assert_eq!(try_join(was_pending(30), was_pending(120)).await?, (false, true));
    Ok(())
}

/// When it fails, the NAT gateway is on its way, and everything that it needs is there.
async fn branch_fails(world: Arc<World>, job: String) -> Result<()> {
    let action = "ec2:CreateRoute";
    let denial = Denial::of_change(&world, "create-route", &job, action).await?;
    let execution = world.run_job(&job, &private(&["true"])).await?;
    denial.lift(&world).await?;
    let failure = course::failure_of_network(&world, &job, Class::AccessDenied).await?;
    assert!(failure.contains(action), "{failure}");

    let events = world.history(execution.execution_arn()).await?;
    let exited: Vec<_> = states_exited(&events).collect();
    let mut aborted = states_entered(&events).filter(|state| !exited.contains(state));
    assert!(aborted.any(|state| ["CreateNatGateway", "AwaitNatGateway"].contains(&state)));
    let never = ["CheckNatGateway", "CreatePrivateRoute", "CreateService"];
    assert_eq!(states_entered(&events).find(|state| never.contains(state)), None);
    let deleted = world::outcome(&execution)?.receipt.deleted;
    for kind in [Kind::Vpc, Kind::InternetGateway, Kind::Address, Kind::Subnet, Kind::RouteTable] {
        assert!(deleted.iter().any(|named| named.kind == kind), "{kind:?}: {deleted:#?}");
    }
    Ok(())
}
