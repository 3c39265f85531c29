//! Signed URLs for exact keys: GETs with the signature in the query, POSTs with a signed policy. Both die with the
//! credentials that signed them, so the signer holds a session of the data role that is good for just these keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use mayfly_lambda::Clock;
use mayfly_lambda::error::Error;
use mayfly_model::job::S3Uri;
use mayfly_model::message::{POST_LIMIT, encoded};
use mayfly_model::parts::{Cut, PartsWanted, SignedParts};

/// How long a session of the data role lives, and so the longest that a URL is good for: the most for a role that
/// assumes another.
/// Source: IAM user guide, "Role chaining".
pub const SESSION: Duration = Duration::from_hours(1);

/// The longest session policy that STS reads at all, in characters.
/// Source: STS API Reference, `AssumeRole`, `Policy`.
const POLICY_LIMIT: usize = 2048;

/// The parameter of a signed URL that is its signature.
const SIGNATURE: &str = "X-Amz-Signature";

/// How long the policy of a new group of keys gets, in bytes. STS packs policies into a binary form with a limit of its
/// own, and tells only how full that is: others have met it at about 1,000 characters.
/// Source: STS API Reference, `AssumeRole`, `Policy` and `PackedPolicySize`.
const GROUP_LIMIT: usize = 800;

/// What a session of the data role may do with its keys; with a customer's KMS key, S3 needs a right to that as well.
/// Source: S3 user guide, "Using server-side encryption with AWS KMS keys", permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `s3:GetObject`, and `s3:ListBucket`, without which S3 says 403 and not 404 to a key that does not exist.
    /// Source: S3 API Reference, `GetObject`, permissions.
    Read,
    /// `s3:GetObject` of all that is below a prefix, and `s3:ListBucket` of that prefix alone.
    /// Source: S3 user guide, "Bucket policy examples using condition keys", `s3:prefix`.
    List,
    /// `s3:PutObject`
    Write,
    /// What an upload in parts takes from its beginning to its end, and to see how it has ended where an answer was lost.
    /// Source: S3 user guide, "Uploading and copying objects using multipart upload", permissions.
    Parts,
}

impl Access {
    /// What S3 does with the KMS key of what is read or written.
    fn of_kms(self) -> &'static [&'static str] {
        match self {
            Self::Read | Self::List => &["kms:Decrypt"],
            Self::Write => &["kms:GenerateDataKey"],
            // "Amazon S3 must decrypt and read data from the encrypted file parts before it completes the multipart upload."
            Self::Parts => &["kms:GenerateDataKey", "kms:Decrypt"],
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
        statements.push(allow(self.access.of_kms(), &json!("*")));
        document(&statements)
    }

    /// What stands for a key in the policy: of a prefix, which ends with `/`, all keys that begin with it.
    fn pattern(&self, key: &str) -> String {
        match self.kept {
            Some(kept) => pattern(&key.chars().take(kept).collect::<String>()) + "*",
            None => pattern(key),
        }
    }

    fn of_keys(&self) -> Vec<Value> {
        let object = |uri: &S3Uri<'_>| {
            let all = if uri.key.ends_with('/') && self.kept.is_none() { "*" } else { "" };
            format!("arn:aws:s3:::{}/{}{all}", uri.bucket, self.pattern(uri.key))
        };
        let objects: Vec<String> = self.uris.iter().map(object).collect();
        let buckets: BTreeSet<String> =
            self.uris.iter().map(|uri| format!("arn:aws:s3:::{}", uri.bucket)).collect();
        let mut list = allow(&["s3:ListBucket"], &json!(buckets));
        match self.access {
            Access::Read => vec![allow(&["s3:GetObject"], &json!(objects)), list],
            Access::List => {
                // The same as equal, but for what the policy has no room or no characters for.
                let prefixes: Vec<_> = self.uris.iter().map(|uri| self.pattern(uri.key)).collect();
                list["Condition"] = json!({ "StringLike": { "s3:prefix": prefixes } });
                vec![allow(&["s3:GetObject"], &json!(objects)), list]
            }
            Access::Write => vec![allow(&["s3:PutObject"], &json!(objects))],
            Access::Parts => {
                let of_key = [
                    "s3:PutObject",
                    "s3:GetObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ];
                let of_bucket = ["s3:ListBucketMultipartUploads"];
                vec![allow(&of_key, &json!(objects)), allow(&of_bucket, &json!(buckets))]
            }
        }
    }
}

