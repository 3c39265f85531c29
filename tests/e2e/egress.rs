//! A private job without a NAT gateway: by endpoints it reaches AWS's services alone, by IPv6 whatever has it. Each has just the
//! network that it needs, and leaves nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_ec2::types::{Filter, VpcEndpoint};
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use mayfly_model::inventory::Kind;
use serde_json::{Value, json};

use crate::support::course::{self, Course, sample};
use crate::support::documents::by_egress;
use crate::support::harness::Harness;
use crate::support::history::states_entered;
use crate::support::world::{self, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_job_with_endpoints_has_no_way_to_the_internet", endpoints),
        harness.trial("a_job_with_ipv6_alone_has_nothing_that_is_billed_by_the_hour", ipv6),
        harness.trial("what_the_egress_cannot_reach_is_refused", refused),
    ]
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

async fn ipv6(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.ipv6.json")?.start(&world, &job).await?;
    let interface = course::interface(&world, &job).await?;
    let vpc = interface.vpc_id().context("an interface has a VPC")?;
    let [group] = interface.groups() else { panic!("{:#?}", interface.groups()) };
    let group =
        world.ec2.describe_security_groups().set_group_ids(group.group_id().map(|id| vec![id.into()]));
    let group = group.send().await?;
    let subnets = world.ec2.describe_subnets().filters(in_vpc(vpc)).send().await?;
    let tables = world.ec2.describe_route_tables().filters(in_vpc(vpc)).send().await?;

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

    let course = course::of(&world, &job).await?;
    assert!(course.result()?.outputs[0].bytes > 0);
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
    assert_eq!(created(&course), expected);
    Ok(())
}

/// Before anything is created, with the field and the remedy.
async fn refused(world: Arc<World>, base: String) -> Result<()> {
    let with = |egress: &str, place: &str, value: Value| {
        let mut document = by_egress(egress, &["true"]);
        document[place] = value;
        document
    };
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
    for (n, (egress, place, value, given, remedy)) in documents.into_iter().enumerate() {
        let job = format!("{base}-{n}");
        let execution = world.run_job(&job, &with(egress, place, value)).await?;
        let outcome = world::outcome(&execution)?;
        let failure = outcome.end.failure().context("it is refused")?;
        assert_eq!(failure.error, Class::InvalidJob);
        assert!(
            failure.message.starts_with(given) && failure.message.contains(remedy),
            "{}",
            failure.message
        );
        let events = world.history(execution.execution_arn()).await?;
        assert_eq!(states_entered(&events).find(|state| *state == "RunPlan"), None, "nothing was created");
    }
    Ok(())
}
