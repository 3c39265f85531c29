//! A job's own network: what it looks like while it lives, and that nothing of it is left, whatever goes wrong. One with a NAT
//! gateway and one with endpoints are looked at in `tests/e2e`, with containers that really work.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use aws_sdk_ec2::types::{Filter, NetworkInterface, Route, RouteTable};
use aws_sdk_ecs::types::Task;
use local_ec2::{Fault, NatFailure};
use mayfly_model::class::Class;
use mayfly_model::inventory::Kind;
use mayfly_model::names::Names;
use mayfly_simulation::account::{JOB, REGION};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::run::STACK;
use serde_json::json;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::works;
use crate::support::documents::by_egress;
use crate::support::history::{history, refusals, states_entered};
use crate::support::world::{World, scene};

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_private_job_has_a_subnet_in_each_of_two_zones", two_zones),
        behaviour("a_stack_is_in_the_zones_that_its_parameters_name", named_zones),
        behaviour("a_nat_gateway_that_fails_ends_the_job_at_the_next_look", nat_fails),
        behaviour("a_branch_that_fails_ends_the_others_and_leaves_nothing", branch_fails),
        behaviour("a_job_with_ipv6_alone_has_nothing_that_is_billed_by_the_hour", ipv6),
        behaviour("what_the_egress_cannot_reach_is_refused", refused),
    ]
}

fn ec2(world: &World) -> aws_sdk_ec2::Client {
    aws_sdk_ec2::Client::new(&world.run.account.root())
}

fn in_vpc(vpc: &str) -> Filter {
    Filter::builder().name("vpc-id").values(vpc).build()
}

/// The network interface of the job's first task, while the task lives.
async fn interface(world: &World, job: &str) -> Result<NetworkInterface> {
    let look = async || {
        let tasks = world.tasks(job).await?;
        let details = tasks.iter().flat_map(Task::attachments).flat_map(|attachment| attachment.details());
        let mut ids = details.filter(|detail| detail.name() == Some("networkInterfaceId"));
        Ok(ids.find_map(|detail| detail.value().map(str::to_owned)))
    };
    let id = world.until("the task's network interface", look).await?;
    let by_id = Filter::builder().name("network-interface-id").values(&id).build();
    let found = ec2(world).describe_network_interfaces().filters(by_id).send().await?.network_interfaces;
    found.unwrap_or_default().pop().with_context(|| format!("{id} is gone"))
}

/// The service names both, so that ECS may go to the second where the first has no room. Both lead to the one gateway.
async fn two_zones() -> Result<()> {
    let mut world = scene().containers(|_| works(60)).begin().await?;
    world.start(JOB, &by_egress("nat")).await?;
    let interface = interface(&world, JOB).await?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let names = Names::new(STACK, JOB);
    let ecs = aws_sdk_ecs::Client::new(&world.run.account.root());
    let services = ecs.describe_services().cluster(names.cluster()).services(names.service(1)).send().await?;
    let [service] = services.services() else { panic!("{services:#?}") };
    let network = service.network_configuration().and_then(|network| network.awsvpc_configuration());
    let named: BTreeSet<_> = network.context("a service has a network")?.subnets().iter().cloned().collect();
    let ec2 = ec2(&world);
    let subnets = ec2.describe_subnets().filters(in_vpc(vpc)).send().await?;
    let tables = ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;
    let nats = ec2.describe_nat_gateways().filter(in_vpc(vpc)).send().await?;

    let [nat] = nats.nat_gateways() else { panic!("{nats:#?}") };
    let (public, private): (Vec<_>, Vec<_>) =
        subnets.subnets().iter().partition(|subnet| subnet.subnet_id() == nat.subnet_id());
    let [public] = public[..] else { panic!("{subnets:#?}") };
    let zones = &world.function("plan-job")?.variables["AVAILABILITY_ZONES"];
    let first = zones.split(',').next().context("plan-job knows the zones")?;
    assert_eq!(public.availability_zone(), Some(first), "the gateway is in the first zone");
    let zones: BTreeSet<_> = private.iter().filter_map(|subnet| subnet.availability_zone()).collect();
    assert!(private.len() == 2 && zones.len() == 2 && zones.contains(first), "{zones:?}");
    let ids: BTreeSet<_> =
        private.iter().filter_map(|subnet| subnet.subnet_id().map(str::to_owned)).collect();
    assert_eq!(ids, named, "the service names both");
    for subnet in &ids {
        assert_eq!(default_route(tables.route_tables(), subnet)?.nat_gateway_id(), nat.nat_gateway_id());
    }
    world.course(JOB).await?.result()?;
    world.finish().await
}

