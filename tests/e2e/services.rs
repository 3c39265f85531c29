//! A service is called at its address for as long as it may be, and then nothing of it is left.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use local_cloud::deploy::HOST;
use local_cloud::{ACCOUNT, REGION};
use local_ecs::{Fault, Rule, SpotStopCode};
use mayfly_model::class::Class;
use mayfly_model::inventory::Kind;
use mayfly_model::names::Names;
use mayfly_model::outcome::{JobFailure, Outcome, ServiceResult};
use mayfly_model::record;
use mayfly_model::service::{Address, Entrance};
use mayfly_model::turn::Provider;
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use url::Url;

use crate::support::course::{self, always, sample};
use crate::support::documents::{PORT, service};
use crate::support::harness::Harness;
use crate::support::history::states_entered;
use crate::support::sweep::{Turn, names, sweep, turn};
use crate::support::world::{self, STACK, World, job_arn, until};

/// An address of this machine's that the samples let in, and one that they do not.
const FRIEND: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_service_is_called_by_whom_it_lets_in_and_leaves_nothing", called),
        harness.trial("a_service_behind_a_load_balancer_is_called_through_it_alone", balanced),
        harness.trial("a_service_is_called_over_tls_by_its_certificates_name_alone", encrypted),
        harness.trial("a_private_service_is_called_through_its_load_balancer", private),
        harness.trial("a_service_of_datagrams_answers_whom_it_lets_in", datagrams),
        harness.trial_in_turn("a_service_is_extended_and_the_sweeper_believes_its_record", turn, extended),
        harness.trial("a_service_whose_machine_does_not_wait_for_it_is_not_extended", not_waited_for),
        harness.trial("a_service_that_cannot_stay_up_fails_with_its_last_lines", cannot_stay_up),
        harness.trial("a_service_whose_image_is_missing_is_given_up", no_image),
        harness.trial("a_service_without_room_on_spot_runs_on_demand", no_room_on_spot),
        harness.trial("a_service_that_loses_its_container_is_called_at_another_address", replaced),
        harness.trial("five_hundred_restarts_are_in_no_history", restarted),
    ]
}

