//! A call of a service on the local cloud, as soon as it can be called: what a person's browser would do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_cloud::Cloud;
use mayfly_model::visible::visible;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use crate::STACK;

/// Between two looks, and between two calls.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a call may take, and how long it is tried again: a container may need a moment until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is shown of a line.
const LINE_LIMIT: usize = 100;

/// Waits until the service called `job` has a URL, and shows what is there.
pub async fn visit(cloud: &Cloud, job: &str) -> Result<()> {
    let url = loop {
        if let Some(url) = url(cloud, job).await? {
            break url;
        }
        sleep(PAUSE).await;
    };
    // No proxy of the machine's leads to its loopback interface.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
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
