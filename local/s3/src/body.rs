//! Bodies of requests as they arrive: their encoding taken off, their checksums computed, and put on the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_smithy_checksums::http::HttpChecksum;
use axum::body::BodyDataStream;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::S3;
use crate::checksum::{self, Algorithm, Checksum, Kind};
use crate::chunked::Decoder;
use crate::content::{Segment, Writing};
use crate::error::ApiError;
use crate::signature::{Chain, UNSIGNED};

/// The most bytes of an object that is put at once, and of a part: "5 GB".
/// Source: S3 user guide, "Amazon S3 multipart upload limits" and "Uploading objects".
pub const LARGEST: u64 = 5 << 30;
/// The most bytes of a document: ten thousand parts with their checksums are about 2 MB.
const DOCUMENT: u64 = 4 << 20;
/// How many pieces wait for the disk.
const WAITING: usize = 4;

/// What `x-amz-content-sha256` says of a body.
/// Source: S3 API Reference, "Authenticating requests: using the Authorization header".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Its hash is signed.
    Hashed(String),
    Unsigned,
    /// In chunks, which may be signed, with a checksum after them.
    Chunked(Option<Chain>),
}

impl Payload {
    /// Reads the header's value. `chain` is what chunks are signed with, if they are.
    pub fn parse(value: &str, chain: impl FnOnce() -> Chain) -> Result<Self, ApiError> {
        let is_hash = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        match value {
            UNSIGNED => Ok(Self::Unsigned),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::Chunked(None)),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::Chunked(Some(chain())))
            }
            _ if is_hash => Ok(Self::Hashed(value.to_lowercase())),
            _ if value.starts_with("STREAMING-") => {
                Err(ApiError::unsupported(&format!("a body that is {value}")))
            }
            _ => Err(ApiError::argument(
                "x-amz-content-sha256",
                value,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid sha256 value.",
            )),
        }
    }
}

/// What has arrived whole, and was what its headers say.
#[derive(Debug)]
pub struct Received {
    pub segment: Arc<Segment>,
    pub md5: [u8; 16],
    /// Where the caller named an algorithm.
    pub checksum: Option<(Checksum, Bytes)>,
}

impl Received {
    /// The entity tag of what was put at once, without its quotes.
    pub fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

/// Bytes on their way to the disk. The hashes are computed beside the connection, since they are what takes longest.
struct Sink {
    pieces: mpsc::Sender<Bytes>,
    written: JoinHandle<std::io::Result<Written>>,
}

struct Written {
    segment: Arc<Segment>,
    md5: [u8; 16],
    sha256: Option<String>,
    checksum: Option<Bytes>,
}

impl Sink {
    async fn push(&self, piece: Bytes) {
        // What has failed says so at the end.
        let _ = self.pieces.send(piece).await;
    }

    async fn finish(self) -> Result<Written, ApiError> {
        drop(self.pieces);
        let written = self.written.await.map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(written?)
    }
}

/// Writes what comes, until nothing comes any more.
fn write(
    mut pieces: mpsc::Receiver<Bytes>,
    mut writing: Writing,
    hashed: bool,
    mut checksum: Option<Box<dyn HttpChecksum>>,
) -> std::io::Result<Written> {
    let mut md5 = Md5::new();
    let mut sha256 = hashed.then(Sha256::new);
    while let Some(piece) = pieces.blocking_recv() {
        md5.update(&piece);
        if let Some(sha256) = &mut sha256 {
            sha256.update(&piece);
        }
        if let Some(checksum) = &mut checksum {
            checksum.update(&piece);
        }
        writing.write(&piece)?;
    }
    Ok(Written {
        segment: writing.finish()?,
        md5: md5.finalize().into(),
        sha256: sha256.map(|sha256| hex::encode(sha256.finalize())),
        checksum: checksum.map(|checksum| checksum.finalize()),
    })
}

impl S3 {
    fn sink(&self, hashed: bool, algorithm: Option<Algorithm>) -> Result<Sink, ApiError> {
        let name = self.files.fetch_add(1, Ordering::Relaxed).to_string();
        let writing = Writing::new(self.config.folder.join(name))?;
        let checksum = algorithm.map(Algorithm::begin);
        let (pieces, arriving) = mpsc::channel(WAITING);
        let written = tokio::task::spawn_blocking(move || write(arriving, writing, hashed, checksum));
        Ok(Sink { pieces, written })
    }

