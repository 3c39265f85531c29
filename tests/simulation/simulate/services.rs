//! A service runs for as long as it may, whatever becomes of its containers, and then nothing of it is left. Who may call one is
//! seen in `tests/e2e`, where there is somebody who calls.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use local_ecs::{Fault, Rule, SpotStopCode};
use mayfly_model::class::Class;
use mayfly_model::message::Assignment;
use mayfly_model::names::Names;
use mayfly_model::outcome::ServiceResult;
use mayfly_model::record;
use mayfly_model::service::Address;
use mayfly_model::turn::Provider;
use mayfly_simulation::account::{ACCOUNT, JOB, REGION};
use mayfly_simulation::draw::SERVICE_IMAGE;
use mayfly_simulation::run::STACK;
use mayfly_stand_ins::worker::{Behaviour as Work, Director, ServiceBehaviour};
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::works;
use crate::support::course::{Course, Item};
use crate::support::history::states_entered;
use crate::support::world::{World, scene};

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_service_is_extended_and_the_sweeper_believes_its_record", extended),
        behaviour("a_service_whose_machine_does_not_wait_for_it_is_not_extended", not_waited_for),
        behaviour("a_service_that_cannot_stay_up_fails_with_its_last_lines", cannot_stay_up),
        behaviour("a_service_whose_image_is_missing_is_given_up", no_image),
        behaviour("a_service_without_room_on_spot_runs_on_demand", no_room_on_spot),
        behaviour("a_service_that_loses_its_container_is_called_at_another_address", replaced),
    ]
}

/// A service of so many minutes.
fn service(minutes: u32) -> Value {
    json!({
        "container": { "image": SERVICE_IMAGE },
        "service": {
            "ports": [{ "port": 8080 }],
            "allowFrom": ["127.0.0.1/32"],
            "ttlMinutes": minutes,
        },
    })
}

/// A text of the job's record.
async fn text(world: &World, name: &str) -> Result<String> {
    let item = world.record(JOB).await?.context("the table knows the job")?;
    text_of(&item, name).with_context(|| format!("the record has no {name}"))
}

