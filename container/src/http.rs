//! HTTP as the worker speaks it: which URLs it calls, and what its failures mean.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::str;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};
use futures_util::TryStreamExt;
use mayfly_model::shown::shown;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, IF_MATCH, IF_RANGE, LOCATION, RANGE,
    RETRY_AFTER, SET_COOKIE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};
use tokio_util::io::StreamReader;
use tracing::info;
use url::{Origin, Url};

use crate::trust::Trust;

/// Who calls. Some servers refuse whoever does not say so.
/// Source: RFC 9110, 10.1.5; Wikimedia Foundation User-Agent Policy.
const USER_AGENT: &str = concat!("mayfly-worker/", env!("CARGO_PKG_VERSION"));

/// A connection on which nothing moves for so long is given up.
const SILENCE: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
/// As many as reqwest follows by default, and half as many as browsers.
const REDIRECTS: usize = 10;
/// More of an error's page is not read, and for no longer.
const ERROR_PAGE: u64 = 16 * 1024;
const ERROR_PAGE_TIME: Duration = Duration::from_secs(5);
/// The most that is repeated of a server's words, in characters.
const WORDS_LIMIT: usize = 500;
/// The shortest run of letters and digits that is taken for a piece of a secret.
const SECRET_RUN: usize = 8;

/// The clients for files.
#[derive(Clone, Debug)]
pub struct Http {
    /// For what comes back, be it a file or an answer.
    pub down: Client,
    /// For uploads; follows no redirects, since a body that streams from disk cannot be sent twice.
    pub up: Client,
    plain: PlainHttp,
}

impl Http {
    /// `endpoints` are a local cloud's, whose origins may be called in plain http.
    pub fn new<'a>(trust: &Trust, endpoints: impl IntoIterator<Item = &'a Url>) -> anyhow::Result<Self> {
        let plain = PlainHttp(endpoints.into_iter().map(Url::origin).collect());
        // A proxy that the user's environment names is for the command.
        let client = || {
            let client = Client::builder().user_agent(USER_AGENT).no_proxy().redirect(Policy::none());
            trust.files(client.connect_timeout(CONNECT).tcp_user_timeout(SILENCE))
        };
        Ok(Self {
            down: client()?.read_timeout(SILENCE).build()?,
            // A read timeout would also count the time of sending; TCP's own covers that.
            up: client()?.build()?,
            plain,
        })
    }

    /// Asks for the file at `url`, or for a part of it; and, where `version` is its entity tag, for that version and no other.
    /// Follows redirects to places that are allowed. Tells besides what of the requests was secret.
    ///
    /// Cookies that are set on the way are sent back on the way, and then forgotten: without, some servers redirect for
    /// ever.
    pub async fn get(
        &self,
        url: &Url,
        wanted: &Wanted<'_>,
        version: Option<&HeaderValue>,
    ) -> Result<(Response, Vec<String>), Trouble> {
        let (mut cookies, mut secrets) = (Cookies::default(), Vec::new());
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            // Without a Referer: the place that a redirect leads to must not learn what the first URL was signed with.
            let mut request = self.down.get(url.clone());
            // Source: RFC 9110, 13.1 and 14.2.
            request = match wanted {
                Wanted::Whole => request,
                Wanted::Rest(bytes, tag) => {
                    request.header(RANGE, format!("bytes={bytes}-")).header(IF_RANGE, *tag)
                }
                Wanted::Range(range) => {
                    request.header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
                }
            };
            if let Some(version) = version {
                request = request.header(IF_MATCH, version);
            }
            if let Some(cookies) = cookies.of(&url) {
                request = request.header(COOKIE, &cookies);
                secrets.push(cookies);
            }
            secrets.extend(secrets_of(&url));
            let response = request.send().await?;
            let Some(next) = redirected(&response) else { return Ok((response, secrets)) };
            cookies.keep(&url, response.headers());
            if !self.plain.allows(&next) {
                let refusal = format!("a redirect to {} is refused: only https is allowed", place(&next));
                return Err(Trouble::Definite(refusal));
            }
            url = next;
        }
        Err(Trouble::Definite(format!("more than {REDIRECTS} redirects, the last one to {}", place(&url))))
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

/// What is asked for of a file.
#[derive(Debug)]
pub enum Wanted<'a> {
    /// All of it.
    Whole,
    /// What follows its first so many bytes, if it still is the one with this entity tag; else all of it.
    Rest(u64, &'a HeaderValue),
    /// These bytes.
    Range(Range<u64>),
}

/// The origins that may be called in plain http, if any.
#[derive(Clone, Debug)]
struct PlainHttp(Vec<Origin>);

impl PlainHttp {
    fn allows(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.0.contains(&url.origin()))
    }
}

