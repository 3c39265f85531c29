//! What is signed, and what no longer is.

use aws_credential_types::Credentials;
use mayfly_jobs::signing::{Hosts, Signer};
use mayfly_lambda::Clock;
use mayfly_model::job::S3Uri;
use reqwest::Method;
use serde_json::json;

use crate::cloud::{BUCKET, Cloud, HOUR, REGION, told};

const UNSIGNED: (&str, &str) = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");

#[tokio::test]
async fn a_url_that_the_product_signs_gets_just_its_key() {
    let read = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/in/*" });
    let cloud = Cloud::start_with(vec![("data-role", read.clone())], None).await;
    let key = "in/a b+c(1)/ü//%2F~.mp4";
    cloud.put(key, "hello").await;
    let clock = Clock::default();
    let expiry = (cloud.upstream.clock.now() + HOUR).into();
    let signer = Signer {
        credentials: cloud.session("data-role", Some(&read), Some(expiry)),
        region: REGION,
        endpoint: Some(&cloud.origin),
        hosts: Hosts::Ipv4,
        lifetime: HOUR,
        clock: &clock,
    };
    let url = signer.get(&S3Uri { bucket: BUCKET, key }).expect("it is signed");
    let get = cloud.http.get(&url).header("range", "bytes=1-").send().await.expect("an answer");
    assert_eq!(told(get).await, (206, "ello".into()));
    let changed = url.replace("/in/", "/out/");
    let (status, text) = told(cloud.http.get(changed).send().await.expect("an answer")).await;
    assert_eq!((status, text.split(':').next()), (403, Some("SignatureDoesNotMatch")));
    let (status, _) = told(cloud.http.put(&url).body("x").send().await.expect("an answer")).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_url_is_good_for_what_was_signed_and_until_it_expires() {
    let cloud = Cloud::start().await;
    cloud.put("k", "hello").await;
    let now = cloud.upstream.clock.now();
    let root = cloud.upstream.root.clone();
    let at = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).into();
    let other = Credentials::from_keys("AKIAROOT", "another secret", None);
    let stranger = Credentials::from_keys("AKIASTRANGER", "secret", None);
    let unknown = Credentials::from_keys("ASIASTRANGER", "secret", Some("token".into()));
    let over = cloud.session("any", None, Some(at(-1)));
    for (who, time, lifetime, status, text) in [
        (&root, at(0), HOUR, 200, "hello"),
        (&root, at(-59), HOUR, 200, "hello"),
        (&root, at(14), HOUR, 200, "hello"),
        (&root, at(-61), HOUR, 403, "AccessDenied: Request has expired"),
        (&root, at(16), HOUR, 403, "AccessDenied: Request is not yet valid"),
        (&root, at(0), HOUR * 24 * 8, 400, "AuthorizationQueryParametersError: X-Amz-Expires must be less"),
        (
            &other,
            at(0),
            HOUR,
            403,
            "SignatureDoesNotMatch: The request signature we calculated does not match",
        ),
        (
            &stranger,
            at(0),
            HOUR,
            403,
            "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist",
        ),
        (&unknown, at(0), HOUR, 400, "InvalidToken: The provided token is malformed or otherwise invalid."),
        (&over, at(-2), HOUR, 400, "ExpiredToken: The provided token has expired."),
    ] {
        let url = cloud.url_of(who, &Method::GET, "data/k", &[], time, lifetime);
        let (found, said) = told(cloud.http.get(url).send().await.expect("an answer")).await;
        assert_eq!(found, status, "{said}");
        assert!(said.starts_with(text), "{said}");
    }
}

#[tokio::test]
async fn what_of_a_url_is_changed_or_missing_is_told() {
    let cloud = Cloud::start().await;
    cloud.put("k", "hello").await;
    let url = cloud.url(&Method::GET, "data/k", &[]);
    let mismatch = "SignatureDoesNotMatch";
    let query = "AuthorizationQueryParametersError";
    for (url, status, told_of) in [
        (url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"), 403, mismatch),
        (format!("{url}&response-content-type=text%2Fhtml"), 403, mismatch),
        (url.replace("&X-Amz-Expires=3600", ""), 400, query),
        (url.replace("X-Amz-Expires=3600", "X-Amz-Expires=soon"), 400, query),
        (url.replace("X-Amz-Expires=3600", "X-Amz-Expires=-1"), 400, query),
        (url.replace(REGION, "us-east-1"), 400, query),
        (url.replace("%2Fs3%2F", "%2Fec2%2F"), 400, query),
        (url.split('?').next().expect("a path").to_owned(), 403, "AccessDenied"),
    ] {
        let (found, said) = told(cloud.http.get(&url).send().await.expect("an answer")).await;
        assert_eq!((found, said.split(':').next()), (status, Some(told_of)), "{url}: {said}");
    }
    // Recorded, `test_s3_put_presigned_url_missing_sig_param` and others: a body that shows what was signed.
    let changed = cloud.http.get(url.replace("data/k", "data/l")).send().await.expect("an answer");
    let body = changed.text().await.expect("a body");
    assert!(body.contains("<CanonicalRequest>GET\n/data/l\n"), "{body}");
    let added =
        cloud.http.get(&url).header("x-amz-checksum-mode", "ENABLED").send().await.expect("an answer");
    let (status, text) = told(added).await;
    assert_eq!(
        (status, text.as_str()),
        (403, "AccessDenied: There were headers present in the request which were not signed")
    );
}

#[tokio::test]
async fn a_signed_header_is_sent_as_it_was_signed() {
    let cloud = Cloud::start().await;
    // A part's length, for example.
    let url = cloud.url(&Method::PUT, "data/k", &[("content-length", "5")]);
    for (body, status) in [("hello", 200), ("hello!", 403), ("hell", 403)] {
        let put = cloud.http.put(&url).body(body).send().await.expect("an answer");
        assert_eq!(told(put).await.0, status, "{body}");
    }
    assert_eq!(cloud.get("k").await, Ok(b"hello".to_vec()));
}

#[tokio::test]
async fn signed_headers_are_looked_at_as_well() {
    let cloud = Cloud::start().await;
    let now = cloud.upstream.clock.now();
    let at = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).into();
    let root = cloud.upstream.root.clone();
    let other = Credentials::from_keys("AKIAROOT", "another secret", None);
    for (who, headers, time, status, text) in [
        (&root, vec![UNSIGNED], at(-14), 200, ""),
        (
            &root,
            vec![UNSIGNED],
            at(-16),
            403,
            "RequestTimeTooSkewed: The difference between the request time",
        ),
        (&root, vec![UNSIGNED], at(16), 403, "RequestTimeTooSkewed: The difference between the request time"),
        (&other, vec![UNSIGNED], at(0), 403, "SignatureDoesNotMatch: "),
        (&root, vec![], at(0), 400, "InvalidRequest: Missing required header for this request"),
        (&root, vec![("x-amz-content-sha256", "x")], at(0), 400, "InvalidArgument: "),
        (
            &root,
            vec![("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")],
            at(0),
            501,
            "NotImplemented: ",
        ),
    ] {
        let put = cloud.signed_put_of(who, "k", &headers, b"hello".to_vec(), time).await;
        let (found, said) = told(put).await;
        assert_eq!(found, status, "{said}");
        assert!(said.starts_with(text), "{said}");
    }
    for (authorization, text) in [
        ("Basic eDp5", "InvalidArgument: Unsupported Authorization Type"),
        ("AWS4-HMAC-SHA256 Credential=a/b", "AuthorizationHeaderMalformed: "),
    ] {
        let url = format!("{}/data/k", cloud.origin);
        let get = cloud.http.get(url).header("authorization", authorization);
        let get = get.header("x-amz-date", "20260101T000000Z").send().await.expect("an answer");
        let (status, said) = told(get).await;
        assert!(status == 400 && said.starts_with(text), "{said}");
    }
}
