//! HTTP as the worker speaks it: which URLs it calls, and what its failures mean.

use std::fmt;
use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use backon::{ExponentialBuilder, Retryable};
use futures_util::TryStreamExt;
use reqwest::redirect::{self, Policy};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;
use url::{Origin, Url};

/// A connection on which nothing moves for so long is given up.
const SILENCE: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
/// As many as reqwest follows by default.
const REDIRECTS: usize = 10;
/// More of an error's page is not read.
const ERROR_PAGE: u64 = 16 * 1024;
/// The most that is repeated of a server's words, in characters.
const WORDS_LIMIT: usize = 500;
/// The shortest run of letters and digits that is taken for a piece of a secret.
const SECRET_RUN: usize = 8;

/// The clients for files.
#[derive(Clone, Debug)]
pub struct Http {
    /// For downloads; follows redirects to places that are allowed.
    pub down: Client,
    /// For uploads; follows none, since a body that streams from disk cannot be sent twice.
    pub up: Client,
    plain: PlainHttp,
}

impl Http {
    /// `endpoint` is the local cloud's, whose origin may be called in plain http.
    pub fn new(endpoint: Option<&Url>) -> anyhow::Result<Self> {
        let plain = PlainHttp(endpoint.map(Url::origin));
        // A proxy that the user's environment names is for the command.
        // The place that a redirect leads to must not learn from Referer what the first URL was signed with.
        let client =
            || Client::builder().no_proxy().referer(false).connect_timeout(CONNECT).tcp_user_timeout(SILENCE);
        let allowed = plain.clone();
        let policy = Policy::custom(move |attempt| follow(attempt, &allowed));
        Ok(Self {
            down: client().redirect(policy).read_timeout(SILENCE).build()?,
            // A read timeout would also count the time of sending; TCP's own covers that.
            up: client().redirect(Policy::none()).build()?,
            plain,
        })
    }

    /// Parses `url` and refuses it unless it is https, or plain http to the local cloud.
    pub fn parse(&self, url: &str) -> Result<Url, Trouble> {
        let url =
            Url::parse(url).map_err(|error| Trouble::Definite(format!("its URL is malformed: {error}")))?;
        if self.plain.allows(&url) {
            return Ok(url);
        }
        Err(Trouble::Definite(format!("{} is refused: only https is allowed", place(&url))))
    }
}

/// The one origin that may be called in plain http, if any.
#[derive(Clone, Debug)]
struct PlainHttp(Option<Origin>);

impl PlainHttp {
    fn allows(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.0.as_ref() == Some(&url.origin()))
    }
}

fn follow(attempt: redirect::Attempt<'_>, plain: &PlainHttp) -> redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if !plain.allows(attempt.url()) {
        let refusal = format!("a redirect to {} is refused: only https is allowed", place(attempt.url()));
        return attempt.error(refusal);
    }
    attempt.follow()
}

/// `url` without what may be secret: the query holds the signature.
pub fn place(url: &Url) -> String {
    let mut place = url.clone();
    place.set_query(None);
    place.set_fragment(None);
    // Fails only for URLs without a host, which have neither.
    let _ = place.set_username("");
    let _ = place.set_password(None);
    place.to_string()
}

/// Whether `url` carries a signature that fresh ones can replace.
/// Source: S3 API Reference, "Authenticating Requests: Using Query Parameters".
pub fn is_signed(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| name == "X-Amz-Signature")
}

/// Why a transfer did not succeed.
#[derive(Debug)]
pub enum Trouble {
    /// A signature was refused; a fresh one may help.
    Expired(String),
    /// Another try may help.
    Transient(String),
    /// No other try will help.
    Definite(String),
    /// The file could not be written or read.
    Disk(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(message) | Self::Transient(message) | Self::Definite(message) => {
                f.write_str(message)
            }
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        let is_definite = error.is_redirect() || error.is_builder();
        // reqwest's own message ends with the URL and its query.
        let message = format!("{:#}", anyhow::Error::from(error.without_url()));
        if is_definite { Self::Definite(message) } else { Self::Transient(message) }
    }
}

impl Trouble {
    /// What an answer that is no success means. `secrets` are what the request was signed with, which an answer may
    /// repeat.
    pub async fn of(response: Response, secrets: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let status = response.status();
        let url = response.url().clone();
        let error = S3Error::read(response).await;
        let redirected = url.query_pairs().map(|(_, value)| value.into_owned());
        let secrets: Vec<_> = secrets.map(|secret| secret.as_ref().to_owned()).chain(redirected).collect();
        let error = error.without(&secrets);
        let code = error.code.as_deref().unwrap_or_default();
        let message = match &error {
            S3Error { code: Some(code), message: Some(message) } => {
                format!("HTTP {status} ({code}: {message})")
            }
            S3Error { code: Some(code), message: None } => format!("HTTP {status} ({code})"),
            S3Error { code: None, .. } => format!("HTTP {status}"),
        };
        // S3 says 403 to a dead signature or policy and 400 to dead credentials, and 400 to a request that stalled.
        // Source: S3 API Reference, "Error responses".
        if status == StatusCode::FORBIDDEN || code == "ExpiredToken" {
            return Self::Expired(message);
        }
        let is_transient = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || code == "RequestTimeout";
        if is_transient { Self::Transient(message) } else { Self::Definite(message) }
    }

    /// Whether another try may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

/// The document that S3 answers with.
/// Source: S3 API Reference, "Error responses", "REST error responses".
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Error {
    code: Option<String>,
    message: Option<String>,
}

impl S3Error {
    /// Empty where the server is not S3, or the document does not arrive.
    async fn read(response: Response) -> Self {
        let mut page = Vec::new();
        let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        if body.take(ERROR_PAGE).read_to_end(&mut page).await.is_err() {
            return Self::default();
        }
        quick_xml::de::from_reader(page.as_slice()).unwrap_or_default()
    }

    /// What of it tells none of `secrets`, at a length that fits into a report.
    fn without(self, secrets: &[String]) -> Self {
        // However a secret is encoded, its runs of letters and digits stay as they are. Shorter ones are words.
        let runs: Vec<&str> = secrets
            .iter()
            .flat_map(|secret| secret.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|run| run.len() >= SECRET_RUN)
            .collect();
        let harmless = |text: String| {
            let tells = runs.iter().any(|run| text.contains(run));
            (!tells).then(|| text.chars().take(WORDS_LIMIT).collect())
        };
        Self { code: self.code.and_then(harmless), message: self.message.and_then(harmless) }
    }
}

/// The ARN of the task that this container belongs to.
/// Source: ECS developer guide, "Task metadata endpoint version 4 for tasks on Fargate", `${ECS_CONTAINER_METADATA_URI_V4}/task`;
/// it is link-local and speaks plain http.
pub async fn task_arn(metadata_url: &Url) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Task {
        #[serde(rename = "TaskARN")]
        task_arn: String,
    }
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(CONNECT).build()?;
    let url = format!("{}/task", metadata_url.as_str().trim_end_matches('/'));
    let ask = async || {
        let response = client.get(&url).send().await?.error_for_status()?;
        let task: Task = serde_json::from_slice(&response.bytes().await?).context("the task's metadata")?;
        if task.task_arn.is_empty() {
            bail!("the task's metadata has no ARN yet");
        }
        Ok(task.task_arn)
    };
    ask.retry(ExponentialBuilder::new().with_jitter().with_max_times(7)).await
}