/// Where `response` redirects to, if it does.
/// Source: RFC 9110, 15.4.
fn redirected(response: &Response) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    response.url().join(str::from_utf8(location.as_bytes()).ok()?).ok()
}

/// Cookies by origin and name. Each goes back to the very origin that has set it and nowhere else, whatever its attributes
/// allow: that is enough for who wants to see whether it comes back.
/// Source: RFC 6265, 5.4.
#[derive(Default)]
struct Cookies(BTreeMap<(String, String), String>);

impl Cookies {
    /// Remembers those that an answer from `url` sets.
    fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        let origin = url.origin().ascii_serialization();
        let set = headers.get_all(SET_COOKIE).iter();
        for (name, value) in set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next()?.split_once('='))
        {
            self.0.insert((origin.clone(), name.trim().to_owned()), value.trim().to_owned());
        }
    }

    /// What `url`'s origin gets back, if anything.
    fn of(&self, url: &Url) -> Option<String> {
        let origin = url.origin().ascii_serialization();
        let own = self.0.iter().filter(|((of, _), _)| *of == origin);
        let pairs: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// What of `url` a server may repeat and nobody else may.
pub fn secrets_of(url: &Url) -> Vec<String> {
    let raw = url.query().unwrap_or_default().split('&');
    let raw = raw.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    // A query without names is a value.
    let decoded =
        url.query_pairs().map(|(name, value)| if value.is_empty() { name } else { value }.into_owned());
    let user = [url.username(), url.password().unwrap_or_default()].map(str::to_owned);
    raw.chain(decoded).chain(user).collect()
}

/// `url` without what may be secret: the query holds the signature.
pub fn place(url: &Url) -> String {
    let mut place = url.clone();
    place.set_query(None);
    place.set_fragment(None);
    shown(place.as_str())
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
    /// The same, but not before this time has passed.
    Busy(String, Duration),
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
            Self::Busy(message, wait) => write!(f, "{message}; it asks to wait {} s", wait.as_secs()),
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
        let is_definite = error.is_builder();
        // reqwest's own message ends with the URL and its query.
        let message = line(&format!("{:#}", anyhow::Error::from(error.without_url())));
        if is_definite { Self::Definite(message) } else { Self::Transient(message) }
    }
}

impl Trouble {
    /// What an answer that is no success means. `secrets` are what the request was signed with, which an answer may
    /// repeat.
    pub async fn of(response: Response, secrets: Vec<String>) -> Self {
        let status = response.status();
        let wait = retry_after(status, response.headers());
        let reason = Reason::read(response).await.without(&secrets);
        let code = reason.code.as_deref().unwrap_or_default();
        let message = match (&reason.code, &reason.message) {
            (Some(code), Some(message)) => format!("HTTP {status} ({code}: {message})"),
            (Some(words), None) | (None, Some(words)) => format!("HTTP {status} ({words})"),
            (None, None) => format!("HTTP {status}"),
        };
        if let Some(wait) = wait {
            return Self::Busy(message, wait);
        }
        // S3 says 403 to a dead signature or policy and 400 to dead credentials, and 400 to a request that stalled. It
        // says 403 to a good signature, too, where the object is archived.
        // Source: S3 API Reference, "Error responses".
        if (status == StatusCode::FORBIDDEN && code != "InvalidObjectState") || code == "ExpiredToken" {
            return Self::Expired(message);
        }
        let is_transient = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || code == "RequestTimeout";
        if is_transient { Self::Transient(message) } else { Self::Definite(message) }
    }
}

/// How long a busy server wants to be left alone.
/// Source: RFC 9110, 10.2.3 and 15.6.4; RFC 6585, 4.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The tries of one transfer.
#[derive(Debug)]
pub struct Tries {
    backoff: ExponentialBuilder,
    delays: ExponentialBackoff,
    began: Instant,
    time: Duration,
}

impl Tries {
    /// As many as `backoff` says, within `time`.
    pub fn new(backoff: ExponentialBuilder, time: Duration) -> Self {
        Self { backoff, delays: backoff.build(), began: Instant::now(), time }
    }

    /// As many again, within the same time.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { delays: self.backoff.build(), began: self.began, ..*self }
    }

    /// Counts from the first again, for a transfer that has got further.
    pub fn renew(&mut self) {
        self.delays = self.backoff.build();
    }

    /// Waits before the next try of the transfer with `url`.
    ///
    /// # Errors
    /// Where another try will not help, or there is none: `trouble`.
    pub async fn wait(&mut self, url: &Url, trouble: Trouble) -> Result<(), Trouble> {
        let least = match &trouble {
            Trouble::Transient(_) => Duration::ZERO,
            Trouble::Busy(_, wait) => *wait,
            Trouble::Expired(_) | Trouble::Definite(_) | Trouble::Disk(_) => return Err(trouble),
        };
        // Nobody pays for a wait that cannot help.
        let left = self.time.saturating_sub(self.began.elapsed());
        if least > left {
            let left = left.as_secs();
            return Err(Trouble::Definite(format!("{trouble}, and timeoutMinutes leaves {left} s")));
        }
        let Some(delay) = self.delays.next() else { return Err(trouble) };
        let delay = delay.max(least);
        info!(place = place(url), "transfer failed, trying again in {} s: {trouble}", delay.as_secs());
        sleep(delay).await;
        Ok(())
    }
}

