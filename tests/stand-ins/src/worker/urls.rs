//! Signed URLs and forms: nobody calls them here, but each is looked at as S3 would look at it, all but the signature itself.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mayfly_model::message::Upload;
use mayfly_model::parts::SignedParts;
use serde_json::Value;
use url::Url;

/// What S3 would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does what it is asked for.
    Good,
    /// The time is over.
    Expired,
    /// Why it never was any good.
    Bad(String),
}

impl Verdict {
    /// Why it cannot be used.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::Expired => Some("it has expired".to_owned()),
            Self::Bad(why) => Some(why.clone()),
        }
    }
}

/// Where a URL leads: its host and path.
pub(super) fn place(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "no URL".to_owned(),
        |url| format!("{}{}", url.host_str().unwrap_or_default(), url.path()),
    )
}

/// What comes of a GET at `now`. A URL without a signature is a stranger's, and good.
/// Source: S3 API Reference, "Authenticating requests: using query parameters".
pub(super) fn download(url: &str, now: Timestamp) -> Verdict {
    verdict(try_download(url, now))
}

/// What comes of a POST of `bytes` at `now`. Source: S3 API Reference, "Creating a POST policy".
pub(super) fn upload(upload: &Upload, bytes: u64, now: Timestamp) -> Verdict {
    verdict(try_upload(upload, bytes, now))
}

/// What comes of a part that is put at `now`, by a URL that has its number and signature added.
/// Source: S3 API Reference, `UploadPart`.
pub(super) fn part(parts: &SignedParts, part: u16, signature: &str, now: Timestamp) -> Verdict {
    let number = part.to_string();
    let url = with_query(&parts.url, &[("partNumber", number.as_str()), ("X-Amz-Signature", signature)]);
    let demands = [("uploadId", parts.id.as_str()), ("partNumber", number.as_str())];
    verdict(url.and_then(|url| try_upload_url(&url, &demands, "content-length", now)))
}

/// What comes of an upload's completion at `now`. Source: S3 API Reference, `CompleteMultipartUpload`.
pub(super) fn completion(parts: &SignedParts, now: Timestamp) -> Verdict {
    let demands = [("uploadId", parts.id.as_str())];
    verdict(try_upload_url(&parts.complete, &demands, "x-amz-mp-object-size", now))
}

/// The bucket and the key of the object that a URL is about.
pub(super) fn object_of(url: &str) -> Option<(String, String)> {
    object(&Url::parse(url).ok()?).ok()
}

fn with_query(url: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
    let mut url = Url::parse(url).map_err(|error| error.to_string())?;
    url.query_pairs_mut().extend_pairs(pairs);
    Ok(url.into())
}

fn try_upload_url(url: &str, demands: &[(&str, &str)], header: &str, now: Timestamp) -> Result<bool, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let query: BTreeMap<_, _> = parsed.query_pairs().collect();
    for (name, value) in demands {
        if query.get(*name).map(AsRef::as_ref) != Some(*value) {
            return Err(format!("its {name} is not {value}"));
        }
    }
    let signed = query.get("X-Amz-SignedHeaders").map(AsRef::as_ref).unwrap_or_default();
    if !signed.split(';').any(|signed| signed == header) {
        return Err(format!("its {header} is not signed"));
    }
    if !query.contains_key("X-Amz-Signature") {
        return Err("it has no signature".to_owned());
    }
    try_download(url, now)
}

fn verdict(checked: Result<bool, String>) -> Verdict {
    match checked {
        Ok(true) => Verdict::Good,
        Ok(false) => Verdict::Expired,
        Err(why) => Verdict::Bad(why),
    }
}

fn try_download(url: &str, now: Timestamp) -> Result<bool, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let query: BTreeMap<_, _> = url.query_pairs().collect();
    let field = |name: &str| query.get(name).map(AsRef::as_ref).ok_or_else(|| format!("it has no {name}"));
    if field("X-Amz-Signature").is_err() {
        return Ok(true);
    }
    check_signature(|name| field(&format!("X-Amz-{name}")))?;
    let (_, key) = object(&url)?;
    if key.is_empty() {
        return Err("it names no key".to_owned());
    }
    if !field("X-Amz-SignedHeaders")?.split(';').any(|header| header == "host") {
        return Err("its host is not signed".to_owned());
    }
    let seconds = field("X-Amz-Expires")?.parse::<u64>().map_err(|error| error.to_string())?;
    // The same page: 1 s to 7 days.
    if !(1..=604_800).contains(&seconds) {
        return Err(format!("its lifetime is {seconds} s"));
    }
    Ok(now < date(field("X-Amz-Date")?)? + Duration::from_secs(seconds))
}

