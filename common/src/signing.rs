//! Signed URLs for exact keys: GETs with the signature in the query, POSTs with a signed policy. Both die with the
//! credentials that signed them, so the signer holds a session of the data role that is good for just these keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::Url;

use crate::error::Error;
use crate::job::S3Uri;

/// How long a session of the data role lives, and so the longest that a URL is good for: the most for a role that
/// assumes another.
/// Source: IAM user guide, "Role chaining".
pub const SESSION: Duration = Duration::from_hours(1);

/// The longest session policy, in characters.
/// Source: STS API Reference, `AssumeRole`, `Policy`.
const POLICY_LIMIT: usize = 2048;

/// The largest object that one POST can make: 5 GB.
/// Source: S3 user guide, "Uploading objects", and S3 API Reference, "POST Object".
pub const POST_LIMIT: u64 = 5 * 1024 * 1024 * 1024;

/// What S3 takes as it is in a path; the rest must be encoded, or S3 computes another signature, and reads + as a space.
/// Source: S3 API Reference, "Signature calculations for the Authorization header", `UriEncode()`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a session of the data role may do with its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `s3:GetObject`, and `s3:ListBucket`, without which S3 says 403 and not 404 to a key that does not exist.
    /// Source: S3 API Reference, `GetObject`, permissions.
    Read,
    /// `s3:PutObject`
    Write,
}

/// Splits `uris` into groups whose session policies keep within STS's limit, each with its policy.
pub fn session_policies<'a>(access: Access, uris: &[S3Uri<'a>]) -> Vec<(String, Vec<S3Uri<'a>>)> {
    let mut groups: Vec<(String, Vec<S3Uri<'a>>)> = Vec::new();
    for uri in uris {
        if let Some((policy, group)) = groups.last_mut() {
            group.push(uri.clone());
            let longer = session_policy(access, group);
            if longer.len() <= POLICY_LIMIT {
                *policy = longer;
                continue;
            }
            group.pop();
        }
        groups.push((session_policy(access, std::slice::from_ref(uri)), vec![uri.clone()]));
    }
    groups
}

fn session_policy(access: Access, uris: &[S3Uri<'_>]) -> String {
    let objects: Vec<String> =
        uris.iter().map(|uri| format!("arn:aws:s3:::{}/{}", uri.bucket, pattern(uri.key))).collect();
    let buckets: BTreeSet<String> = uris.iter().map(|uri| format!("arn:aws:s3:::{}", uri.bucket)).collect();
    let allow = |action: &str, resources: Value| json!({ "Effect": "Allow", "Action": action, "Resource": resources });
    let statements = match access {
        Access::Read => {
            vec![allow("s3:GetObject", json!(objects)), allow("s3:ListBucket", json!(buckets))]
        }
        Access::Write => vec![allow("s3:PutObject", json!(objects))],
    };
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// What stands for `key` in a policy.
fn pattern(key: &str) -> String {
    let mut pattern = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            // Wildcards and the beginning of a variable; this is how to write the characters themselves.
            // Source: IAM user guide, "IAM policy elements: Variables and tags", special characters.
            '*' | '?' | '$' => pattern.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
            // STS takes no other characters; the signature is for the one key in any case.
            // Source: STS API Reference, `AssumeRole`, `Policy`, pattern.
            '\u{100}'.. => {
                if !pattern.ends_with('*') {
                    pattern.push('*');
                }
            }
            c => pattern.push(c),
        }
    }
    pattern
}

/// Signs for one session of the data role.
pub struct Signer<'a> {
    /// The session's credentials.
    pub credentials: Credentials,
    /// The Region of the stack and of its buckets.
    pub region: &'a str,
    /// Where S3 is, if not at AWS: the origin of a local cloud.
    pub endpoint: Option<&'a str>,
    /// How long a URL is good for; at most [`SESSION`].
    pub lifetime: Duration,
}

