//! STS, in front of MiniStack's: that one reads every session policy of up to 2,048 characters and answers at once.
//! AWS's packs the policy into less, and takes its time. The stand-ins learn here of the sessions that others ask for, and of
//! their policies.

use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use local_aws::policy::Policy;
use local_aws::server::Service;
use local_aws::sts::{ANSWER, error_document, packed_percent, packed_too_large};
use local_aws::upstream::{Session, Upstream};
use reqwest::Client;
use serde::Deserialize;
use tokio::time::sleep;

/// The STS in front of MiniStack's. It keeps nothing but the sessions that all know.
#[derive(Clone, Debug)]
pub struct Sts {
    upstream: Upstream,
    http: Client,
}

/// What a caller asks for.
#[derive(Debug, Default)]
struct Wanted {
    role: Option<String>,
    policy: Option<String>,
}

/// Source: STS API Reference, `AssumeRole`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: Keys,
    assumed_role_user: AssumedRoleUser,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: jiff::Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    arn: String,
}

impl Wanted {
    fn read(form: &[u8]) -> Self {
        let mut wanted = Self::default();
        for (name, value) in url::form_urlencoded::parse(form) {
            match name.as_ref() {
                "RoleArn" => wanted.role = Some(value.into_owned()),
                "Policy" => wanted.policy = Some(value.into_owned()),
                _ => {}
            }
        }
        wanted
    }

    /// The session that this answer tells of.
    fn session(self, answer: &[u8]) -> Result<Session> {
        let answer: AssumeRoleResponse = quick_xml::de::from_str(std::str::from_utf8(answer)?)?;
        let AssumeRoleResult { credentials, assumed_role_user } = answer.assume_role_result;
        let Keys { access_key_id, secret_access_key, session_token, expiration } = credentials;
        let policy = self.policy.as_deref().map(Policy::parse).transpose()?;
        Ok(Session {
            name: assumed_role_user.arn.rsplit('/').next().unwrap_or_default().to_owned(),
            arn: assumed_role_user.arn,
            role_arn: self.role.context("a session is one of a role")?,
            credentials: Credentials::new(
                access_key_id,
                secret_access_key,
                Some(session_token),
                Some(expiration.into()),
                "local cloud",
            ),
            policy: policy.map(Arc::new),
        })
    }
}

impl Sts {
    /// The one in front of this account's MiniStack.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(upstream: Upstream) -> Result<Self> {
        Ok(Self { upstream, http: Client::builder().no_proxy().build()? })
    }

    async fn pass_on(&self, request: Request<Bytes>, wanted: Wanted) -> Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        // The host stays the one that was signed.
        let url = format!("{}{}", self.upstream.ministack, parts.uri);
        let answer = self.http.request(parts.method, url).headers(parts.headers).body(body).send().await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            response = response.header(CONTENT_TYPE, kind);
        }
        let begins_session = answer.status().is_success() && wanted.role.is_some();
        let body = answer.bytes().await?;
        if begins_session {
            // One that cannot be evaluated is one that no stand-in knows, and so can do nothing at any.
            match wanted.session(&body) {
                Ok(session) => self.upstream.sessions.add(session),
                Err(error) => tracing::error!("a session is not known: {error:#}"),
            }
        }
        Ok(response.body(body)?)
    }
}

#[async_trait]
impl Service for Sts {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        // In real time.
        sleep(ANSWER).await;
        let wanted = Wanted::read(request.body());
        let percent = wanted.policy.as_deref().map(packed_percent);
        let answer = match percent.filter(|percent| *percent > 100) {
            Some(percent) => too_large(percent),
            None => self.pass_on(request, wanted).await,
        };
        answer.unwrap_or_else(|error| {
            let mut response = Response::new(error.to_string().into());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }
}

fn too_large(percent: usize) -> Result<Response<Bytes>> {
    let message = packed_too_large(percent);
    let error = error_document("PackedPolicyTooLarge", &message, "00000000-0000-0000-0000-000000000000");
    let response = Response::builder().status(StatusCode::BAD_REQUEST).header(CONTENT_TYPE, "text/xml");
    Ok(response.body(error.into())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
        <Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
        <Expiration>2026-01-02T03:04:05Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId>\
        <Arn>arn:aws:sts::1:assumed-role/Data/x</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>";

    #[test]
    fn a_session_that_others_ask_for_is_known_with_its_policy() {
        let role = "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2FData";
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        for (form, has_policy) in [(role.to_owned(), false), (format!("{role}&Policy={policy}"), true)] {
            let session = Wanted::read(form.as_bytes()).session(ANSWER.as_bytes()).unwrap();
            assert_eq!(session.policy.is_some(), has_policy);
            assert_eq!(
                (session.arn.as_str(), session.role_arn.as_str(), session.name.as_str()),
                ("arn:aws:sts::1:assumed-role/Data/x", "arn:aws:iam::1:role/Data", "x")
            );
            assert_eq!(session.credentials.session_token(), Some("t"));
            assert!(session.credentials.expiry().is_some());
        }
    }

    #[test]
    fn a_session_whose_policy_cannot_be_evaluated_is_none() {
        let form = b"RoleArn=a&Policy=%7B%22Version%22%3A%222008-10-17%22%7D";
        assert!(Wanted::read(form).session(ANSWER.as_bytes()).is_err());
        assert!(Wanted::read(b"RoleArn=a").session(b"<html/>").is_err());
    }
}
