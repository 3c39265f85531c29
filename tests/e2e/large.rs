//! An output that no single request can take: `events/run-job.large-output.json` as it is.

use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use local_cloud::deploy::DATA_BUCKET;
use mayfly_model::inventory::Kind;

use crate::support::course;
use crate::support::harness::Harness;
use crate::support::world::{self, World};

const BYTES: u64 = 6 * 1024 * 1024 * 1024;
const KEY: &str = "large/out.bin";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("six_gigabytes_go_up_in_parts_and_no_upload_is_left", large)]
}

/// The file is a hole, which takes no room on either side.
async fn large(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &world::sample("run-job.large-output.json")?).await?;
    let course = course::of(&world, &job).await?;
    let outputs = &course.result()?.outputs;
    assert_eq!(outputs.iter().map(|output| output.bytes).collect::<Vec<_>>(), [BYTES]);
    let object = world.s3.head_object().bucket(DATA_BUCKET).key(KEY).send().await?;
    assert_eq!(object.content_length(), Some(i64::try_from(BYTES)?));
    assert!(object.e_tag().is_some_and(|tag| tag.ends_with("-96\"")), "{:?}", object.e_tag());
    assert_eq!(object.metadata().and_then(|own| own.get("made-by")).map(String::as_str), Some("mayfly"));

    let receipt = &course.outcome.receipt;
    let uploads: Vec<_> = receipt.created.iter().filter(|created| created.kind == Kind::Upload).collect();
    let [upload] = uploads.as_slice() else { panic!("one upload, not {receipt:#?}") };
    assert!(upload.id.starts_with(&format!("s3://{DATA_BUCKET}/{KEY}?uploadId=")), "{upload:?}");
    assert_eq!((&receipt.deleted, receipt.residual.len()), (&receipt.created, 0));
    let open = world.s3.list_multipart_uploads().bucket(DATA_BUCKET).prefix(KEY).send().await?;
    assert_eq!(open.uploads().len(), 0);
    let again = world.s3.list_parts().bucket(DATA_BUCKET).key(KEY);
    let id = upload.id.rsplit('=').next().context("an id")?;
    let error = again.upload_id(id).send().await.expect_err("the upload is over");
    assert_eq!(error.into_service_error().meta().code(), Some("NoSuchUpload"));
    world.nothing_left(&job).await
}
