//! Signed URLs on request. The keys come from the table, never from the message.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use mayfly_common::error::Error;
use mayfly_common::job::{S3Uri, Task};
use mayfly_common::message::{Download, FileSize, Upload};
use mayfly_common::signing::{Access, SESSION, Signer, session_policies};

use crate::{Clients, Settings};

pub async fn downloads(
    clients: &Clients,
    settings: &Settings,
    task: &Task,
    wanted: &[String],
) -> Result<Vec<Download>, Error> {
    let inputs = task.inputs.iter().filter(|input| wanted.contains(&input.file));
    let inputs: Vec<(&str, S3Uri<'_>)> =
        inputs.filter_map(|input| Some((input.file.as_str(), S3Uri::parse(&input.from)?))).collect();
    let uris: Vec<S3Uri<'_>> = inputs.iter().map(|(_, uri)| uri.clone()).collect();
    let mut urls = HashMap::new();
    for (policy, group) in session_policies(Access::Read, &uris) {
        let signer = signer(clients, settings, &policy).await?;
        for uri in group {
            urls.insert((uri.bucket, uri.key), signer.get(&uri, SystemTime::now())?);
        }
    }
    let url = |uri: &S3Uri<'_>| urls.get(&(uri.bucket, uri.key)).cloned();
    Ok(inputs
        .iter()
        .filter_map(|(file, uri)| Some(Download { file: (*file).to_owned(), url: url(uri)? }))
        .collect())
}

pub async fn uploads(
    clients: &Clients,
    settings: &Settings,
    task: &Task,
    wanted: &[FileSize],
) -> Result<Vec<Upload>, Error> {
    // By the job's list, so that a container that asks a thousand times for one file gets it once.
    let outputs = task.outputs.iter().filter_map(|output| {
        let wanted = wanted.iter().find(|wanted| wanted.file == output.file)?;
        Some((wanted, S3Uri::parse(&output.to)?))
    });
    let outputs: Vec<(&FileSize, S3Uri<'_>)> = outputs.collect();
    let uris: Vec<S3Uri<'_>> = outputs.iter().map(|(_, uri)| uri.clone()).collect();
    let mut signed = Vec::new();
    for (policy, group) in session_policies(Access::Write, &uris) {
        let signer = signer(clients, settings, &policy).await?;
        for (wanted, uri) in outputs.iter().filter(|(_, uri)| group.contains(uri)) {
            let (url, fields) = signer.post(uri, wanted.bytes, SystemTime::now())?;
            signed.push(Upload { file: wanted.file.clone(), url, fields });
        }
    }
    Ok(signed)
}

/// A signer with a session of the data role that is good for the keys in `policy` alone.
async fn signer<'a>(clients: &'a Clients, settings: &'a Settings, policy: &str) -> Result<Signer<'a>, Error> {
    let session = clients
        .sts
        .assume_role()
        .role_arn(&settings.data_role)
        .role_session_name("handle-report")
        .duration_seconds(i32::try_from(SESSION.as_secs()).unwrap_or(i32::MAX))
        .policy(policy)
        .send()
        .await
        .map_err(Error::aws("assume the data role"))?;
    let keys = session
        .credentials
        .ok_or_else(|| Error::internal("could not assume the data role", "STS returned no credentials"))?;
    let credentials = Credentials::new(
        keys.access_key_id,
        keys.secret_access_key,
        Some(keys.session_token),
        None,
        "data-role",
    );
    Ok(Signer {
        credentials,
        region: &settings.region,
        endpoint: clients.endpoint.as_deref(),
        lifetime: settings.url_lifetime,
    })
}
