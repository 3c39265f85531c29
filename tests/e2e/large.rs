//! Outputs that no single request can take: that of `events/run-job.large-output.json`, and a file of a folder beside it.

use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use local_cloud::deploy::DATA_BUCKET;
use mayfly_model::inventory::Kind;
use serde_json::json;

use crate::support::course;
use crate::support::harness::Harness;
use crate::support::world::{self, World};

const BYTES: u64 = 6 * 1024 * 1024 * 1024;
/// Their keys, and how those begin.
const KEYS: [&str; 2] = ["large/out.bin", "large/folder/out.bin"];
const PREFIX: &str = "large/";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("six_gigabytes_go_up_in_parts_and_no_upload_is_left", large)]
}

/// The files are holes, which take no room on either side.
async fn large(world: Arc<World>, job: String) -> Result<()> {
    let mut document = world::sample("run-job.large-output.json")?;
    let task = &mut document["task"];
    task["command"].as_array_mut().context("a command")?.push(json!("folder/out.bin"));
    let folder = json!({ "file": "folder/", "to": format!("s3://{DATA_BUCKET}/{PREFIX}folder/") });
    task["outputs"].as_array_mut().context("outputs")?.push(folder);
    world.start_job(&job, &document).await?;
    let course = course::of(&world, &job).await?;
    let outputs = &course.result()?.outputs;
    assert_eq!(outputs.iter().map(|output| output.bytes).collect::<Vec<_>>(), [BYTES; 2]);

    let receipt = &course.outcome.receipt;
    let uploads: Vec<_> = receipt.created.iter().filter(|created| created.kind == Kind::Upload).collect();
    assert_eq!(uploads.len(), KEYS.len(), "{receipt:#?}");
    for key in KEYS {
        let object = world.s3.head_object().bucket(DATA_BUCKET).key(key).send().await?;
        assert_eq!(object.content_length(), Some(i64::try_from(BYTES)?));
        assert!(object.e_tag().is_some_and(|tag| tag.ends_with("-96\"")), "{:?}", object.e_tag());
        let made_by = object.metadata().and_then(|own| own.get("made-by")).map(String::as_str);
        assert_eq!(made_by, (key == KEYS[0]).then_some("mayfly"));

        let its = format!("s3://{DATA_BUCKET}/{key}?uploadId=");
        let id = uploads.iter().find_map(|upload| upload.id.strip_prefix(&its)).context("its upload")?;
        let again = world.s3.list_parts().bucket(DATA_BUCKET).key(key);
        let error = again.upload_id(id).send().await.expect_err("the upload is over");
        assert_eq!(error.into_service_error().meta().code(), Some("NoSuchUpload"));
    }
    assert_eq!((&receipt.deleted, receipt.residual.len()), (&receipt.created, 0));
    let open = world.s3.list_multipart_uploads().bucket(DATA_BUCKET).prefix(PREFIX).send().await?;
    assert_eq!(open.uploads().len(), 0);
    world.nothing_left(&job).await
}
