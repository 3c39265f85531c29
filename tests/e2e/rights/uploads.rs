//! What the rights to uploads in parts are for.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_model::job::{S3Uri, Work};
use mayfly_model::message::News;
use mayfly_model::parts::{PARTS_FROM, PartedUpload, PartsWanted};
use mayfly_model::record::{UPLOADS, WORK};

use super::functions::report;
use super::stack::{PREFIXES, Stack, denies};
use crate::support::world::until;

/// The data role's actions with which handle-report ends what an earlier start has begun, and looks for what nobody knows.
const ACTIONS: [&str; 3] =
    ["s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"];

/// Begins an upload of the job's output, and another, and writes them down as those of an earlier start, beside which there may
/// be more.
pub async fn begin(stack: &Stack, job: &str) -> Result<()> {
    let work: Work = serde_json::from_str(&stack.record(job).await?[WORK])?;
    let output = work.outputs.into_iter().next().context("an output")?;
    // Below each of the prefixes.
    let places = [(output.file, output.to), ("other".to_owned(), format!("s3://{}.other", PREFIXES[0]))];
    let mut uploads = Vec::new();
    for (file, to) in places {
        let place = S3Uri::parse(&to).context("a place")?;
        let begun =
            stack.world.s3.create_multipart_upload().bucket(place.bucket).key(place.key).send().await?;
        let (id, unknown_since) = (begun.upload_id, Some(0));
        uploads.push(PartedUpload { file, to, start: 0, bytes: 1, id, asked: 0, unknown_since });
    }
    let uploads = AttributeValue::S(serde_json::to_string(&uploads)?);
    let update = stack.world.dynamodb.update_item().table_name(stack.id("JobsTable")?);
    let update = update.key("job", AttributeValue::S(job.to_owned()));
    let update = update.update_expression("SET #uploads = :uploads");
    let update = update.expression_attribute_names("#uploads", UPLOADS);
    update.expression_attribute_values(":uploads", uploads).send().await?;
    Ok(())
}

/// Those of [`ACTIONS`] without which the parts of a held job's output are not signed.
pub async fn needed(stack: &Stack, job: &str) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for action in ACTIONS {
        begin(stack, job).await?;
        stack.limit("DataRole", &[action]).await?;
        let answer = stack.invoke("handle-report", &report(stack, job, parts_wanted()).await?).await?;
        let failed = answer.is_ok_and(|answer| answer["batchItemFailures"][0].is_object());
        ensure!(failed, "without {action} the parts are signed all the same");
        until(&format!("a log of {action} being denied"), || async {
            let lines = stack.function_log(action).await?;
            Ok(lines.iter().any(|line| line.contains("report failed") && denies(line, action)).then_some(()))
        })
        .await?;
        needed.insert(action.to_owned());
    }
    stack.limit("DataRole", &[]).await?;
    stack.call("handle-report", &report(stack, job, parts_wanted()).await?).await?;
    Ok(needed)
}

fn parts_wanted() -> News {
    News::PartsWanted(PartsWanted { file: "out.mp4".into(), output: None, bytes: PARTS_FROM + 1, from: 1 })
}
