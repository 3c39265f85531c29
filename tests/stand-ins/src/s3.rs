//! S3, for the calls that functions make: `HeadBucket`, which tells a bucket's Region, `ListObjectsV2`, and those about uploads in
//! parts. What containers put there does not come this way.

pub mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use async_trait::async_trait;
use aws_smithy_types::date_time::{DateTime, Format};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use local_aws::auth::Caller;
use local_aws::policy::Context;
use local_aws::server::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use crate::json::Surroundings;
use crate::request;
use crate::s3::objects::{NoSuchUpload, Objects};

/// What S3 works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it works with like the others.
    pub around: Surroundings,
    /// All buckets there are, by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// What is in them.
    pub objects: Objects,
}

/// A bucket, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The Region that it is in.
    pub region: String,
    /// Whether it is another account's, which lets nobody of this one in.
    pub foreign: bool,
    /// The keys of its objects, each of one byte.
    pub keys: BTreeSet<String>,
}

/// How many objects a page has: it "might contain fewer keys" than a thousand, "but will never contain more".
/// Source: S3 API Reference, `ListObjectsV2`, `MaxKeys`.
const PAGE: usize = 2;

/// The S3 of one Region.
#[derive(Clone, Debug)]
pub struct S3(Config);

/// A status, and what is said besides.
type Said = (StatusCode, String);

impl S3 {
    /// One with the buckets of `config`.
    pub fn new(config: Config) -> Self {
        Self(config)
    }

    async fn caller(&self, request: &Request<Bytes>) -> Option<Caller> {
        match self.0.around.guard.authenticate("s3", request).await {
            Ok(caller) => Some(caller),
            Err(refusal) => {
                tracing::error!(%refusal, "a request to S3 is not signed as it has to be");
                None
            }
        }
    }

    /// What the status says is all that is said: the answer to a HEAD has no body. Which of several reasons S3 gives, no
    /// page says; that a bucket that is not there is a 404 to everybody is a guess.
    /// Source: S3 API Reference, `HeadBucket`.
    async fn head(&self, caller: &Caller, bucket: &str) -> StatusCode {
        let Config { around: Surroundings { guard, upstream, .. }, buckets, .. } = &self.0;
        match buckets.get(bucket) {
            None => StatusCode::NOT_FOUND,
            Some(found) if found.region != upstream.region => StatusCode::MOVED_PERMANENTLY,
            Some(found) if found.foreign => StatusCode::FORBIDDEN,
            Some(_) => {
                // The same page, "Permissions".
                let arn = format!("arn:aws:s3:::{bucket}");
                match guard.authorize(caller, "s3:ListBucket", &arn, &Context::new()).await {
                    Ok(()) => StatusCode::OK,
                    Err(_) => StatusCode::FORBIDDEN,
                }
            }
        }
    }

