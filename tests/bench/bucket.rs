//! An S3 in this process. Each connection carries as much as one of S3's does, or as much as it can.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::TimeScale;
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::upstream::{Session, Upstream};
use local_s3::{Config, Faults, S3, serve};
use mayfly_jobs::signing::{Hosts, SESSION, Signer};
use mayfly_lambda::Clock;
use mayfly_model::job::S3Uri;
use mayfly_model::message::{Object, Page, Upload};
use mayfly_model::parts::{Cut, PartsWanted, SignedParts};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const REGION: &str = "us-east-1";
pub const BUCKET: &str = "data";
/// A connection's bytes per second. Source: S3 user guide, "Performance guidelines for Amazon S3": 85 to 90 MB/s.
const CONNECTION: NonZeroU64 = NonZeroU64::new(80_000_000).expect("a number");
/// How many requests take the server to its ceiling.
const SIDE_BY_SIDE: usize = 8;

/// The server. It is gone when this is dropped.
pub struct Bucket {
    /// Where connections are as slow as S3's.
    pub origin: String,
    /// Where they are not.
    open: String,
    keys: Credentials,
    clock: Clock,
    _folder: TempDir,
    _servers: JoinSet<Result<()>>,
}

/// Nobody but the account's root is here.
#[derive(Debug)]
struct Nobody;

impl Rights for Nobody {
    fn session<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        async { Ok(None) }.boxed()
    }

    fn policies<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Policy>>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

