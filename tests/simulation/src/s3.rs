//! S3, for the two calls that functions make: `HeadBucket`, which tells a bucket's Region, and `ListObjectsV2`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use local_aws::policy::Context;
use local_aws::server::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use crate::json::Surroundings;

/// What S3 works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it works with like the others.
    pub around: Surroundings,
    /// All buckets there are, by name.
    pub buckets: BTreeMap<String, Bucket>,
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

impl S3 {
    /// One with the buckets of `config`.
    pub fn new(config: Config) -> Self {
        Self(config)
    }

    /// What the status says is all that is said: the answer to a HEAD has no body. Which of several reasons S3 gives, no
    /// page says; that a bucket that is not there is a 404 to everybody is a guess.
    /// Source: S3 API Reference, `HeadBucket`.
    async fn head(&self, request: &Request<Bytes>, bucket: &str) -> (String, StatusCode) {
        let Config { around: Surroundings { guard, upstream, .. }, buckets } = &self.0;
        let caller = match guard.authenticate("s3", request).await {
            Ok(caller) => caller,
            Err(refusal) => {
                tracing::error!(%refusal, "a request to S3 is not signed as it has to be");
                return (String::new(), StatusCode::FORBIDDEN);
            }
        };
        let found = buckets.get(bucket);
        let status = match found {
            None => StatusCode::NOT_FOUND,
            Some(found) if found.region != upstream.region => StatusCode::MOVED_PERMANENTLY,
            Some(found) if found.foreign => StatusCode::FORBIDDEN,
            Some(_) => {
                // The same page, "Permissions".
                let arn = format!("arn:aws:s3:::{bucket}");
                match guard.authorize(&caller, "s3:ListBucket", &arn, &Context::new()).await {
                    Ok(()) => StatusCode::OK,
                    Err(_) => StatusCode::FORBIDDEN,
                }
            }
        };
        (caller.arn, status)
    }
}

impl S3 {
    /// A page of what begins with a prefix.
    /// Source: S3 API Reference, `ListObjectsV2`, and "Error responses".
    async fn list(&self, request: &Request<Bytes>, bucket: &str) -> (String, StatusCode, String) {
        let Config { around: Surroundings { guard, .. }, buckets } = &self.0;
        let error = |code: &str| format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        let caller = match guard.authenticate("s3", request).await {
            Ok(caller) => caller,
            Err(refusal) => {
                tracing::error!(%refusal, "a request to S3 is not signed as it has to be");
                return (String::new(), StatusCode::FORBIDDEN, error("SignatureDoesNotMatch"));
            }
        };
        let query = request.uri().query().unwrap_or_default();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (prefix, after) = (query.get("prefix").cloned().unwrap_or_default(), query.get("start-after"));
        let Some(found) = buckets.get(bucket) else {
            return (caller.arn, StatusCode::NOT_FOUND, error("NoSuchBucket"));
        };
        let context = Context::from([("s3:prefix".to_owned(), vec![prefix.clone()])]);
        let arn = format!("arn:aws:s3:::{bucket}");
        if found.foreign || guard.authorize(&caller, "s3:ListBucket", &arn, &context).await.is_err() {
            return (caller.arn, StatusCode::FORBIDDEN, error("AccessDenied"));
        }
        let matching = found.keys.iter().filter(|key| key.starts_with(&prefix));
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
        (caller.arn, StatusCode::OK, format!("<ListBucketResult>{told}</ListBucketResult>"))
    }
}

impl Service for S3 {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Config { around: Surroundings { upstream, calls, .. }, buckets } = &self.0;
        let bucket = bucket(&request, &upstream.region);
        let lists = request.uri().query().is_some_and(|query| query.contains("list-type=2"));
        let (action, caller, status, body) = match (request.method(), &bucket) {
            (&Method::HEAD, Some(bucket)) => {
                let (caller, status) = self.head(&request, bucket).await;
                ("s3:HeadBucket", caller, status, String::new())
            }
            (&Method::GET, Some(bucket)) if lists => {
                let (caller, status, body) = self.list(&request, bucket).await;
                ("s3:ListObjectsV2", caller, status, body)
            }
            (method, _) => {
                tracing::error!(%method, uri = %request.uri(), "S3 is asked for what it does not do");
                ("s3:HeadBucket", String::new(), StatusCode::NOT_IMPLEMENTED, String::new())
            }
        };
        let bucket = bucket.unwrap_or_default();
        calls.record(action, &caller, &format!("arn:aws:s3:::{bucket}"), status.as_str());
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/xml")
            .header("x-amz-request-id", upstream.random.uuid().simple().to_string());
        // "Regardless of the permissions on the bucket" (S3 API Reference, `HeadBucket`).
        if let Some(bucket) = buckets.get(&bucket) {
            response = response.header("x-amz-bucket-region", &bucket.region);
        }
        response.body(body.into()).expect("the headers are valid")
    }
}

/// The bucket that the request is about and nothing in it: by its host, or by its path where a host of S3's has no bucket.
/// Source: S3 user guide, "Virtual hosting of general purpose buckets".
fn bucket(request: &Request<Bytes>, region: &str) -> Option<String> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let path = request.uri().path().trim_matches('/');
    let hosts = [format!("s3.{region}.amazonaws.com"), format!("s3.dualstack.{region}.amazonaws.com")];
    hosts.iter().find_map(|of_s3| {
        let bucket = match host.strip_suffix(of_s3.as_str())? {
            "" => path,
            named if path.is_empty() => named.strip_suffix('.')?,
            _ => return None,
        };
        (!bucket.is_empty() && !bucket.contains('/')).then(|| bucket.to_owned())
    })
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
        S3::new(Config { around: bench.around.clone(), buckets: buckets.map(bucket).into() })
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