fn text_of(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

/// Waits until the job's record has this, other than `but`.
async fn has(world: &World, name: &str, but: &str) -> Result<String> {
    world
        .until(&format!("another {name}"), async || {
            let item = world.record(JOB).await?;
            Ok(item.and_then(|item| text_of(&item, name)).filter(|text| text != but))
        })
        .await
}

/// Where the service's first container is called, as soon as it can be.
async fn ready(world: &World) -> Result<Address> {
    has(world, record::END, "").await?;
    addresses(world).await?.into_iter().next().context("a ready service has an address")
}

async fn addresses(world: &World) -> Result<Vec<Address>> {
    Ok(serde_json::from_str(&text(world, record::ADDRESSES).await?)?)
}

/// How a service went that has ended by its time.
fn served(course: &Course) -> Result<&ServiceResult> {
    course.outcome.end.service().with_context(|| format!("{:#?}", course.outcome))
}

/// What extend-service answers, or what it fails with.
async fn extend(world: &World, minutes: u32) -> Result<Result<Value, Value>> {
    world.invoke("extend-service", &json!({ "job": JOB, "minutes": minutes })).await
}

fn says(refused: &Value, words: &str) -> bool {
    refused["errorMessage"].as_str().unwrap_or_default().contains(words)
}

async fn extended() -> Result<()> {
    let mut world = scene().begin().await?;
    let execution = world.start(JOB, &service(3)).await?;
    world.entered(&execution, "KeepService").await?;
    has(&world, record::TOKEN, "").await?;
    for minutes in [0, 10_078] {
        let refused = extend(&world, minutes).await?.unwrap_err();
        assert_eq!(refused["errorType"], "InvalidJob");
        let words = format!("minutes: given {minutes}; allowed: 1 to 10077");
        assert!(refused["errorMessage"].as_str().unwrap_or_default().starts_with(&words), "{refused:#}");
    }
    let promised: Timestamp = text(&world, record::END).await?.parse()?;
    let answer = extend(&world, 2).await?.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let end: Timestamp = answer["end"].as_str().context("an end")?.parse()?;
    assert_eq!(end, promised + SignedDuration::from_mins(2));
    // Whatever its tags say.
    world.run.is_disturbed = true;
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-run-job:{JOB}");
    let sqs = aws_sdk_sqs::Client::new(&world.run.account.root());
    for (queue, execution) in [("swept", arn.as_str()), ("unnamed", "no tag can hold it")] {
        let tags = [
            ("mayfly:stack", STACK),
            ("mayfly:job", JOB),
            ("mayfly:execution", execution),
            ("expiry", "2026-01-01T00:00:00Z"),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let queue = Names::new(STACK, JOB).mailbox(queue);
        sqs.create_queue().queue_name(queue).set_tags(Some(tags)).send().await?;
    }
    let swept = world.sweep().await?;
    for done in ["stopped", "tornDown"] {
        let done = swept[done].as_array().context("a list")?;
        assert!(!done.contains(&json!(JOB)), "{swept:#}");
    }

    let course = world.course(JOB).await?;
    let result = served(&course)?;
    assert_eq!((result.end.parse::<Timestamp>()?, result.seconds), (end, 300.0));
    let kept = states_entered(&course.events).filter(|state| *state == "KeepService");
    assert_eq!(kept.count(), 2, "measured anew");
    let refused = extend(&world, 1).await?.unwrap_err();
    assert!(says(&refused, "is ending"), "{refused:#}");
    world.finish().await
}

/// As one that tears down after a fault of its own: what its record has is a token of a wait that is over.
async fn not_waited_for() -> Result<()> {
    let mut world = scene().begin().await?;
    let execution = world.start(JOB, &service(60)).await?;
    world.entered(&execution, "KeepService").await?;
    let used = has(&world, record::TOKEN, "").await?;
    extend(&world, 1).await?.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    has(&world, record::TOKEN, &used).await?;
    let dynamodb = aws_sdk_dynamodb::Client::new(&world.run.account.root());
    let update = dynamodb.update_item().table_name(world.run.stacks[0].id("JobsTable"));
    update
        .key(record::JOB, AttributeValue::S(JOB.to_owned()))
        .update_expression("SET #token = :token")
        .expression_attribute_names("#token", record::TOKEN)
        .expression_attribute_values(":token", AttributeValue::S(used))
        .send()
        .await?;
    let end = text(&world, record::END).await?;
    let refused = extend(&world, 1).await?.unwrap_err();
    assert!(says(&refused, "is not waited for"), "{refused:#}");
    assert_eq!(text(&world, record::END).await?, end);
    world.run.stop(JOB);
    world.finish().await
}

/// Services that all do the same.
#[derive(Debug)]
struct Serving(ServiceBehaviour);

impl Director for Serving {
    fn behaviour(&self, _: &str, _: &Assignment) -> Work {
        works(1)
    }

    fn service(&self, _: &str) -> ServiceBehaviour {
        self.0.clone()
    }
}

async fn cannot_stay_up() -> Result<()> {
    let ends = ServiceBehaviour {
        says: Some("out of order".to_owned()),
        ends: Some((Duration::from_secs(10), 3)),
        ..ServiceBehaviour::default()
    };
    let course = scene().directed(Arc::new(Serving(ends))).run(&service(60)).await?;
    let failure = course.outcome.end.failure().context("it has failed")?;
    assert_eq!((failure.error, failure.exit_code), (Class::CommandFailed, Some(3)), "{failure:#?}");
    assert!(failure.message.starts_with("three containers ended within five minutes"), "{failure:#?}");
    assert_eq!(failure.output.as_deref(), Some("out of order"));
    Ok(())
}

async fn no_image() -> Result<()> {
    let mut document = service(60);
    document["container"]["image"] = json!("public.ecr.aws/docker/library/missing:1");
    let mut world = scene().begin().await?;
    world.start(JOB, &document).await?;
    let course = world.course(JOB).await?;
    assert_eq!(course.outcome.end.failure().map(|failure| failure.error), Some(Class::ImagePullFailed));
    world.nothing_left().await
}

async fn no_room_on_spot() -> Result<()> {
    let rule = Rule::always(Fault::NoCapacity);
    let rule = Rule { capacity_provider: Some("FARGATE_SPOT".into()), ..rule };
    let mut document = service(1);
    document["capacity"] = json!("spot-then-on-demand");
    let course = scene().tasks([rule]).run(&document).await?;
    assert_eq!(served(&course)?.capacity, Provider::OnDemand);
    Ok(())
}

/// AWS takes the first container's capacity back.
async fn replaced() -> Result<()> {
    let lost = Fault::SpotInterruption { after_seconds: 60, stop_code: SpotStopCode::default() };
    let mut world = scene().tasks([Rule::once(lost)]).begin().await?;
    world.start(JOB, &service(8)).await?;
    let first = ready(&world).await?;
    let second = world
        .until("another address", async || {
            Ok(addresses(&world).await?.into_iter().find(|address| *address != first))
        })
        .await?;
    assert_ne!((&first.task_arn, &first.public_ip), (&second.task_arn, &second.public_ip));
    let lives = world.run.stage.truth().lives();
    let task = second.task_arn.rsplit('/').next().context("a task's id")?;
    assert!(lives[task].ended.is_none(), "{lives:#?}");
    world.until("both to be told", async || Ok((world.said("service announced") >= 2).then_some(()))).await?;
    assert_eq!(served(&world.course(JOB).await?)?.containers, 2);
    world.finish().await
}
