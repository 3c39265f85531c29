//! A job may have as many files, with as long keys, as its document holds.

use std::sync::Arc;

use anyhow::Result;
use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use local_cloud::deploy::DATA_BUCKET;
use serde_json::{Value, json};

use crate::support::course;
use crate::support::harness::Harness;
use crate::support::world::World;

/// Of each kind. Together they are as many as a job may have.
const FILES: usize = 50;
const KEY_LENGTH: usize = 200;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_job_with_a_hundred_files_of_long_keys_delivers", hundred)]
}

async fn hundred(world: Arc<World>, job: String) -> Result<()> {
    let key = |name: String| format!("{job}/{name}/{}", "k".repeat(KEY_LENGTH - job.len() - name.len() - 2));
    let (keys_in, keys_out): (Vec<_>, Vec<_>) =
        (0..FILES).map(|n| (key(format!("in-{n}")), key(format!("out-{n}")))).unzip();
    try_join_all(keys_in.iter().map(|key| world.put(key, ByteStream::from(key.clone().into_bytes()))))
        .await?;
    let file = |name: &str, n: usize, place: &str, key: &str| json!({ "file": format!("{name}-{n}"), place: format!("s3://{DATA_BUCKET}/{key}") });
    let inputs: Vec<Value> = keys_in.iter().enumerate().map(|(n, key)| file("in", n, "from", key)).collect();
    let outputs: Vec<Value> = keys_out.iter().enumerate().map(|(n, key)| file("out", n, "to", key)).collect();
    let copy = format!("for n in $(seq 0 {}); do cp in-$n out-$n; done", FILES - 1);
    let task = json!({ "inputs": inputs, "command": ["sh", "-c", copy], "outputs": outputs });
    world.start_job(&job, &json!({ "task": task })).await?;
    let course = course::of(&world, &job).await?;
    assert_eq!(course.result()?.outputs.len(), FILES);
    for (key_in, key_out) in keys_in.iter().zip(&keys_out) {
        assert_eq!(String::from_utf8(world.get(key_out).await?)?, *key_in);
    }
    Ok(())
}
