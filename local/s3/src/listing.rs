//! ListObjectsV2.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Response;
use jiff::Timestamp;
use local_aws::policy::Context;
use percent_encoding::utf8_percent_encode;

use crate::S3;
use crate::access::Call;
use crate::error::ApiError;
use crate::object::Object;
use crate::objects::quoted;
use crate::target::IN_PATH;
use crate::xml::{self, Elements};

/// The most keys and common prefixes of a page. Source: S3 API Reference, `ListObjectsV2`, `max-keys`.
pub const PAGE: usize = 1000;

/// Which page is wanted.
#[derive(Debug, Default)]
struct Wanted {
    prefix: String,
    delimiter: String,
    most: usize,
    /// Only what comes after this.
    after: Option<String>,
}

/// One page.
#[derive(Debug, Default)]
struct Page {
    objects: Vec<(String, Arc<Object>)>,
    prefixes: Vec<String>,
    /// The last that is on it, where there is more.
    last: Option<String>,
}

impl Wanted {
    /// A key that goes on behind its prefix and a delimiter counts as its common prefix, all keys together as one.
    fn page(&self, objects: &BTreeMap<String, Arc<Object>>) -> Page {
        let mut page = Page::default();
        let mut last = None;
        let from = match &self.after {
            Some(after) if *after >= self.prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(self.prefix.as_str()),
        };
        let matching = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&self.prefix));
        for (key, object) in matching {
            let common = self.common(key);
            // "CommonPrefixes is filtered out from results if it is not lexicographically greater than the StartAfter value",
            // which holds for a page that goes on after a common prefix as well.
            let is_told = common.is_some_and(|common| {
                page.prefixes.last().is_some_and(|told| told == common)
                    || self.after.as_deref().is_some_and(|after| common <= after)
            });
            if is_told {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == self.most {
                page.last = last;
                break;
            }
            match common {
                Some(common) => page.prefixes.push(common.to_owned()),
                None => page.objects.push((key.clone(), Arc::clone(object))),
            }
            last = Some(common.unwrap_or(key).to_owned());
        }
        page
    }

    fn common<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = &key[self.prefix.len()..];
        let end = rest.find(&self.delimiter)?;
        Some(&key[..self.prefix.len() + end + self.delimiter.len()])
    }
}

impl S3 {
    /// Source: S3 API Reference, `ListObjectsV2`; recorded, `test_list_objects_v2_with_prefix`.
    pub(crate) async fn list_objects(&self, mut call: Call<'_>) -> Result<Response<Body>, ApiError> {
        let version = call.query.take("list-type").unwrap_or_default();
        if version != "2" {
            return Err(ApiError::argument("list-type", &version, "Invalid List Type"));
        }
        let (prefix, delimiter) = (call.query.take("prefix"), call.query.take("delimiter"));
        let asked_for = call.query.has("max-keys");
        let most = call.query.take_limit("max-keys", PAGE)?;
        let token = call.query.take("continuation-token");
        let start_after = call.query.take("start-after");
        let encodes = encodes(&mut call)?;
        call.query.finish()?;
        let bucket = call.target.bucket.clone();
        self.state().bucket(&bucket)?;
        let mut context = Context::new();
        for (key, value) in [("s3:prefix", &prefix), ("s3:delimiter", &delimiter)] {
            if let Some(value) = value {
                context.insert(key.into(), vec![value.clone()]);
            }
        }
        if asked_for {
            context.insert("s3:max-keys".into(), vec![most.to_string()]);
        }
        call.authorize("ListBucket", &call.target.bucket_arn(), context).await?;

        let continued = token.as_deref().map(position).transpose()?;
        let wanted = Wanted {
            prefix: prefix.unwrap_or_default(),
            delimiter: delimiter.unwrap_or_default(),
            most,
            after: continued.or_else(|| start_after.clone()),
        };
        let page = wanted.page(&self.state().bucket(&bucket)?.objects);
        let shown = |text: &str| encoded(text, encodes);
        let mut elements = Elements::default();
        elements.text("Name", &bucket).text("Prefix", shown(&wanted.prefix));
        elements.some("Delimiter", Some(shown(&wanted.delimiter)).filter(|text| !text.is_empty()));
        elements.some("StartAfter", start_after.as_deref().map(shown));
        elements.some("ContinuationToken", token);
        // A page of no keys is whole: S3 says so of `max-keys=0`, as others have met it
        // (github.com/ceph/s3-tests, `test_bucket_listv2_maxkeys_zero`).
        elements.some("NextContinuationToken", page.last.as_deref().map(self::token));
        elements.text("KeyCount", page.objects.len() + page.prefixes.len());
        elements.text("MaxKeys", most).text("IsTruncated", page.last.is_some());
        elements.some("EncodingType", encodes.then_some("url"));
        for (key, object) in &page.objects {
            let mut contents = Elements::default();
            contents.text("Key", shown(key)).text("LastModified", time(object.modified));
            contents.text("ETag", quoted(&object.etag)).text("Size", object.content.length);
            contents.text("StorageClass", &object.kept.storage_class);
            elements.nested("Contents", &contents);
        }
        for prefix in &page.prefixes {
            let mut common = Elements::default();
            elements.nested("CommonPrefixes", common.text("Prefix", shown(prefix)));
        }
        Ok(xml::answer(&elements.root("ListBucketResult")))
    }
}

