//! Signed URLs for exact keys: GETs with the signature in the query, POSTs with a signed policy. Both die with the
//! credentials that signed them, so the signer holds a session of the data role that is good for just these keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::Url;

use mayfly_lambda::Clock;
use mayfly_lambda::error::Error;
use mayfly_model::job::S3Uri;

/// How long a session of the data role lives, and so the longest that a URL is good for: the most for a role that
/// assumes another.
/// Source: IAM user guide, "Role chaining".
pub const SESSION: Duration = Duration::from_hours(1);

/// The longest session policy that STS reads at all, in characters.
/// Source: STS API Reference, `AssumeRole`, `Policy`.
const POLICY_LIMIT: usize = 2048;

/// How long the policy of a new group of keys gets, in bytes. STS packs policies into a binary form with a limit of its
/// own, and tells only how full that is: others have met it at about 1,000 characters.
/// Source: STS API Reference, `AssumeRole`, `Policy` and `PackedPolicySize`.
const GROUP_LIMIT: usize = 800;

/// What S3 takes as it is in a path; the rest must be encoded, or S3 computes another signature, and reads + as a space.
/// Source: S3 API Reference, "Signature calculations for the Authorization header", `UriEncode()`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a session of the data role may do with its keys; with a customer's KMS key, S3 needs a right to that as well.
/// Source: S3 user guide, "Using server-side encryption with AWS KMS keys", permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `s3:GetObject`, and `s3:ListBucket`, without which S3 says 403 and not 404 to a key that does not exist.
    /// Source: S3 API Reference, `GetObject`, permissions.
    Read,
    /// `s3:PutObject`
    Write,
}

impl Access {
    /// What S3 does with the KMS key of what is read or written.
    fn of_kms(self) -> &'static str {
        match self {
            Self::Read => "kms:Decrypt",
            Self::Write => "kms:GenerateDataKey",
        }
    }
}

/// Keys that one session of the data role is good for.
#[derive(Clone, Debug)]
pub struct KeyGroup<'a> {
    access: Access,
    uris: Vec<S3Uri<'a>>,
    /// How many characters of each key are in the policy, where a `*` stands for the rest.
    kept: Option<usize>,
}

impl<'a> KeyGroup<'a> {
    /// Splits `uris` into groups that STS is likely to take.
    pub fn split(access: Access, uris: impl IntoIterator<Item = S3Uri<'a>>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for uri in uris {
            if let Some(group) = groups.last_mut() {
                group.uris.push(uri.clone());
                if document(&group.of_keys()).len() <= GROUP_LIMIT {
                    continue;
                }
                group.uris.pop();
            }
            groups.push(Self { access, uris: vec![uri], kept: None });
        }
        groups
    }

    /// What is good for all its keys.
    pub fn uris(&self) -> &[S3Uri<'a>] {
        &self.uris
    }

    /// Whether STS does not even read the policy.
    pub fn is_too_long(&self) -> bool {
        self.policy().len() > POLICY_LIMIT
    }

    /// The groups to try instead of this one, whose policy STS has refused for its size: its halves, or its one key with
    /// less of it in the policy, since the signature is for that key in any case. None where nothing is left to shorten.
    pub fn smaller(mut self) -> Option<Vec<Self>> {
        if let [uri] = self.uris.as_slice() {
            let kept = self.kept.unwrap_or_else(|| uri.key.chars().count());
            return (kept > 0).then(|| vec![Self { kept: Some(kept / 2), ..self }]);
        }
        let uris = self.uris.split_off(self.uris.len() / 2);
        Some(vec![Self { uris, ..self.clone() }, self])
    }

    /// The session policy. Which KMS keys are meant, the role's own policy says: a session may do what both allow.
    /// Source: IAM user guide, "Policies and permissions", session policies.
    pub fn policy(&self) -> String {
        let mut statements = self.of_keys();
        statements.push(allow(self.access.of_kms(), "*"));
        document(&statements)
    }

    fn of_keys(&self) -> Vec<Value> {
        let object = |uri: &S3Uri<'_>| {
            let key = match self.kept {
                Some(kept) => pattern(&uri.key.chars().take(kept).collect::<String>()) + "*",
                None => pattern(uri.key),
            };
            format!("arn:aws:s3:::{}/{key}", uri.bucket)
        };
        let objects: Vec<String> = self.uris.iter().map(object).collect();
        let buckets: BTreeSet<String> =
            self.uris.iter().map(|uri| format!("arn:aws:s3:::{}", uri.bucket)).collect();
        match self.access {
            Access::Read => vec![allow("s3:GetObject", objects), allow("s3:ListBucket", json!(buckets))],
            Access::Write => vec![allow("s3:PutObject", objects)],
        }
    }
}