    /// What is answered about uploads in parts. Which right each call takes: S3 user guide, "Uploading and copying objects using
    /// multipart upload", permissions.
    async fn of_uploads(&self, caller: &Caller, action: &str, asked: &Asked) -> Said {
        let Config { around: Surroundings { guard, upstream, .. }, objects, buckets } = &self.0;
        let (right, resource) = match action {
            "CreateMultipartUpload" => ("PutObject", asked.arn()),
            "AbortMultipartUpload" => ("AbortMultipartUpload", asked.arn()),
            "ListParts" => ("ListMultipartUploadParts", asked.arn()),
            _ => ("ListBucketMultipartUploads", format!("arn:aws:s3:::{}", asked.bucket)),
        };
        if !buckets.contains_key(&asked.bucket) {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist");
        }
        if let Err(refusal) =
            guard.authorize(caller, &format!("s3:{right}"), &resource, &Context::new()).await
        {
            return error(StatusCode::FORBIDDEN, "AccessDenied", &refusal.message);
        }
        let (place, id) = (asked.place(), asked.given("uploadId"));
        let gone = |_: NoSuchUpload| {
            let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                           aborted or completed.";
            error(StatusCode::NOT_FOUND, "NoSuchUpload", message)
        };
        match action {
            "CreateMultipartUpload" => {
                let id = upstream.random.uuid().simple().to_string();
                objects.begin(&place, &id, upstream.clock.now());
                (
                    StatusCode::OK,
                    format!(
                        "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                    ),
                )
            }
            "AbortMultipartUpload" => match objects.abort(&place, id) {
                Ok(()) => (StatusCode::NO_CONTENT, String::new()),
                Err(missing) => gone(missing),
            },
            "ListParts" => match objects.open().get(id).filter(|upload| upload.place == place) {
                Some(_) => {
                    (StatusCode::OK, format!("<ListPartsResult><UploadId>{id}</UploadId></ListPartsResult>"))
                }
                None => gone(NoSuchUpload),
            },
            _ => {
                let start = format!("{}/{}", asked.bucket, asked.given("prefix"));
                let mut uploads = String::new();
                for (id, upload) in
                    objects.open().iter().filter(|(_, upload)| upload.place.starts_with(&start))
                {
                    let key = upload.place.split_once('/').map_or("", |(_, key)| key);
                    let initiated = DateTime::from_secs(upload.initiated.as_second());
                    let initiated = initiated.fmt(Format::DateTime).unwrap_or_default();
                    let _ = write!(
                        uploads,
                        "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{initiated}</Initiated></Upload>"
                    );
                }
                (
                    StatusCode::OK,
                    format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"),
                )
            }
        }
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Said {
    (status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

/// What a request is about.
#[derive(Debug)]
struct Asked {
    bucket: String,
    key: String,
    query: BTreeMap<String, String>,
}

impl Asked {
    /// The bucket is in the host, or in the path where a host of S3's has none.
    /// Source: S3 user guide, "Virtual hosting of general purpose buckets".
    fn read(request: &Request<Bytes>, region: &str) -> Option<Self> {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let path = request.uri().path().trim_start_matches('/');
        let hosts = [format!("s3.{region}.amazonaws.com"), format!("s3.dualstack.{region}.amazonaws.com")];
        let (bucket, key) = hosts.iter().find_map(|of_s3| match host.strip_suffix(of_s3.as_str())? {
            "" => Some(path.split_once('/').unwrap_or((path, ""))),
            named => Some((named.strip_suffix('.')?, path)),
        })?;
        let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let query = query.into_owned().collect();
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), key: key.to_owned(), query })
    }

    fn given(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    fn place(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    fn arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.place())
    }
}

impl S3 {
    /// A page of what begins with a prefix.
    /// Source: S3 API Reference, `ListObjectsV2`, and "Error responses".
    async fn list(&self, caller: &Caller, asked: &Asked) -> Said {
        let Config { around: Surroundings { guard, .. }, buckets, .. } = &self.0;
        let (prefix, after) = (asked.given("prefix"), asked.query.get("start-after"));
        let Some(found) = buckets.get(&asked.bucket) else {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist");
        };
        let context = Context::from([("s3:prefix".to_owned(), vec![prefix.to_owned()])]);
        let arn = format!("arn:aws:s3:::{}", asked.bucket);
        if found.foreign || guard.authorize(caller, "s3:ListBucket", &arn, &context).await.is_err() {
            return error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
        }
        let matching = found.keys.iter().filter(|key| key.starts_with(prefix));
        let mut rest = matching.filter(|key| after.is_none_or(|after| *key > after)).peekable();
        let mut contents = String::new();
        for key in rest.by_ref().take(PAGE) {
            let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
            let _ = write!(
                contents,
                "<Contents><Key>{key}</Key><ETag>&quot;1&quot;</ETag><Size>1</Size></Contents>"
            );
        }
        let is_truncated = rest.peek().is_some();
        let told = format!("<IsTruncated>{is_truncated}</IsTruncated>{contents}");
        (StatusCode::OK, format!("<ListBucketResult>{told}</ListBucketResult>"))
    }
}

#[async_trait]
impl Service for S3 {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Config { around: Surroundings { upstream, calls, .. }, buckets, .. } = &self.0;
        let asked = Asked::read(&request, &upstream.region);
        let action = request::action(&request);
        let bucket = asked.as_ref().map(|asked| asked.bucket.clone()).unwrap_or_default();
        let caller = self.caller(&request).await;
        let (status, body) = match (&asked, &caller, action.as_str()) {
            (Some(asked), Some(caller), "HeadBucket") if asked.key.is_empty() => {
                (self.head(caller, &asked.bucket).await, String::new())
            }
            (Some(asked), Some(caller), "ListObjectsV2") => self.list(caller, asked).await,
            (
                Some(asked),
                Some(caller),
                "CreateMultipartUpload" | "AbortMultipartUpload" | "ListParts" | "ListMultipartUploads",
            ) => self.of_uploads(caller, &action, asked).await,
            (Some(_), None, _) => (StatusCode::FORBIDDEN, String::new()),
            _ => {
                tracing::error!(method = %request.method(), uri = %request.uri(), "S3 is asked for what it does not do");
                (StatusCode::NOT_IMPLEMENTED, String::new())
            }
        };
        let caller = caller.map(|caller| caller.arn).unwrap_or_default();
        calls.record(&format!("s3:{action}"), &caller, &format!("arn:aws:s3:::{bucket}"), status.as_str());
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/xml")
            .header("x-amz-request-id", upstream.random.uuid().simple().to_string());
        // "Regardless of the permissions on the bucket" (S3 API Reference, `HeadBucket`).
        if let Some(bucket) = buckets.get(&bucket).filter(|_| request.method() == Method::HEAD) {
            response = response.header("x-amz-bucket-region", &bucket.region);
        }
        response.body(body.into()).expect("the headers are valid")
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sdk_s3::Client;
    use serde_json::{Value, json};

    use super::*;
    use crate::bench::{Bench, REGION};

    fn s3(bench: &Bench) -> S3 {
        let buckets = [
            ("data", REGION, false),
            ("with.dots", REGION, false),
            ("private", REGION, false),
            ("foreign", REGION, true),
            ("elsewhere", "us-east-1", false),
        ];
        let keys: BTreeSet<_> = ["in/a", "in/b c", "in/ü", "out"].map(str::to_owned).into();
        let bucket = |(name, region, foreign): (&str, &str, _)| {
            (name.to_owned(), Bucket { region: region.to_owned(), foreign, keys: keys.clone() })
        };
        S3::new(Config {
            around: bench.around.clone(),
            buckets: buckets.map(bucket).into(),
            objects: Objects::default(),
        })
    }

    fn rights() -> Value {
        let buckets =
            ["data", "with.dots", "foreign", "elsewhere"].map(|name| format!("arn:aws:s3:::{name}"));
        json!([{ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": buckets }])
    }

    /// The status of an answer, and the Region that it names.
    async fn head(client: &Client, bucket: &str) -> (u16, Option<String>) {
        match client.head_bucket().bucket(bucket).send().await {
            Ok(head) => (200, head.bucket_region),
            Err(error) => {
                let response = error.raw_response().expect("an answer");
                let region = response.headers().get("x-amz-bucket-region");
                (response.status().as_u16(), region.map(str::to_owned))
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_seen_by_who_may_list_it_and_its_region_by_all() {
        let bench = Bench::new(&rights());
        let client = Client::new(&bench.role(s3(&bench)));
        for (bucket, status, region) in [
            ("data", 200, Some(REGION)),
            ("with.dots", 200, Some(REGION)),
            ("private", 403, Some(REGION)),
            ("foreign", 403, Some(REGION)),
            ("elsewhere", 301, Some("us-east-1")),
            ("nowhere", 404, None),
        ] {
            assert_eq!(head(&client, bucket).await, (status, region.map(str::to_owned)), "{bucket}");
        }
        let stranger = Credentials::from_keys("AKIASTRANGER", "secret", None);
        let stranger = Client::new(&bench.client(s3(&bench), stranger));
        assert_eq!(head(&stranger, "data").await.0, 403);
        let called = ["s3:HeadBucket", "arn:aws:s3:::elsewhere", "301"].map(str::to_owned);
        assert_eq!(bench.calls()[4], called);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_found_at_every_host_of_s3s_in_the_region_and_nothing_else_is_asked_for() {
        let bench = Bench::new(&rights());
        let config = bench.role(s3(&bench));
        let config = aws_sdk_s3::Config::from(&config).to_builder();
        for config in [config.clone().use_dual_stack(true), config.clone().force_path_style(true)] {
            assert_eq!(head(&Client::from_conf(config.build()), "data").await.0, 200);
        }
        let client = Client::from_conf(config.build());
        let error = client.get_object().bucket("data").key("file").send().await.expect_err("not done");
        assert_eq!(error.raw_response().expect("an answer").status().as_u16(), 501);
        let error = client.head_object().bucket("data").key("file").send().await.expect_err("not done");
        assert_eq!(error.raw_response().expect("an answer").status().as_u16(), 501);
        let error = client.list_objects().bucket("data").send().await.expect_err("not done");
        assert_eq!(error.raw_response().expect("an answer").status().as_u16(), 501);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_is_listed_page_by_page_by_who_may() {
        let condition = json!({ "StringLike": { "s3:prefix": "in/" } });
        let right =
            json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": condition });
        let bench = Bench::new(&json!([right]));
        let client = Client::new(&bench.role(s3(&bench)));
        let list = |prefix: &str, after: Option<&str>| {
            let list = client.list_objects_v2().bucket("data").prefix(prefix);
            list.set_start_after(after.map(str::to_owned)).send()
        };
        for (after, keys, is_truncated) in [
            (None, vec!["in%2Fa", "in%2Fb%20c"], true),
            (Some("in/b c"), vec!["in%2F%C3%BC"], false),
            (Some("in/ü"), vec![], false),
        ] {
            let page = list("in/", after).await.expect("a page");
            let found: Vec<_> = page.contents().iter().filter_map(|object| object.key()).collect();
            assert_eq!((found, page.is_truncated()), (keys, Some(is_truncated)));
        }
        let error = list("", None).await.expect_err("more than that is denied");
        assert_eq!(error.raw_response().expect("an answer").status().as_u16(), 403);
    }
}