    /// Receives the body of a request that puts something. Nothing is kept of what is not whole, or not what it should be.
    pub async fn receive(
        &self,
        headers: &HeaderMap,
        payload: &Payload,
        body: &mut BodyDataStream,
    ) -> Result<Received, ApiError> {
        let length = declared(headers, payload)?;
        if length > LARGEST {
            return Err(ApiError::too_large(length, LARGEST));
        }
        let md5 = content_md5(headers)?;
        let claimed = checksum::claimed(headers)?;
        let hashed = matches!(payload, Payload::Hashed(_));
        let sink = self.sink(hashed, claimed.as_ref().map(|(algorithm, _)| *algorithm))?;
        let mut decoder = match payload {
            Payload::Chunked(chain) => Some(Decoder::new(chain.clone())),
            Payload::Hashed(_) | Payload::Unsigned => None,
        };
        let mut arrived = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| ApiError::incomplete_body())?;
            let content = match &mut decoder {
                None => vec![piece],
                Some(decoder) => decoder.decode(&piece)?,
            };
            for piece in content {
                arrived += piece.len() as u64;
                if arrived > length {
                    return Err(ApiError::incomplete_body());
                }
                sink.push(piece).await;
            }
        }
        let is_whole = decoder.as_ref().is_none_or(Decoder::is_complete);
        if arrived != length || !is_whole {
            return Err(ApiError::incomplete_body());
        }
        let Written { segment, md5: found, sha256, checksum: value } = sink.finish().await?;
        if let (Payload::Hashed(claimed), Some(found)) = (payload, sha256) {
            check_hash(claimed, &found)?;
        }
        if let Some(expected) = md5.filter(|expected| *expected != found) {
            // Recorded, `test_s3_invalid_content_md5`.
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(ApiError::new("BadDigest", message)
                .with("ExpectedDigest", BASE64_STANDARD.encode(expected))
                .with("CalculatedDigest", BASE64_STANDARD.encode(found)));
        }
        let checksum = match (claimed, value) {
            (Some((algorithm, given)), Some(raw)) => {
                let trailer = decoder.and_then(|mut decoder| decoder.trailer.remove(&algorithm.header()));
                let value = BASE64_STANDARD.encode(&raw);
                if given.or(trailer).as_ref() != Some(&value) {
                    return Err(checksum::mismatch(algorithm));
                }
                Some((Checksum { algorithm, value, kind: Kind::FullObject }, raw))
            }
            _ => None,
        };
        Ok(Received { segment, md5: found, checksum })
    }

    /// Receives a form's file, of which `most` bytes are kept at the most. Returns nothing but its length where it is longer.
    ///
    /// # Errors
    /// Where the form ends in the middle of it.
    pub async fn receive_file(
        &self,
        file: &mut multer::Field<'_>,
        most: u64,
    ) -> Result<Result<Received, u64>, ApiError> {
        let sink = self.sink(false, None)?;
        let mut length = 0;
        while let Some(piece) = file.chunk().await.map_err(|_| malformed_form())? {
            length += piece.len() as u64;
            if length <= most {
                sink.push(piece).await;
            }
        }
        if length > most {
            return Ok(Err(length));
        }
        let Written { segment, md5, .. } = sink.finish().await?;
        Ok(Ok(Received { segment, md5, checksum: None }))
    }
}

/// The whole of a document in a body.
pub async fn document(
    headers: &HeaderMap,
    payload: &Payload,
    body: &mut BodyDataStream,
) -> Result<Vec<u8>, ApiError> {
    let mut document = Vec::new();
    while let Some(piece) = body.next().await {
        document.extend_from_slice(&piece.map_err(|_| ApiError::incomplete_body())?);
        if document.len() as u64 > DOCUMENT {
            return Err(ApiError::new("MaxMessageLengthExceeded", "Your request was too big.")
                .with("MaxMessageLengthBytes", DOCUMENT));
        }
    }
    match payload {
        Payload::Hashed(claimed) => check_hash(claimed, &hex::encode(Sha256::digest(&document)))?,
        Payload::Chunked(_) => return Err(ApiError::unsupported("a document that is aws-chunked")),
        Payload::Unsigned => {}
    }
    if content_md5(headers)?.is_some_and(|expected| expected != <[u8; 16]>::from(Md5::digest(&document))) {
        return Err(ApiError::new(
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ));
    }
    Ok(document)
}

/// Source: S3 API Reference, "POST Object", and "Error responses".
pub fn malformed_form() -> ApiError {
    let message = "The body of your POST request is not well-formed multipart/form-data.";
    ApiError::new("MalformedPOSTRequest", message)
}

/// The bytes that are to come, without their encoding.
/// Source: S3 API Reference, `PutObject`, `Content-Length`; "Signature calculations for the Authorization header: transferring
/// payload in multiple chunks", `x-amz-decoded-content-length`.
fn declared(headers: &HeaderMap, payload: &Payload) -> Result<u64, ApiError> {
    let name = match payload {
        Payload::Chunked(_) => "x-amz-decoded-content-length",
        Payload::Hashed(_) | Payload::Unsigned => "content-length",
    };
    let length = headers.get(name).and_then(|length| length.to_str().ok()?.parse().ok());
    length.ok_or_else(|| {
        ApiError::new("MissingContentLength", "You must provide the Content-Length HTTP header.")
    })
}

/// Recorded, `test_s3_invalid_content_md5`.
fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(header) = headers.get("content-md5") else { return Ok(None) };
    let text = header.to_str().unwrap_or_default();
    let digest = BASE64_STANDARD.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let invalid = || {
        ApiError::new("InvalidDigest", "The Content-MD5 you specified was invalid.").with("Content-MD5", text)
    };
    digest.map(Some).ok_or_else(invalid)
}

/// The sentence is that of several servers with S3's interface, of which one has it from AWS.
fn check_hash(claimed: &str, found: &str) -> Result<(), ApiError> {
    if claimed == found {
        return Ok(());
    }
    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(ApiError::new("XAmzContentSHA256Mismatch", message)
        .with("ClientComputedContentSHA256", claimed)
        .with("S3ComputedContentSHA256", found))
}
