//! Signature Version 4 of a request that has arrived: read, then computed again with the SDK's own signer (aws-sigv4)
//! over just the headers that the caller signed. The verifier on crates.io, scratchstack-aws-signature, would bring
//! its own principals, errors and tower service for what are a hundred lines here.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderMap, Request, header};

/// A request has to arrive within five minutes of its time stamp (IAM user guide, "AWS Signature Version 4 for API
/// requests").
const MAX_SKEW: Duration = Duration::from_mins(5);

/// A signature as the request's headers carry it.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    pub access_key: &'a str,
    pub token: Option<&'a str>,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    hmac: &'a str,
    time: SystemTime,
}

impl<'a> Signature<'a> {
    /// Reads the `Authorization`, `X-Amz-Date` and `X-Amz-Security-Token` headers.
    ///
    /// # Errors
    /// A sentence that says what is missing or malformed.
    pub fn read(request: &'a Request<Bytes>) -> Result<Self, String> {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        if request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature")) {
            return Err("a signature in the query string is not supported here, sign the headers".into());
        }
        let authorization = text("authorization").ok_or("the request has no Authorization header")?;
        let fields = authorization
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or("the Authorization header is not of AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| format!("the Authorization header has no {name}"))
        };
        let credential: Vec<_> = field("Credential")?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = credential[..] else {
            return Err("the Credential is not KEY/DATE/REGION/SERVICE/aws4_request".into());
        };
        let stamp = text("x-amz-date").ok_or("the request has no X-Amz-Date header")?;
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|error| format!("the X-Amz-Date header is not a time: {error}"))?;
        if !stamp.starts_with(date) {
            return Err("the Credential's date is not that of the X-Amz-Date header".into());
        }
        Ok(Self {
            access_key,
            token: text("x-amz-security-token"),
            date,
            region,
            service,
            signed_headers: field("SignedHeaders")?,
            hmac: field("Signature")?,
            time: time.into(),
        })
    }

    /// Checks that `credentials` made this signature of `request`, for this Region and service, just before `now`.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn verify(
        &self,
        request: &Request<Bytes>,
        credentials: &Credentials,
        region: &str,
        service: &str,
        now: SystemTime,
    ) -> Result<(), String> {
        if (self.region, self.service) != (region, service) {
            return Err(format!(
                "the credential is scoped to {}/{}, this is {region}/{service}",
                self.region, self.service
            ));
        }
        if now.max(self.time).duration_since(now.min(self.time)).is_ok_and(|skew| skew > MAX_SKEW) {
            return Err(format!("the signature of {} has expired or lies in the future", self.date));
        }
        // The host and all x-amz-* headers have to be signed (IAM user guide, "Create a signed AWS API request").
        let signed: Vec<_> = self.signed_headers.split(';').collect();
        let unsigned = request
            .headers()
            .keys()
            .map(header::HeaderName::as_str)
            .find(|name| (*name == "host" || name.starts_with("x-amz-")) && !signed.contains(name));
        if let Some(name) = unsigned {
            return Err(format!("the header {name} is not signed"));
        }
        if self.computed(request, &signed, credentials)? != self.hmac {
            return Err("the signature does not match; check the secret key and the signing method".into());
        }
        Ok(())
    }

    /// The signature that `credentials` make of `request` and its `signed` headers.
    fn computed(
        &self,
        request: &Request<Bytes>,
        signed: &[&str],
        credentials: &Credentials,
    ) -> Result<String, String> {
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        // The signer takes the host from the URI and adds the date and the token on its own.
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let uri = format!("http://{host}{path}");
        let own = ["host", "x-amz-date", "x-amz-security-token"];
        let headers = values(request.headers(), signed.iter().copied().filter(|name| !own.contains(name)))?;
        let request = SignableRequest::new(
            request.method().as_str(),
            uri,
            headers.into_iter(),
            SignableBody::Bytes(request.body()),
        )
        .map_err(|error| error.to_string())?;
        Ok(sign(request, &params).map_err(|error| error.to_string())?.signature().to_owned())
    }
}

