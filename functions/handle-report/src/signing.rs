//! Signed URLs on request. The keys come from the table, never from the message.

use mayfly_jobs::signing::Access;
use mayfly_jobs::{DataRole, Record};
use mayfly_lambda::error::Error;
use mayfly_model::job::{Input, S3Uri};
use mayfly_model::message::{Download, FileSize, Upload};

pub async fn downloads(role: &DataRole, record: &Record, wanted: &[String]) -> Result<Vec<Download>, Error> {
    let is_wanted = |input: &&Input| wanted.contains(&input.file) && S3Uri::parse(&input.from).is_some();
    role.downloads(record.hosts, record.work.inputs.iter().filter(is_wanted)).await
}

pub async fn uploads(role: &DataRole, record: &Record, wanted: &[FileSize]) -> Result<Vec<Upload>, Error> {
    // By the job's list, so that a container that asks a thousand times for one file gets it once.
    let outputs = record.work.outputs.iter().filter_map(|output| {
        let wanted = wanted.iter().find(|wanted| wanted.file == output.file)?;
        Some((wanted, S3Uri::parse(&output.to)?))
    });
    let outputs: Vec<(&FileSize, S3Uri<'_>)> = outputs.collect();
    let mut signed = Vec::new();
    let uris = outputs.iter().map(|(_, uri)| uri.clone());
    for (signer, uris) in role.signers(record.hosts, Access::Write, uris).await? {
        for (wanted, uri) in outputs.iter().filter(|(_, uri)| uris.contains(uri)) {
            let (url, fields) = signer.post(uri, wanted.bytes)?;
            signed.push(Upload { file: wanted.file.clone(), url, fields });
        }
    }
    Ok(signed)
}