/// Whether keys are to be percent-encoded in the answer.
pub fn encodes(call: &mut Call<'_>) -> Result<bool, ApiError> {
    match call.query.take("encoding-type").as_deref() {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => {
            Err(ApiError::argument("encoding-type", other, "Invalid Encoding Method specified in Request"))
        }
    }
}

pub fn encoded(text: &str, encodes: bool) -> String {
    if encodes { utf8_percent_encode(text, IN_PATH).to_string() } else { text.to_owned() }
}

/// As documents have it.
pub fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// "ContinuationToken is obfuscated and is not a real key."
fn token(last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last)
}

fn position(token: &str) -> Result<String, ApiError> {
    let wrong =
        || ApiError::argument("continuation-token", token, "The continuation token provided is incorrect");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::headers::Kept;

    const KEYS: [&str; 8] = ["a", "b/1", "b/2", "b/c/3", "c", "d/4", "ü/5", "ü"];

    fn objects() -> BTreeMap<String, Arc<Object>> {
        let object = Arc::new(Object {
            content: Content::new(Vec::new()),
            etag: String::new(),
            modified: Timestamp::UNIX_EPOCH,
            kept: Kept::take(&mut BTreeMap::new()).expect("nothing"),
            checksum: None,
        });
        KEYS.iter().map(|key| ((*key).to_owned(), Arc::clone(&object))).collect()
    }

    /// All pages, each with its keys and common prefixes in their order.
    fn pages(prefix: &str, delimiter: &str, most: usize, after: Option<&str>) -> Vec<Vec<String>> {
        let mut wanted = Wanted {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            most,
            after: after.map(str::to_owned),
        };
        let (objects, mut pages) = (objects(), Vec::new());
        loop {
            let page = wanted.page(&objects);
            let mut all: Vec<_> = page.objects.into_iter().map(|(key, _)| key).chain(page.prefixes).collect();
            all.sort();
            pages.push(all);
            let Some(last) = page.last else { return pages };
            wanted.after = Some(position(&token(&last)).expect("a position"));
        }
    }

    #[test]
    fn pages_are_whole_whatever_their_size() {
        for (prefix, delimiter, all) in [
            ("", "", vec!["a", "b/1", "b/2", "b/c/3", "c", "d/4", "ü", "ü/5"]),
            ("", "/", vec!["a", "b/", "c", "d/", "ü", "ü/"]),
            ("b/", "/", vec!["b/1", "b/2", "b/c/"]),
            ("b", "/", vec!["b/"]),
            ("b/", "", vec!["b/1", "b/2", "b/c/3"]),
            ("x", "/", vec![]),
            ("", "c/", vec!["a", "b/1", "b/2", "b/c/", "c", "d/4", "ü", "ü/5"]),
        ] {
            for most in 1..=9 {
                let pages = pages(prefix, delimiter, most, None);
                assert!(pages.iter().rev().skip(1).all(|page| page.len() == most), "{pages:?}");
                assert_eq!(pages.concat(), all, "{prefix} {delimiter} {most}");
            }
        }
    }

    #[test]
    fn what_comes_before_the_start_is_left_out() {
        assert_eq!(pages("", "", 9, Some("b/2"))[0], ["b/c/3", "c", "d/4", "ü", "ü/5"]);
        assert_eq!(pages("", "/", 9, Some("b/"))[0], ["c", "d/", "ü", "ü/"]);
        assert_eq!(pages("", "/", 9, Some("b/1"))[0], ["c", "d/", "ü", "ü/"]);
        assert_eq!(pages("c", "", 9, Some("a"))[0], ["c"]);
        assert_eq!(pages("a", "", 9, Some("b"))[0], [""; 0]);
        assert_eq!(pages("", "", 0, None), [[""; 0]]);
    }

    #[test]
    fn a_token_of_somebody_else_s_is_refused() {
        for token in ["a", "?", "_w"] {
            assert_eq!(position(token).unwrap_err().code, "InvalidArgument", "{token}");
        }
    }
}
