//! Signed URLs for the job's inputs.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use mayfly_common::error::Error;
use mayfly_common::job::{Input, S3Uri};
use mayfly_common::message::Download;
use mayfly_common::signing::{Access, SESSION, Signer, session_policies};

use crate::{Clients, Settings};

/// Inputs from S3 get a signed URL; an https URL goes to the container as it is.
pub async fn downloads(
    clients: &Clients,
    settings: &Settings,
    inputs: &[Input],
) -> Result<Vec<Download>, Error> {
    let uris: Vec<S3Uri<'_>> = inputs.iter().filter_map(|input| S3Uri::parse(&input.from)).collect();
    let mut signed = HashMap::new();
    for (policy, group) in session_policies(Access::Read, &uris) {
        let signer = Signer {
            credentials: assume(clients, settings, &policy).await?,
            region: &settings.region,
            endpoint: clients.endpoint.as_deref(),
            lifetime: settings.url_lifetime,
        };
        for uri in group {
            signed.insert((uri.bucket, uri.key), signer.get(&uri, SystemTime::now())?);
        }
    }
    let download = |input: &Input| {
        let uri = S3Uri::parse(&input.from).and_then(|uri| signed.get(&(uri.bucket, uri.key)).cloned());
        Download { file: input.file.clone(), url: uri.unwrap_or_else(|| input.from.clone()) }
    };
    Ok(inputs.iter().map(download).collect())
}

/// A session of the data role that is good for the keys in `policy` alone.
async fn assume(clients: &Clients, settings: &Settings, policy: &str) -> Result<Credentials, Error> {
    let session = clients
        .sts
        .assume_role()
        .role_arn(&settings.data_role)
        .role_session_name("dispatch-job")
        .duration_seconds(i32::try_from(SESSION.as_secs()).unwrap_or(i32::MAX))
        .policy(policy)
        .send()
        .await
        .map_err(Error::aws("assume the data role"))?;
    let keys = session
        .credentials
        .ok_or_else(|| Error::internal("could not assume the data role", "STS returned no credentials"))?;
    Ok(Credentials::new(
        keys.access_key_id,
        keys.secret_access_key,
        Some(keys.session_token),
        None,
        "data-role",
    ))
}