fn default_route<'a>(tables: &'a [RouteTable], subnet: &str) -> Result<&'a Route> {
    let is_of = |table: &&RouteTable| table.associations().iter().any(|a| a.subnet_id() == Some(subnet));
    let table = tables.iter().find(is_of).with_context(|| format!("no table of {subnet}"))?;
    let mut routes = table.routes().iter();
    routes.find(|route| route.destination_cidr_block() == Some("0.0.0.0/0")).context("no default route")
}

async fn named_zones() -> Result<()> {
    let letters = ["c", "a"];
    let mut world =
        scene().parameter("FirstZone", letters[0]).parameter("SecondZone", letters[1]).begin().await?;
    let settings = &world.function("plan-job")?.variables;
    let zones = letters.map(|letter| format!("{REGION}{letter}"));
    assert_eq!(settings["AVAILABILITY_ZONES"], zones.join(","));
    for (subnet, zone) in settings["SUBNETS"].split(',').zip(&zones) {
        let described = ec2(&world).describe_subnets().subnet_ids(subnet).send().await?;
        assert_eq!(described.subnets()[0].availability_zone(), Some(&**zone));
    }
    world.start(JOB, &by_egress("nat")).await?;
    let of_container = interface(&world, JOB).await?.availability_zone;
    assert!(of_container.is_some_and(|zone| zones.contains(&zone)));
    world.finish().await
}

/// The message of a job that has failed with this class before there was a container, and has left nothing.
async fn failure(world: &World, class: Class) -> Result<String> {
    let course = world.course(JOB).await?;
    Ok(course.failure(class, None)?.message.clone())
}

/// Before the first look, and when some looks have found it pending.
async fn nat_fails() -> Result<()> {
    let was_pending = async |after_seconds: u32| {
        let fault = Fault::NatFails { failure: NatFailure::InternalError, after_seconds };
        let mut world = scene().around([Circumstance::Networks(fault)]).begin().await?;
        let execution = world.start(JOB, &by_egress("nat")).await?;
        let failure = failure(&world, Class::Internal).await?;
        for words in [
            "has failed: InternalError: Network interface eni-",
            "is in an invalid state",
            "nothing of the job has run",
        ] {
            assert!(failure.contains(words), "{failure}");
        }
        let events = history(&execution);
        assert!(!events.iter().any(|event| event.get("taskTimedOutEventDetails").is_some()), "it was told");
        let looks = refusals(&events).filter(|refusal| refusal.state == "CheckNatGateway");
        let looks: Vec<_> = looks.map(|refusal| refusal.error).collect();
        let (last, earlier) = looks.split_last().context("a look has told it")?;
        assert_eq!(*last, Class::Internal.name());
        assert!(earlier.iter().all(|error| *error == "NatPending"), "it was told once: {looks:?}");
        let was_pending = !earlier.is_empty();
        world.finish().await?;
        anyhow::Ok(was_pending)
    };
    assert_eq!((was_pending(30).await?, was_pending(120).await?), (false, true));
    Ok(())
}

/// When it fails, the NAT gateway is on its way, and everything that it needs is there.
async fn branch_fails() -> Result<()> {
    let action = "ec2:CreateRoute";
    let mut world = scene().begin().await?;
    world.deny("create-route", action, "*")?;
    let execution = world.start(JOB, &by_egress("nat")).await?;
    let failure = failure(&world, Class::AccessDenied).await?;
    assert!(failure.contains(action), "{failure}");

    let events = history(&execution);
    let exited: BTreeSet<_> =
        events.iter().filter_map(|event| event["stateExitedEventDetails"]["name"].as_str()).collect();
    let mut aborted = states_entered(&events).filter(|state| !exited.contains(state));
    assert!(aborted.any(|state| ["CreateNatGateway", "AwaitNatGateway"].contains(&state)));
    let never = ["CheckNatGateway", "CreatePrivateRoute", "CreateService"];
    assert_eq!(states_entered(&events).find(|state| never.contains(state)), None);
    let deleted = world.outcome(&execution).await?.receipt.deleted;
    for kind in [Kind::Vpc, Kind::InternetGateway, Kind::Address, Kind::Subnet, Kind::RouteTable] {
        assert!(deleted.iter().any(|named| named.kind == kind), "{kind:?}: {deleted:#?}");
    }
    world.nothing_left().await
}

