//! The environment of a step: settings, clients, clock and random numbers. A step is handed all of them and asks for
//! nothing by itself, so that a test or a simulator decides.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use jiff::Timestamp;

use crate::http::Http;
use crate::sdk::{self, SdkConfig};
use crate::variables::read;

/// Settings, the configuration of clients, time and randomness of one execution environment.
#[derive(Debug)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    sdk: SdkConfig,
    http: Http,
    clock: Clock,
    randomness: Randomness,
}

impl Environment {
    /// Lambda's own: the process's variables, the machine's clock and its random numbers.
    ///
    /// # Errors
    /// Where a variable that Lambda sets is absent, or TLS cannot be set up.
    pub fn of_lambda(sdk_retries: bool) -> Result<Self, String> {
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        let http = sdk::http_connector(variables.get("AWS_CA_BUNDLE").map(String::as_str))?;
        Self::new(variables, http, Clock::default(), Randomness::default(), sdk_retries)
    }

    /// One with these variables, in which the SDK's clients call through `http`. `sdk_retries` is the step's
    /// [`SDK_RETRIES`](crate::Step::SDK_RETRIES).
    ///
    /// # Errors
    /// Where a variable that Lambda sets is absent.
    pub fn new(
        variables: BTreeMap<String, String>,
        http: SharedHttpConnector,
        clock: Clock,
        randomness: Randomness,
        sdk_retries: bool,
    ) -> Result<Self, String> {
        let connector = http.clone();
        let client = http_client_fn(move |_, _| connector.clone());
        let sdk = sdk::config(&variables, client, clock.0.clone(), sdk_retries)?;
        Ok(Self { variables, sdk, http: Http(http), clock, randomness })
    }

    /// What the variable `name` says, which the template sets.
    ///
    /// # Errors
    /// When it is absent or cannot be read as `T`; the message names the variable.
    pub fn setting<T>(&self, name: &str) -> Result<T, String>
    where
        T: FromStr,
        T::Err: Display,
    {
        read(&self.variables, name)
    }

    /// What the variable `name` says as a list of words between commas; empty where it is empty.
    ///
    /// # Errors
    /// When it is absent.
    pub fn list_setting(&self, name: &str) -> Result<Vec<String>, String> {
        let value: String = self.setting(name)?;
        Ok(value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    /// Where a service is, if not at AWS: what a local cloud says of this one (`S3`), or of all.
    /// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
    pub fn endpoint(&self, service: &str) -> Option<&str> {
        let own = self.variables.get(&format!("AWS_ENDPOINT_URL_{service}"));
        own.map(String::as_str).or_else(|| self.sdk.endpoint_url())
    }

    /// What clients of the SDK are made with.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// What gets what a service has given a URL of.
    pub fn http(&self) -> Http {
        self.http.clone()
    }

    /// What time it is.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Numbers that nobody can guess.
    pub fn randomness(&self) -> Randomness {
        self.randomness.clone()
    }
}

/// The one clock of a step and of its SDK clients; by itself the machine's.
#[derive(Clone, Debug, Default)]
pub struct Clock(SharedTimeSource);

impl Clock {
    /// The clock that `source` reads.
    pub fn new(source: impl TimeSource + 'static) -> Self {
        Self(SharedTimeSource::new(source))
    }

    /// What time it is now.
    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.0.now()).unwrap_or(Timestamp::MAX)
    }
}

/// Writes random bytes over what it is given.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// Where a step takes secrets and ids from; by itself the operating system's random numbers.
#[derive(Clone)]
pub struct Randomness(Arc<Fill>);

impl Randomness {
    /// Random bytes as `fill` writes them.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// As many random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl Default for Randomness {
    fn default() -> Self {
        Self::new(|bytes| rand::fill(bytes))
    }
}

impl Debug for Randomness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
