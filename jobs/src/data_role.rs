//! The role that may read and write the data buckets. A function assumes it for the keys of one job at a time.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use mayfly_common::error::Error;
use mayfly_common::job::{Input, S3Uri};
use mayfly_common::message::Download;
use mayfly_common::sdk::SdkConfig;
use mayfly_common::settings::setting;
use mayfly_common::signing::{Access, SESSION, Signer, session_policies};

/// The data role, and what else it takes to sign with it.
pub struct DataRole {
    sts: Client,
    arn: String,
    session: &'static str,
    region: String,
    endpoint: Option<String>,
    url_lifetime: Duration,
}

impl DataRole {
    /// The role that the function's settings name. CloudTrail shows what is done with it under the name `session`.
    ///
    /// # Errors
    /// When a setting is absent or cannot be read.
    pub fn from_env(config: &SdkConfig, session: &'static str) -> Result<Self, String> {
        Ok(Self {
            sts: Client::new(config),
            arn: setting("DATA_ROLE_ARN")?,
            session,
            region: setting("AWS_REGION")?,
            endpoint: config.endpoint_url().map(str::to_owned),
            url_lifetime: Duration::from_secs(setting("SIGNED_URL_SECONDS")?),
        })
    }

    /// Where to get the inputs: those from S3 at a signed URL, the others at their own.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn downloads<'a>(
        &self,
        inputs: impl IntoIterator<Item = &'a Input>,
    ) -> Result<Vec<Download>, Error> {
        let inputs: Vec<&Input> = inputs.into_iter().collect();
        let uris: Vec<S3Uri<'_>> = inputs.iter().filter_map(|input| S3Uri::parse(&input.from)).collect();
        let mut signed = HashMap::new();
        for (policy, group) in session_policies(Access::Read, &uris) {
            let signer = self.signer(&policy).await?;
            for uri in group {
                signed.insert((uri.bucket, uri.key), signer.get(&uri, SystemTime::now())?);
            }
        }
        let download = |input: &Input| {
            let url = S3Uri::parse(&input.from).and_then(|uri| signed.get(&(uri.bucket, uri.key)).cloned());
            Download { file: input.file.clone(), url: url.unwrap_or_else(|| input.from.clone()) }
        };
        Ok(inputs.into_iter().map(download).collect())
    }

    /// A signer with a session of the role that is good for the keys in `policy` alone.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn signer(&self, policy: &str) -> Result<Signer<'_>, Error> {
        let session = self
            .sts
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(self.session)
            .duration_seconds(i32::try_from(SESSION.as_secs()).unwrap_or(i32::MAX))
            .policy(policy)
            .send()
            .await
            .map_err(Error::aws("assume the data role"))?;
        let keys = session.credentials.ok_or_else(|| {
            Error::internal("could not assume the data role", "STS returned no credentials")
        })?;
        let (id, secret, token) = (keys.access_key_id, keys.secret_access_key, keys.session_token);
        Ok(Signer {
            credentials: Credentials::new(id, secret, Some(token), None, "data-role"),
            region: &self.region,
            endpoint: self.endpoint.as_deref(),
            lifetime: self.url_lifetime,
        })
    }
}
