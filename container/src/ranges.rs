//! A large object that comes in ranges, side by side: all of one version, each going on where its connection left off.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use reqwest::header::{ETAG, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::task::spawn_blocking;
use url::Url;

use crate::http::{Http, Tries, Trouble, Wanted, content_range};
use crate::parts::SIDE_BY_SIDE;

/// A smaller object comes by one connection.
const RANGES_FROM: u64 = 64 * 1024 * 1024;
const RANGE: u64 = 16 * 1024 * 1024;
/// So much of a range is held in memory until it is written, and a piece of the network's.
const BUFFER: usize = 256 * 1024;

/// An object that comes in ranges, and what has arrived of each.
#[derive(Debug)]
pub struct Ranges {
    length: u64,
    tag: HeaderValue,
    arrived: Vec<Cell<u64>>,
}

/// That the object is another one by now.
struct Changed;

impl Ranges {
    /// Of an object of so many bytes with this entity tag; none where one connection will do.
    pub fn of(length: u64, tag: HeaderValue) -> Option<Self> {
        let count = usize::try_from(length.div_ceil(RANGE)).ok().filter(|_| length > RANGES_FROM)?;
        Some(Self { length, tag, arrived: vec![Cell::new(0); count] })
    }

    /// How long the object is.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have arrived.
    pub fn bytes(&self) -> u64 {
        self.arrived.iter().map(Cell::get).sum()
    }

    /// What is missing of a range.
    fn missing(&self, number: usize) -> Range<u64> {
        let begin = number as u64 * RANGE;
        begin + self.arrived[number].get()..(begin + RANGE).min(self.length)
    }

    /// Brings all that is missing into `file`; false where the object is another one by now. `begun` is an answer that begins
    /// with the first range, `progress` is told the bytes that have arrived, and `tries` are for each range.
    pub async fn fetch(
        &self,
        http: &Http,
        url: &Url,
        file: File,
        begun: Option<Response>,
        tries: &Tries,
        progress: impl Fn(u64),
    ) -> Result<bool, Trouble> {
        let file = Arc::new(file);
        let mut begun = begun;
        let missing = (0..self.arrived.len()).filter(|number| !self.missing(*number).is_empty());
        let ranges: Vec<_> = missing.map(|number| (number, begun.take_if(|_| number == 0))).collect();
        let (file, progress) = (&file, &progress);
        let fetches = ranges.into_iter().map(|(number, begun)| async move {
            let (mut tries, mut begun) = (tries.anew(), begun);
            loop {
                let before = self.missing(number).start;
                let trouble = match self.fetch_once(http, url, number, begun.take(), file, progress).await {
                    Ok(done) => return Ok::<_, Trouble>(done),
                    Err(trouble) => trouble,
                };
                if self.missing(number).start > before {
                    tries.renew();
                }
                tries.wait(url, trouble).await?;
            }
        });
        let mut fetches = stream::iter(fetches).buffer_unordered(SIDE_BY_SIDE);
        while let Some(fetched) = fetches.next().await {
            if let Err(Changed) = fetched? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn fetch_once(
        &self,
        http: &Http,
        url: &Url,
        number: usize,
        begun: Option<Response>,
        file: &Arc<File>,
        progress: &impl Fn(u64),
    ) -> Result<Result<(), Changed>, Trouble> {
        let mut response = if let Some(response) = begun {
            response
        } else {
            let missing = self.missing(number);
            let begin = format!("bytes {}-", missing.start);
            let (response, secrets) = http.get(url, &Wanted::Range(missing), Some(&self.tag)).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT => {
                    let is_it = response.headers().get(ETAG) == Some(&self.tag);
                    if !is_it || !content_range(&response).starts_with(&begin) {
                        return Ok(Err(Changed));
                    }
                }
                StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::OK => {
                    return Ok(Err(Changed));
                }
                _ => return Err(Trouble::of(response, secrets).await),
            }
            response
        };
        let mut buffer = Vec::new();
        loop {
            let room =
                usize::try_from(self.missing(number).end - self.missing(number).start).unwrap_or(usize::MAX);
            let piece = response.chunk().await;
            let is_over = !matches!(piece, Ok(Some(_)));
            if let Ok(Some(piece)) = &piece {
                buffer.extend_from_slice(piece);
            }
            let is_whole = buffer.len() >= room;
            buffer.truncate(room);
            if is_over || is_whole || buffer.len() >= BUFFER {
                buffer = self.write(number, file, buffer).await?;
                progress(self.bytes());
            }
            match piece {
                _ if is_whole => return Ok(Ok(())),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Trouble::Transient("a part came".into())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what has arrived of a range behind what was there, and gives the memory back.
    async fn write(&self, number: usize, file: &Arc<File>, buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let (file, at) = (file.clone(), self.missing(number).start);
        let written = spawn_blocking(move || file.write_all_at(&buffer, at).map(|()| buffer)).await;
        let mut buffer = written.map_err(io::Error::other)??;
        self.arrived[number].set(self.arrived[number].get() + buffer.len() as u64);
        buffer.clear();
        Ok(buffer)
    }
}
