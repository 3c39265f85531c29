//! A service is called at its address for as long as it may be, and then nothing of it is left. What becomes of one whose
//! containers end, or that is extended, is in `tests/simulation/simulate/services.rs`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use local_cloud::deploy::HOST;
use mayfly_model::inventory::Kind;
use mayfly_model::outcome::{Outcome, ServiceResult};
use mayfly_model::record;
use mayfly_model::service::{Address, Entrance};
use mayfly_model::turn::Provider;
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use url::Url;

use crate::support::course::{self, sample};
use crate::support::documents::{PORT, service};
use crate::support::harness::Harness;
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
    // It says of no health, so it is ready when it runs, and may not listen yet.
    let answered = until("the page", async || Ok(page(FRIEND, &address).await.ok())).await?;
    assert_eq!(answered, 200);
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

async fn ended(world: &World, job: &str) -> Result<Outcome> {
    let execution = world.ended(&job_arn(job)).await?;
    let outcome = world::outcome(&execution)?;
    assert_eq!((outcome.receipt.residual.len(), &outcome.receipt.deleted), (0, &outcome.receipt.created));
    world.nothing_left(job).await?;
    let tasks = course::tasks(world, job).await?;
    assert!(tasks.iter().all(|task| task.last_status() == Some("STOPPED")), "{tasks:#?}");
    Ok(outcome)
}