fn try_upload(upload: &Upload, bytes: u64, now: Timestamp) -> Result<bool, String> {
    let field = |name: &str| {
        upload.fields.get(name).map(String::as_str).ok_or_else(|| format!("it has no field {name}"))
    };
    check_signature(|name| field(&format!("x-amz-{}", name.to_lowercase())))?;
    date(field("x-amz-date")?)?;
    let url = Url::parse(&upload.url).map_err(|error| error.to_string())?;
    let policy = BASE64_STANDARD.decode(field("policy")?).map_err(|error| error.to_string())?;
    let policy: Value = serde_json::from_slice(&policy).map_err(|error| error.to_string())?;
    let conditions = policy["conditions"].as_array().ok_or("its policy has no conditions")?;
    let (bucket, _) = object(&url)?;
    let unmet = |name: &str, value: &str| {
        let begins = |condition: &Value| {
            let is_of = condition[0] == "starts-with" && condition[1] == format!("${name}");
            is_of && condition[2].as_str().is_some_and(|start| value.starts_with(start))
        };
        let is_met = conditions.iter().any(|condition| condition[name] == value || begins(condition));
        (!is_met).then(|| format!("its policy does not admit the {name} {value}"))
    };
    let signed = ["policy", "x-amz-signature"];
    let fields = upload.fields.iter().filter(|(name, _)| !signed.contains(&name.as_str()));
    let mut fields =
        fields.map(|(name, value)| (name.as_str(), value.as_str())).chain([("bucket", &*bucket)]);
    if field("key")?.is_empty() {
        return Err("it names no key".to_owned());
    }
    if let Some(why) = fields.find_map(|(name, value)| unmet(name, value)) {
        return Err(why);
    }
    for condition in conditions.iter().filter(|condition| condition[0] == "content-length-range") {
        let (least, most) = (condition[1].as_u64(), condition[2].as_u64());
        if least.is_none_or(|least| bytes < least) || most.is_none_or(|most| bytes > most) {
            return Err(format!("its policy does not admit {bytes} bytes"));
        }
    }
    let expiration = policy["expiration"].as_str().ok_or("its policy does not expire")?;
    Ok(now < expiration.parse::<Timestamp>().map_err(|error| error.to_string())?)
}

/// What each signature of version 4 comes with.
fn check_signature<'a>(field: impl Fn(&str) -> Result<&'a str, String>) -> Result<(), String> {
    let algorithm = field("Algorithm")?;
    if algorithm != "AWS4-HMAC-SHA256" {
        return Err(format!("it is signed by {algorithm}"));
    }
    let credential: Vec<_> = field("Credential")?.split('/').collect();
    if !matches!(credential[..], [key, _, _, "s3", "aws4_request"] if !key.is_empty()) {
        return Err("its credential is none for S3".to_owned());
    }
    let signature = field("Signature")?;
    if signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("its signature is none".to_owned());
    }
    Ok(())
}

/// `20260102T030405Z`.
fn date(text: &str) -> Result<Timestamp, String> {
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", text).map_err(|error| error.to_string())?;
    TimeZone::UTC.to_timestamp(date).map_err(|error| error.to_string())
}

