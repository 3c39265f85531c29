//! What the stand-ins' tests have in common: an account with one role, and clients in it.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::server::{Service, in_process};
use local_aws::upstream::{Session, Upstream};
use mayfly_lambda::SdkConfig;
use serde_json::{Value, json};

use crate::json::Surroundings;

pub const REGION: &str = "eu-central-1";
pub const ACCOUNT: &str = "123456789012";
/// The role of the tests.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/Function";

/// The account.
pub struct Bench {
    pub around: Surroundings,
}

impl Bench {
    /// One whose role has a policy of `statements`.
    pub fn new(statements: &Value) -> Self {
        Self::seeded(0, statements)
    }

    /// The same, with what follows from `seed`.
    pub fn seeded(seed: u64, statements: &Value) -> Self {
        let start = "2026-01-02T03:04:05Z".parse().expect("a time");
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at(start);
        let root = Credentials::from_keys("AKIAROOT", "secret", None);
        let upstream = Upstream::new(REGION, ACCOUNT, root, clock, Random::seeded(seed));
        let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let policy = Policy::parse(&document).expect("a policy");
        let guard = Guard::new(upstream.clone(), OneRole(policy));
        Self { around: Surroundings { upstream, guard, calls: CallLog::new(clock) } }
    }

    /// For clients of `service` that act as the account's root.
    pub fn root(&self, service: impl Service) -> SdkConfig {
        self.client(service, self.around.upstream.root.clone())
    }

    /// For clients of `service` that act as the role.
    pub fn role(&self, service: impl Service) -> SdkConfig {
        self.client(service, session().credentials)
    }

    /// For clients of `service` that sign with `keys`.
    pub fn client(&self, service: impl Service, keys: Credentials) -> SdkConfig {
        let mut config = self.around.upstream.root_config().into_builder();
        config.set_endpoint_url(None);
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(keys)));
        config.http_client(in_process(service)).build()
    }

    /// The calls so far: action, resource, outcome.
    pub fn calls(&self) -> Vec<[String; 3]> {
        let calls = self.around.calls.snapshot().into_iter();
        calls.map(|call| [call.action, call.resource, call.outcome]).collect()
    }
}

/// The role, and its policy.
#[derive(Debug)]
struct OneRole(Policy);

impl Rights for OneRole {
    fn session<'a>(&'a self, access_key: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>> {
        let known = Some(session()).filter(|known| known.credentials.access_key_id() == access_key);
        async move { Ok(known) }.boxed()
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>> {
        let policies = Vec::from_iter((role_arn == ROLE).then(|| self.0.clone()));
        async move { Ok(policies) }.boxed()
    }
}

fn session() -> Session {
    Session {
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/Function/run"),
        role_arn: ROLE.to_owned(),
        name: "run".to_owned(),
        credentials: Credentials::from_keys("ASIAROLE", "secret", Some("token".to_owned())),
        policy: None,
    }
}
