//! One signed request on the wire of its service, and what comes back.

use std::time::SystemTime;

use anyhow::{Context, Result};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;

use crate::model::Service;
use crate::sides::Side;

/// The Region of both sides.
pub const REGION: &str = "eu-west-1";

/// What a side said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Without its parameters.
    pub content_type: String,
    /// As it came, to be shown.
    pub raw: String,
    /// The body as JSON: EC2's XML too, by its element names.
    pub body: Value,
    /// Where the body is not as the model has it.
    pub violations: Vec<String>,
    /// The error's code; none for a success.
    pub code: Option<String>,
}

impl Answer {
    /// `200`, or `400 ClientException`.
    pub fn outcome(&self) -> String {
        match &self.code {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Asks `side` for an operation of `service`.
///
/// # Errors
/// When there is no answer, or a success that is neither JSON nor XML.
pub async fn ask(side: &Side, service: &Service, operation: &str, input: &Value) -> Result<Answer> {
    let origin = side.origin(service.name);
    let (body, headers) = service.request(operation, input);
    let signature = signature(origin, &side.keys, service.name, &body, &headers)?;
    let mut request = side.client.post(origin).body(body);
    for (name, value) in headers.into_iter().chain(signature) {
        request = request.header(name, value);
    }
    let response = request.send().await.with_context(|| format!("no answer to {operation}"))?;
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().to_owned();
    let raw = response.text().await?;
    let (body, code, violations) = if status == 200 {
        let (body, violations) = service.success(operation, &raw)?;
        (body, None, violations)
    } else {
        let (body, code, violations) = service.error(operation, &raw);
        (body, Some(code), violations)
    };
    Ok(Answer { status, content_type, raw, body, violations, code })
}

/// The headers that sign a request.
fn signature(
    origin: &str,
    keys: &Credentials,
    service: &str,
    body: &str,
    headers: &[(String, String)],
) -> Result<Vec<(String, String)>> {
    let identity = keys.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new("POST", origin, headers, SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