/// The bucket and the key: the bucket is the first part of AWS's host, or else of the path.
/// Source: S3 user guide, "Virtual hosting of general purpose buckets".
fn object(url: &Url) -> Result<(String, String), String> {
    let host = url.host_str().unwrap_or_default();
    let path = url.path().trim_start_matches('/');
    let (bucket, key) = match host.split_once(".s3.") {
        Some((bucket, domain)) if domain.ends_with("amazonaws.com") => (bucket, path),
        _ => path.split_once('/').unwrap_or((path, "")),
    };
    if bucket.is_empty() {
        return Err("it names no bucket".to_owned());
    }
    Ok((bucket.to_owned(), key.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn at(seconds: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
    }

    fn signature() -> String {
        "0123456789abcdef".repeat(4)
    }

    fn url() -> String {
        format!(
            "https://bucket.s3.eu-central-1.amazonaws.com/in/a.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&\
             X-Amz-Credential=ASIA%2F20260102%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date=20260102T030405Z&\
             X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            signature()
        )
    }

    #[test]
    fn a_signed_url_is_good_until_it_expires() {
        assert_eq!(download(&url(), at(59)), Verdict::Good);
        assert_eq!(download(&url(), at(60)), Verdict::Expired);
        assert_eq!(download("https://example.com/a.mp4", at(0)), Verdict::Good);
        assert_eq!(place(&url()), "bucket.s3.eu-central-1.amazonaws.com/in/a.mp4");
    }

    #[test]
    fn what_s3_would_never_take_is_told_apart() {
        for (from, to) in [
            ("/in/a.mp4?", "/?"),
            ("Expires=60", "Expires=604801"),
            ("%2Fs3%2F", "%2Fsqs%2F"),
            ("SignedHeaders=host", "SignedHeaders=range"),
            ("20260102T030405Z", "yesterday"),
            ("Algorithm=AWS4", "Algorithm=AWS2"),
            ("Signature=01", "Signature=zz"),
        ] {
            assert!(matches!(download(&url().replace(from, to), at(0)), Verdict::Bad(_)), "{from}");
        }
    }

    fn form() -> Upload {
        let mut fields = BTreeMap::from(
            [
                ("key", "out/a.mp4"),
                ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
                ("x-amz-credential", "ASIA/20260102/eu-central-1/s3/aws4_request"),
                ("x-amz-date", "20260102T030405Z"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let mut conditions = vec![json!({ "bucket": "bucket" }), json!(["content-length-range", 5, 5])];
        conditions.extend(fields.iter().map(|(name, value)| json!({ name: value })));
        let policy = json!({ "expiration": "2026-01-02T03:05:05.000Z", "conditions": conditions });
        fields.insert("policy".to_owned(), BASE64_STANDARD.encode(policy.to_string()));
        fields.insert("x-amz-signature".to_owned(), signature());
        Upload {
            file: "a.mp4".to_owned(),
            url: "https://bucket.s3.eu-central-1.amazonaws.com/".to_owned(),
            fields,
        }
    }

    fn with_condition(mut form: Upload, condition: Value) -> Upload {
        let policy = BASE64_STANDARD.decode(&form.fields["policy"]).unwrap();
        let mut policy: Value = serde_json::from_slice(&policy).unwrap();
        policy["conditions"].as_array_mut().unwrap().push(condition);
        form.fields.insert("policy".to_owned(), BASE64_STANDARD.encode(policy.to_string()));
        form
    }

    #[test]
    fn a_form_is_good_for_its_own_object_and_size_until_it_expires() {
        assert_eq!(upload(&form(), 5, at(59)), Verdict::Good);
        assert_eq!(upload(&form(), 5, at(60)), Verdict::Expired);
        assert!(matches!(upload(&form(), 6, at(0)), Verdict::Bad(_)));
        let elsewhere = Upload { url: "https://other.s3.eu-central-1.amazonaws.com/".to_owned(), ..form() };
        assert!(matches!(upload(&elsewhere, 5, at(0)), Verdict::Bad(_)));
        let mut other = form();
        other.fields.insert("key".to_owned(), "out/b.mp4".to_owned());
        assert!(matches!(upload(&other, 5, at(0)), Verdict::Bad(_)));
        let below = json!(["starts-with", "$key", "out/"]);
        for (key, is_good) in [("out/a.mp4", true), ("out/b.mp4", true), ("other/b.mp4", false)] {
            let mut form = with_condition(form(), below.clone());
            form.fields.insert("key".to_owned(), key.to_owned());
            assert_eq!(upload(&form, 5, at(0)) == Verdict::Good, is_good, "{key}");
        }
    }
}
