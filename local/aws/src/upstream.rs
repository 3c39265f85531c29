//! The way to MiniStack and to the stand-ins, as the account's root or as a role.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::clock::Clock;
use crate::policy::Policy;
use crate::random::Random;

/// A session is not handed out any more when this little of its life is left.
const NEAR_EXPIRY: Duration = Duration::from_mins(5);

/// What surrounds each stand-in: where the other services are, the account that all serve, its time and its randomness.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// MiniStack's origin, `http://127.0.0.1:PORT`; every service but the seven below.
    pub ministack: String,
    /// The EC2 stand-in's origin.
    pub ec2: String,
    /// The ECS stand-in's origin.
    pub ecs: String,
    /// The ECR stand-in's origin.
    pub ecr: String,
    /// The Elastic Load Balancing stand-in's origin.
    pub elb: String,
    /// The S3 stand-in's origin.
    pub s3: String,
    /// The Step Functions stand-in's origin.
    pub states: String,
    /// The STS stand-in's origin.
    pub sts: String,
    /// The Region that everything is in.
    pub region: String,
    /// The twelve digits of the account.
    pub account: String,
    /// The root's keys, the ones a person at this laptop uses.
    pub root: Credentials,
    /// The role sessions issued so far.
    pub sessions: Sessions,
    /// The account's time.
    pub clock: Clock,
    /// What ids and delays are drawn from.
    pub random: Random,
    /// Whether public addresses are listened at: they are this machine's. Else nobody outside calls what is in this cloud.
    pub is_public: bool,
    /// What requests go through: plain HTTP over TCP, unless something else is put here.
    pub http: SharedHttpClient,
}

/// The sessions of roles that [`Upstream::role_config`] has been given by STS. Clones share them.
#[derive(Clone, Debug)]
pub struct Sessions {
    clock: Clock,
    issued: Arc<Mutex<Vec<Session>>>,
}

/// One session of a role.
#[derive(Clone, Debug)]
pub struct Session {
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The role's own ARN.
    pub role_arn: String,
    /// The last part of `arn`.
    pub name: String,
    /// What the session's holder signs with.
    pub credentials: Credentials,
    /// What the session may do of what its role may, where that is not all.
    pub policy: Option<Arc<Policy>>,
}

impl Sessions {
    /// No sessions; they expire by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, issued: Arc::default() }
    }

    /// The session that `access_key` belongs to, which may be over.
    pub(crate) fn of_key(&self, access_key: &str) -> Option<Session> {
        self.find(|session| session.credentials.access_key_id() == access_key)
    }

    /// A session that lives on for a while, and may do all that its role may.
    fn of_role(&self, role_arn: &str, name: &str) -> Option<Session> {
        let deadline = SystemTime::from(self.clock.now()) + NEAR_EXPIRY;
        self.find(|session| {
            let alive = session.credentials.expiry().is_none_or(|expiry| expiry > deadline);
            alive && session.policy.is_none() && session.role_arn == role_arn && session.name == name
        })
    }

    /// The youngest session that fits.
    fn find(&self, fits: impl Fn(&Session) -> bool) -> Option<Session> {
        let sessions = self.issued.lock().expect("no thread panics while it holds the sessions");
        sessions.iter().rev().find(|session| fits(session)).cloned()
    }

    /// Makes the session known.
    pub fn add(&self, session: Session) {
        self.issued.lock().expect("no thread panics while it holds the sessions").push(session);
    }
}

impl Upstream {
    /// An account without services.
    pub fn new(region: &str, account: &str, root: Credentials, clock: Clock, random: Random) -> Self {
        Self {
            ministack: String::new(),
            ec2: String::new(),
            ecr: String::new(),
            ecs: String::new(),
            elb: String::new(),
            s3: String::new(),
            states: String::new(),
            sts: String::new(),
            region: region.to_owned(),
            account: account.to_owned(),
            root,
            sessions: Sessions::new(clock),
            clock,
            random,
            is_public: true,
            // The SDK's default client would load certificates and follow HTTP_PROXY, which may not exempt the loopback.
            http: aws_smithy_http_client::Builder::new().build_http(),
        }
    }

    /// Configuration for clients that act as the account's root: MiniStack for all services. Nothing is read from
    /// the environment or from files.
    pub fn root_config(&self) -> SdkConfig {
        self.config(self.root.clone())
    }

    /// Configuration for clients that act as `role_arn`, through STS `AssumeRole`. Credentials are kept until they
    /// are about to expire.
    ///
    /// # Errors
    /// When STS refuses, for example because the role is gone.
    pub async fn role_config(&self, role_arn: &str, session_name: &str) -> anyhow::Result<SdkConfig> {
        Ok(self.session_config(&self.role_session(role_arn, session_name).await?))
    }

    /// The same of a session.
    pub fn session_config(&self, session: &Session) -> SdkConfig {
        self.config(session.credentials.clone())
    }

    /// The keys of a session of `role_arn`, for a program that is to act as the role (a task's credentials endpoint).
    ///
    /// # Errors
    /// As [`Upstream::role_config`].
    pub async fn role_credentials(&self, role_arn: &str, session_name: &str) -> anyhow::Result<Credentials> {
        Ok(self.role_session(role_arn, session_name).await?.credentials)
    }

    /// The session of `role_arn` itself, for what asks what the role may do.
    ///
    /// # Errors
    /// As [`Upstream::role_config`].
    pub async fn role_session(&self, role_arn: &str, session_name: &str) -> anyhow::Result<Session> {
        match self.sessions.of_role(role_arn, session_name) {
            Some(session) => Ok(session),
            None => self.assume(role_arn, session_name).await,
        }
    }

    async fn assume(&self, role_arn: &str, session_name: &str) -> anyhow::Result<Session> {
        // MiniStack's trust evaluation lets the root stand for any service that the role's trust policy names.
        let answer = aws_sdk_sts::Client::new(&self.root_config())
            .assume_role()
            .role_arn(role_arn)
            .role_session_name(session_name)
            .send()
            .await
            .with_context(|| format!("cannot assume {role_arn}"))?;
        let keys = answer.credentials.with_context(|| format!("STS gave no keys for {role_arn}"))?;
        let user = answer.assumed_role_user.with_context(|| format!("STS named no session of {role_arn}"))?;
        let session = Session {
            arn: user.arn,
            role_arn: role_arn.to_owned(),
            name: session_name.to_owned(),
            credentials: Credentials::new(
                keys.access_key_id,
                keys.secret_access_key,
                Some(keys.session_token),
                Some(SystemTime::try_from(keys.expiration).context("STS gave an impossible expiration")?),
                "local cloud",
            ),
            policy: None,
        };
        self.sessions.add(session.clone());
        Ok(session)
    }

    fn config(&self, credentials: Credentials) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.ministack)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.http.clone())
            .time_source(self.clock)
            // A retry would hide a failure that the caller's own rules (a machine's Retry, a rule's) have to see.
            .retry_config(RetryConfig::disabled())
            .build()
    }
}

#[cfg(test)]
impl Upstream {
    /// An upstream with nothing behind it.
    pub(crate) fn nowhere() -> Self {
        use crate::clock::TimeScale;

        let root = Credentials::from_keys("AKIAROOT", "root-secret", None);
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL);
        Self {
            ministack: "http://127.0.0.1:9".into(),
            ..Self::new("eu-west-1", "111122223333", root, clock, Random::seeded(0))
        }
    }
}
