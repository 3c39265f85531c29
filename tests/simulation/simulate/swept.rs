//! The sweeper finds what every other teardown has missed.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_ec2::types::{DomainType, ResourceType, Tag, TagSpecification};
use local_states::execution::Status;
use mayfly_model::names::{Names, SECRET_LENGTH};
use mayfly_model::tags;
use mayfly_simulation::account::{ACCOUNT, JOB, REGION};
use mayfly_simulation::run::STACK;
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::endless;
use crate::support::world::{World, scene};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
/// How late SQS sees at most whose a queue is.
const TAGS_SEEN: Duration = Duration::from_mins(1);
const LONG_AHEAD: &str = "2100-01-01T00:00:00Z";

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("what_a_forgotten_network_has_left_is_torn_down", a_forgotten_network),
        behaviour("a_job_past_its_expiry_is_stopped", an_expired_job),
        behaviour("a_search_that_is_refused_hides_nothing_that_others_find", a_refused_search),
        behaviour("a_sweep_goes_on_past_a_tag_that_is_no_id_and_says_so", a_stray),
    ]
}

/// The execution of a job.
fn execution(job: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-run-job:{job}")
}

/// The jobs with which a sweep has done this.
fn names<'a>(swept: &'a Value, what: &str) -> Vec<&'a str> {
    swept[what].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The tags of what is a job's.
fn tagged(kind: ResourceType, job: &str) -> TagSpecification {
    let execution = execution(job);
    let tags =
        [(tags::STACK, STACK), (tags::JOB, job), (tags::EXECUTION, &execution), (tags::EXPIRY, LONG_AHEAD)];
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.into())).build()
}

/// Each of these jobs has but one part of a network left; a service, its group in a VPC that is not its own.
async fn a_forgotten_network() -> Result<()> {
    let mut world = scene().begin().await?;
    let ec2 = aws_sdk_ec2::Client::new(&world.run.account.root());
    let vpc = ec2.create_vpc().cidr_block("10.9.0.0/16").send().await?;
    let vpc = vpc.vpc.and_then(|vpc| vpc.vpc_id).context("a VPC")?;
    let gateway = ec2.create_internet_gateway().send().await?;
    let gateway = gateway.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
    ec2.attach_internet_gateway().vpc_id(&vpc).set_internet_gateway_id(gateway).send().await?;
    let zone = format!("{REGION}a");
    let subnet = ec2.create_subnet().vpc_id(&vpc).cidr_block("10.9.1.0/24").availability_zone(zone);
    let subnet = subnet.send().await?.subnet.and_then(|subnet| subnet.subnet_id).context("a subnet")?;
    let address = ec2.allocate_address().domain(DomainType::Vpc).send().await?;
    let address = address.allocation_id.context("an address")?;
    world.run.disregard().await?;

    let own = ec2.create_vpc().cidr_block("10.9.0.0/16");
    own.tag_specifications(tagged(ResourceType::Vpc, "of-vpc")).send().await?;
    let own = ec2.create_internet_gateway();
    own.tag_specifications(tagged(ResourceType::InternetGateway, "of-gateway")).send().await?;
    let own = ec2.allocate_address().domain(DomainType::Vpc);
    own.tag_specifications(tagged(ResourceType::ElasticIp, "of-address")).send().await?;
    let own = ec2.create_nat_gateway().subnet_id(subnet).allocation_id(address);
    own.tag_specifications(tagged(ResourceType::Natgateway, "of-nat")).send().await?;
    let own = ec2.create_security_group().vpc_id(vpc).group_name("own").description("own");
    own.tag_specifications(tagged(ResourceType::SecurityGroup, "of-group")).send().await?;
    swept_and_torn_down(&world, &["of-vpc", "of-gateway", "of-address", "of-nat", "of-group"]).await?;
    world.nothing_left().await
}