impl Signer<'_> {
    /// A URL that gets the object.
    ///
    /// # Errors
    /// [`Error::Internal`] where the key cannot be signed.
    pub fn get(&self, uri: &S3Uri<'_>, now: SystemTime) -> Result<String, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::internal("could not sign a download", error);
        let mut url = self.bucket_url(uri.bucket)?;
        let bucket = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{bucket}/{}", utf8_percent_encode(uri.key, PATH)));
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(self.lifetime);
        // S3 does not encode the path a second time and does not normalise it.
        // Source: S3 API Reference, "Authenticating requests: using query parameters".
        settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("s3")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let request =
            SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::UnsignedPayload)
                .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(request, &params).map_err(|error| failed(&error))?.into_parts();
        for (name, value) in instructions.params() {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(url.into())
    }

    /// The URL and the fields of a form that makes the object, of exactly `bytes` bytes.
    /// Source: S3 API Reference, "Creating a POST policy" and "Authenticating requests in browser-based uploads
    /// using POST".
    ///
    /// # Errors
    /// [`Error::Internal`] where the endpoint is no URL.
    pub fn post(
        &self,
        uri: &S3Uri<'_>,
        bytes: u64,
        now: SystemTime,
    ) -> Result<(String, BTreeMap<String, String>), Error> {
        let now =
            Timestamp::try_from(now).map_err(|error| Error::internal("could not sign an upload", error))?;
        let expires = now + self.lifetime;
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/s3/aws4_request", now.strftime("%Y%m%d"), self.region);
        let mut fields = BTreeMap::from(
            [
                ("key", uri.key.to_owned()),
                ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
                ("x-amz-credential", format!("{}/{scope}", self.credentials.access_key_id())),
                ("x-amz-date", stamp),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(token) = self.credentials.session_token() {
            fields.insert("x-amz-security-token".to_owned(), token.to_owned());
        }
        let mut conditions =
            vec![json!({ "bucket": uri.bucket }), json!(["content-length-range", bytes, bytes])];
        conditions.extend(fields.iter().map(|(name, value)| json!({ name: value })));
        let policy = json!({
            "expiration": expires.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            "conditions": conditions,
        });
        let policy = BASE64_STANDARD.encode(policy.to_string());
        let key =
            v4::generate_signing_key(self.credentials.secret_access_key(), now.into(), self.region, "s3");
        fields.insert("x-amz-signature".to_owned(), v4::calculate_signature(key, policy.as_bytes()));
        fields.insert("policy".to_owned(), policy);
        Ok((self.bucket_url(uri.bucket)?.into(), fields))
    }

    /// A bucket with a dot in its name has no certificate as a host name; a local cloud has no host names.
    /// Source: S3 user guide, "Virtual hosting of general purpose buckets".
    fn bucket_url(&self, bucket: &str) -> Result<Url, Error> {
        let url = match self.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None if bucket.contains('.') => format!("https://s3.{}.amazonaws.com/{bucket}", self.region),
            None => format!("https://{bucket}.s3.{}.amazonaws.com/", self.region),
        };
        Url::parse(&url)
            .map_err(|error| Error::internal(format!("could not read the S3 endpoint {url}"), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(key: &str) -> S3Uri<'_> {
        S3Uri { bucket: "bucket", key }
    }

    #[test]
    fn a_key_is_encoded_as_s3_does_it_before_it_checks_the_signature() {
        let credentials = Credentials::new("AKID", "secret", Some("token+/=".into()), None, "test");
        let signer = Signer { credentials, region: "eu-central-1", endpoint: None, lifetime: SESSION };
        let url = signer.get(&uri("a b+c(1)/ü//%2F~.mp4"), SystemTime::UNIX_EPOCH).unwrap();
        let path = "https://bucket.s3.eu-central-1.amazonaws.com/a%20b%2Bc%281%29/%C3%BC//%252F~.mp4?X-Amz-Algorithm=";
        assert!(url.starts_with(path), "{url}");
        assert!(url.contains("X-Amz-Security-Token=token%2B%2F%3D"), "{url}");
    }

    #[test]
    fn a_session_policy_has_only_characters_that_sts_takes() {
        let policy = session_policy(Access::Read, &[uri("a*/動画.mp4"), uri("é")]);
        assert!(policy.chars().all(|c| c <= '\u{ff}'), "{policy}");
        assert!(policy.contains("arn:aws:s3:::bucket/a${*}/*.mp4"), "{policy}");
    }

    #[test]
    fn session_policies_keep_within_the_limit_and_lose_no_key() {
        let keys: Vec<String> = (0..100).map(|i| format!("{i}-{}", "k".repeat(200))).collect();
        let uris: Vec<S3Uri<'_>> = keys.iter().map(|key| uri(key)).collect();
        let groups = session_policies(Access::Write, &uris);
        assert!(groups.iter().all(|(policy, _)| policy.len() <= POLICY_LIMIT));
        assert_eq!(groups.iter().map(|(_, group)| group.len()).sum::<usize>(), 100);
    }
}
