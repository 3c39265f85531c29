//! The role that may read and write the data buckets. A function assumes it for the keys of one job at a time.

use std::collections::HashMap;
use std::time::Duration;

use crate::signing::{Access, Hosts, KeyGroup, SESSION, Signer};
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment};
use mayfly_model::job::{Input, S3Uri};
use mayfly_model::message::Download;

/// How many sessions STS is asked for at a time. STS may take 200 ms for one, and the function's whole time is seconds.
const SIDE_BY_SIDE: usize = 8;

/// The data role, and what else it takes to sign with it.
pub struct DataRole {
    sts: Client,
    /// What clients of S3 are made with, but for the session's credentials.
    pub(crate) s3: aws_sdk_s3::config::Builder,
    arn: String,
    session: &'static str,
    region: String,
    endpoint: Option<String>,
    url_lifetime: Duration,
    clock: Clock,
}

impl DataRole {
    /// The role that the function's settings name. CloudTrail shows what is done with it under the name `session`.
    ///
    /// # Errors
    /// When a setting is absent or cannot be read.
    pub fn new(environment: &Environment, session: &'static str) -> Result<Self, String> {
        let endpoint = environment.endpoint("S3");
        Ok(Self {
            sts: Client::new(environment.sdk()),
            // A local cloud has no host name per bucket.
            s3: aws_sdk_s3::config::Builder::from(environment.sdk()).force_path_style(endpoint.is_some()),
            arn: environment.setting("DATA_ROLE_ARN")?,
            session,
            region: environment.setting("AWS_REGION")?,
            endpoint: endpoint.map(str::to_owned),
            url_lifetime: Duration::from_secs(environment.setting("SIGNED_URL_SECONDS")?),
            clock: environment.clock(),
        })
    }

