//! MiniStack's IAM, as the source of a local cloud's rights.

use anyhow::Context as _;
use aws_credential_types::Credentials;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::auth::Rights;
use crate::policy::Policy;
use crate::upstream::{Session, Upstream};

/// What MiniStack knows of roles and of the functions that act as them.
#[derive(Clone, Debug)]
pub struct MiniStackRights {
    account: String,
    iam: aws_sdk_iam::Client,
    lambda: aws_sdk_lambda::Client,
}

impl Rights for MiniStackRights {
    fn session<'a>(&'a self, access_key: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>> {
        self.function_session(access_key).boxed()
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>> {
        self.read_policies(role_arn).boxed()
    }
}

impl MiniStackRights {
    /// Those of the account behind `upstream`.
    pub fn new(upstream: &Upstream) -> Self {
        let config = upstream.root_config();
        Self {
            account: upstream.account.clone(),
            iam: aws_sdk_iam::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
        }
    }

    /// The session of the Lambda function whose execution role has `access_key`. MiniStack derives these keys from
    /// the function's and the role's ARNs, so every function is tried.
    async fn function_session(&self, access_key: &str) -> anyhow::Result<Option<Session>> {
        let mut pages = self.lambda.list_functions().into_paginator().items().send();
        while let Some(function) = pages.next().await {
            let function = function.context("cannot list the functions")?;
            let (Some(name), Some(arn), Some(role)) =
                (function.function_name, function.function_arn, function.role)
            else {
                continue;
            };
            let session = execution_session(&self.account, &name, &arn, &role);
            if session.credentials.access_key_id() == access_key {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// A role's inline and attached policies.
    async fn read_policies(&self, role_arn: &str) -> anyhow::Result<Vec<Policy>> {
        let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
        let known =
            self.iam.get_role().role_name(role).send().await.with_context(|| format!("no role {role}"))?;
        let bounded = known.role.is_some_and(|role| role.permissions_boundary.is_some());
        anyhow::ensure!(!bounded, "the local cloud does not know permissions boundaries, {role} has one");
        let mut policies = Vec::new();
        let mut inline = self.iam.list_role_policies().role_name(role).into_paginator().items().send();
        while let Some(name) = inline.try_next().await? {
            let policy = self.iam.get_role_policy().role_name(role).policy_name(&name).send().await?;
            policies
                .push(decode(&policy.policy_document).with_context(|| format!("policy {name} of {role}"))?);
        }
        let mut attached =
            self.iam.list_attached_role_policies().role_name(role).into_paginator().items().send();
        while let Some(policy) = attached.try_next().await? {
            let arn = policy.policy_arn.context("an attached policy has no ARN")?;
            let policy = self.iam.get_policy().policy_arn(&arn).send().await?.policy;
            let version =
                policy.and_then(|policy| policy.default_version_id).context("a policy has no version")?;
            let answer = self.iam.get_policy_version().policy_arn(&arn).version_id(version).send().await?;
            let document =
                answer.policy_version.and_then(|version| version.document).context("no document")?;
            policies.push(decode(&document).with_context(|| format!("policy {arn}"))?);
        }
        Ok(policies)
    }
}

/// IAM answers documents URL-encoded as RFC 3986 has it (API reference, `GetRolePolicy`).
fn decode(document: &str) -> anyhow::Result<Policy> {
    let decoded = percent_encoding::percent_decode_str(document).decode_utf8()?;
    Ok(Policy::parse(&decoded)?)
}

/// The keys that MiniStack gives to a function's process: `execution_credentials` in its `core/lambda_runtime.py`.
pub(crate) fn execution_session(account: &str, name: &str, function_arn: &str, role_arn: &str) -> Session {
    let hash = |text: String| hex::encode(Sha256::digest(text));
    let digest = hash(format!("{function_arn}:{role_arn}"));
    let session: String = name.chars().take(64).collect();
    let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
    Session {
        arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
        role_arn: role_arn.to_owned(),
        credentials: Credentials::new(
            format!("ASIA{}", digest[..16].to_uppercase()),
            hash(format!("secret:{digest}")),
            Some(hash(format!("token:{digest}"))),
            None,
            "MiniStack",
        ),
        policy: None,
        name: session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_keys_are_those_that_ministack_derives() {
        // Computed with MiniStack 1.5.33.
        let session = execution_session(
            "111122223333",
            "plan-job",
            "arn:aws:lambda:eu-west-1:111122223333:function:plan-job",
            "arn:aws:iam::111122223333:role/PlanJobRole",
        );
        assert_eq!(session.arn, "arn:aws:sts::111122223333:assumed-role/PlanJobRole/plan-job");
        assert_eq!(session.credentials.access_key_id(), "ASIADDE9D0CAAF5DC2D1");
        assert_eq!(
            session.credentials.secret_access_key(),
            "d479db4e70e5c985bde7760d5329e034b9b1c851fab1b82e32bbb47d1713b200"
        );
        assert_eq!(
            session.credentials.session_token(),
            Some("f3a44bc49492187cff9d62fcf9fe3610882b4c2f99482d24b62294f5bc8f640c")
        );
    }
}
