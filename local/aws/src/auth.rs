//! Who is calling, proven by the request's signature, and whether IAM lets the caller.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::policy::{self, Context, Decision, Policy};
use crate::signature::Signature;
use crate::upstream::{Session, Upstream};

/// How long a role's policies are believed, in real time; whoever changes one and will not wait says so.
const POLICIES_FRESH: Duration = Duration::from_secs(10);

/// The principal that signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `arn:aws:iam::…:root`, or `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The role's ARN, where a role is calling; the root may do everything.
    pub role: Option<String>,
    /// What the session's own policy leaves of the role's rights, where it has one.
    pub session_policy: Option<Arc<Policy>>,
}

impl From<&Session> for Caller {
    fn from(session: &Session) -> Self {
        Self {
            arn: session.arn.clone(),
            role: Some(session.role_arn.clone()),
            session_policy: session.policy.clone(),
        }
    }
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
    /// The session that the key belongs to is over.
    ExpiredToken,
    /// IAM does not allow the action on the resource.
    AccessDenied,
}

impl Code {
    /// As services name it that speak JSON: "Common Errors" of their API references.
    pub fn in_json(self) -> &'static str {
        match self {
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::AccessDenied => "AccessDeniedException",
        }
    }

    /// As services name it that speak the query protocol: "Common Errors" of their API references.
    pub fn in_query(self) -> &'static str {
        match self {
            Self::InvalidSignature => "SignatureDoesNotMatch",
            Self::UnknownKey => "InvalidClientTokenId",
            Self::ExpiredToken => "ExpiredToken",
            Self::AccessDenied => "AccessDenied",
        }
    }
}

/// Where a guard learns what the account's roles may do, and who acts as one of them.
pub trait Rights: Debug + Send + Sync + 'static {
    /// The session of a role that `access_key` belongs to, of those that STS has not issued: a function's.
    fn session<'a>(&'a self, access_key: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>>;

    /// The identity-based policies of a role.
    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>>;
}

/// Checks signatures, and what policies say.
#[derive(Clone, Debug)]
pub struct Guard {
    upstream: Upstream,
    rights: Arc<dyn Rights>,
    policies: Arc<Mutex<PoliciesByRole>>,
}

/// By role ARN, with the time they were read.
type PoliciesByRole = HashMap<String, (Instant, Arc<Vec<Policy>>)>;

impl Guard {
    /// A guard for the account behind `upstream`, whose roles have `rights`.
    pub fn new(upstream: Upstream, rights: impl Rights) -> Self {
        Self { upstream, rights: Arc::new(rights), policies: Arc::default() }
    }

