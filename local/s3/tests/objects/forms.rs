//! Forms with a signed policy.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mayfly_jobs::signing::{Hosts, Signer};
use mayfly_lambda::Clock;
use mayfly_model::job::S3Uri;
use reqwest::Response;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::cloud::{BUCKET, Cloud, HOUR, REGION, eventually, told};

type Fields = BTreeMap<String, String>;

/// A form for this key, whose policy has the usual conditions and these.
fn form(cloud: &Cloud, credentials: &Credentials, key: &str, conditions: &[Value]) -> Fields {
    let now = cloud.upstream.clock.now();
    form_until(cloud, credentials, key, conditions, &(now + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn form_until(
    cloud: &Cloud,
    credentials: &Credentials,
    key: &str,
    conditions: &[Value],
    expiration: &str,
) -> Fields {
    let now = cloud.upstream.clock.now();
    let day = now.strftime("%Y%m%d");
    let mut fields = Fields::from(
        [
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("x-amz-credential", format!("{}/{day}/{REGION}/s3/aws4_request", credentials.access_key_id())),
            ("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(token) = credentials.session_token() {
        fields.insert("x-amz-security-token".into(), token.into());
    }
    let mut all = vec![json!({ "bucket": BUCKET })];
    all.extend(fields.iter().map(|(name, value)| json!({ name: value })));
    all.extend_from_slice(conditions);
    let policy = BASE64_STANDARD.encode(json!({ "expiration": expiration, "conditions": all }).to_string());
    let secret = generate_signing_key(credentials.secret_access_key(), now.into(), REGION, "s3");
    fields.insert("x-amz-signature".into(), calculate_signature(secret, policy.as_bytes()));
    fields.insert("policy".into(), policy);
    fields.insert("key".into(), key.into());
    fields
}

async fn post(cloud: &Cloud, fields: &Fields, file: impl Into<Vec<u8>>) -> Response {
    let form = fields.iter().fold(Form::new(), |form, (name, value)| form.text(name.clone(), value.clone()));
    let form = form.part("file", Part::bytes(file.into()).file_name("C:\\videos\\in.mp4"));
    let url = format!("{}/{BUCKET}", cloud.origin);
    cloud.http.post(url).multipart(form).send().await.expect("an answer")
}

/// Posts with the root's keys.
async fn posted(
    cloud: &Cloud,
    key: &str,
    conditions: &[Value],
    more: &[(&str, &str)],
    file: &str,
) -> (u16, String) {
    let mut fields = form(cloud, &cloud.upstream.root, key, conditions);
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    told(post(cloud, &fields, file).await).await
}

#[tokio::test]
async fn a_form_that_the_product_signs_makes_just_its_key_of_just_its_size() {
    let write = json!({ "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::data/out/*" });
    let cloud = Cloud::start_with(vec![("data-role", write.clone())], None).await;
    let clock = Clock::default();
    let expiry = (cloud.upstream.clock.now() + HOUR).into();
    let signer = Signer {
        credentials: cloud.session("data-role", Some(&write), Some(expiry)),
        region: REGION,
        endpoint: Some(&cloud.origin),
        hosts: Hosts::Ipv4,
        lifetime: HOUR,
        clock: &clock,
    };
    let properties =
        [("content-type", "video/mp4"), ("x-amz-meta-job", "j 1"), ("x-amz-storage-class", "STANDARD_IA")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let uri = S3Uri { bucket: BUCKET, key: "out/ü b.mp4" };
    let (url, fields) = signer.post(&uri, 5, properties).expect("it is signed");
    assert_eq!(url, format!("{}/{BUCKET}", cloud.origin));
    for (file, status, text) in [
        ("hello", 204, ""),
        ("hello!", 400, "EntityTooLarge: Your proposed upload exceeds the maximum allowed size"),
        ("hell", 400, "EntityTooSmall: Your proposed upload is smaller than the minimum allowed size"),
    ] {
        assert_eq!(told(post(&cloud, &fields, file).await).await, (status, text.to_owned()), "{file}");
    }
    assert_eq!(cloud.get(uri.key).await, Ok(b"hello".to_vec()));
    let head = cloud.client.head_object().bucket(BUCKET).key(uri.key).send().await.expect("it is there");
    assert_eq!(head.content_type(), Some("video/mp4"));
    assert_eq!(head.metadata().and_then(|metadata| metadata.get("job")).map(String::as_str), Some("j 1"));
    assert_eq!(head.storage_class().map(|class| class.as_str()), Some("STANDARD_IA"));
    eventually("the end of what was refused", async || cloud.disk().0 == 1).await;
    let other = Fields::from([("key".to_owned(), "out/another".to_owned())]);
    let other = fields.into_iter().chain(other).collect();
    let (status, text) = told(post(&cloud, &other, "hello").await).await;
    assert_eq!(status, 403);
    assert!(
        text.starts_with("AccessDenied: Invalid according to Policy: Policy Condition failed: "),
        "{text}"
    );
}

#[tokio::test]
async fn one_policy_serves_a_folder() {
    let cloud = Cloud::start().await;
    let conditions = [
        json!(["starts-with", "$key", "show/"]),
        json!(["starts-with", "$Content-Type", ""]),
        json!(["content-length-range", 0, 10]),
    ];
    let typed = [("Content-Type", "video/mp2t")];
    for (key, status) in
        [("show/a.ts", 204), ("show/sub/b.ts", 204), ("show/${filename}", 204), ("other/x", 403)]
    {
        assert_eq!(posted(&cloud, key, &conditions, &typed, "12345").await.0, status, "{key}");
    }
    assert_eq!(cloud.get("show/in.mp4").await, Ok(b"12345".to_vec()));
    let head = cloud.client.head_object().bucket(BUCKET).key("show/a.ts").send().await.expect("it is there");
    assert_eq!(head.content_type(), Some("video/mp2t"));
    // A condition on a field that is not there does not hold, even if any value would.
    let failed = r#"AccessDenied: Invalid according to Policy: Policy Condition failed: ["starts-with", "$Content-Type", ""]"#;
    assert_eq!(posted(&cloud, "show/c.ts", &conditions, &[], "").await, (403, failed.into()));
}

#[tokio::test]
async fn the_answer_is_the_one_that_is_wanted() {
    let cloud = Cloud::start().await;
    let conditions = [json!({ "key": "a/b" }), json!(["starts-with", "$success_action_status", ""])];
    for (wanted, status) in [("200", 403), ("201", 403)] {
        // Of this field a condition names the whole.
        let more = [("success_action_status", wanted)];
        assert_eq!(posted(&cloud, "a/b", &conditions, &more, "x").await.0, status);
    }
    for (wanted, status) in [("200", 200), ("201", 201), ("204", 204), ("404", 204)] {
        let conditions = [json!({ "key": "a/b" }), json!({ "success_action_status": wanted })];
        let mut fields = form(&cloud, &cloud.upstream.root, "a/b", &conditions);
        fields.insert("success_action_status".into(), wanted.into());
        let response = post(&cloud, &fields, "hello").await;
        let location = format!("{}/{BUCKET}/a%2Fb", cloud.origin);
        assert_eq!(response.headers()["location"], location.as_str());
        assert_eq!(response.headers()["etag"], "\"5d41402abc4b2a76b9719d911017c592\"");
        let (found, text) = told(response).await;
        assert_eq!(found, status);
        let document =
            format!("<PostResponse><Location>{location}</Location><Bucket>{BUCKET}</Bucket><Key>a/b</Key>");
        assert_eq!(text.contains(&document), status == 201, "{text}");
    }
}

#[tokio::test]
async fn a_form_that_is_not_signed_as_it_is_is_refused() {
    let cloud = Cloud::start().await;
    let root = cloud.upstream.root.clone();
    let key = [json!({ "key": "k" })];
    let now = cloud.upstream.clock.now();
    let right = form(&cloud, &root, "k", &key);
    let with = |name: &str, value: &str| {
        let mut fields = right.clone();
        fields.insert(name.into(), value.into());
        fields
    };
    let without = |names: &[&str]| {
        let mut fields = right.clone();
        fields.retain(|name, _| !names.contains(&name.as_str()));
        fields
    };
    let credential = &right["x-amz-credential"];
    let other = Credentials::from_keys("AKIAROOT", "another secret", None);
    let over = cloud.session("any", None, Some((now - HOUR).into()));
    let policy = BASE64_STANDARD.encode("{}");
    let missing = |name: &str| {
        format!(
            "InvalidArgument: Bucket POST must contain a field named '{name}'.  If it is specified, please check the \
             order of the fields."
        )
    };
    let signature =
        "SignatureDoesNotMatch: The request signature we calculated does not match the signature you \
                     provided. Check your key and signing method."
            .to_owned();
    for (fields, status, text) in [
        (right.clone(), 204, String::new()),
        (with("policy", &policy), 403, signature.clone()),
        (with("x-amz-signature", "0"), 403, signature.clone()),
        (form(&cloud, &other, "k", &key), 403, signature),
        (form(&cloud, &over, "k", &key), 400, "ExpiredToken: The provided token has expired.".into()),
        (
            form_until(&cloud, &root, "k", &key, "2026-01-01T00:00:00Z"),
            403,
            "AccessDenied: Invalid according to Policy: Policy expired.".into(),
        ),
        (
            form_until(&cloud, &root, "k", &key, "tomorrow"),
            400,
            "InvalidPolicyDocument: Invalid Policy: Invalid 'expiration' value: 'tomorrow'".into(),
        ),
        (
            with("X-Extra", "x"),
            403,
            "AccessDenied: Invalid according to Policy: Extra input fields: X-Extra".into(),
        ),
        (without(&["key"]), 400, missing("key")),
        (without(&["policy"]), 400, missing("policy")),
        (without(&["x-amz-signature"]), 400, missing("X-Amz-Signature")),
        (without(&["x-amz-algorithm", "x-amz-credential"]), 400, missing("X-Amz-Algorithm")),
        (
            without(&["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]),
            403,
            "AccessDenied: Access Denied".into(),
        ),
        (
            with("x-amz-credential", &credential.replace(REGION, "us-east-1")),
            400,
            format!("InvalidArgument: the region 'us-east-1' is wrong; expecting '{REGION}'"),
        ),
        (
            with("x-amz-date", "today"),
            400,
            "InvalidArgument: X-Amz-Date must be formated via ISO8601 Long format".into(),
        ),
        (
            with("x-ignore-long", &"x".repeat(20_480)),
            400,
            "MaxPostPreDataLengthExceeded: Your POST request fields preceeding the upload file was too large.".into(),
        ),
    ] {
        assert_eq!(told(post(&cloud, &fields, "hello").await).await, (status, text));
    }
}

#[tokio::test]
async fn what_is_no_form_with_a_file_is_refused() {
    let cloud = Cloud::start().await;
    let url = format!("{}/{BUCKET}", cloud.origin);
    let post = |kind: &'static str, body: &str| {
        let request = cloud.http.post(&url).header("content-type", kind).body(body.to_owned());
        async { told(request.send().await.expect("an answer")).await }
    };
    let multipart = "multipart/form-data; boundary=x";
    let key = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x--\r\n";
    for (kind, body, status, text) in [
        (
            "text/html",
            "",
            412,
            "PreconditionFailed: At least one of the pre-conditions you specified did not hold",
        ),
        (
            "multipart/form-data",
            "",
            400,
            "MalformedPOSTRequest: The body of your POST request is not well-formed multipart/form-data.",
        ),
        (
            multipart,
            "--x\r\nContent-Disp",
            400,
            "MalformedPOSTRequest: The body of your POST request is not well-formed multipart/form-data.",
        ),
        (multipart, key, 400, "InvalidArgument: POST requires exactly one file upload per request."),
    ] {
        assert_eq!(post(kind, body).await, (status, text.to_owned()), "{kind} {body}");
    }
}

#[tokio::test]
async fn what_follows_the_file_is_ignored_and_a_form_that_breaks_off_makes_nothing() {
    let cloud = Cloud::start().await;
    let fields = form(&cloud, &cloud.upstream.root, "k", &[json!({ "key": "k" })]);
    let part = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mut body: String = fields.iter().map(|(name, value)| part(name, value)).collect();
    body.push_str(&part("file", "hello\r\n--not-x"));
    body.push_str(&part("key", "another"));
    let post = |body: String| {
        let url = format!("{}/{BUCKET}", cloud.origin);
        let request = cloud.http.post(url).header("content-type", "multipart/form-data; boundary=\"x\"");
        let request = request.body(body);
        async { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(post(body.clone()).await, 400);
    assert_eq!(cloud.get("k").await, Err("NoSuchKey".into()));
    assert_eq!(post(body + "--x--\r\n").await, 204);
    assert_eq!(cloud.get("k").await, Ok(b"hello\r\n--not-x".to_vec()));
}

#[tokio::test]
async fn a_file_of_any_size_goes_through_a_form() {
    let cloud = Cloud::start().await;
    let file: Vec<u8> = (0..(24_u32 << 20)).map(|n| (n ^ (n >> 9)).to_le_bytes()[0]).collect();
    let fields = form(&cloud, &cloud.upstream.root, "k", &[json!({ "key": "k" })]);
    assert_eq!(told(post(&cloud, &fields, file.clone()).await).await, (204, String::new()));
    assert!(cloud.get("k").await.expect("an object") == file);
}