fn allow(action: &str, resources: impl Into<Value>) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resources.into() })
}

fn document(statements: &[Value]) -> String {
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

/// By which of its names S3 is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Those that have addresses of IPv4 alone.
    #[default]
    Ipv4,
    /// Those that have addresses of both versions.
    DualStack,
}

impl Hosts {
    /// For a container that has IPv6 alone, or for any other.
    pub fn of(ipv6: bool) -> Self {
        if ipv6 { Self::DualStack } else { Self::Ipv4 }
    }
}

/// Signs for one session of the data role.
pub struct Signer<'a> {
    /// The session's credentials.
    pub credentials: Credentials,
    /// The Region of the stack and of its buckets.
    pub region: &'a str,
    /// Where S3 is, if not at AWS: the origin of a local cloud.
    pub endpoint: Option<&'a str>,
    /// By which name S3 is called at AWS.
    pub hosts: Hosts,
    /// How long a URL is good for; at most [`SESSION`].
    pub lifetime: Duration,
    /// From when on.
    pub clock: &'a Clock,
}

impl Signer<'_> {
    /// A URL that gets the object.
    ///
    /// # Errors
    /// [`Error::Internal`] where the key cannot be signed.
    pub fn get(&self, uri: &S3Uri<'_>) -> Result<String, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::internal("sign a download", error);
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
            .time(self.clock.now().into())
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

    /// The URL and the fields of a form that makes the object, of exactly `bytes` bytes and with these `properties`, each a field
    /// of the form.
    /// Source: S3 API Reference, "Creating a POST policy" and "Authenticating requests in browser-based uploads
    /// using POST".
    ///
    /// # Errors
    /// [`Error::Internal`] where the endpoint is no URL.
    pub fn post(
        &self,
        uri: &S3Uri<'_>,
        bytes: u64,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(String, BTreeMap<String, String>), Error> {
        let now = self.clock.now();
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
        fields.extend(properties);
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
    /// Source: S3 user guide, "Virtual hosting of general purpose buckets" and "Making requests to Amazon S3 over IPv6".
    fn bucket_url(&self, bucket: &str) -> Result<Url, Error> {
        let s3 = match self.hosts {
            Hosts::Ipv4 => format!("s3.{}.amazonaws.com", self.region),
            Hosts::DualStack => format!("s3.dualstack.{}.amazonaws.com", self.region),
        };
        let url = match self.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None if bucket.contains('.') => format!("https://{s3}/{bucket}"),
            None => format!("https://{bucket}.{s3}/"),
        };
        Url::parse(&url).map_err(|error| Error::internal(format!("read the S3 endpoint {url}"), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(key: &str) -> S3Uri<'_> {
        S3Uri { bucket: "bucket", key }
    }

    fn signer(clock: &Clock, hosts: Hosts) -> Signer<'_> {
        let credentials = Credentials::new("AKID", "secret", Some("token+/=".into()), None, "test");
        Signer { credentials, region: "eu-central-1", endpoint: None, hosts, lifetime: SESSION, clock }
    }

    #[test]
    fn a_key_is_encoded_as_s3_does_it_before_it_checks_the_signature() {
        let clock = Clock::default();
        let signer = signer(&clock, Hosts::Ipv4);
        let url = signer.get(&uri("a b+c(1)/ü//%2F~.mp4")).unwrap();
        let path = "https://bucket.s3.eu-central-1.amazonaws.com/a%20b%2Bc%281%29/%C3%BC//%252F~.mp4?X-Amz-Algorithm=";
        assert!(url.starts_with(path), "{url}");
        assert!(url.contains("X-Amz-Security-Token=token%2B%2F%3D"), "{url}");
    }

    #[test]
    fn a_container_that_has_ipv6_alone_is_given_hosts_that_have_it() {
        let clock = Clock::default();
        let signer = signer(&clock, Hosts::DualStack);
        let dotted = S3Uri { bucket: "my.bucket", key: "a" };
        for (uri, start) in [
            (uri("a"), "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/"),
            (dotted, "https://s3.dualstack.eu-central-1.amazonaws.com/my.bucket"),
        ] {
            let (get, post) = (signer.get(&uri).unwrap(), signer.post(&uri, 1, []).unwrap().0);
            assert!(get.starts_with(start) && post.starts_with(start), "{get} {post}");
        }
        let local = Signer { endpoint: Some("http://127.0.0.1:4566"), ..signer };
        assert!(local.get(&uri("a")).unwrap().starts_with("http://127.0.0.1:4566/bucket/a?"));
    }

    fn groups(keys: &[String]) -> Vec<KeyGroup<'_>> {
        KeyGroup::split(Access::Read, keys.iter().map(|key| uri(key)))
    }

    #[test]
    fn a_session_policy_has_only_characters_that_sts_takes() {
        let keys = ["a*/動画.mp4", "é"].map(str::to_owned);
        let [group] = groups(&keys).try_into().unwrap();
        let policy = group.policy();
        assert!(policy.chars().all(|c| c <= '\u{ff}'), "{policy}");
        assert!(policy.contains("arn:aws:s3:::bucket/a${*}/*.mp4"), "{policy}");
    }

    #[test]
    fn the_keys_of_many_files_are_grouped_as_sts_packs_them() {
        let keys: Vec<String> = (0..100).map(|i| format!("{i}-{}", "k".repeat(200))).collect();
        let groups = groups(&keys);
        assert!(groups.iter().all(|group| group.policy().len() < 900 && group.uris().len() > 1));
        assert_eq!(groups.iter().flat_map(|group| group.uris()).count(), 100);
    }

    #[test]
    fn a_session_may_use_the_kms_keys_that_the_role_may_use() {
        for (access, action) in [(Access::Read, "kms:Decrypt"), (Access::Write, "kms:GenerateDataKey")] {
            let [group] = KeyGroup::split(access, [uri("key")]).try_into().unwrap();
            let statement = format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"*"}}"#);
            assert!(group.policy().contains(&statement), "{}", group.policy());
        }
    }

    #[test]
    fn a_group_that_is_refused_is_halved_and_its_last_key_shortened() {
        let keys = ["one", "two", "$$$"].map(str::to_owned);
        let [group] = groups(&keys).try_into().unwrap();
        let mut halves = group.smaller().unwrap();
        let keys = halves.iter().map(|group| group.uris().iter().map(|uri| uri.key).collect::<Vec<_>>());
        assert_eq!(keys.collect::<Vec<_>>(), [vec!["two", "$$$"], vec!["one"]]);
        let [_, mut one] = <[_; 2]>::try_from(halves.remove(0).smaller().unwrap()).unwrap().map(Some);
        for key in ["two", "t*", "*"] {
            let policy = one.as_ref().unwrap().policy();
            assert!(policy.contains(&format!("\"arn:aws:s3:::bucket/{key}\"")), "{policy}");
            one = one.and_then(KeyGroup::smaller).map(|mut shorter| shorter.remove(0));
        }
        assert!(one.is_none());
    }

    #[test]
    fn a_key_whose_policy_sts_would_not_even_read_is_shortened_beforehand() {
        let keys = ["$".repeat(1000)];
        let [group] = groups(&keys).try_into().unwrap();
        assert!(group.is_too_long());
        let [shorter] = group.smaller().unwrap().try_into().unwrap();
        assert!(shorter.policy().contains(&format!("{}*\"", "${$}".repeat(500))), "{}", shorter.policy());
    }
}
