//! Uploads a large file in parts, side by side, straight from disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, SeekFrom};

use futures_util::{StreamExt, TryStreamExt, stream};
use mayfly_model::message::FileSize;
use mayfly_model::parts::{Cut, PartsWanted, SignedParts};
use md5::{Digest, Md5};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap};
use reqwest::{Body, Response, StatusCode};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::{ReaderStream, StreamReader};
use tracing::info;
use url::Url;

use crate::http::{Http, Tries, Trouble, secrets_of};
use crate::urls::UrlDesk;

/// How many parts, or ranges of a download, are on their way at a time: one connection of S3's carries some 80 MB a second,
/// whatever the network can, and so many carry 10 gigabits.
/// Source: S3 user guide, "Performance guidelines for Amazon S3", horizontal scaling.
pub const SIDE_BY_SIDE: usize = 16;
const CHUNK: usize = 256 * 1024;
/// More of what S3 says to a completion is not read.
const ANSWER: u64 = 1024 * 1024;

/// A file on its way.
pub struct Course<'a, O, T, P> {
    /// The clients.
    pub http: &'a Http,
    /// Who signs.
    pub desk: &'a mut UrlDesk,
    /// The file and its size.
    pub file: &'a FileSize,
    /// The output that it is of, where that is a folder or a pattern.
    pub output: Option<&'a str>,
    /// Opens it.
    pub open: O,
    /// The tries of each part.
    pub tries: T,
    /// Is told how many bytes of it have arrived.
    pub progress: P,
}

