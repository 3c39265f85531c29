//! The document's variables are the command's, and nobody else goes by them.

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::course;
use crate::support::documents::{by_egress, copy};
use crate::support::harness::Harness;
use crate::support::world::{self, STACK, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_proxy_or_certificate_of_the_command_rules_nobody_else", rules_nobody_else),
        harness.trial("a_secret_is_the_commands_in_every_network_mode", secrets),
    ]
}

async fn rules_nobody_else(world: Arc<World>, job: String) -> Result<()> {
    let script = "[ \"$HTTP_PROXY$ALL_PROXY$SSL_CERT_FILE$HOME\" = http://127.0.0.1:9http://127.0.0.1:9/nowhere/ ] \
                  && cp in.txt out.txt";
    let mut document = copy(&world, &job, script).await?;
    document["container"] = json!({ "environment": {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "SSL_CERT_FILE": "/nowhere",
        "HOME": "/",
    } });
    let course = course::run(&world, &job, &document, []).await?;
    assert_eq!(course.result()?.outputs.len(), 1);
    Ok(())
}

/// The sample as it stands, and in each network of a job's own.
async fn secrets(world: Arc<World>, base: String) -> Result<()> {
    course::sample("run-job.secrets.json")?.run(&world, &format!("{base}-public")).await?.result()?;
    let sample = world::sample("run-job.secrets.json")?;
    let run = async |egress: &str| {
        let mut document = sample.clone();
        document["network"] = by_egress(egress, &[])["network"].clone();
        let document = world.cloud().fill_in(&document.to_string(), STACK).await?;
        let job = format!("{base}-{egress}");
        world.start_job(&job, &serde_json::from_str(&document)?).await?;
        course::of(&world, &job).await?.result()?;
        anyhow::Ok(())
    };
    try_join_all(["nat", "endpoints", "ipv6"].map(run)).await?;
    Ok(())
}