fn allow(actions: &[&str], resources: &Value) -> Value {
    let action = if let [action] = actions { json!(action) } else { json!(actions) };
    json!({ "Effect": "Allow", "Action": action, "Resource": resources })
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
        let (url, signature) = self.presign("GET", uri, &[], &[], self.clock.now())?;
        Ok(with_signature(url, &signature))
    }

    /// URLs that get what is below the prefix `folder`: what they have in common, which is that of the prefix without its
    /// signature, and the signature for each of `names`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_below<'n>(
        &self,
        folder: &S3Uri<'_>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(String, Vec<String>), Error> {
        let now = self.clock.now();
        let signature = |name: &str| {
            let key = format!("{}{name}", folder.key);
            Ok(self.presign("GET", &S3Uri { bucket: folder.bucket, key: &key }, &[], &[], now)?.1)
        };
        let signatures = names.into_iter().map(signature).collect::<Result<_, Error>>()?;
        Ok((self.presign("GET", folder, &[], &[], now)?.0.into(), signatures))
    }

    /// Everything that a worker needs for an upload of `bytes` bytes with this id: its parts from `from` on, as many as one answer
    /// signs.
    /// Source: S3 API Reference, `UploadPart`, `CompleteMultipartUpload`, `HeadObject`, and "Authenticating requests: using query
    /// parameters".
    ///
    /// # Errors
    /// [`Error::Internal`] where the key cannot be signed.
    pub fn parts(
        &self,
        uri: &S3Uri<'_>,
        id: &str,
        wanted: &PartsWanted,
        start: u32,
    ) -> Result<SignedParts, Error> {
        let cut = Cut::of(wanted.bytes);
        let (mut url, mut signatures) = (String::new(), Vec::new());
        let now = self.clock.now();
        for part in cut.batch(wanted.from) {
            let (number, length) = (part.to_string(), cut.length(part).to_string());
            let query = [("uploadId", id), ("partNumber", number.as_str())];
            let (signed, signature) =
                self.presign("PUT", uri, &query, &[("content-length", length.as_str())], now)?;
            signatures.push(signature);
            url = without_part(&signed);
        }
        let size = wanted.bytes.to_string();
        let complete =
            self.presign("POST", uri, &[("uploadId", id)], &[("x-amz-mp-object-size", size.as_str())], now)?;
        let look = self.presign("HEAD", uri, &[], &[], now)?;
        Ok(SignedParts {
            start,
            file: wanted.file.clone(),
            id: id.to_owned(),
            url,
            from: wanted.from.max(1),
            signatures,
            complete: with_signature(complete.0, &complete.1),
            look: with_signature(look.0, &look.1),
        })
    }

    /// A URL for a request of this kind, good from `now` on, without its signature, and that. Whoever sends the request has to send `headers` with it.
    fn presign(
        &self,
        method: &str,
        uri: &S3Uri<'_>,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<(Url, String), Error> {
        let failed = |error: &dyn std::fmt::Display| Error::internal("sign a URL", error);
        let mut url = self.bucket_url(uri.bucket)?;
        let bucket = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{bucket}/{}", encoded(uri.key)));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
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
            .time(now.into())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let request = SignableRequest::new(
            method,
            url.as_str(),
            headers.iter().copied(),
            SignableBody::UnsignedPayload,
        )
        .map_err(|error| failed(&error))?;
        let (instructions, signature) = sign(request, &params).map_err(|error| failed(&error))?.into_parts();
        let unsigned = instructions.params().iter().filter(|(name, _)| *name != SIGNATURE);
        for (name, value) in unsigned {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok((url, signature))
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
        let key = [("key".to_owned(), uri.key.to_owned())];
        let range = json!(["content-length-range", bytes, bytes]);
        self.form(uri.bucket, key.into_iter().chain(properties), vec![range])
    }

    /// The same for every object below the prefix `folder`, of at most what one POST can make: the field `key`, which is no part of
    /// what is signed, is the prefix, and to be lengthened. Where `properties` have no `Content-Type`, the form is to have one.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub fn post_below(
        &self,
        folder: &S3Uri<'_>,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(String, BTreeMap<String, String>), Error> {
        let properties: Vec<_> = properties.into_iter().collect();
        let mut conditions =
            vec![json!(["content-length-range", 0, POST_LIMIT]), json!(["starts-with", "$key", folder.key])];
        if !properties.iter().any(|(name, _)| name == "Content-Type") {
            conditions.push(json!(["starts-with", "$Content-Type", ""]));
        }
        let (url, mut fields) = self.form(folder.bucket, properties, conditions)?;
        fields.insert("key".to_owned(), folder.key.to_owned());
        Ok((url, fields))
    }

    /// A form with these fields and no others but those of `conditions`.
    fn form(
        &self,
        bucket: &str,
        properties: impl IntoIterator<Item = (String, String)>,
        mut conditions: Vec<Value>,
    ) -> Result<(String, BTreeMap<String, String>), Error> {
        let now = self.clock.now();
        let expires = now + self.lifetime;
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/s3/aws4_request", now.strftime("%Y%m%d"), self.region);
        let mut fields = BTreeMap::from(
            [
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
        conditions.push(json!({ "bucket": bucket }));
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
        Ok((self.bucket_url(bucket)?.into(), fields))
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

fn with_signature(mut url: Url, signature: &str) -> String {
    url.query_pairs_mut().append_pair(SIGNATURE, signature);
    url.into()
}

/// What the URLs of all parts have in common.
fn without_part(url: &Url) -> String {
    let mut common = url.clone();
    let pairs = url.query_pairs().filter(|(name, _)| name != "partNumber");
    common.query_pairs_mut().clear().extend_pairs(pairs);
    common.into()
}

#[cfg(test)]
mod tests {
    use mayfly_model::parts::PARTS_FROM;

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

    #[test]
    fn the_parts_of_a_file_have_one_url_and_a_signature_each() {
        let clock = Clock::default();
        let signer = signer(&clock, Hosts::Ipv4);
        let wanted = PartsWanted { file: "a".into(), output: None, bytes: PARTS_FROM + 1, from: 2 };
        let parts = signer.parts(&uri("a b"), "up.load_1", &wanted, 3).unwrap();
        let [(2, second), (3, third)] = parts.parts().collect::<Vec<_>>()[..] else { panic!("{parts:?}") };
        assert_ne!(second, third);
        let place = "https://bucket.s3.eu-central-1.amazonaws.com/a%20b?";
        for url in [&parts.url, &parts.complete, &parts.look] {
            assert!(url.starts_with(place), "{url}");
        }
        assert!(parts.url.contains("uploadId=up.load_1&") && !parts.url.contains("partNumber"));
        assert!(parts.url.contains("X-Amz-SignedHeaders=content-length%3Bhost"), "{}", parts.url);
        assert!(!parts.url.contains("X-Amz-Signature") && parts.look.contains("X-Amz-Signature="));
        assert!(parts.complete.contains("X-Amz-SignedHeaders=host%3Bx-amz-mp-object-size"));
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
    fn a_session_that_lists_a_prefix_may_read_what_is_below_it_and_nothing_else() {
        let [group] = KeyGroup::split(Access::List, [uri("a*/")]).try_into().unwrap();
        let told: Value = serde_json::from_str(&group.policy()).unwrap();
        let expected = json!([
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::bucket/a${*}/*"] },
            { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": ["arn:aws:s3:::bucket"],
              "Condition": { "StringLike": { "s3:prefix": ["a${*}/"] } } },
            { "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*" },
        ]);
        assert_eq!(told["Statement"], expected);
        let [shorter] = group.smaller().unwrap().try_into().unwrap();
        assert!(shorter.policy().contains(r#"["arn:aws:s3:::bucket/a*"]"#), "{}", shorter.policy());
        let [group] = KeyGroup::split(Access::Write, [uri("out/")]).try_into().unwrap();
        assert!(group.policy().contains(r#"["arn:aws:s3:::bucket/out/*"]"#), "{}", group.policy());
    }

    #[test]
    fn what_is_below_a_prefix_has_one_url_but_for_name_and_signature() {
        let clock = Clock::default();
        let signer = signer(&clock, Hosts::Ipv4);
        let (url, signatures) = signer.get_below(&uri("in/"), ["a b", "ü"]).unwrap();
        for (name, signature) in ["a b", "ü"].iter().zip(signatures) {
            let made = mayfly_model::message::Page::url_of(&url, name, &signature);
            let key = format!("in/{name}");
            let (alone, its) = signer.presign("GET", &uri(&key), &[], &[], stamp(&url)).unwrap();
            assert_eq!(made, format!("{alone}&X-Amz-Signature={its}"));
        }
        assert!(!url.contains(SIGNATURE), "{url}");
    }

    /// When a URL was signed.
    fn stamp(url: &str) -> Timestamp {
        let url = Url::parse(url).unwrap();
        let date = url.query_pairs().find(|(name, _)| name == "X-Amz-Date").unwrap().1;
        let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date.as_bytes()).unwrap();
        jiff::tz::TimeZone::UTC.to_timestamp(date).unwrap()
    }

    #[test]
    fn a_form_for_a_prefix_admits_keys_below_it_and_one_kind_where_that_is_said() {
        let clock = Clock::default();
        let signer = signer(&clock, Hosts::Ipv4);
        let kind = [("Content-Type".to_owned(), "video/mp2t".to_owned())];
        for (properties, has_kind) in [(Vec::new(), false), (kind.to_vec(), true)] {
            let (_, fields) = signer.post_below(&uri("out/"), properties).unwrap();
            let policy = BASE64_STANDARD.decode(&fields["policy"]).unwrap();
            let policy: Value = serde_json::from_slice(&policy).unwrap();
            let has = |condition: Value| policy["conditions"].as_array().unwrap().contains(&condition);
            assert!(
                has(json!(["starts-with", "$key", "out/"])) && has(json!({ "bucket": "bucket" })),
                "{policy}"
            );
            assert!(has(json!(["content-length-range", 0, POST_LIMIT])), "{policy}");
            assert_eq!(has(json!(["starts-with", "$Content-Type", ""])), !has_kind, "{policy}");
            assert_eq!(fields.contains_key("Content-Type"), has_kind);
            assert_eq!(fields["key"], "out/");
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