impl Bucket {
    pub async fn start() -> Result<Self> {
        let keys = Credentials::from_keys("AKIABENCH", "secret", None);
        let clock = local_aws::clock::Clock::new(TimeScale::REAL, TimeScale::REAL);
        let upstream = Upstream::new(REGION, "123456789012", keys.clone(), clock, Random::default());
        let folder = tempfile::tempdir()?;
        let s3 = S3::new(Config {
            guard: Guard::new(upstream.clone(), Nobody),
            calls: CallLog::new(clock),
            folder: folder.path().to_owned(),
            faults: Faults::default(),
            upstream,
        });
        let (mut servers, mut origins) = (JoinSet::new(), Vec::new());
        for rate in [Some(CONNECTION), None] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            origins.push(format!("http://{}", listener.local_addr()?));
            servers.spawn(serve(listener, s3.clone(), rate, CancellationToken::new()));
        }
        let (open, origin) = (origins.pop().context("two")?, origins.pop().context("two")?);
        let bucket = Self { origin, open, keys, clock: Clock::default(), _folder: folder, _servers: servers };
        let client = bucket.client();
        client.create_bucket().bucket(BUCKET).send().await?;
        Ok(bucket)
    }

    /// The root's, as fast as it can.
    pub fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new(REGION))
            .credentials_provider(self.keys.clone())
            .force_path_style(true)
            .endpoint_url(&self.open);
        Client::from_conf(config.build())
    }

    fn signer<'a>(&'a self, endpoint: &'a str) -> Signer<'a> {
        Signer {
            credentials: self.keys.clone(),
            region: REGION,
            endpoint: Some(endpoint),
            hosts: Hosts::Ipv4,
            lifetime: SESSION,
            clock: &self.clock,
        }
    }

    /// A URL to get the object of this key by slow connections.
    pub fn get(&self, key: &str) -> Result<String> {
        Ok(self.signer(&self.origin).get(&S3Uri { bucket: BUCKET, key })?)
    }

    /// Makes objects of so many zeros each, of which nothing is kept.
    pub async fn fill(&self, keys: impl IntoIterator<Item = String>, bytes: u64) -> Result<()> {
        let (client, file) = (self.client(), tempfile::NamedTempFile::new()?);
        file.as_file().set_len(bytes)?;
        let put = |key: String| {
            let (put, path) = (client.put_object().bucket(BUCKET).key(key), file.path());
            async move {
                put.body(ByteStream::from_path(path).await?).send().await?;
                Ok::<_, anyhow::Error>(())
            }
        };
        stream::iter(keys).map(put).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }

    /// What handle-report would tell a worker of what is below the prefix `key`.
    pub async fn page(&self, key: &str, start: u32, folder: &str, after: Option<&str>) -> Result<Page> {
        let list = self.client().list_objects_v2().bucket(BUCKET).prefix(key);
        let listed = list.set_start_after(after.map(|after| format!("{key}{after}"))).send().await?;
        let object = |object: &aws_sdk_s3::types::Object| {
            Some(Object {
                name: object.key()?.strip_prefix(key)?.to_owned(),
                bytes: object.size()?.try_into().ok()?,
                tag: object.e_tag()?.to_owned(),
                signature: String::new(),
            })
        };
        let mut objects: Vec<_> = listed.contents().iter().filter_map(object).collect();
        let names = objects.iter().map(|object| object.name.as_str());
        let (url, signatures) = self.signer(&self.origin).get_below(&S3Uri { bucket: BUCKET, key }, names)?;
        for (object, signature) in objects.iter_mut().zip(signatures) {
            object.signature = signature;
        }
        Ok(Page {
            start,
            folder: folder.to_owned(),
            after: after.map(str::to_owned),
            url,
            objects,
            has_more: listed.is_truncated() == Some(true),
        })
    }

    /// What posts the files of the output `file` below the prefix `key`.
    pub fn form(&self, key: &str, file: &str) -> Result<Upload> {
        let (url, fields) = self.signer(&self.origin).post_below(&S3Uri { bucket: BUCKET, key }, [])?;
        Ok(Upload { file: file.to_owned(), url, fields })
    }

    /// Begins an upload in parts.
    pub async fn begin(&self, key: &str) -> Result<String> {
        let begun = self.client().create_multipart_upload().bucket(BUCKET).key(key).send().await?;
        begun.upload_id.context("an id")
    }

    /// What handle-report would sign.
    pub fn sign(&self, key: &str, id: &str, wanted: &PartsWanted, start: u32) -> Result<SignedParts> {
        Ok(self.signer(&self.origin).parts(&S3Uri { bucket: BUCKET, key }, id, wanted, start)?)
    }

    /// How fast an object of `bytes` bytes can go out and one come in, in bytes per second, whatever connections there are.
    pub async fn ceiling(&self, key: &str, bytes: u64) -> Result<(f64, f64)> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = self.signer(&self.open).get(&S3Uri { bucket: BUCKET, key })?;
        let began = Instant::now();
        let each = bytes.div_ceil(SIDE_BY_SIDE as u64);
        let gets = (0..SIDE_BY_SIDE as u64).map(|number| {
            let (begin, end) = (number * each, ((number + 1) * each).min(bytes));
            let get = http.get(&url).header("range", format!("bytes={begin}-{}", end - 1));
            async move {
                let mut pieces = get.send().await?.error_for_status()?.bytes_stream();
                let mut length = 0;
                while let Some(piece) = pieces.try_next().await? {
                    length += piece.len() as u64;
                }
                ensure!(length == end - begin, "{length} bytes of {begin} to {end}");
                Ok(())
            }
        });
        stream::iter(gets).buffer_unordered(SIDE_BY_SIDE).try_collect::<Vec<()>>().await?;
        let down = speed(bytes, began.elapsed());

        let (key, cut) = ("ceiling", Cut::of(bytes));
        let id = self.begin(key).await?;
        let wanted = PartsWanted { file: String::new(), output: None, bytes, from: 1 };
        let signed = self.signer(&self.open).parts(&S3Uri { bucket: BUCKET, key }, &id, &wanted, 1)?;
        let piece = axum::body::Bytes::from(vec![0; 1 << 20]);
        let began = Instant::now();
        let puts = signed.parts().map(|(part, signature)| {
            let url = format!("{}&partNumber={part}&X-Amz-Signature={signature}", signed.url);
            let length = cut.length(part);
            let pieces = (0..length.div_ceil(1 << 20)).map({
                let piece = piece.clone();
                move |number| {
                    let rest = usize::try_from(length - (number << 20)).unwrap_or(usize::MAX);
                    Ok::<_, std::io::Error>(piece.slice(..piece.len().min(rest)))
                }
            });
            let body = reqwest::Body::wrap_stream(stream::iter(pieces.collect::<Vec<_>>()));
            let put = http.put(url).header("content-length", length).body(body);
            async move { put.send().await?.error_for_status().map(drop).map_err(anyhow::Error::from) }
        });
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(SIDE_BY_SIDE).try_collect::<Vec<()>>().await?;
        let up = speed(bytes, began.elapsed());
        self.client().abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await?;
        Ok((down, up))
    }
}

/// Bytes per second.
pub fn speed(bytes: u64, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a speed is not exact")]
    let bytes = bytes as f64;
    bytes / time.as_secs_f64()
}
