//! Who is calling, proven by the request's signature, and whether IAM lets the caller.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::policy::{self, Decision, Policy};
use crate::signature::Signature;
use crate::upstream::{Session, Upstream};

/// How long a role's policies are believed, so that a policy changed by a test is seen soon.
const POLICIES_FRESH: Duration = Duration::from_secs(2);

/// The condition keys of one request (`aws:RequestTag/…`, `aws:ResourceTag/…`, `ecs:cluster`, …) and their values.
/// Keys compare without regard to case, as in IAM.
pub type Context = BTreeMap<String, Vec<String>>;

/// The principal that signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `arn:aws:iam::…:root`, or `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The role's ARN, where a role is calling; the root may do everything.
    pub role: Option<String>,
}

/// Why a request was refused, as AWS says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Refusal {
    /// For example `AccessDeniedException`; each service spells it its own way, so this is the stand-in's to map.
    pub code: Code,
    /// The sentence for a person.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request carries no signature, or one that does not match.
    InvalidSignature,
    /// The key is not known, or its session token does not belong to it.
    UnknownKey,
    /// IAM does not allow the action on the resource.
    AccessDenied,
}

/// Checks signatures and policies against MiniStack's IAM.
#[derive(Clone, Debug)]
pub struct Guard {
    upstream: Upstream,
    iam: aws_sdk_iam::Client,
    lambda: aws_sdk_lambda::Client,
    policies: Arc<Mutex<PoliciesByRole>>,
}

/// By role ARN, with the time they were read.
type PoliciesByRole = HashMap<String, (Instant, Arc<Vec<Policy>>)>;

impl Guard {
    /// A guard for the account behind `upstream`.
    pub fn new(upstream: Upstream) -> Self {
        let config = upstream.root_config();
        Self {
            upstream,
            iam: aws_sdk_iam::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            policies: Arc::default(),
        }
    }

    /// Reads every role's policies anew from now on. On AWS a change takes effect within seconds (IAM user guide,
    /// "Changes that I make are not always immediately visible"), here within two, or at once with this.
    pub fn forget_policies(&self) {
        self.lock_policies().clear();
    }

    /// The principal whose key signed `request` for `service` (`ec2`, `ecs`, `states`).
    pub async fn authenticate(
        &self,
        service: &str,
        request: &http::Request<Bytes>,
    ) -> Result<Caller, Refusal> {
        let invalid = |message| Refusal { code: Code::InvalidSignature, message };
        let signature = Signature::read(request).map_err(invalid)?;
        let (caller, credentials) = self.owner(signature.access_key).await?;
        if signature.token != credentials.session_token() {
            return Err(unknown_key());
        }
        signature.verify(request, &credentials, &self.upstream.region, service).map_err(invalid)?;
        Ok(caller)
    }

