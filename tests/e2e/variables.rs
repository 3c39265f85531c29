//! The document's variables are the command's, and nobody else goes by them.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::course;
use crate::support::documents::copy;
use crate::support::harness::Harness;
use crate::support::world::World;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_proxy_or_certificate_of_the_command_rules_nobody_else", rules_nobody_else)]
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