async fn ipv6() -> Result<()> {
    let mut world = scene().containers(|_| works(60)).begin().await?;
    world.start(JOB, &serde_json::from_str(include_str!("../../../events/run-job.ipv6.json"))?).await?;
    let interface = interface(&world, JOB).await?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let [group] = interface.groups() else { panic!("{:#?}", interface.groups()) };
    let ec2 = ec2(&world);
    let group = ec2.describe_security_groups().set_group_ids(group.group_id().map(|id| vec![id.into()]));
    let group = group.send().await?;
    let subnets = ec2.describe_subnets().filters(in_vpc(vpc)).send().await?;
    let tables = ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;

    assert!(interface.association().is_none() && interface.private_ip_address().is_none(), "{interface:#?}");
    assert_eq!(interface.ipv6_addresses().len(), 1);
    let group = &group.security_groups()[0];
    assert!(group.ip_permissions().is_empty(), "nothing comes in");
    let [out] = group.ip_permissions_egress() else { panic!("{group:#?}") };
    assert!(out.ip_ranges().is_empty() && out.from_port() == Some(443), "{out:#?}");
    assert_eq!(out.ipv6_ranges()[0].cidr_ipv6(), Some("::/0"));
    assert_eq!(subnets.subnets().len(), 2);
    for subnet in subnets.subnets() {
        assert_eq!(
            (subnet.ipv6_native(), subnet.assign_ipv6_address_on_creation()),
            (Some(true), Some(true))
        );
    }
    let routes = tables.route_tables().iter().flat_map(|table| table.routes());
    let out: Vec<_> = routes.filter(|route| route.destination_ipv6_cidr_block() == Some("::/0")).collect();
    let [out] = out[..] else { panic!("{tables:#?}") };
    assert!(out.egress_only_internet_gateway_id().is_some(), "{out:#?}");

    let course = world.course(JOB).await?;
    assert!(course.result()?.outputs[0].bytes > 0);
    let mut created = BTreeMap::new();
    course.outcome.receipt.created.iter().for_each(|named| *created.entry(named.kind).or_insert(0) += 1);
    let expected = BTreeMap::from([
        (Kind::Service, 1),
        (Kind::Task, 1),
        (Kind::Cluster, 1),
        (Kind::NetworkInterface, 1),
        (Kind::TaskDefinition, 1),
        (Kind::Queue, 1),
        (Kind::Vpc, 1),
        (Kind::Subnet, 2),
        (Kind::EgressOnlyInternetGateway, 1),
        (Kind::RouteTable, 1),
        (Kind::SecurityGroup, 1),
    ]);
    assert_eq!(created, expected);
    world.finish().await
}

/// Before anything is created, with the field and the remedy.
async fn refused() -> Result<()> {
    let input = |from: &str| json!({ "command": ["true"], "inputs": [{ "file": "in", "from": from }] });
    let copy_image = "copy the image there";
    let put_file = "put the file into one of the stack's buckets";
    let documents = [
        (
            "endpoints",
            "container",
            json!({ "image": "busybox:1" }),
            "container.image: given busybox:1",
            copy_image,
        ),
        (
            "endpoints",
            "task",
            input("https://example.com/a"),
            "task.inputs[0].from: given https://example.com/a",
            put_file,
        ),
        (
            "ipv6",
            "container",
            json!({ "image": "ghcr.io/a/b" }),
            "container.image: given ghcr.io/a/b",
            copy_image,
        ),
        (
            "ipv6",
            "task",
            input("https://192.0.2.7/a"),
            "task.inputs[0].from: given https://192.0.2.7/a",
            put_file,
        ),
    ];
    let mut world = scene().begin().await?;
    for (n, (egress, place, value, given, remedy)) in documents.into_iter().enumerate() {
        let mut document = by_egress(egress);
        document[place] = value;
        let execution = world.start(&format!("refused-{n}"), &document).await?;
        let outcome = world.outcome(&execution).await?;
        let failure = outcome.end.failure().context("it is refused")?;
        assert_eq!(failure.error, Class::InvalidJob);
        assert!(
            failure.message.starts_with(given) && failure.message.contains(remedy),
            "{}",
            failure.message
        );
        let events = history(&execution);
        assert_eq!(states_entered(&events).find(|state| *state == "RunPlan"), None, "nothing was created");
    }
    world.nothing_left().await
}