/// The words of another on one line, of a length that fits into a report. Of each word is shown what may be: a server may
/// name other URLs than those that it was asked for.
fn line(words: &str) -> String {
    let line = words.split_whitespace().map(shown).collect::<Vec<_>>().join(" ");
    line.chars().take(WORDS_LIMIT).collect()
}

/// Why a server refuses, in its own words.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reason {
    code: Option<String>,
    message: Option<String>,
}

impl Reason {
    /// From the document that S3 answers with, or from plain text; empty where the page is neither, or does not arrive.
    /// Source: S3 API Reference, "Error responses", "REST error responses".
    async fn read(response: Response) -> Self {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_plain = kind.to_ascii_lowercase().starts_with("text/plain");
        let mut page = Vec::new();
        let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        // What has arrived of a text is worth reading.
        let _ = timeout(ERROR_PAGE_TIME, body.take(ERROR_PAGE).read_to_end(&mut page)).await;
        if is_plain {
            return Self { code: None, message: Some(String::from_utf8_lossy(&page).into_owned()) };
        }
        quick_xml::de::from_reader(page.as_slice()).unwrap_or_default()
    }

    /// What of it tells none of `secrets`.
    fn without(self, secrets: &[String]) -> Self {
        // However a secret is encoded, its runs of letters and digits stay as they are. Shorter ones are words.
        let runs: Vec<&str> = secrets
            .iter()
            .flat_map(|secret| secret.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|run| run.len() >= SECRET_RUN)
            .collect();
        let harmless = |text: String| {
            let tells = runs.iter().any(|run| text.contains(run));
            Some(line(&text)).filter(|line| !tells && !line.is_empty())
        };
        Self { code: self.code.and_then(harmless), message: self.message.and_then(harmless) }
    }
}

/// The ARN of the task that this container belongs to.
/// Source: ECS developer guide, "Task metadata endpoint version 4 for tasks on Fargate", `${ECS_CONTAINER_METADATA_URI_V4}/task`;
/// it is link-local and speaks plain http.
///
/// # Errors
/// Where `backoff` has no more tries. The URL, which nobody but the worker may know, is not told.
pub async fn task_arn(
    trust: &Trust,
    metadata_url: &Url,
    backoff: ExponentialBuilder,
) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Task {
        #[serde(rename = "TaskARN")]
        task_arn: String,
    }
    // A client wants authorities even where nothing is encrypted.
    let client =
        trust.files(Client::builder())?.no_proxy().redirect(Policy::none()).timeout(CONNECT).build()?;
    let url = format!("{}/task", metadata_url.as_str().trim_end_matches('/'));
    let ask = async || {
        let response = client.get(&url).send().await.and_then(Response::error_for_status);
        let response = response.map_err(reqwest::Error::without_url)?;
        let task: Task =
            serde_json::from_slice(&response.bytes().await.map_err(reqwest::Error::without_url)?)
                .context("the task's metadata")?;
        if task.task_arn.is_empty() {
            bail!("the task's metadata has no ARN yet");
        }
        Ok(task.task_arn)
    };
    ask.retry(backoff).await
}

/// Which part of which length `response` is; empty where it is the whole. Source: RFC 9110, 14.4.
pub fn content_range(response: &Response) -> &str {
    let range =
        response.headers().get(CONTENT_RANGE).filter(|_| response.status() == StatusCode::PARTIAL_CONTENT);
    range.and_then(|range| range.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_back_to_the_origin_that_has_set_it_and_nowhere_else() {
        let url = |url: &str| Url::parse(url).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("a=1; Domain=example.com; Path=/in"));
        headers.append(SET_COOKIE, HeaderValue::from_static("b = 2=2"));
        let mut cookies = Cookies::default();
        cookies.keep(&url("https://a.example.com/in"), &headers);
        assert_eq!(cookies.of(&url("https://a.example.com:443/out")).as_deref(), Some("a=1; b=2=2"));
        for other in ["https://example.com/in", "https://b.example.com/in", "https://a.example.com:8443/in"] {
            assert_eq!(cookies.of(&url(other)), None);
        }
        assert_eq!(cookies.of(&url("http://a.example.com/in")), None);
    }
}
