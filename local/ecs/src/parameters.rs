//! The secrets of a container that are parameters of Parameter Store.

use std::collections::BTreeMap;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::DisplayErrorContext;
use aws_sdk_ssm::types::ParameterStringFilter;
use local_aws::policy::Context;

use crate::reader::Reader;

/// What the reasons say before what happened, as seen on AWS (aws/copilot-cli#4504).
pub(crate) const UNABLE: &str = "unable to retrieve secrets from ssm:";

/// How many a call may name: API Reference, `GetParameters`, `Names`.
const MOST_NAMES: usize = 10;

/// What `valueFrom` names: Developer Guide, "Pass Systems Manager parameters through Amazon ECS environment variables".
/// Without a version or a label, of which that page has nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) arn: &'a str,
    /// The name as AWS's words have it (HHS/simpler-grants-gov, pull request 4330): only one with a path begins with a slash
    /// (Systems Manager user guide, "Working with parameter hierarchies").
    name: &'a str,
}

impl<'a> Parameter<'a> {
    pub(crate) fn parse(arn: &'a str) -> Option<Self> {
        const RESOURCE: &str = "parameter";
        let parts: Vec<_> = arn.split(':').collect();
        let ["arn", _, "ssm", _, _, resource] = parts[..] else { return None };
        let path = resource.strip_prefix(RESOURCE).filter(|path| path.starts_with('/'))?;
        let name = if path[1..].contains('/') { path } else { &path[1..] };
        (!name.is_empty()).then_some(Self { arn, name })
    }
}

/// The values by ARN, or why there are none.
pub(crate) async fn values<'p>(
    reader: &Reader<'_>,
    parameters: impl Iterator<Item = &'p Parameter<'p>>,
) -> Result<BTreeMap<&'p str, String>, String> {
    let names: BTreeMap<_, _> = parameters.map(|parameter| (parameter.name, parameter.arn)).collect();
    let names: Vec<_> = names.into_iter().collect();
    let mut values = BTreeMap::new();
    for some in names.chunks(MOST_NAMES) {
        let read = read(reader, some).await;
        values.extend(read.map_err(|error| format!("service call has been retried 1 time(s): {error}"))?);
    }
    Ok(values)
}

/// One call, with the names and the ARNs of what it reads. MiniStack cannot tell whether the role may: it does not look at
/// which parameters the call names. So that is asked here, and the root reads.
async fn read<'p>(
    reader: &Reader<'_>,
    names: &[(&'p str, &'p str)],
) -> Result<Vec<(&'p str, String)>, String> {
    for (_, arn) in names {
        let right = reader.may("ssm:GetParameters", arn, &Context::new()).await;
        right.map_err(|refusal| format!("AccessDeniedException: {}", refusal.message))?;
    }
    let client = Client::new(&reader.root_config());
    let call = client.get_parameters().with_decryption(true);
    let call = call.set_names(Some(names.iter().map(|(name, _)| (*name).to_owned()).collect()));
    let answer = call.send().await.map_err(|error| DisplayErrorContext(&error).to_string())?;
    if let invalid @ [_, ..] = answer.invalid_parameters() {
        return Err(format!("invalid ssm parameters: {}", invalid.join(",")));
    }
    let found = answer.parameters.into_iter().flatten();
    let mut values: BTreeMap<_, _> =
        found.filter_map(|parameter| Some((parameter.name?, parameter.value?))).collect();
    decrypt(reader, &client, values.keys()).await?;
    let value = |(name, arn): &(&str, &'p str)| values.remove(*name).map(|value| (*arn, value));
    names.iter().map(value).collect::<Option<_>>().ok_or_else(|| "a parameter has no value".to_owned())
}

/// Refuses in KMS's words, as Parameter Store tells them (aws/aws-cdk#4498), where a parameter's key is not the role's to use.
async fn decrypt(
    reader: &Reader<'_>,
    client: &Client,
    names: impl Iterator<Item = &String>,
) -> Result<(), String> {
    let named = ParameterStringFilter::builder().key("Name").option("Equals");
    let named = named.set_values(Some(names.cloned().collect())).build();
    let named = named.map_err(|error| error.to_string())?;
    let mut pages = client.describe_parameters().parameter_filters(named).into_paginator().send();
    let mut described = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| DisplayErrorContext(&error).to_string())?;
        described.extend(page.parameters.unwrap_or_default());
    }
    for parameter in described {
        if !reader.may_decrypt(parameter.key_id(), "ssm").await {
            return Err("AccessDeniedException: The ciphertext refers to a customer master key that does not exist, does not \
                        exist in this region, or you are not allowed to access."
                .to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_an_arn_without_a_version() {
        for (path, name) in [("/api/key", "/api/key"), ("/key", "key")] {
            let arn = format!("arn:aws:ssm:r:a:parameter{path}");
            assert_eq!(Parameter::parse(&arn), Some(Parameter { arn: &arn, name }));
        }
        for other in ["key", "/api/key", "arn:aws:ssm:r:a:parameter/", "arn:aws:ssm:r:a:parameter/key:1"] {
            assert_eq!(Parameter::parse(other), None, "{other}");
        }
    }
}