const SERVES: &str = "exec python3 -m http.server 8080";
/// Says back what it is told over UDP, and has a page over TCP, by which a load balancer asks for its health.
const ECHOES: &str = "python3 -m http.server 8080 & exec python3 -c '
import socket
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind((\"\", 8080))
while True: udp.sendto(*udp.recvfrom(65535))
'";

async fn called(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.service.json")?.start(&world, &job).await?;
    let address = ready(&world, &job).await?;
    assert_eq!(page(FRIEND, &address).await?, 200);
    assert!(page(STRANGER, &address).await.is_err(), "nobody else is let in");
    let result = served(&world, &job).await?;
    assert_eq!((result.seconds, result.containers, result.capacity), (120.0, 1, Provider::Spot));
    assert_eq!(result.url, Some(format!("http://{}:{PORT}", address.public_ip.as_ref().context("public")?)));
    assert_eq!(result.addresses, std::slice::from_ref(&address));
    assert!(page(FRIEND, &address).await.is_err(), "its time is over");
    Ok(())
}

async fn balanced(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.load-balancer.json")?.start(&world, &job).await?;
    let direct = ready(&world, &job).await?;
    let url = entrance(&world, &job).await?;
    assert_eq!(page_at(FRIEND, &url).await?, 200);
    assert!(page_at(STRANGER, &url).await.is_err(), "the load balancer's group lets nobody else in");
    assert!(page(FRIEND, &direct).await.is_err(), "the containers' group lets in the load balancer alone");
    let result = served(&world, &job).await?;
    assert_eq!((result.containers, result.url.as_ref()), (2, Some(&url)));
    assert!(page_at(FRIEND, &url).await.is_err(), "its time is over");
    Ok(())
}

/// As their owner does, the test has the names lead to the load balancer.
async fn encrypted(world: Arc<World>, job: String) -> Result<()> {
    const OTHER: &str = "other.example.org";
    let mut document = service(SERVES, 2);
    document["service"]["loadBalancer"] = json!({ "certificateArn": world.cloud().certificate().await? });
    world.start_job(&job, &document).await?;
    ready(&world, &job).await?;
    let url = entrance(&world, &job).await?;
    let door = Url::parse(&url)?.socket_addrs(|| None)?;
    let root = Certificate::from_pem(&std::fs::read(world.cloud().root_certificate())?)?;
    let client =
        Client::builder().no_proxy().local_address(IpAddr::V4(FRIEND)).timeout(Duration::from_secs(5));
    let client = client.tls_certs_only([root]).resolve_to_addrs(HOST, &door).resolve_to_addrs(OTHER, &door);
    let client = client.build()?;
    let page = async |scheme: &str, host: &str| {
        let answer = client.get(format!("{scheme}://{host}:{PORT}/")).send().await?;
        anyhow::Ok(answer.error_for_status()?.text().await?)
    };
    assert!(page("https", HOST).await?.contains("Directory listing"), "what Python's server shows");
    for (scheme, host) in [("https", OTHER), ("http", HOST)] {
        let refused = page(scheme, host).await;
        assert!(refused.is_err(), "{scheme}://{host}: {refused:?}");
    }
    assert_eq!(served(&world, &job).await?.url, Some(url));
    assert!(page("https", HOST).await.is_err(), "its time is over");
    Ok(())
}

async fn private(world: Arc<World>, job: String) -> Result<()> {
    sample("run-job.private-service.json")?.start(&world, &job).await?;
    let address = ready(&world, &job).await?;
    assert_eq!(address.public_ip, None);
    assert_eq!(page_at(FRIEND, &entrance(&world, &job).await?).await?, 200);
    let outcome = ended(&world, &job).await?;
    let made: BTreeSet<_> = outcome.receipt.created.iter().map(|named| named.kind).collect();
    assert!(made.contains(&Kind::LoadBalancer) && made.contains(&Kind::TargetGroup), "{made:?}");
    Ok(())
}

async fn datagrams(world: Arc<World>, base: String) -> Result<()> {
    let mut document = service(ECHOES, 2);
    document["service"]["ports"] = json!([{ "port": PORT, "protocol": "udp" }, { "port": PORT }]);
    let direct = format!("{base}-direct");
    world.start_job(&direct, &document).await?;
    document["service"]["loadBalancer"] = json!(true);
    let balanced = format!("{base}-balanced");
    world.start_job(&balanced, &document).await?;

    let alone = ready(&world, &direct).await?.public_ip.context("a public address")?;
    says_back(FRIEND, &alone, STRANGER, &alone).await?;
    let behind = ready(&world, &balanced).await?.public_ip.context("a public address")?;
    let entrance: Entrance = serde_json::from_str(&world.record(&balanced).await?[record::ENTRANCE])?;
    let host = entrance.host.context("a load balancer")?;
    says_back(FRIEND, &host, STRANGER, &host).await?;
    // The containers' group lets in the load balancer alone.
    says_back(FRIEND, &host, FRIEND, &behind).await?;
    for job in [direct, balanced] {
        served(&world, &job).await?;
    }
    Ok(())
}

/// Whoever calls from `friend` at `host` is answered, and whoever called from `stranger` at `wall` before that is not.
async fn says_back(friend: Ipv4Addr, host: &str, stranger: Ipv4Addr, wall: &str) -> Result<()> {
    let socket = async |from: Ipv4Addr, to: &str| {
        let socket = UdpSocket::bind((from, 0)).await?;
        socket.connect((to, PORT)).await?;
        anyhow::Ok(socket)
    };
    let (friend, stranger) = (socket(friend, host).await?, socket(stranger, wall).await?);
    for said in ["once", "twice"] {
        stranger.send(said.as_bytes()).await?;
        // What comes before the program listens is lost.
        until("an answer over UDP", || async {
            friend.send(said.as_bytes()).await?;
            let answer = timeout(Duration::from_secs(1), friend.recv(&mut [0; 64])).await;
            Ok(answer.ok().transpose()?)
        })
        .await?;
    }
    let silence = stranger.try_recv(&mut [0; 64]).expect_err("nobody answers");
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    Ok(())
}

/// The URL at which the service is called through its load balancer.
async fn entrance(world: &World, job: &str) -> Result<String> {
    let entrance: Entrance = serde_json::from_str(&world.record(job).await?[record::ENTRANCE])?;
    entrance.url(&[]).context("a load balancer")
}

async fn extended(world: Arc<World>, job: String, _turn: Turn) -> Result<()> {
    let arn = world.start_job(&job, &service(SERVES, 3)).await?;
    ensure!(world.entered(&arn, "KeepService").await?, "it can be called");
    until("its token", || async { Ok(world.record(&job).await?.get(record::TOKEN).cloned()) }).await?;
    let extend = world.function("extend-service").await?;
    let asked = async |minutes: u32| world.invoke(&extend, json!({ "job": job, "minutes": minutes })).await;
    for minutes in [0, 10_078] {
        let refused = asked(minutes).await?.unwrap_err();
        assert_eq!(refused["errorType"], "InvalidJob");
        let words = format!("minutes: given {minutes}; allowed: 1 to 10077");
        assert!(refused["errorMessage"].as_str().unwrap_or_default().starts_with(&words), "{refused:#}");
    }
    let promised: Timestamp = world.record(&job).await?[record::END].parse()?;
    let answer = asked(2).await?.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let end: Timestamp = answer["end"].as_str().context("an end")?.parse()?;
    assert_eq!(end, promised + SignedDuration::from_mins(2));
    // Whatever its tags say.
    for (queue, execution) in [("swept", job_arn(&job)), ("unnamed", "no tag can hold it".to_owned())] {
        let tags = [
            ("mayfly:stack", STACK),
            ("mayfly:job", &job),
            ("mayfly:execution", &execution),
            ("expiry", "2026-01-01T00:00:00Z"),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let queue = Names::new(STACK, &job).mailbox(queue);
        world.sqs.create_queue().queue_name(queue).set_tags(Some(tags)).send().await?;
    }
    let swept = sweep(&world).await?;
    for done in ["stopped", "tornDown"] {
        assert!(!names(&swept, done).contains(&job.as_str()), "{swept:#}");
    }

    let result = served(&world, &job).await?;
    assert_eq!((result.end.parse::<Timestamp>()?, result.seconds), (end, 300.0));
    let events = world.history(&arn).await?;
    assert_eq!(states_entered(&events).filter(|state| *state == "KeepService").count(), 2, "measured anew");
    let refused = asked(1).await?.unwrap_err();
    assert!(refused["errorMessage"].as_str().unwrap_or_default().contains("is ending"), "{refused:#}");
    Ok(())
}

/// As one that tears down after a fault of its own: what its record has is a token of a wait that is over.
async fn not_waited_for(world: Arc<World>, job: String) -> Result<()> {
    let arn = world.start_job(&job, &service(SERVES, 60)).await?;
    ensure!(world.entered(&arn, "KeepService").await?, "it can be called");
    let token = async |but: &str| {
        let told = || async {
            Ok(world.record(&job).await?.get(record::TOKEN).filter(|token| *token != but).cloned())
        };
        until("a token", told).await
    };
    let extend = world.function("extend-service").await?;
    let asked = async || world.invoke(&extend, json!({ "job": job, "minutes": 1 })).await;
    let used = token("").await?;
    asked().await?.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    token(&used).await?;
    let update = world.dynamodb.update_item().table_name(world.jobs_table(STACK).await?);
    update
        .key(record::JOB, AttributeValue::S(job.clone()))
        .update_expression("SET #token = :token")
        .expression_attribute_names("#token", record::TOKEN)
        .expression_attribute_values(":token", AttributeValue::S(used))
        .send()
        .await?;
    let end = world.record(&job).await?[record::END].clone();
    let refused = asked().await?.unwrap_err();
    assert!(
        refused["errorMessage"].as_str().unwrap_or_default().contains("is not waited for"),
        "{refused:#}"
    );
    assert_eq!(world.record(&job).await?[record::END], end);
    world.states.stop_execution().execution_arn(&arn).send().await?;
    world.torn_down_by_rule(&job).await?;
    world.nothing_left(&job).await
}

async fn cannot_stay_up(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &service("echo out of order; sleep 1; exit 3", 60)).await?;
    let failure = failed(&world, &job).await?;
    assert_eq!((failure.error, failure.exit_code), (Class::CommandFailed, Some(3)), "{failure:#?}");
    assert!(failure.message.starts_with("three containers ended within five minutes"), "{failure:#?}");
    assert_eq!(failure.output.as_deref(), Some("out of order"));
    Ok(())
}

async fn no_image(world: Arc<World>, job: String) -> Result<()> {
    let mut document = service(SERVES, 60);
    document["container"]["image"] = json!("public.ecr.aws/docker/library/missing:1");
    world.start_job(&job, &document).await?;
    let failure = failed(&world, &job).await?;
    assert_eq!(failure.error, Class::ImagePullFailed, "{failure:#?}");
    Ok(())
}

async fn no_room_on_spot(world: Arc<World>, job: String) -> Result<()> {
    let [rule] = always(Fault::NoCapacity);
    let rule = Rule { capacity_provider: Some("FARGATE_SPOT".into()), ..rule };
    world.cloud().ecs_faults().add(&job, [rule]);
    let mut document = service(SERVES, 1);
    document["capacity"] = json!("spot-then-on-demand");
    world.start_job(&job, &document).await?;
    let address = ready(&world, &job).await?;
    assert_eq!(page(FRIEND, &address).await?, 200);
    assert_eq!(served(&world, &job).await?.capacity, Provider::OnDemand);
    Ok(())
}

/// AWS takes the first container's capacity back.
async fn replaced(world: Arc<World>, job: String) -> Result<()> {
    let lost = Fault::SpotInterruption { after_seconds: 60, stop_code: SpotStopCode::default() };
    world.cloud().ecs_faults().add(&job, [Rule::once(lost)]);
    world.start_job(&job, &service(SERVES, 8)).await?;
    let first = ready(&world, &job).await?;
    let second = until("another address", || async {
        let other = addresses(&world, &job).await?.into_iter().find(|address| *address != first);
        Ok(other)
    })
    .await?;
    assert_ne!(first.task_arn, second.task_arn);
    assert_eq!(page(FRIEND, &second).await?, 200);
    let told = until("both to be told", || async {
        let log = world.log("functions", "").await?;
        let told = log.iter().filter(|line| line.contains("service announced") && line.contains(&job));
        Ok(Some(told.count()).filter(|count| *count >= 2))
    });
    told.await?;
    assert_eq!(served(&world, &job).await?.containers, 2);
    Ok(())
}

/// Not at the speed of ECS: the events of a week come within the test's time.
async fn restarted(world: Arc<World>, job: String) -> Result<()> {
    const RESTARTS: usize = 500;
    let arn = world.start_job(&job, &service(SERVES, 30)).await?;
    ready(&world, &job).await?;
    ensure!(world.entered(&arn, "KeepService").await?, "it can be called");
    let functions =
        [world.function("handle-running-task").await?, world.function("handle-stopped-task").await?];
    let cluster = world.cluster().await?;
    let (world, job, functions, cluster) = (&world, &job, &functions, &cluster);
    let restart = async |n: usize| {
        for (function, status) in functions.iter().zip(["RUNNING", "STOPPED"]) {
            let event = json!({
                "id": n.to_string(), "detail-type": "ECS Task State Change", "source": "aws.ecs",
                "time": Timestamp::now().to_string(), "resources": [],
                "detail": {
                    "clusterArn": cluster, "group": format!("service:{}", Names::new(STACK, job).service(1)),
                    "taskArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/mayfly/{n:032x}"),
                    "lastStatus": status, "stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted.",
                    "containers": [{ "name": "service" }], "version": if status == "RUNNING" { 3 } else { 6 },
                },
            });
            let handled = world.invoke(function, event).await?;
            handled.map_err(|error| anyhow::anyhow!("restart {n}: {error:#}"))?;
        }
        anyhow::Ok(())
    };
    stream::iter(0..RESTARTS).map(restart).buffer_unordered(4).try_collect::<()>().await?;
    let result = served(world, job).await?;
    assert_eq!(result.containers, RESTARTS as u64 + 1);
    let events = world.history(&arn).await?;
    assert!(events.len() < 150, "{} events", events.len());
    Ok(())
}

/// Where the service's first container is called, as soon as it can be.
async fn ready(world: &World, job: &str) -> Result<Address> {
    until("the service to be ready", || async {
        let execution = world.states.describe_execution().execution_arn(job_arn(job)).send().await?;
        ensure!(*execution.status() == ExecutionStatus::Running, "{execution:#?}");
        let is_ready = world.item(STACK, job).await?.is_some_and(|item| item.contains_key(record::END));
        Ok(if is_ready { addresses(world, job).await?.into_iter().next() } else { None })
    })
    .await
}

async fn addresses(world: &World, job: &str) -> Result<Vec<Address>> {
    let record = world.record(job).await?;
    Ok(serde_json::from_str(&record[record::ADDRESSES])?)
}

/// The status of the page that a caller at `from` is answered with.
async fn page(from: Ipv4Addr, address: &Address) -> Result<u16> {
    let ip = address.public_ip.as_ref().context("a public address")?;
    page_at(from, &format!("http://{ip}:{PORT}/")).await
}

async fn page_at(from: Ipv4Addr, url: &str) -> Result<u16> {
    let client = Client::builder().local_address(IpAddr::V4(from)).timeout(Duration::from_secs(5));
    let answer = client.build()?.get(url).send().await?;
    Ok(answer.status().as_u16())
}

/// How a service went that has ended by its time.
async fn served(world: &World, job: &str) -> Result<ServiceResult> {
    let outcome = ended(world, job).await?;
    outcome.end.service().cloned().with_context(|| format!("{outcome:#?}"))
}

async fn failed(world: &World, job: &str) -> Result<JobFailure> {
    let outcome = ended(world, job).await?;
    outcome.end.failure().cloned().with_context(|| format!("{outcome:#?}"))
}

async fn ended(world: &World, job: &str) -> Result<Outcome> {
    let execution = world.ended(&job_arn(job)).await?;
    let outcome = world::outcome(&execution)?;
    assert_eq!((outcome.receipt.residual.len(), &outcome.receipt.deleted), (0, &outcome.receipt.created));
    world.nothing_left(job).await?;
    let tasks = course::tasks(world, job).await?;
    assert!(tasks.iter().all(|task| task.last_status() == Some("STOPPED")), "{tasks:#?}");
    Ok(outcome)
}