    /// Reads every role's policies anew from now on. On AWS a change takes effect within seconds (IAM user guide,
    /// "Changes that I make are not always immediately visible"), here within ten, or at once with this.
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
        let (caller, credentials) = self.signer(signature.access_key, signature.token).await?;
        let (region, now) = (&self.upstream.region, self.upstream.clock.now());
        signature.verify(request, &credentials, region, service, now.into()).map_err(invalid)?;
        Ok(caller)
    }

    /// The principal that `access_key` and the session token with it belong to, and what it signs with: for a service that
    /// checks signatures of its own kind.
    ///
    /// # Errors
    /// Where the two do not belong to one another, or the session is over.
    pub async fn signer(
        &self,
        access_key: &str,
        token: Option<&str>,
    ) -> Result<(Caller, Credentials), Refusal> {
        let (caller, credentials) = self.owner(access_key).await?;
        if token != credentials.session_token() {
            return Err(unknown_key());
        }
        let now = SystemTime::from(self.upstream.clock.now());
        if credentials.expiry().is_some_and(|expiry| expiry <= now) {
            let message = "The security token included in the request is expired".to_owned();
            return Err(Refusal { code: Code::ExpiredToken, message });
        }
        Ok((caller, credentials))
    }

    /// Whether `caller` may do `action` (`ecs:CreateService`) on `resource` (an ARN, or `*`) under `context`.
    ///
    /// Only identity-based policies count: what is guarded here has no policies of its own, but for keys of KMS, whose own
    /// are taken to leave all to these (KMS developer guide, "Default key policy"), and for roles, whose trust STS reads
    /// beside [`Guard::decide`]; and a role with a permissions boundary is refused as not implemented.
    pub async fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Result<(), Refusal> {
        let reason = match self.decide(caller, action, resource, context).await? {
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

    /// What the caller's own policies say about it, for a resource that may have a policy too. A session with a policy of
    /// its own may do what both that and the role's allow.
    /// Source: IAM user guide, "Policies and permissions", session policies.
    ///
    /// # Errors
    /// Where they cannot be evaluated.
    pub async fn decide(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Result<Decision, Refusal> {
        let Some(role) = &caller.role else { return Ok(Decision::Allowed) };
        let cannot_tell = |error: String| {
            tracing::error!(caller = caller.arn, action, error, "a policy could not be evaluated");
            denied(format!("cannot tell whether {} may {action}: {error}", caller.arn))
        };
        let policies = self.policies(role).await.map_err(|error| cannot_tell(format!("{error:#}")))?;
        let context = self.with_global_keys(role, context);
        let request = policy::Request { action, resource, context: &context };
        let evaluate = |policies: &[Policy]| {
            policy::evaluate(policies, request).map_err(|error| cannot_tell(error.to_string()))
        };
        match (evaluate(&policies)?, &caller.session_policy) {
            (Decision::Allowed, Some(policy)) => evaluate(std::slice::from_ref(policy)),
            (decision, _) => Ok(decision),
        }
    }

    /// The principal that `access_key` belongs to, and the whole of its keys.
    async fn owner(&self, access_key: &str) -> Result<(Caller, Credentials), Refusal> {
        let root = &self.upstream.root;
        if access_key == root.access_key_id() {
            let arn = format!("arn:aws:iam::{}:root", self.upstream.account);
            return Ok((Caller { arn, role: None, session_policy: None }, root.clone()));
        }
        let session = match self.upstream.sessions.of_key(access_key) {
            Some(session) => session,
            None => self.session_of_function(access_key).await?,
        };
        Ok(((&session).into(), session.credentials))
    }

    /// The session of a function, which is kept with the others.
    async fn session_of_function(&self, access_key: &str) -> Result<Session, Refusal> {
        let session = self.rights.session(access_key).await.map_err(|error| {
            let error = format!("{error:#}");
            tracing::error!(error, "it could not be looked up who is calling");
            Refusal { code: Code::UnknownKey, message: format!("cannot look up the caller: {error}") }
        })?;
        let session = session.ok_or_else(unknown_key)?;
        self.upstream.sessions.add(session.clone());
        Ok(session)
    }

    async fn policies(&self, role_arn: &str) -> anyhow::Result<Arc<Vec<Policy>>> {
        let clock = self.upstream.clock;
        if let Some((read, policies)) = self.lock_policies().get(role_arn)
            && clock.instant() - *read < POLICIES_FRESH
        {
            return Ok(policies.clone());
        }
        let policies = Arc::new(self.rights.policies(role_arn).await?);
        self.lock_policies().insert(role_arn.to_owned(), (clock.instant(), policies.clone()));
        Ok(policies)
    }

    fn lock_policies(&self) -> std::sync::MutexGuard<'_, PoliciesByRole> {
        self.policies.lock().expect("no thread panics while it holds the policies")
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

fn denied(message: String) -> Refusal {
    Refusal { code: Code::AccessDenied, message }
}

fn unknown_key() -> Refusal {
    // What STS, EC2 and IAM say for InvalidClientTokenId and AuthFailure.
    Refusal {
        code: Code::UnknownKey,
        message: "The security token included in the request is invalid.".into(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use futures_util::FutureExt;

    use super::*;
    use crate::ministack::execution_session;

    const ROLE: &str = "arn:aws:iam::111122223333:role/Task";

    /// One role, which may stop tasks, and the function `task`, which acts as it.
    #[derive(Debug)]
    struct OneRole;

    impl Rights for OneRole {
        fn session<'a>(&'a self, access_key: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>> {
            let session = function();
            async move { Ok(Some(session).filter(|known| known.credentials.access_key_id() == access_key)) }
                .boxed()
        }

        fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>> {
            let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:StopTask","Resource":"*",
                "Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"},"ArnLike":{"aws:PrincipalArn":"*:*:*:*:*:role/T*"}}}}"#;
            async move {
                (role_arn == ROLE).then_some(()).context("no such role")?;
                Ok(vec![Policy::parse(document)?])
            }
            .boxed()
        }
    }

    fn function() -> Session {
        execution_session("111122223333", "task", "arn:f", ROLE)
    }

    #[tokio::test]
    async fn the_root_may_do_everything() {
        let guard = Guard::new(Upstream::nowhere(), OneRole);
        let (root, credentials) = guard.owner("AKIAROOT").await.expect("the root");
        let arn = "arn:aws:iam::111122223333:root".into();
        assert_eq!(root, Caller { arn, role: None, session_policy: None });
        assert_eq!(credentials.secret_access_key(), "root-secret");
        assert_eq!(guard.authorize(&root, "ec2:DeleteVpc", "*", &Context::new()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_session_of_a_role_is_recognised_and_bound_by_the_roles_policies() {
        let guard = Guard::new(Upstream::nowhere(), OneRole);
        let key = function().credentials;
        let (caller, _) = guard.owner(key.access_key_id()).await.expect("the session");
        assert_eq!(caller.role.as_deref(), Some(ROLE));
        assert_eq!(guard.owner("ASIAUNKNOWN").await, Err(unknown_key()));

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
    async fn a_session_with_a_policy_may_do_what_both_allow_until_it_is_over() {
        let upstream = Upstream::nowhere();
        let guard = Guard::new(upstream.clone(), OneRole);
        let session = |key: &str, actions: &str, left: i64| {
            let policy = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":{actions},"Resource":"*"}}}}"#
            );
            let expiry = upstream.clock.now() + jiff::SignedDuration::from_secs(left);
            let token = Some("token".to_owned());
            upstream.sessions.add(Session {
                credentials: Credentials::new(key, "secret", token, Some(expiry.into()), "test"),
                policy: Some(Arc::new(Policy::parse(&policy).expect("a policy"))),
                ..function()
            });
        };
        session("ASIALESS", r#""ecs:RunTask""#, 60);
        session("ASIASAME", r#"["ecs:RunTask", "ecs:StopTask"]"#, 60);
        session("ASIAOVER", r#""*""#, -1);
        for (key, action, allowed) in [
            ("ASIALESS", "ecs:StopTask", false),
            ("ASIALESS", "ecs:RunTask", false),
            ("ASIASAME", "ecs:StopTask", true),
            ("ASIASAME", "ecs:RunTask", false),
        ] {
            let (caller, _) = guard.signer(key, Some("token")).await.expect("the session");
            let answer = guard.authorize(&caller, action, "*", &Context::new()).await;
            assert_eq!(answer.is_ok(), allowed, "{key} {action}");
        }
        let refused = async |key, token| guard.signer(key, token).await.expect_err("refused").code;
        assert_eq!(refused("ASIAOVER", Some("token")).await, Code::ExpiredToken);
        assert_eq!(refused("ASIASAME", Some("another")).await, Code::UnknownKey);
        assert_eq!(refused("ASIASAME", None).await, Code::UnknownKey);
    }

    #[tokio::test]
    async fn a_role_whose_policies_cannot_be_read_may_do_nothing() {
        let role = Some("arn:aws:iam::111122223333:role/Gone".into());
        let caller = Caller { arn: "arn:x/y".into(), role, session_policy: None };
        let guard = Guard::new(Upstream::nowhere(), OneRole);
        let refusal =
            guard.authorize(&caller, "ecs:RunTask", "*", &Context::new()).await.expect_err("refused");
        assert_eq!(refusal.code, Code::AccessDenied);
    }
}