    /// Whether `caller` may do `action` (`ecs:CreateService`) on `resource` (an ARN, or `*`) under `context`.
    ///
    /// Only identity-based policies count: none of the three services that are guarded here has policies on its
    /// resources, and a role with a permissions boundary is refused as not implemented.
    pub async fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Result<(), Refusal> {
        let Some(role) = &caller.role else { return Ok(()) };
        let denied = |message| Refusal { code: Code::AccessDenied, message };
        let cannot_tell = |error: String| {
            tracing::error!(caller = caller.arn, action, error, "a policy could not be evaluated");
            denied(format!("cannot tell whether {} may {action}: {error}", caller.arn))
        };
        let policies = self.policies(role).await.map_err(|error| cannot_tell(format!("{error:#}")))?;
        let context = self.with_global_keys(role, context);
        let request = policy::Request { action, resource, context: &context };
        let reason =
            match policy::evaluate(&policies, request).map_err(|error| cannot_tell(error.to_string()))? {
                Decision::Allowed => return Ok(()),
                Decision::ExplicitlyDenied => "with an explicit deny in an identity-based policy".to_owned(),
                Decision::ImplicitlyDenied => {
                    format!("because no identity-based policy allows the {action} action")
                }
            };
        // The wording: IAM user guide, "Troubleshoot access denied error messages".
        Err(denied(format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {reason}",
            caller.arn
        )))
    }

    /// The principal that `access_key` belongs to, and the whole of its keys.
    async fn owner(&self, access_key: &str) -> Result<(Caller, Credentials), Refusal> {
        let root = &self.upstream.root;
        if access_key == root.access_key_id() {
            let arn = format!("arn:aws:iam::{}:root", self.upstream.account);
            return Ok((Caller { arn, role: None }, root.clone()));
        }
        let session = match self.upstream.sessions.of_key(access_key) {
            Some(session) => session,
            None => self.function_session(access_key).await?.ok_or_else(unknown_key)?,
        };
        Ok((Caller { arn: session.arn, role: Some(session.role_arn) }, session.credentials))
    }

    /// The session of the Lambda function whose execution role has `access_key`. MiniStack derives these keys from
    /// the function's and the role's ARNs, so every function is tried; a find is kept with the other sessions.
    async fn function_session(&self, access_key: &str) -> Result<Option<Session>, Refusal> {
        let mut pages = self.lambda.list_functions().into_paginator().items().send();
        while let Some(function) = pages.next().await {
            let function = function.map_err(|error| {
                let error = aws_sdk_lambda::error::DisplayErrorContext(&error).to_string();
                tracing::error!(error, "the functions could not be listed to find out who is calling");
                Refusal { code: Code::UnknownKey, message: format!("cannot look up the caller: {error}") }
            })?;
            let (Some(name), Some(arn), Some(role)) =
                (function.function_name, function.function_arn, function.role)
            else {
                continue;
            };
            let session = execution_session(&self.upstream.account, &name, &arn, &role);
            if session.credentials.access_key_id() == access_key {
                self.upstream.sessions.add(session.clone());
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    async fn policies(&self, role_arn: &str) -> anyhow::Result<Arc<Vec<Policy>>> {
        if let Some((read, policies)) = self.lock_policies().get(role_arn)
            && read.elapsed() < POLICIES_FRESH
        {
            return Ok(policies.clone());
        }
        let policies = Arc::new(self.read_policies(role_arn).await?);
        self.lock_policies().insert(role_arn.to_owned(), (Instant::now(), policies.clone()));
        Ok(policies)
    }

    fn lock_policies(&self) -> std::sync::MutexGuard<'_, PoliciesByRole> {
        self.policies.lock().expect("no thread panics while it holds the policies")
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

    /// The keys that every request has (IAM user guide, "AWS global condition context keys"), beside its own.
    fn with_global_keys(&self, role: &str, context: &Context) -> Context {
        let global = [
            ("aws:PrincipalAccount", self.upstream.account.as_str()),
            ("aws:PrincipalArn", role),
            ("aws:PrincipalType", "AssumedRole"),
            ("aws:RequestedRegion", &self.upstream.region),
            ("aws:ViaAWSService", "false"),
        ];
        let mut context = context.clone();
        for (key, value) in global {
            context.insert(key.to_owned(), vec![value.to_owned()]);
        }
        context
    }
}

fn unknown_key() -> Refusal {
    // What STS, EC2 and IAM say for InvalidClientTokenId and AuthFailure.
    Refusal {
        code: Code::UnknownKey,
        message: "The security token included in the request is invalid.".into(),
    }
}

/// IAM answers documents URL-encoded as RFC 3986 has it (API reference, `GetRolePolicy`).
fn decode(document: &str) -> anyhow::Result<Policy> {
    let decoded = percent_encoding::percent_decode_str(document).decode_utf8()?;
    Ok(Policy::parse(&decoded)?)
}

/// The keys that MiniStack gives to a function's process: `execution_credentials` in its `core/lambda_runtime.py`.
fn execution_session(account: &str, name: &str, function_arn: &str, role_arn: &str) -> Session {
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

    #[tokio::test]
    async fn the_root_may_do_everything() {
        let guard = Guard::new(Upstream::nowhere());
        let (root, credentials) = guard.owner("AKIAROOT").await.expect("the root");
        assert_eq!(root, Caller { arn: "arn:aws:iam::111122223333:root".into(), role: None });
        assert_eq!(credentials.secret_access_key(), "root-secret");
        assert_eq!(guard.authorize(&root, "ec2:DeleteVpc", "*", &Context::new()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_session_of_a_role_is_recognised_and_bound_by_the_roles_policies() {
        let upstream = Upstream::nowhere();
        let role = "arn:aws:iam::111122223333:role/Task";
        upstream.sessions.add(execution_session("111122223333", "task", "arn:f", role));
        let guard = Guard::new(upstream.clone());
        let key = execution_session("111122223333", "task", "arn:f", role).credentials;
        let (caller, _) = guard.owner(key.access_key_id()).await.expect("the session");
        assert_eq!(caller.role.as_deref(), Some(role));

        let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:StopTask","Resource":"*",
            "Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"},"ArnLike":{"aws:PrincipalArn":"*:*:*:*:*:role/T*"}}}}"#;
        let policies = Arc::new(vec![Policy::parse(document).expect("a policy")]);
        guard.lock_policies().insert(role.to_owned(), (Instant::now(), policies));
        let may = |action: &'static str| {
            let (guard, caller) = (&guard, &caller);
            async move { guard.authorize(caller, action, "*", &Context::new()).await }
        };
        assert_eq!(may("ecs:StopTask").await, Ok(()));
        let refusal = may("ecs:RunTask").await.expect_err("refused");
        assert_eq!(refusal.code, Code::AccessDenied);
        assert_eq!(
            refusal.message,
            "User: arn:aws:sts::111122223333:assumed-role/Task/task is not authorized to perform: ecs:RunTask on \
             resource: * because no identity-based policy allows the ecs:RunTask action"
        );
    }

    #[tokio::test]
    async fn a_role_whose_policies_cannot_be_read_may_do_nothing() {
        let caller =
            Caller { arn: "arn:x/y".into(), role: Some("arn:aws:iam::111122223333:role/Gone".into()) };
        let guard = Guard::new(Upstream::nowhere());
        let refusal =
            guard.authorize(&caller, "ecs:RunTask", "*", &Context::new()).await.expect_err("refused");
        assert_eq!(refusal.code, Code::AccessDenied);
    }
}