/// Sweeps, and waits for the teardowns of these jobs.
async fn swept_and_torn_down(world: &World, jobs: &[&str]) -> Result<()> {
    let swept = world.sweep().await?;
    for job in jobs {
        assert!(names(&swept, "tornDown").contains(job), "{swept:#}");
        let teardowns = world.teardowns(job);
        let [(caller, teardown)] = teardowns.as_slice() else { panic!("{teardowns:#?}") };
        assert_eq!(caller, "sweep-expired");
        assert!(world.run.ended(teardown).await);
        assert_eq!(teardown.status(), Status::Succeeded);
    }
    let again = world.sweep().await?;
    assert!(!jobs.iter().any(|job| names(&again, "tornDown").contains(job)), "{again:#}");
    Ok(())
}

async fn an_expired_job() -> Result<()> {
    let mut world = scene().containers(|_| endless()).begin().await?;
    let execution = world.start(JOB, &json!({ "task": { "command": ["sleep", "600"] } })).await?;
    world.entered(&execution, "DispatchJob").await?;
    let before = world.sweep().await?;
    assert!(!names(&before, "stopped").contains(&JOB), "{before:#}");
    make_mailbox(&world, JOB, LONG_AGO).await?;
    world.pass(TAGS_SEEN).await;
    let swept = world.sweep().await?;
    assert!(names(&swept, "stopped").contains(&JOB), "{swept:#}");
    assert!(world.run.ended(&execution).await);
    let (ending, _) = execution.ending().context("it has ended")?;
    assert_eq!((ending.status, ending.error.as_deref()), (Status::Aborted, Some("Expired")));
    assert_eq!(world.torn_down_by_rule(JOB).await?, Status::Succeeded);
    world.nothing_left().await
}

/// The first search of all is refused to the sweep, which fails by that at its end, and not before it has cared for the rest.
async fn a_refused_search() -> Result<()> {
    let mut world = scene().begin().await?;
    let vpc = aws_sdk_ec2::Client::new(&world.run.account.root()).create_vpc().cidr_block("10.9.0.0/16");
    vpc.tag_specifications(tagged(ResourceType::Vpc, "of-vpc")).send().await?;
    make_mailbox(&world, JOB, LONG_AHEAD).await?;
    world.pass(TAGS_SEEN).await;
    world.deny("sweep-expired", "ec2:DescribeVpcs", "*")?;
    let failed = world.sweep().await.expect_err("a search was refused");
    assert!(format!("{failed:#}").contains("AccessDenied"), "{failed:#}");
    let teardowns = world.teardowns(JOB);
    let [(caller, teardown)] = teardowns.as_slice() else { panic!("{teardowns:#?}") };
    assert_eq!(caller, "sweep-expired");
    assert!(world.run.ended(teardown).await);
    assert_eq!(world.teardowns("of-vpc").len(), 0);
    world.lift();
    swept_and_torn_down(&world, &["of-vpc"]).await?;
    world.nothing_left().await
}

/// Nobody knows what job this is of, so it stays; what another has left goes all the same.
async fn a_stray() -> Result<()> {
    let world = scene().begin().await?;
    let tags = [(tags::STACK, STACK), (tags::JOB, "two words")];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let sqs = aws_sdk_sqs::Client::new(&world.run.account.root());
    let stray = sqs.create_queue().queue_name(format!("{STACK}-stray"));
    let stray = stray.set_tags(Some(tags.into())).send().await?.queue_url.context("a queue has a URL")?;
    make_mailbox(&world, JOB, LONG_AHEAD).await?;
    world.pass(TAGS_SEEN).await;
    swept_and_torn_down(&world, &[JOB]).await?;
    let swept = world.sweep().await?;
    let words = format!("{stray} has the tag mayfly:job with \"two words\", which is no job's id");
    assert_eq!(swept["strays"], json!([words]), "{swept:#}");
    sqs.delete_queue().queue_url(stray).send().await?;
    world.nothing_left().await
}

async fn make_mailbox(world: &World, job: &str, expiry: &str) -> Result<()> {
    let execution = execution(job);
    let tags =
        [(tags::STACK, STACK), (tags::JOB, job), (tags::EXECUTION, &execution), (tags::EXPIRY, expiry)];
    let tags: HashMap<String, String> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = Names::new(STACK, job).mailbox(&"x".repeat(SECRET_LENGTH));
    let sqs = aws_sdk_sqs::Client::new(&world.run.account.root());
    sqs.create_queue().queue_name(name).set_tags(Some(tags)).send().await?;
    Ok(())
}
