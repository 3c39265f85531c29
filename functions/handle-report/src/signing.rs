//! Signed URLs on request. The keys come from the table, never from the message.

use mayfly_jobs::signing::Access;
use mayfly_jobs::{DataRole, Record};
use mayfly_lambda::error::Error;
use mayfly_model::job::{Input, Output, S3Uri};
use mayfly_model::message::{Download, FileSize, Upload};

pub async fn downloads(role: &DataRole, record: &Record, wanted: &[String]) -> Result<Vec<Download>, Error> {
    let is_wanted = |input: &&Input| wanted.contains(&input.file) && S3Uri::parse(&input.from).is_some();
    role.downloads(record.hosts, record.work.inputs.iter().filter(is_wanted)).await
}

pub async fn uploads(role: &DataRole, record: &Record, wanted: &[FileSize]) -> Result<Vec<Upload>, Error> {
    // By the job's list, so that a container that asks a thousand times for one file gets it once.
    let outputs = record.work.outputs.iter().filter_map(|output| {
        let wanted = wanted.iter().find(|wanted| wanted.file == output.file)?;
        Some((wanted, output, S3Uri::parse(&output.to)?))
    });
    let outputs: Vec<(&FileSize, &Output, S3Uri<'_>)> = outputs.collect();
    let mut signed = Vec::new();
    let uris = outputs.iter().map(|(.., uri)| uri.clone());
    for (signer, uris) in role.signers(record.hosts, Access::Write, uris).await? {
        for (wanted, output, uri) in outputs.iter().filter(|(.., uri)| uris.contains(uri)) {
            let (url, fields) = signer.post(uri, wanted.bytes, properties(output))?;
            signed.push(Upload { file: wanted.file.clone(), url, fields });
        }
    }
    Ok(signed)
}

/// What the object is to have, as the fields of a form.
/// Source: S3 API Reference, "POST Object", form fields.
fn properties(output: &Output) -> Vec<(String, String)> {
    let kind = output.content_type.clone().or_else(|| kind_of(&output.to).map(str::to_owned));
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

/// What the ending of a key says that its object is, where it says that.
fn kind_of(key: &str) -> Option<&'static str> {
    let ending = key.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        // The library takes playlists and segments for what they were before HLS.
        // Source: RFC 8216, sections 4 and 10.
        Some("m3u8") => Some("application/vnd.apple.mpegurl"),
        Some("ts") => Some("video/mp2t"),
        _ => mime_guess::from_path(key).first_raw(),
    }
}

#[cfg(test)]
mod tests {
    use mayfly_model::job::StorageClass;

    use super::*;

    #[test]
    fn an_object_is_what_its_key_ends_with_unless_it_is_said() {
        for (key, kind) in [
            ("s3://b/show/a.MP4", Some("video/mp4")),
            ("s3://b/a.m3u8", Some("application/vnd.apple.mpegurl")),
            ("s3://b/a.ts", Some("video/mp2t")),
            ("s3://b/a.json", Some("application/json")),
            ("s3://b/page.html", Some("text/html")),
            ("s3://b/a.nobody-knows", None),
            ("s3://b.mp4/a", None),
        ] {
            let output = Output { to: key.to_owned(), ..Output::default() };
            let kinds: Vec<_> = properties(&output).into_iter().map(|(_, value)| value).collect();
            assert_eq!(kinds, kind.into_iter().collect::<Vec<_>>(), "{key}");
        }
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
