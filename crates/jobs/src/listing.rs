//! What is below a prefix of a data bucket, page by page, each object with what signs its URL.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;
use mayfly_lambda::error::Error;
use mayfly_model::job::S3Uri;
use mayfly_model::message::Object;
use percent_encoding::percent_decode_str;

use crate::data_role::DataRole;
use crate::signing::{Access, Hosts, Signer};

/// How long a page gets in JSON, in bytes: with all around it less than the 256 KiB that every queue takes.
const PAGE_BYTES: usize = 200_000;

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// A signed URL of the prefix without its signature, see [`Page::url_of`](mayfly_model::message::Page::url_of).
    pub url: String,
    /// What is below the prefix, by names that go on after it.
    pub objects: Vec<Object>,
    /// Whether there is more.
    pub has_more: bool,
}

impl DataRole {
    /// What is below the prefix `folder` and comes after the name `after`, by a session that may list this prefix and read what
    /// is below it, and nothing else: at most a thousand objects.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn list(
        &self,
        hosts: Hosts,
        folder: &S3Uri<'_>,
        after: Option<&str>,
    ) -> Result<Listing, Error> {
        let signers = self.signers(hosts, Access::List, [folder.clone()]).await?;
        let [(signer, _)] = signers.as_slice() else {
            return Err(Error::internal("list a prefix", "there is not one session for it"));
        };
        let (objects, has_more) = self.found(signer, folder, after).await?;
        let (url, signatures) =
            signer.get_below(folder, objects.iter().map(|object| object.name.as_str()))?;
        let sign = |(object, signature)| Object { signature, ..object };
        Ok(Listing { url, objects: objects.into_iter().zip(signatures).map(sign).collect(), has_more })
    }

    /// The objects, without signatures, and whether there are more.
    async fn found(
        &self,
        signer: &Signer<'_>,
        folder: &S3Uri<'_>,
        after: Option<&str>,
    ) -> Result<(Vec<Object>, bool), Error> {
        let config = self.s3.clone().credentials_provider(signer.credentials.clone()).build();
        let page = Client::from_conf(config)
            .list_objects_v2()
            .bucket(folder.bucket)
            .prefix(folder.key)
            // XML has no way to write some of the characters that a key may have.
            .encoding_type(EncodingType::Url)
            .set_start_after(after.map(|after| format!("{}{after}", folder.key)))
            .send()
            .await
            .map_err(Error::aws(&format!("list s3://{}/{}", folder.bucket, folder.key)))?;
        let (mut objects, mut bytes) = (Vec::new(), 0);
        for found in page.contents() {
            let key = decoded(found.key().unwrap_or_default());
            let Some(name) = key.strip_prefix(folder.key) else { continue };
            let object = Object {
                name: name.to_owned(),
                bytes: found.size().and_then(|size| size.try_into().ok()).unwrap_or_default(),
                tag: found.e_tag().unwrap_or_default().to_owned(),
                signature: String::new(),
            };
            // A signature is 64 digits.
            bytes += serde_json::to_string(&object).map_or(PAGE_BYTES, |json| json.len()) + 65;
            if bytes > PAGE_BYTES && !objects.is_empty() {
                return Ok((objects, true));
            }
            objects.push(object);
        }
        Ok((objects, page.is_truncated() == Some(true)))
    }
}

/// A key as S3 writes it in a URL's way.
/// Source: S3 API Reference, `ListObjectsV2`, `encoding-type`; a space is a +, as botocore reads it (`unquote_str`).
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_s3_writes_it_in_a_url() {
        for (written, key) in
            [("in/a+b%2Bc.png", "in/a b+c.png"), ("%C3%BC%0A%26", "ü\n&"), ("a%2520b/c", "a%20b/c")]
        {
            assert_eq!(decoded(written), key);
        }
    }
}
