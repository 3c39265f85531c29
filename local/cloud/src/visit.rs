//! A call of a service on the local cloud, as soon as it can be called: what a person's browser would do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_cloud::Cloud;
use mayfly_model::visible::visible;
use reqwest::{Certificate, ClientBuilder};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;
use url::Url;

use crate::STACK;

/// Between two looks, and between two calls.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a call may take, and how long it is tried again: a container may need a moment until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is shown of a line.
const LINE_LIMIT: usize = 100;

/// Waits until the `service` of the job's document has a URL, and shows what is there.
pub async fn visit(cloud: &Cloud, job: &str, service: &Value) -> Result<()> {
    let mut url = loop {
        if let Some(url) = url(cloud, job).await? {
            break url;
        }
        sleep(PAUSE).await;
    };
    // No proxy of the machine's leads to its loopback interface.
    let mut client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    if let Some(certificate) = service["loadBalancer"]["certificateArn"].as_str() {
        (client, url) = by_name(cloud, certificate, client, &url).await?;
    }
    let client = client.build()?;
    let clock = cloud.options().clock;
    let deadline = clock.instant() + PATIENCE;
    let (status, page) = loop {
        match get(&client, &url).await {
            Ok(answer) => break answer,
            Err(error) if clock.instant() >= deadline => {
                return Err(error).with_context(|| format!("nobody answers at {url}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    };
    let first: String = page.lines().next().unwrap_or_default().chars().take(LINE_LIMIT).collect();
    eprintln!(
        "called   GET {url}: {status}, {} bytes, which begin:\n         {}",
        page.len(),
        visible(&first)
    );
    if !status.is_success() {
        bail!("{url} answers {status}");
    }
    Ok(())
}

/// The URL by the name that the certificate is for, and a client that trusts the cloud's root alone. The owner of the name has it
/// lead to the load balancer, which the client does here.
async fn by_name(
    cloud: &Cloud,
    certificate: &str,
    client: ClientBuilder,
    url: &str,
) -> Result<(ClientBuilder, String)> {
    let described = cloud.acm().describe_certificate().certificate_arn(certificate).send().await?;
    let name = described.certificate.and_then(|found| found.domain_name).context("it is for no name")?;
    // Of those that an asterisk stands for, one.
    let name = name.replace('*', "www");
    let mut url = Url::parse(url)?;
    let addresses = url.socket_addrs(|| None)?;
    url.set_host(Some(&name))?;
    let root = Certificate::from_pem(&std::fs::read(cloud.root_certificate())?)?;
    Ok((client.tls_certs_only([root]).resolve_to_addrs(&name, &addresses), url.into()))
}

async fn get(client: &reqwest::Client, url: &str) -> reqwest::Result<(reqwest::StatusCode, String)> {
    let answer = client.get(url).send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// The URL that `mayfly ls` has of the job, if any yet.
async fn url(cloud: &Cloud, job: &str) -> Result<Option<String>> {
    let mut ls = Command::new(cloud.options().programs.join("mayfly"));
    ls.args(["ls", "--stack", STACK, "--json"]).envs(cloud.environment()).kill_on_drop(true);
    let listed = ls.output().await.context("could not start mayfly")?;
    let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    let row = rows.iter().find(|row| row["job"] == job);
    Ok(row.and_then(|row| Some(row.get("url")?.as_str()?.to_owned())))
}
