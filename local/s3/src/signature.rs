//! Signature Version 4 as S3 has it: in headers, in the query, and of a form's policy.
//!
//! Not by the SDK's own signer, as the other stand-ins do it: it encodes what the caller has not, and can sign no policy.

use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use percent_encoding::utf8_percent_encode;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::error::ApiError;
use crate::target::{IN_QUERY, canonical};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far apart the clocks may be: S3's answer says so, github.com/versity/versitygw/issues/1514.
const MAX_SKEW: Duration = Duration::from_mins(15);
/// The longest that a signed URL may be good for.
/// Source: S3 API Reference, "Authenticating requests: using query parameters", `X-Amz-Expires`.
const LONGEST: u64 = 604_800;
/// Recorded, `test_presigned_url_signature_authentication`.
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your key and \
                        signing method.";
/// Stands for a body's hash where it is not signed. Source: the same page.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// How a request is signed; the name that the condition key `s3:authType` has for it.
/// Source: S3 API Reference, "Amazon S3 Signature Version 4 authentication specific policy keys".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Header,
    Query,
    Form,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "REST-HEADER",
            Self::Query => "REST-QUERY-STRING",
            Self::Form => "POST",
        }
    }

    /// What is wrong with a credential, as this way of signing says it.
    /// Source: recorded, `test_create_bucket_aws_global`, for headers, and github.com/aws/aws-sdk-js/issues/2529 for forms; for
    /// the query it is what others say who stand in for S3.
    fn malformed(self, credential: &str, what: &str) -> ApiError {
        match self {
            Self::Header => ApiError::new(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; {what}"),
            ),
            Self::Query => ApiError::new(
                "AuthorizationQueryParametersError",
                format!("Error parsing the X-Amz-Credential parameter; {what}"),
            ),
            Self::Form => ApiError::argument("X-Amz-Credential", credential, what),
        }
    }
}

/// What a signature says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub method: Method,
    pub access_key: String,
    pub token: Option<String>,
    /// `20260102`.
    date: String,
    region: String,
    /// `20260102T030405Z`, and the time that this is.
    stamp: String,
    time: Timestamp,
    signed_headers: Vec<String>,
    hmac: String,
    /// How long it is good for.
    lifetime: Option<Duration>,
}

/// What the chunks of a body are signed with, each with the signature of the one before it.
/// Source: S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple chunks" and
/// "Signature calculations for trailing headers".
#[derive(Clone, PartialEq, Eq)]
pub struct Chain {
    key: Vec<u8>,
    /// The time and the scope, as they stand in what is signed.
    scope: String,
    previous: String,
}

impl Debug for Chain {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Chain").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Chain {
    /// Checks the signature of the next chunk, whose bytes have this hash.
    pub fn check_chunk(&mut self, hash: &str, claimed: &str) -> Result<(), ApiError> {
        let nothing = hex::encode(Sha256::digest(""));
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &format!("{nothing}\n{hash}"), claimed)
    }

    /// The same of what comes after the last one: a line for each header.
    pub fn check_trailer(&mut self, lines: &str, claimed: &str) -> Result<(), ApiError> {
        self.check("AWS4-HMAC-SHA256-TRAILER", &hex::encode(Sha256::digest(lines)), claimed)
    }

    fn check(&mut self, kind: &str, what: &str, claimed: &str) -> Result<(), ApiError> {
        let text = format!("{kind}\n{}\n{}\n{what}", self.scope, self.previous);
        self.previous = calculate_signature(&self.key, text.as_bytes());
        if self.previous == claimed {
            return Ok(());
        }
        Err(ApiError::new("SignatureDoesNotMatch", MISMATCH)
            .with("StringToSign", text)
            .with("SignatureProvided", claimed))
    }
}

/// A claim's texts, as they come.
pub struct Fields {
    pub credential: String,
    pub stamp: String,
    pub hmac: String,
    pub token: Option<String>,
    pub signed_headers: String,
    pub lifetime: Option<u64>,
}