impl<O, T, P> Course<'_, O, T, P>
where
    O: Fn() -> io::Result<File>,
    T: Fn() -> Tries,
    P: Fn(u64),
{
    /// Brings all of the file to its place, and tells the object's entity tag, without quotes.
    pub async fn upload(&mut self) -> Result<Option<String>, Trouble> {
        let cut = Cut::of(self.file.bytes);
        let mut stored = Stored::default();
        let mut refused_at = None;
        loop {
            let next = stored.next(cut);
            let signed = self.signed(next.unwrap_or(cut.count())).await?;
            // Another upload than before has nothing of the file yet.
            if stored.id != signed.id {
                let is_first = stored.id.is_empty();
                stored = Stored { id: signed.id.clone(), tags: BTreeMap::new() };
                if !is_first {
                    continue;
                }
            }
            let ended = match next {
                Some(_) => self.put_all(cut, &signed, &mut stored.tags).await.map(|()| None),
                None => self.complete(&signed, &stored.tags).await.map(Some),
            };
            match ended {
                Ok(Some(tag)) => return Ok(Some(tag)),
                Ok(None) => {}
                // A signature may have expired since, and S3 may refuse one by closing the connection under the part.
                Err(Trouble::Expired(cause) | Trouble::Transient(cause))
                    if refused_at != Some(stored.tags.len()) =>
                {
                    info!("upload refused, asking for fresh signatures: {cause}");
                    refused_at = Some(stored.tags.len());
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The parts from `from` on, signed.
    async fn signed(&mut self, from: u16) -> Result<SignedParts, Trouble> {
        let FileSize { file, bytes } = self.file.clone();
        let output = self.output.map(str::to_owned);
        let signed = self.desk.parts(&PartsWanted { file, output, bytes, from }).await;
        signed.ok_or_else(|| Trouble::Definite("no signatures came; see the log of handle-report".into()))
    }

    /// Puts those of the signed parts that are not in their places.
    async fn put_all(
        &self,
        cut: Cut,
        signed: &SignedParts,
        tags: &mut BTreeMap<u16, String>,
    ) -> Result<(), Trouble> {
        let missing = signed.parts().filter(|(part, _)| !tags.contains_key(part));
        let puts: Vec<_> = missing
            .map(|(part, signature)| {
                let mut url = self.http.parse(&signed.url)?;
                let number = part.to_string();
                url.query_pairs_mut()
                    .extend_pairs([("partNumber", number.as_str()), ("X-Amz-Signature", signature)]);
                Ok::<_, Trouble>(self.put(cut, part, url))
            })
            .collect::<Result<_, Trouble>>()?;
        let mut puts = stream::iter(puts).buffer_unordered(SIDE_BY_SIDE);
        while let Some(put) = puts.next().await {
            let (part, tag) = put?;
            tags.insert(part, tag);
            (self.progress)(tags.keys().map(|part| cut.length(*part)).sum());
        }
        Ok(())
    }

    /// Puts one part, and tells its entity tag.
    async fn put(&self, cut: Cut, part: u16, url: Url) -> Result<(u16, String), Trouble> {
        let mut tries = (self.tries)();
        loop {
            match self.put_once(cut, part, &url).await {
                Err(trouble) => tries.wait(&url, trouble).await?,
                Ok(tag) => return Ok((part, tag)),
            }
        }
    }

    async fn put_once(&self, cut: Cut, part: u16, url: &Url) -> Result<String, Trouble> {
        let mut file = tokio::fs::File::from_std((self.open)()?);
        file.seek(SeekFrom::Start(cut.begin(part))).await?;
        let length = cut.length(part);
        let body = Body::wrap_stream(ReaderStream::with_capacity(file.take(length), CHUNK));
        let request = self.http.up.put(url.clone()).header(CONTENT_LENGTH, length);
        let response = request.body(body).send().await?;
        if !response.status().is_success() {
            return Err(Trouble::of(response, secrets_of(url)).await);
        }
        tag(response.headers()).ok_or_else(|| Trouble::Definite("S3 gave a part no entity tag".into()))
    }

    /// Makes the object of its parts, or finds that a try has made it whose answer was lost.
    async fn complete(&self, signed: &SignedParts, tags: &BTreeMap<u16, String>) -> Result<String, Trouble> {
        let url = self.http.parse(&signed.complete)?;
        let mut tries = (self.tries)();
        loop {
            match self.complete_once(&url, tags).await {
                Completed::Yes(tag) => return Ok(tag),
                Completed::Unknown(gone) => return self.confirm(signed, tags, gone).await,
                Completed::No(trouble) => tries.wait(&url, trouble).await?,
            }
        }
    }

    async fn complete_once(&self, url: &Url, tags: &BTreeMap<u16, String>) -> Completed {
        let mut document = "<CompleteMultipartUpload>".to_owned();
        for (part, tag) in tags {
            let part = format!("<Part><PartNumber>{part}</PartNumber><ETag>\"{tag}\"</ETag></Part>");
            document.push_str(&part);
        }
        document.push_str("</CompleteMultipartUpload>");
        let request = self.http.down.post(url.clone()).header("x-amz-mp-object-size", self.file.bytes);
        let response = match request.header(CONTENT_TYPE, "application/xml").body(document).send().await {
            Ok(response) => response,
            Err(error) => return Completed::No(error.into()),
        };
        if !response.status().is_success() {
            let is_gone = response.status() == StatusCode::NOT_FOUND;
            let trouble = Trouble::of(response, secrets_of(url)).await;
            return if is_gone { Completed::Unknown(trouble) } else { Completed::No(trouble) };
        }
        completed(response).await
    }

    /// Of an upload that is unknown, whether the object is there that it was to make. `trouble` is what S3 has said.
    async fn confirm(
        &self,
        signed: &SignedParts,
        tags: &BTreeMap<u16, String>,
        trouble: Trouble,
    ) -> Result<String, Trouble> {
        let url = self.http.parse(&signed.look)?;
        let mut tries = (self.tries)();
        let headers = loop {
            match self.http.down.head(url.clone()).send().await {
                Ok(response) if response.status().is_success() => break response.headers().clone(),
                Ok(response) if !response.status().is_server_error() => return Err(trouble),
                Ok(response) => tries.wait(&url, Trouble::of(response, secrets_of(&url)).await).await?,
                Err(error) => tries.wait(&url, error.into()).await?,
            }
        };
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let tag = tag(&headers).filter(|tag| is_tag_of(tag, tags, is_encrypted(&headers)));
        if let Some(tag) = tag.filter(|_| length == Some(self.file.bytes)) {
            info!("the upload was completed by a try whose answer was lost");
            return Ok(tag);
        }
        Err(trouble)
    }
}

/// What is in its place of a file.
#[derive(Debug, Default)]
struct Stored {
    /// The upload's id.
    id: String,
    /// The parts' entity tags.
    tags: BTreeMap<u16, String>,
}

impl Stored {
    fn next(&self, cut: Cut) -> Option<u16> {
        (1..=cut.count()).find(|part| !self.tags.contains_key(part))
    }
}

/// What has become of a completion.
#[derive(Debug)]
enum Completed {
    Yes(String),
    No(Trouble),
    /// The upload is unknown, as it is after its end.
    Unknown(Trouble),
}

/// The rest of the answer says it, after a 200 that comes before the work: white space for as long as that takes, and then the
/// object or an error.
/// Source: S3 API Reference, `CompleteMultipartUpload`.
async fn completed(response: Response) -> Completed {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(rename = "ETag")]
        tag: Option<String>,
        code: Option<String>,
    }
    let mut page = Vec::new();
    let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
    if let Err(error) = body.take(ANSWER).read_to_end(&mut page).await {
        return Completed::No(Trouble::Transient(format!("the answer to its completion broke off: {error}")));
    }
    match quick_xml::de::from_reader(page.as_slice()) {
        Ok(Answer { tag: Some(tag), .. }) => Completed::Yes(tag.trim_matches('"').to_owned()),
        Ok(Answer { code: Some(code), .. }) if code == "NoSuchUpload" => {
            Completed::Unknown(Trouble::Definite("S3 does not know the upload any more".into()))
        }
        // "If … the response includes an error, … applications should be prepared to retry".
        Ok(Answer { code: Some(code), .. }) => {
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(CODE_LIMIT).collect();
            Completed::No(Trouble::Transient(format!("S3 could not complete it ({code})")))
        }
        _ => Completed::No(Trouble::Transient("the answer to its completion is unreadable".into())),
    }
}

/// The longest code of an error that is repeated, in characters.
const CODE_LIMIT: usize = 64;

/// The entity tag, without quotes, if it looks like one of S3's.
fn tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?.trim_matches('"');
    let is_tag = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_tag.then(|| tag.to_owned())
}

/// Source: S3 API Reference, "Common response headers", `x-amz-server-side-encryption`.
fn is_encrypted(headers: &HeaderMap) -> bool {
    headers.get("x-amz-server-side-encryption").is_some_and(|kind| kind.as_bytes().starts_with(b"aws:kms"))
}

/// Whether `tag` is that of the object which these parts make: the MD5 of their MD5s, and their number. Under a key of KMS's the
/// parts' tags are no MD5s, and their number alone is known to be there.
/// Source: S3 user guide, "Checking object integrity", part-level checksums; S3 API Reference, `Object`, `ETag`.
fn is_tag_of(tag: &str, tags: &BTreeMap<u16, String>, is_encrypted: bool) -> bool {
    let Some((whole, count)) = tag.split_once('-') else { return false };
    if count.parse() != Ok(tags.len()) {
        return false;
    }
    let mut md5 = Md5::new();
    for tag in tags.values() {
        md5.update(hex::decode(tag).unwrap_or_default());
    }
    is_encrypted || whole == hex::encode(md5.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_told_by_the_tags_of_its_parts() {
        // Of the parts "a" and "b".
        let tags = ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"];
        let tags = BTreeMap::from([(1, tags[0].to_owned()), (2, tags[1].to_owned())]);
        let it = "f6c9ec8f0b5f9c6f6f4cd8e9a1c2a3d4-2";
        let whole = {
            let mut md5 = Md5::new();
            md5.update(Md5::digest(b"a"));
            md5.update(Md5::digest(b"b"));
            hex::encode(md5.finalize())
        };
        assert!(is_tag_of(&format!("{whole}-2"), &tags, false));
        assert!(!is_tag_of(&format!("{whole}-3"), &tags, false) && !is_tag_of(&whole, &tags, false));
        assert!(!is_tag_of(it, &tags, false) && is_tag_of(it, &tags, true));
    }
}