fn values<'a>(
    headers: &'a HeaderMap,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<(&'a str, &'a str)>, String> {
    names
        .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)))
        .map(|(name, value)| {
            value.to_str().map(|value| (name, value)).map_err(|_| format!("the header {name} is not text"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(token: Option<&str>) -> Credentials {
        Credentials::from_keys("AKIATEST", "secret", token.map(Into::into))
    }

    /// When the requests are checked.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }

    /// A request signed `ago` by `credentials`, as an SDK does it.
    fn signed(credentials: &Credentials, ago: Duration) -> Request<Bytes> {
        let mut request = Request::post("http://127.0.0.1:4510/?a=b%20c")
            .header("host", "127.0.0.1:4510")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTasks")
            .body(Bytes::from_static(b"Action=DescribeVpcs"))
            .expect("a request");
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("ec2")
            .time(now() - ago)
            .settings(SigningSettings::default())
            .build()
            .expect("parameters")
            .into();
        let headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("text").to_owned()))
            .collect();
        let uri = request.uri().to_string();
        let body = request.body().clone();
        let signable = SignableRequest::new(
            "POST",
            uri,
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(&body),
        )
        .expect("signable");
        sign(signable, &params).expect("signed").into_parts().0.apply_to_request_http1x(&mut request);
        request
    }

    fn check(request: &Request<Bytes>, credentials: &Credentials) -> Result<(), String> {
        Signature::read(request)?.verify(request, credentials, "eu-west-1", "ec2", now())
    }

    #[test]
    fn a_request_signed_by_the_sdk_is_recognised() {
        for token in [None, Some("a-token")] {
            let request = signed(&keys(token), Duration::ZERO);
            let signature = Signature::read(&request).expect("a signature");
            assert_eq!((signature.access_key, signature.token), ("AKIATEST", token));
            assert_eq!(check(&request, &keys(token)), Ok(()));
        }
    }

    #[test]
    fn a_header_that_is_not_signed_may_be_there() {
        let mut request = signed(&keys(None), Duration::ZERO);
        request.headers_mut().insert("user-agent", "x".parse().expect("a value"));
        assert_eq!(check(&request, &keys(None)), Ok(()));
        request.headers_mut().insert("x-amz-user-agent", "x".parse().expect("a value"));
        assert!(check(&request, &keys(None)).expect_err("unsigned").contains("x-amz-user-agent"));
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let change: [fn(&mut Request<Bytes>); 4] = [
            |request| *request.body_mut() = Bytes::from_static(b"Action=DeleteVpc"),
            |request| *request.method_mut() = http::Method::PUT,
            |request| *request.uri_mut() = "/?a=c".parse().expect("a URI"),
            |request| {
                request.headers_mut().insert("content-type", "text/plain".parse().expect("a value"));
            },
        ];
        for change in change {
            let mut request = signed(&keys(None), Duration::ZERO);
            change(&mut request);
            assert!(check(&request, &keys(None)).expect_err("changed").contains("does not match"));
        }
        let other = Credentials::from_keys("AKIATEST", "another secret", None);
        assert!(check(&signed(&other, Duration::ZERO), &keys(None)).is_err());
    }

    #[test]
    fn time_and_scope_must_fit() {
        let old = signed(&keys(None), Duration::from_mins(6));
        assert!(check(&old, &keys(None)).expect_err("old").contains("expired"));
        let request = signed(&keys(None), Duration::ZERO);
        let signature = Signature::read(&request).expect("a signature");
        assert!(signature.verify(&request, &keys(None), "eu-west-1", "ecs", now()).is_err());
        assert!(signature.verify(&request, &keys(None), "us-east-1", "ec2", now()).is_err());
    }

    #[test]
    fn what_is_no_signature_is_refused_in_words() {
        let request = |uri: &str, header: Option<&str>| {
            let mut request = Request::post(uri);
            if let Some(value) = header {
                request = request.header("authorization", value);
            }
            request.body(Bytes::new()).expect("a request")
        };
        for (uri, header, word) in [
            ("/", None, "Authorization"),
            ("/", Some("Basic eDp5"), "AWS4-HMAC-SHA256"),
            ("/", Some("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0"), "KEY/DATE"),
            ("/", Some("AWS4-HMAC-SHA256 Credential=a/2/r/s/aws4_request"), "X-Amz-Date"),
            ("/?X-Amz-Signature=0", None, "query"),
        ] {
            let request = request(uri, header);
            assert!(Signature::read(&request).expect_err("refused").contains(word), "{uri} {header:?}");
        }
    }
}