impl Claim {
    /// The claim that a request's headers or its query make; none of a request that nobody has signed.
    pub fn of_request(parts: &Parts) -> Result<Option<Self>, ApiError> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(authorization) = text("authorization") {
            return Self::of_headers(authorization, text("x-amz-date"), text("x-amz-security-token"))
                .map(Some);
        }
        let pairs: Vec<_> = parameters(parts).filter(|(name, _)| name.starts_with("X-Amz-")).collect();
        let of = |name: &str| {
            pairs.iter().find(|(known, _)| known.strip_prefix("X-Amz-") == Some(name)).map(|(_, value)| value)
        };
        if of("Signature").is_none() && of("Credential").is_none() && of("Algorithm").is_none() {
            return Ok(None);
        }
        Self::of_query(of).map(Some)
    }

    fn of_headers(authorization: &str, stamp: Option<&str>, token: Option<&str>) -> Result<Self, ApiError> {
        let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
            ApiError::argument("Authorization", authorization, "Unsupported Authorization Type")
        })?;
        let field = |name: &str| {
            let value =
                fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            let missing =
                || Method::Header.malformed("", &format!("the authorization header requires {name}"));
            value.map(str::to_owned).ok_or_else(missing)
        };
        let unstamped =
            || ApiError::access_denied("AWS authentication requires a valid Date or x-amz-date header");
        let fields = Fields {
            credential: field("Credential")?,
            stamp: stamp.ok_or_else(unstamped)?.to_owned(),
            hmac: field("Signature")?,
            token: token.map(str::to_owned),
            signed_headers: field("SignedHeaders")?,
            lifetime: None,
        };
        Self::new(Method::Header, fields)
    }

    fn of_query<'a>(of: impl Fn(&str) -> Option<&'a String>) -> Result<Self, ApiError> {
        // Recorded, `test_s3_put_presigned_url_missing_sig_param`.
        let missing = || {
            ApiError::new(
                "AuthorizationQueryParametersError",
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                 X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            )
        };
        let wrong = |what: &str| ApiError::new("AuthorizationQueryParametersError", what);
        let get = |name: &str| of(name).cloned().ok_or_else(missing);
        if get("Algorithm")? != ALGORITHM {
            return Err(wrong(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ));
        }
        let lifetime: i64 = get("Expires")?.parse().map_err(|_| wrong("X-Amz-Expires should be a number"))?;
        let lifetime = u64::try_from(lifetime).map_err(|_| wrong("X-Amz-Expires must be non-negative"))?;
        if lifetime > LONGEST {
            return Err(wrong(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
                 than 604800 seconds",
            ));
        }
        let fields = Fields {
            credential: get("Credential")?,
            stamp: get("Date")?,
            hmac: get("Signature")?,
            token: of("Security-Token").cloned(),
            signed_headers: get("SignedHeaders")?,
            lifetime: Some(lifetime),
        };
        Self::new(Method::Query, fields)
    }

    /// A claim of these texts.
    pub fn new(method: Method, fields: Fields) -> Result<Self, ApiError> {
        let Fields { credential, stamp, hmac, token, signed_headers, lifetime } = fields;
        let malformed = |what: &str| method.malformed(&credential, what);
        let parts: Vec<_> = credential.split('/').collect();
        let [access_key, date, region, "s3", "aws4_request"] = parts[..] else {
            return Err(malformed(
                "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
            ));
        };
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &stamp)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            // The sentence is a form's: github.com/michaeldyrynda/s3upload/issues/1.
            .map_err(|_| {
                ApiError::argument(
                    "X-Amz-Date",
                    &stamp,
                    "X-Amz-Date must be formated via ISO8601 Long format",
                )
            })?;
        if !stamp.starts_with(date) {
            let what = format!(
                "Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \
                                \"{}\".",
                stamp.split('T').next().unwrap_or_default()
            );
            return Err(malformed(&what));
        }
        Ok(Self {
            method,
            access_key: access_key.to_owned(),
            token,
            date: date.to_owned(),
            region: region.to_owned(),
            time: time.timestamp(),
            stamp,
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            hmac,
            lifetime: lifetime.map(Duration::from_secs),
        })
    }

    /// Refuses a claim of another Region or another time.
    pub fn check_scope(&self, region: &str, now: Timestamp) -> Result<(), ApiError> {
        if self.region != region {
            let what = format!("the region '{}' is wrong; expecting '{region}'", self.region);
            let credential = format!("{}/{}/{}/s3/aws4_request", self.access_key, self.date, self.region);
            return Err(self.method.malformed(&credential, &what).with("Region", region));
        }
        let (early, late) = (self.time - MAX_SKEW, self.time + self.lifetime.unwrap_or(MAX_SKEW));
        match self.method {
            Method::Header if now < early || now > late => {
                let message = "The difference between the request time and the current time is too large.";
                Err(ApiError::new("RequestTimeTooSkewed", message)
                    .with("RequestTime", &self.stamp)
                    .with("ServerTime", format!("{now:.0}"))
                    .with("MaxAllowedSkewMilliseconds", MAX_SKEW.as_millis()))
            }
            Method::Query if now < early => Err(ApiError::access_denied("Request is not yet valid")),
            // Recorded, `test_s3_presigned_url_expired`; that this is looked at before the signature is a guess.
            Method::Query if now > late => Err(ApiError::access_denied("Request has expired")
                .with("X-Amz-Expires", self.lifetime.unwrap_or_default().as_secs())
                .with("Expires", format!("{late:.0}"))
                .with("ServerTime", format!("{now:.0}"))),
            // A form's policy says until when.
            Method::Header | Method::Query | Method::Form => Ok(()),
        }
    }

    /// Checks that `credentials` have signed this request, whose body's hash is told as `payload`.
    pub fn check_request(
        &self,
        parts: &Parts,
        payload: &str,
        credentials: &Credentials,
    ) -> Result<(), ApiError> {
        // Source: S3 API Reference, "Signature calculations for the Authorization header", `CanonicalHeaders`: the host and
        // all x-amz-* headers; recorded, `test_put_url_metadata_with_sig_s3v4`.
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        let names = parts.headers.keys().map(http::HeaderName::as_str);
        let unsigned: Vec<_> = names
            .filter(|name| (*name == "host" || name.starts_with("x-amz-")) && !is_signed(name))
            .collect();
        if !unsigned.is_empty() {
            let message = "There were headers present in the request which were not signed";
            return Err(ApiError::access_denied(message).with("HeadersNotSigned", unsigned.join(", ")));
        }
        let canonical = format!(
            "{}\n{}\n{}\n{}\n{}\n{payload}",
            parts.method,
            canonical(parts.uri.path()),
            canonical_query(parts),
            self.canonical_headers(&parts.headers)?,
            self.signed_headers.join(";")
        );
        let text = format!("{ALGORITHM}\n{}\n{}", self.scope(), hex::encode(Sha256::digest(&canonical)));
        self.check(&text, credentials).map_err(|error| {
            error.with("CanonicalRequest", &canonical).with("CanonicalRequestBytes", bytes(&canonical))
        })
    }

    /// Checks that `credentials` have signed `text`, which for a form is its policy.
    /// Recorded, `test_presigned_url_signature_authentication` and `test_post_request_malformed_policy`.
    pub fn check(&self, text: &str, credentials: &Credentials) -> Result<(), ApiError> {
        if calculate_signature(self.key(credentials), text.as_bytes()) == self.hmac {
            return Ok(());
        }
        Err(ApiError::new("SignatureDoesNotMatch", MISMATCH)
            .with("AWSAccessKeyId", &self.access_key)
            .with("StringToSign", text)
            .with("SignatureProvided", &self.hmac)
            .with("StringToSignBytes", bytes(text)))
    }

    /// What the body's chunks are signed with.
    pub fn chain(&self, credentials: &Credentials) -> Chain {
        Chain { key: self.key(credentials), scope: self.scope(), previous: self.hmac.clone() }
    }

    fn key(&self, credentials: &Credentials) -> Vec<u8> {
        let secret = credentials.secret_access_key();
        generate_signing_key(secret, SystemTime::from(self.time), &self.region, "s3").as_ref().to_vec()
    }

    fn scope(&self) -> String {
        format!("{}\n{}/{}/s3/aws4_request", self.stamp, self.date, self.region)
    }

    /// A signed header that the request does not have counts as an empty one, and so breaks the signature.
    fn canonical_headers(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        let mut lines = String::new();
        for name in &self.signed_headers {
            let values: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|value| {
                    let value = value.to_str().map_err(|_| {
                        ApiError::invalid_request(format!("the header {name} is not of ASCII characters"))
                    })?;
                    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
                })
                .collect::<Result<_, ApiError>>()?;
            lines.extend([name, ":", &values.join(","), "\n"]);
        }
        Ok(lines)
    }
}

