//! The stand-in on a socket, and what every test does with it.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::upstream::{Session, Upstream};
use local_s3::{Config, Faults, S3, serve};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const REGION: &str = "eu-central-1";
pub const ACCOUNT: &str = "111122223333";
pub const BUCKET: &str = "data";
pub const HOUR: Duration = Duration::from_hours(1);

/// A running stand-in with one bucket, which is stopped when this is dropped.
pub struct Cloud {
    /// The root's.
    pub client: Client,
    pub http: reqwest::Client,
    pub origin: String,
    pub faults: Faults,
    pub calls: CallLog,
    pub upstream: Upstream,
    folder: TempDir,
    server: JoinHandle<Result<()>>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Roles by their names, each with its policy's statements.
#[derive(Debug)]
struct Roles(Vec<(&'static str, Value)>);

impl Rights for Roles {
    fn session<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        async { Ok(None) }.boxed()
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, Result<Vec<Policy>>> {
        let role = role_arn.rsplit('/').next();
        let statements = self.0.iter().filter(|(name, _)| Some(*name) == role).map(|(_, policy)| policy);
        let policies = statements.map(policy).collect();
        async { Ok(policies) }.boxed()
    }
}

pub fn policy(statements: &Value) -> Policy {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    Policy::parse(&document.to_string()).expect("a policy")
}

impl Cloud {
    pub async fn start() -> Self {
        Self::start_with(Vec::new(), None).await
    }

    /// With roles, and a limit of bytes a second for each connection.
    pub async fn start_with(roles: Vec<(&'static str, Value)>, rate: Option<NonZeroU64>) -> Self {
        // A second lasts a millisecond.
        let clock = Clock::new(TimeScale::new(0.001), TimeScale::REAL);
        let root = Credentials::from_keys("AKIAROOT", "secret", None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = Upstream {
            ministack: origin.clone(),
            ..Upstream::new(REGION, ACCOUNT, root.clone(), clock, Random::default())
        };
        let folder = tempfile::tempdir().expect("a folder");
        let (faults, calls) = (Faults::default(), CallLog::new(clock));
        let s3 = S3::new(Config {
            upstream: upstream.clone(),
            guard: Guard::new(upstream.clone(), Roles(roles)),
            calls: calls.clone(),
            folder: folder.path().to_owned(),
            faults: faults.clone(),
        });
        let server = tokio::spawn(serve(listener, s3, rate, CancellationToken::new()));
        let client = client(&upstream, root);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let location = BucketLocationConstraint::from(REGION);
        let location = CreateBucketConfiguration::builder().location_constraint(location).build();
        let create = client.create_bucket().bucket(BUCKET).create_bucket_configuration(location);
        create.send().await.expect("a bucket");
        Self { client, http, origin, faults, calls, upstream, folder, server }
    }

    /// The keys of a new session of a role.
    pub fn session(&self, role: &str, policy: Option<&Value>, expiry: Option<SystemTime>) -> Credentials {
        let id: u64 = self.upstream.random.value();
        let token = Some(format!("token+/={id}"));
        let credentials = Credentials::new(format!("ASIA{id:016X}"), "secret", token, expiry, "test");
        self.upstream.sessions.add(Session {
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test"),
            role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
            name: "test".into(),
            credentials: credentials.clone(),
            policy: policy.map(|statements| Arc::new(self::policy(statements))),
        });
        credentials
    }

    pub fn as_caller(&self, credentials: Credentials) -> Client {
        client(&self.upstream, credentials)
    }

    pub async fn put(&self, key: &str, body: impl Into<Vec<u8>>) {
        let put = self.client.put_object().bucket(BUCKET).key(key);
        put.body(body.into().into()).send().await.expect("it is put");
    }

    /// The bytes of an object, or the code of the error.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        let got = self.client.get_object().bucket(BUCKET).key(key).send().await;
        match got {
            Ok(got) => Ok(got.body.collect().await.expect("a body").to_vec()),
            Err(error) => Err(code::<(), _, _>(Err(error))),
        }
    }

    /// A URL for `method` on a path, signed now with the root's keys, and for these headers.
    pub fn url(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> String {
        let now = self.upstream.clock.now().into();
        self.url_of(&self.upstream.root, method, path, headers, now, HOUR)
    }

    pub fn url_of(
        &self,
        credentials: &Credentials,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        time: SystemTime,
        lifetime: Duration,
    ) -> String {
        let mut url: reqwest::Url = format!("{}/{path}", self.origin).parse().expect("a URL");
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lifetime);
        let identity = credentials.clone().into();
        let params = parameters(&identity, settings, time);
        let request = SignableRequest::new(
            method.as_str(),
            url.as_str(),
            headers.iter().copied(),
            SignableBody::UnsignedPayload,
        );
        let signed = sign(request.expect("signable"), &params).expect("signed");
        for (name, value) in signed.into_parts().0.params() {
            url.query_pairs_mut().append_pair(name, value);
        }
        url.into()
    }

    /// Puts a body with what is signed of it in `headers`, as an SDK does it.
    pub async fn signed_put(&self, key: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        let now = self.upstream.clock.now().into();
        self.signed_put_of(&self.upstream.root, key, headers, body, now).await
    }

    pub async fn signed_put_of(
        &self,
        credentials: &Credentials,
        key: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        time: SystemTime,
    ) -> Response {
        let url = format!("{}/{BUCKET}/{key}", self.origin);
        let settings = SigningSettings::default();
        let identity = credentials.clone().into();
        let params = parameters(&identity, settings, time);
        let hash = headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").map(|(_, hash)| *hash);
        let payload = SignableBody::Precomputed(hash.unwrap_or_default().to_owned());
        let request = SignableRequest::new("PUT", &url, headers.iter().copied(), payload);
        let signed = sign(request.expect("signable"), &params).expect("signed").into_parts().0;
        let mut request = self.http.put(&url).body(body);
        for (name, value) in headers.iter().copied().chain(signed.headers()) {
            request = request.header(name, value);
        }
        request.send().await.expect("an answer")
    }

    /// The files that there are, and the bytes of the disk that they take.
    pub fn disk(&self) -> (usize, u64) {
        use std::os::unix::fs::MetadataExt;
        let files: Vec<PathBuf> = self
            .folder
            .path()
            .read_dir()
            .expect("a folder")
            .map(|file| file.expect("a file").path())
            .collect();
        let blocks = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512);
        (files.len(), blocks.sum())
    }
}

fn client(upstream: &Upstream, credentials: Credentials) -> Client {
    let config = aws_sdk_s3::config::Builder::from(&upstream.root_config())
        .credentials_provider(credentials)
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// `OK`, or the code of the error that was answered.
pub fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(error) => error.code().expect("an error of S3's").to_owned(),
    }
}

/// The status of an answer, and what its body says: an error's code and message, or the text.
pub async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.replace("&quot;", "\""))
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) if text.contains("<Error>") => (status, format!("{code}: {message}")),
        _ => (status, text),
    }
}

/// Looks until it is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}

/// What a request of S3's is signed with.
fn parameters(identity: &Identity, mut settings: SigningSettings, time: SystemTime) -> SigningParams<'_> {
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let parameters = v4::SigningParams::builder().identity(identity).region(REGION).name("s3");
    parameters.time(time).settings(settings).build().expect("parameters").into()
}
