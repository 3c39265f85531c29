//! The secrets of a container, fetched with the rights of the execution role: here those of Secrets Manager.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata};
use serde::Deserialize;
use serde_json::Value;

use crate::parameters::{self, Parameter};
use crate::reader::Reader;
use crate::requests::{RepositoryCredentials, Secret};

/// What the reasons begin with.
const UNABLE: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
                      failed:";

/// What they go on with where it is about a private registry; a guess, after those about a secret.
const REGISTRY: &str = "unable to get registry auth from asm:";

/// What they end with where nothing leads to the service.
const RETRIED: &str = "service call has been retried 5 time(s):";
const CANCELED: &str = "RequestCanceled: request context canceled caused by: context deadline exceeded. Please check your task \
                        network configuration.";

/// What `valueFrom` names: `ARN`, or `ARN:json-key:version-stage:version-id` with any of the last three
/// empty: Developer Guide, "Pass Secrets Manager secrets through Amazon ECS environment variables".
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    arn: String,
    json_key: Option<&'a str>,
    version_stage: Option<&'a str>,
    version_id: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn parse(value_from: &'a str) -> Option<Self> {
        let parts: Vec<_> = value_from.split(':').collect();
        let (["arn", _, "secretsmanager", _, _, "secret", _], rest) = parts.split_at_checked(7)? else {
            return None;
        };
        let [json_key, version_stage, version_id] = match rest {
            [] => [None; 3],
            [key, stage, id] => [key, stage, id].map(|part| Some(*part).filter(|part| !part.is_empty())),
            _ => return None,
        };
        Some(Self { arn: parts[..7].join(":"), json_key, version_stage, version_id })
    }
}

/// By what a private registry knows a caller.
#[derive(Clone, Deserialize)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Debug for Credentials {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Whether a secret can be fetched here: by its ARN.
pub(crate) fn is_supported(secret: &Secret) -> bool {
    Reference::parse(&secret.value_from).is_some() || Parameter::parse(&secret.value_from).is_some()
}

/// The same for what a private registry asks for.
pub(crate) fn is_credentials(credentials: &RepositoryCredentials) -> bool {
    Reference::parse(&credentials.credentials_parameter).is_some_and(|reference| reference.json_key.is_none())
}

/// The service that has a secret, as the name of its endpoint.
pub(crate) fn service(secret: &Secret) -> &'static str {
    if Parameter::parse(&secret.value_from).is_some() { "ssm" } else { "secretsmanager" }
}

/// Why a secret cannot be fetched when nothing leads to the service that has it, as seen on AWS (Releem/releem-agent#195,
/// Kong/kong-mesh-ecs#44; umotif-public/terraform-aws-ecs-fargate#50, the end of which is that of the others).
pub(crate) fn unreachable(secret: &Secret) -> String {
    match Reference::parse(&secret.value_from) {
        Some(Reference { arn, .. }) => format!(
            "{UNABLE} unable to retrieve secret from asm: {RETRIED} failed to fetch secret {arn} from secrets manager: \
             {CANCELED}"
        ),
        None => format!("{UNABLE} {} {RETRIED} {CANCELED}", parameters::UNABLE),
    }
}

/// The same of the secret for a private registry.
pub(crate) fn registry_unreachable(credentials: &RepositoryCredentials) -> String {
    let arn = &credentials.credentials_parameter;
    format!("{UNABLE} {REGISTRY} {RETRIED} failed to fetch secret {arn} from secrets manager: {CANCELED}")
}

/// The variables of `secrets`, or why there are none in the words of `stoppedReason`: Developer Guide,
/// "Amazon ECS ResourceInitializationError".
pub(crate) async fn fetch(
    reader: &Reader<'_>,
    secrets: &[Secret],
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for secret in secrets.iter().filter(|secret| Reference::parse(&secret.value_from).is_some()) {
        let value = value(reader, &secret.value_from)
            .await
            .map_err(|error| format!("{UNABLE} unable to retrieve secret from asm: {error}"))?;
        variables.insert(secret.name.clone(), value);
    }
    let parameters: Vec<_> = secrets
        .iter()
        .filter_map(|secret| Some((&secret.name, Parameter::parse(&secret.value_from)?)))
        .collect();
    let values = parameters::values(reader, parameters.iter().map(|(_, parameter)| parameter)).await;
    let values = values.map_err(|error| format!("{UNABLE} {} {error}", parameters::UNABLE))?;
    variables
        .extend(parameters.iter().map(|(name, parameter)| ((*name).clone(), values[parameter.arn].clone())));
    Ok(variables)
}

/// Name and password for a private registry, or why there are none: Developer Guide, "Using non-AWS container images in
/// Amazon ECS".
pub(crate) async fn credentials(
    reader: &Reader<'_>,
    credentials: &RepositoryCredentials,
) -> Result<Credentials, String> {
    let failed = |error| format!("{UNABLE} {REGISTRY} {error}");
    let text = value(reader, &credentials.credentials_parameter).await.map_err(failed)?;
    serde_json::from_str(&text)
        .map_err(|_| failed("the secret is no JSON of a username and a password".to_owned()))
}

async fn value(reader: &Reader<'_>, value_from: &str) -> Result<String, String> {
    let reference = Reference::parse(value_from).ok_or_else(|| format!("{value_from} is no secret"))?;
    let failed = |cause| {
        let arn = &reference.arn;
        format!(
            "service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager: {cause}"
        )
    };
    let answer = Client::new(&reader.role_config())
        .get_secret_value()
        .secret_id(&reference.arn)
        .set_version_stage(reference.version_stage.map(str::to_owned))
        .set_version_id(reference.version_id.map(str::to_owned))
        .send()
        .await
        .map_err(|error| {
            failed(match error.code() {
                Some(code) => format!("{code}: {}", error.message().unwrap_or_default()),
                None => DisplayErrorContext(&error).to_string(),
            })
        })?;
    let described =
        Client::new(&reader.root_config()).describe_secret().secret_id(&reference.arn).send().await;
    let described = described.map_err(|error| failed(DisplayErrorContext(&error).to_string()))?;
    if !reader.may_decrypt(described.kms_key_id(), "secretsmanager").await {
        // As seen on AWS (GiamPy5/terraform-aws-directus#10).
        return Err(failed("AccessDeniedException: Access to KMS is not allowed".to_owned()));
    }
    let text = answer.secret_string.ok_or_else(|| format!("{} has no text", reference.arn))?;
    let Some(key) = reference.json_key else { return Ok(text) };
    let missing = || format!("retrieved secret from Secrets Manager did not contain json key {key}");
    match serde_json::from_str::<Value>(&text).ok().and_then(|mut json| json.get_mut(key).map(Value::take)) {
        None => Err(missing()),
        Some(Value::String(value)) => Ok(value),
        Some(other) => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:r:a:secret:s-AbCdEf";

    #[test]
    fn a_reference_is_an_arn_with_or_without_key_and_version() {
        let plain = Reference { arn: ARN.into(), json_key: None, version_stage: None, version_id: None };
        assert_eq!(Reference::parse(ARN), Some(plain));
        let staged = format!("{ARN}:key:AWSPREVIOUS:");
        let expected = Reference {
            arn: ARN.into(),
            json_key: Some("key"),
            version_stage: Some("AWSPREVIOUS"),
            version_id: None,
        };
        assert_eq!(Reference::parse(&staged), Some(expected));
    }

    #[test]
    fn anything_else_is_none() {
        for other in ["name", &format!("{ARN}:key"), &format!("{ARN}:a:b:c:d")] {
            assert_eq!(Reference::parse(other), None, "{other}");
        }
    }
}