fn parameters(parts: &Parts) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned()
}

fn canonical_query(parts: &Parts) -> String {
    let encode = |text: String| utf8_percent_encode(&text, IN_QUERY).to_string();
    let mut pairs: Vec<_> = parameters(parts)
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The bytes of a text, as an error shows them.
fn bytes(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple chunks",
    /// the example, and that of "Signature calculations for trailing headers".
    #[test]
    fn chunks_are_signed_as_in_aws_s_own_example() {
        let fields = |hmac: &str| Fields {
            credential: "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request".into(),
            stamp: "20130524T000000Z".into(),
            hmac: hmac.into(),
            token: None,
            signed_headers: String::new(),
            lifetime: None,
        };
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", secret, None);
        let chain = |hmac| Claim::new(Method::Header, fields(hmac)).expect("a claim").chain(&credentials);
        let mut chunks = chain("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        for (length, signature) in [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            let hash = hex::encode(Sha256::digest("a".repeat(length)));
            assert_eq!(chunks.check_chunk(&hash, signature), Ok(()), "{length}");
        }
        let mut trailer = chain("2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
        let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
        assert_eq!(trailer.check_trailer("x-amz-checksum-crc32c:sOO8/Q==\n", signature), Ok(()));
        assert_eq!(trailer.check_chunk("", "0").unwrap_err().code, "SignatureDoesNotMatch");
    }
}