    /// Where to get the inputs that are one file: those from S3 at a signed URL, the others at their own.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn downloads<'a>(
        &self,
        hosts: Hosts,
        inputs: impl IntoIterator<Item = &'a Input>,
    ) -> Result<Vec<Download>, Error> {
        let inputs: Vec<&Input> = inputs.into_iter().filter(|input| !input.is_folder()).collect();
        let uris = inputs.iter().filter_map(|input| S3Uri::parse(&input.from));
        let mut signed = HashMap::new();
        for (signer, uris) in self.signers(hosts, Access::Read, uris).await? {
            for uri in uris {
                signed.insert((uri.bucket, uri.key), signer.get(&uri)?);
            }
        }
        let download = |input: &Input| {
            let url = S3Uri::parse(&input.from).and_then(|uri| signed.get(&(uri.bucket, uri.key)).cloned());
            Download { file: input.file.clone(), url: url.unwrap_or_else(|| input.from.clone()) }
        };
        Ok(inputs.into_iter().map(download).collect())
    }

    /// Signers for all `uris`, each with those that it is good for: a session of the role may do nothing else.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn signers<'a>(
        &self,
        hosts: Hosts,
        access: Access,
        uris: impl IntoIterator<Item = S3Uri<'a>>,
    ) -> Result<Vec<(Signer<'_>, Vec<S3Uri<'a>>)>, Error> {
        let groups = KeyGroup::split(access, uris).into_iter();
        let sessions: Vec<_> = groups.map(|group| self.signers_of(hosts, group)).collect();
        stream::iter(sessions).buffer_unordered(SIDE_BY_SIDE).try_concat().await
    }

    /// As many as STS wants for the group.
    async fn signers_of<'a>(
        &self,
        hosts: Hosts,
        group: KeyGroup<'a>,
    ) -> Result<Vec<(Signer<'_>, Vec<S3Uri<'a>>)>, Error> {
        let mut signers = Vec::new();
        let mut groups = vec![group];
        while let Some(group) = groups.pop() {
            match self.signer(hosts, &group).await? {
                Some(signer) => signers.push((signer, group.uris().to_vec())),
                None => groups.extend(group.smaller().ok_or_else(|| {
                    Error::internal("assume the data role", "STS takes no session policy, however short")
                })?),
            }
        }
        Ok(signers)
    }

    /// A signer with a session of the role that is good for the group's keys alone; none where its policy is too large.
    async fn signer(&self, hosts: Hosts, group: &KeyGroup<'_>) -> Result<Option<Signer<'_>>, Error> {
        if group.is_too_long() {
            return Ok(None);
        }
        let session = self
            .sts
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(self.session)
            .duration_seconds(i32::try_from(SESSION.as_secs()).unwrap_or(i32::MAX))
            .policy(group.policy())
            .send()
            .await;
        let session = match session {
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_packed_policy_too_large_exception()) =>
            {
                return Ok(None);
            }
            session => session.map_err(Error::aws("assume the data role"))?,
        };
        let keys = session
            .credentials
            .ok_or_else(|| Error::internal("assume the data role", "STS returned no credentials"))?;
        let (id, secret, token) = (keys.access_key_id, keys.secret_access_key, keys.session_token);
        Ok(Some(Signer {
            credentials: Credentials::new(id, secret, Some(token), None, "data-role"),
            region: &self.region,
            endpoint: self.endpoint.as_deref(),
            hosts,
            lifetime: self.url_lifetime,
            clock: &self.clock,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::State;
    use axum::http::StatusCode;
    use mayfly_model::message::POST_LIMIT;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    /// An STS that takes 200 ms an answer and refuses policies from `limit` characters on.
    #[derive(Clone)]
    struct Sts {
        limit: usize,
        answered: Arc<AtomicUsize>,
        asked: Arc<AtomicUsize>,
        most_at_a_time: Arc<AtomicUsize>,
    }

    async fn assume_role(State(sts): State<Sts>, body: String) -> (StatusCode, String) {
        let at_a_time = sts.asked.fetch_add(1, Ordering::Relaxed) + 1 - sts.answered.load(Ordering::Relaxed);
        sts.most_at_a_time.fetch_max(at_a_time, Ordering::Relaxed);
        sleep(Duration::from_millis(200)).await;
        sts.answered.fetch_add(1, Ordering::Relaxed);
        let mut parameters = url::form_urlencoded::parse(body.as_bytes());
        let policy = parameters.find(|(name, _)| name == "Policy").expect("a session policy").1;
        if policy.len() >= sts.limit {
            let error = "<Error><Type>Sender</Type><Code>PackedPolicyTooLarge</Code><Message>Packed policy consumes \
                         101% of allotted space, please use smaller policy.</Message></Error>";
            return (StatusCode::BAD_REQUEST, format!("<ErrorResponse>{error}</ErrorResponse>"));
        }
        let keys = "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token\
                    </SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>";
        let result = format!("<AssumeRoleResult><Credentials>{keys}</Credentials></AssumeRoleResult>");
        (StatusCode::OK, format!("<AssumeRoleResponse>{result}</AssumeRoleResponse>"))
    }

    impl Sts {
        fn refusing_from(limit: usize) -> Self {
            let [answered, asked, most_at_a_time] = Default::default();
            Self { limit, answered, asked, most_at_a_time }
        }

        async fn serve(&self) -> DataRole {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let app = Router::new().fallback(assume_role).with_state(self.clone());
            tokio::spawn(async { axum::serve(listener, app).await });
            let config = aws_sdk_sts::Config::builder()
                .behavior_version_latest()
                .region(aws_sdk_sts::config::Region::new("eu-central-1"))
                .credentials_provider(Credentials::new("AKIA", "secret", None, None, "test"))
                .endpoint_url(endpoint);
            DataRole {
                sts: Client::from_conf(config.build()),
                s3: aws_sdk_s3::Config::builder(),
                arn: "arn:aws:iam::123456789012:role/data".into(),
                session: "test",
                region: "eu-central-1".into(),
                endpoint: None,
                url_lifetime: SESSION,
                clock: Clock::default(),
            }
        }
    }

    /// As many files with as long keys as a job may well have.
    fn inputs() -> Vec<Input> {
        let input =
            |i| Input { file: format!("in-{i}"), from: format!("s3://bucket/{i:03}{}", "k".repeat(197)) };
        (0..100).map(input).collect()
    }

    #[tokio::test]
    async fn a_hundred_files_are_signed_within_seconds_by_an_sts_that_is_slow() {
        let sts = Sts::refusing_from(1000);
        let inputs = inputs();
        let role = sts.serve().await;
        let signing = tokio::time::timeout(Duration::from_secs(20), role.downloads(Hosts::Ipv4, &inputs));
        let downloads = signing.await.expect("in the function's time").unwrap();
        for (input, download) in inputs.iter().zip(&downloads) {
            let key = input.from.rsplit('/').next().unwrap();
            assert_eq!(download.file, input.file);
            assert!(
                download.url.contains(key) && download.url.contains("X-Amz-Signature="),
                "{}",
                download.url
            );
        }
        assert_eq!((downloads.len(), sts.most_at_a_time.load(Ordering::Relaxed)), (100, SIDE_BY_SIDE));
    }

    #[tokio::test]
    async fn keys_are_signed_however_little_sts_packs() {
        // Room for one key, and for a part of one.
        for limit in [500, 300] {
            let role = Sts::refusing_from(limit).serve().await;
            let inputs = inputs();
            let uris = inputs[..4].iter().filter_map(|input| S3Uri::parse(&input.from));
            let signers = role.signers(Hosts::Ipv4, Access::Write, uris).await.unwrap();
            let signed = signers.iter().flat_map(|(signer, uris)| {
                uris.iter().map(move |uri| signer.post(uri, POST_LIMIT, []).map(|_| uri.key))
            });
            let mut keys = signed.collect::<Result<Vec<_>, _>>().unwrap();
            keys.sort_unstable();
            assert!(keys.iter().zip(&inputs).all(|(key, input)| input.from.ends_with(key)), "{keys:?}");
            assert_eq!(keys.len(), 4, "{limit}");
        }
    }

    #[tokio::test]
    async fn an_sts_that_takes_no_policy_at_all_is_an_error() {
        let role = Sts::refusing_from(0).serve().await;
        let error = role.downloads(Hosts::Ipv4, &inputs()[..1]).await.unwrap_err();
        assert_eq!(error.name(), "Internal");
    }
}
