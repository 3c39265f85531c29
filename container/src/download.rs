//! Downloads a file, going on where a broken connection left off; a large one from S3 in ranges, side by side.

use std::fs::File;
use std::io::SeekFrom;

use reqwest::header::{ACCEPT_RANGES, ETAG, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};
use url::Url;

use crate::http::{Http, Tries, Trouble, Wanted, content_range, is_signed};
use crate::ranges::Ranges;

const BUFFER: usize = 1024 * 1024;

/// A file of which some may have arrived.
#[derive(Debug)]
pub struct Partial {
    file: BufWriter<tokio::fs::File>,
    written: u64,
    /// The most that was ever written, so that a try is only called a success if it gets further.
    furthest: u64,
    /// What tells the object from a later one in its place: the strong entity tag.
    tag: Option<HeaderValue>,
    /// The entity tag of the one version that is wanted.
    version: Option<HeaderValue>,
    /// Of an object that comes in ranges, what has arrived; it is in none of the other fields until all has.
    ranges: Option<Ranges>,
}

impl Partial {
    /// Nothing of `file` has arrived.
    pub fn new(file: File) -> Self {
        let file = BufWriter::with_capacity(BUFFER, tokio::fs::File::from_std(file));
        Self { file, written: 0, furthest: 0, tag: None, version: None, ranges: None }
    }

    /// The same, for the version that has this entity tag and no other.
    pub fn of_version(file: File, tag: HeaderValue) -> Self {
        Self { version: Some(tag), ..Self::new(file) }
    }

    /// How many bytes have arrived.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// The most that has ever arrived, in bytes; a file that changes on its way begins again.
    pub fn furthest(&self) -> u64 {
        self.furthest.max(self.ranges.as_ref().map_or(0, Ranges::bytes))
    }

    /// Forgets what has arrived.
    async fn restart(&mut self) -> Result<(), Trouble> {
        self.furthest = self.furthest();
        if self.ranges.take().is_none() && self.written == 0 {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(0)).await?;
        self.file.get_ref().set_len(0).await?;
        (self.written, self.tag) = (0, None);
        Ok(())
    }

    /// Whether `response` begins where the very object has broken off whose beginning has arrived.
    fn goes_on_with(&self, response: &Response) -> bool {
        let is_next = content_range(response).starts_with(&format!("bytes {}-", self.written));
        is_next && self.tag.is_some() && response.headers().get(ETAG) == self.tag.as_ref()
    }
}

/// The length of the whole that `response` is a part of, where it says that.
fn whole_length(response: &Response) -> Option<u64> {
    content_range(response).rsplit_once('/')?.1.parse().ok()
}

/// Brings what is missing of `partial` from `url`. `progress` is told the bytes that have arrived and the total, where
/// the server says it.
///
/// Each connection that brings nothing uses up one of `tries`; one that brings something renews them.
pub async fn fetch(
    http: &Http,
    url: &Url,
    partial: &mut Partial,
    mut tries: Tries,
    progress: impl Fn(u64, Option<u64>),
) -> Result<(), Trouble> {
    loop {
        let before = partial.furthest();
        let begun = match &partial.ranges {
            Some(_) => Ok(None),
            None => match fetch_once(http, url, partial, &progress).await {
                Ok(None) => return Ok(()),
                begun => begun,
            },
        };
        let trouble = match begun {
            Err(trouble) => trouble,
            Ok(begun) => {
                // Each range has had its tries.
                if fetch_ranges(http, url, partial, begun, &tries, &progress).await? {
                    return Ok(());
                }
                Trouble::Transient("the file has changed meanwhile".into())
            }
        };
        if partial.furthest() > before {
            tries.renew();
        }
        tries.wait(url, trouble).await?;
    }
}

/// Brings what is missing of an object that comes in ranges; false where it has changed meanwhile. `begun` is an answer that
/// begins with the first range.
async fn fetch_ranges(
    http: &Http,
    url: &Url,
    partial: &mut Partial,
    begun: Option<Response>,
    tries: &Tries,
    progress: impl Fn(u64, Option<u64>),
) -> Result<bool, Trouble> {
    let Some(ranges) = &partial.ranges else { return Ok(true) };
    let total = ranges.length();
    let file = partial.file.get_ref().try_clone().await?.into_std().await;
    let is_whole = ranges.fetch(http, url, file, begun, tries, |bytes| progress(bytes, Some(total))).await?;
    if is_whole {
        partial.written = total;
    } else {
        partial.restart().await?;
    }
    Ok(is_whole)
}

/// The ranges of an object whose whole `response` is, where they are worth their while: more connections to S3 bring more.
/// Source: S3 user guide, "Performance guidelines for Amazon S3", horizontal scaling and byte-range fetches.
fn ranges(url: &Url, response: &Response, tag: Option<&HeaderValue>) -> Option<Ranges> {
    let takes_ranges = response.headers().get(ACCEPT_RANGES).is_some_and(|unit| unit == "bytes");
    let length = response.content_length().filter(|_| is_signed(url) && takes_ranges)?;
    Ranges::of(length, tag?.clone())
}

/// Gives the answer back, unread, where its object is to come in ranges.
async fn fetch_once(
    http: &Http,
    url: &Url,
    partial: &mut Partial,
    progress: impl Fn(u64, Option<u64>),
) -> Result<Option<Response>, Trouble> {
    let rest = partial.tag.as_ref().filter(|_| partial.written > 0);
    let wanted = rest.map_or(Wanted::Whole, |tag| Wanted::Rest(partial.written, tag));
    let (mut response, secrets) = http.get(url, &wanted, partial.version.as_ref()).await?;
    match response.status() {
        StatusCode::PRECONDITION_FAILED if partial.version.is_some() => {
            return Err(Trouble::Definite("it has changed since it was listed".into()));
        }
        StatusCode::PARTIAL_CONTENT if partial.goes_on_with(&response) => {}
        // A server may know ranges and not If-Range.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            partial.restart().await?;
            return Err(Trouble::Transient("the file has changed meanwhile".into()));
        }
        StatusCode::OK => {
            partial.restart().await?;
            partial.tag =
                response.headers().get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned();
            partial.ranges = ranges(url, &response, partial.tag.as_ref());
            if partial.ranges.is_some() {
                return Ok(Some(response));
            }
        }
        _ => return Err(Trouble::of(response, secrets).await),
    }
    let total = whole_length(&response)
        .or_else(|| response.content_length().map(|rest| partial.written.saturating_add(rest)));
    while let Some(chunk) = response.chunk().await? {
        partial.file.write_all(&chunk).await?;
        partial.written += chunk.len() as u64;
        partial.furthest = partial.furthest.max(partial.written);
        progress(partial.written, total);
    }
    // The file's writes run behind: a full disk may show only here.
    partial.file.flush().await?;
    // A server may send less than the rest that it was asked for.
    match total {
        Some(total) if partial.written < total => Err(Trouble::Transient("a part came".into())),
        _ => Ok(None),
    }
}
