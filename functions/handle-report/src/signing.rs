//! Signed URLs on request. The keys come from the table, never from the message; of a folder its prefix does, below which the
//! worker names them.

use mayfly_jobs::signing::Access;
use mayfly_jobs::{DataRole, Record};
use mayfly_lambda::error::Error;
use mayfly_model::job::{Input, Output, S3Uri};
use mayfly_model::message::{Download, FileSize, OUTPUT_LIST, Page, Upload, kind_of};

pub async fn downloads(role: &DataRole, record: &Record, wanted: &[String]) -> Result<Vec<Download>, Error> {
    let is_wanted = |input: &&Input| wanted.contains(&input.file) && S3Uri::parse(&input.from).is_some();
    role.downloads(record.hosts, record.work.inputs.iter().filter(is_wanted)).await
}

pub async fn uploads(role: &DataRole, record: &Record, wanted: &[FileSize]) -> Result<Vec<Upload>, Error> {
    let list = record.work.output_list.as_ref().map(|to| Output {
        file: OUTPUT_LIST.to_owned(),
        to: to.clone(),
        content_type: Some(JSON_LINES.to_owned()),
        ..Output::default()
    });
    // By the job's list, so that a container that asks a thousand times for one file gets it once.
    let outputs = record.work.outputs.iter().chain(&list).filter_map(|output| {
        let wanted = wanted.iter().find(|wanted| wanted.file == output.file)?;
        Some((wanted, output, S3Uri::parse(&output.to)?))
    });
    let outputs: Vec<(&FileSize, &Output, S3Uri<'_>)> = outputs.collect();
    let mut signed = Vec::new();
    let uris = outputs.iter().map(|(.., uri)| uri.clone());
    for (signer, uris) in role.signers(record.hosts, Access::Write, uris).await? {
        for (wanted, output, uri) in outputs.iter().filter(|(.., uri)| uris.contains(uri)) {
            let (url, fields) = match output.pattern() {
                None => signer.post(uri, wanted.bytes, properties(output))?,
                Some(_) => signer.post_below(uri, properties(output))?,
            };
            signed.push(Upload { file: wanted.file.clone(), url, fields });
        }
    }
    Ok(signed)
}

/// A page of the objects of `folder`; none where the job has no such input.
pub async fn page(
    role: &DataRole,
    record: &Record,
    folder: &str,
    after: Option<&str>,
) -> Result<Option<Page>, Error> {
    let mut folders = record.work.inputs.iter().filter(|input| input.is_folder());
    let input = folders.find(|input| input.file == folder);
    let Some(uri) = input.and_then(|input| S3Uri::parse(&input.from)) else { return Ok(None) };
    let listing = role.list(record.hosts, &uri, after).await?;
    Ok(Some(Page {
        start: record.turn.start,
        folder: folder.to_owned(),
        after: after.map(str::to_owned),
        url: listing.url,
        objects: listing.objects,
        has_more: listing.has_more,
    }))
}

/// Source: jsonlines.org, "MIME type", which is not registered.
const JSON_LINES: &str = "application/jsonl";

/// What the object is to have, as the fields of a form; of a folder, what all objects are to have.
/// Source: S3 API Reference, "POST Object", form fields.
fn properties(output: &Output) -> Vec<(String, String)> {
    let by_name = || kind_of(&output.to).filter(|_| output.pattern().is_none());
    let kind = output.content_type.clone().or_else(|| by_name().map(str::to_owned));
    let class = output.storage_class.map(|class| class.name().to_owned());
    let encryption = output.kms_key.as_ref().map(|_| "aws:kms".to_owned());
    let own = [
        ("Content-Type", kind),
        ("Cache-Control", output.cache_control.clone()),
        ("x-amz-storage-class", class),
        ("x-amz-server-side-encryption", encryption),
        ("x-amz-server-side-encryption-aws-kms-key-id", output.kms_key.clone()),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let metadata = output.metadata.iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()));
    own.chain(metadata).collect()
}

#[cfg(test)]
mod tests {
    use mayfly_model::job::StorageClass;

    use super::*;

    #[test]
    fn an_object_is_what_its_key_ends_with_unless_it_is_said() {
        let of = |output: &Output| properties(output).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        let named = |file: &str, to: &str| Output { file: file.into(), to: to.into(), ..Output::default() };
        assert_eq!(of(&named("a", "s3://b/a.mp4")), ["video/mp4"]);
        // Of a folder each file has a name of its own.
        assert_eq!(of(&named("a/", "s3://b/a.mp4/")), [""; 0]);
        let output = Output {
            to: "s3://b/a.mp4".to_owned(),
            content_type: Some("video/x-own".to_owned()),
            ..Output::default()
        };
        assert_eq!(properties(&output), [("Content-Type".to_owned(), "video/x-own".to_owned())]);
    }

    #[test]
    fn what_a_document_says_of_an_object_is_in_its_form() {
        let output: Output = serde_json::from_value(serde_json::json!({
            "file": "a", "to": "s3://b/a", "cacheControl": "max-age=60", "storageClass": "GLACIER_IR",
            "kmsKey": "arn:aws:kms:eu-central-1:1:key/a", "metadata": { "show": "one" },
        }))
        .unwrap();
        assert_eq!(output.storage_class, Some(StorageClass::GlacierIr));
        let fields = [
            ("Cache-Control", "max-age=60"),
            ("x-amz-storage-class", "GLACIER_IR"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:eu-central-1:1:key/a"),
            ("x-amz-meta-show", "one"),
        ];
        assert_eq!(properties(&output), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
