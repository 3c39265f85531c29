//! Uploads a file by a signed POST, straight from disk.

use std::fs::File;
use std::io;

use futures_util::TryStreamExt;
use mayfly_model::message::Upload;
use reqwest::Body;
use reqwest::header::ETAG;
use reqwest::multipart::{Form, Part};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use url::Url;

use crate::http::{Http, Tries, Trouble};

const CHUNK: usize = 256 * 1024;

/// Posts the first `bytes` of the file that `open` opens, with the fields of `upload`, and tells the object's entity tag without
/// its quotes, where S3 does. `progress` is told how many bytes of the file are on their way; a repeated try begins at 0 again.
pub async fn post(
    http: &Http,
    upload: &Upload,
    open: impl Fn() -> io::Result<File>,
    bytes: u64,
    mut tries: Tries,
    progress: impl Fn(u64) + Clone + Send + Sync + 'static,
) -> Result<Option<String>, Trouble> {
    let url = http.parse(&upload.url)?;
    loop {
        match post_once(http, &url, upload, open()?, bytes, progress.clone()).await {
            Err(trouble) => tries.wait(&url, trouble).await?,
            Ok(tag) => return Ok(tag),
        }
    }
}

async fn post_once(
    http: &Http,
    url: &Url,
    upload: &Upload,
    file: File,
    bytes: u64,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Option<String>, Trouble> {
    let mut sent = 0;
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(bytes), CHUNK).inspect_ok(
        move |piece| {
            sent += piece.len() as u64;
            progress(sent);
        },
    );
    let form =
        upload.fields.iter().fold(Form::new(), |form, (name, value)| form.text(name.clone(), value.clone()));
    // S3 ignores every field after the file, and wants to know the length beforehand.
    // Source: S3 API Reference, "POST Object", form field `file`.
    let file = Part::stream_with_length(Body::wrap_stream(pieces), bytes).file_name("file");
    let response = http.up.post(url.clone()).multipart(form.part("file", file)).send().await?;
    // 204, or what the field success_action_status says.
    if response.status().is_success() {
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        return Ok(tag.map(|tag| tag.trim_matches('"').to_owned()));
    }
    // The key is no secret, and a person wants to read it.
    let secrets = upload.fields.iter().filter(|(name, _)| *name != "key").map(|(_, value)| value.clone());
    Err(Trouble::of(response, secrets.collect()).await)
}
