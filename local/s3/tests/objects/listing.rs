//! Keys, page by page.

use aws_sdk_s3::types::EncodingType;
use futures_util::stream::{self, StreamExt};

use crate::cloud::{BUCKET, Cloud, code};

#[tokio::test]
async fn pages_have_a_thousand_keys_in_the_order_of_their_bytes() {
    let cloud = Cloud::start().await;
    let mut keys: Vec<String> = (0..1001).map(|n| format!("in/{n}")).collect();
    keys.extend(["a", "in", "in-", "in/sub/1", "in/sub/2", "in/ü", "z"].map(str::to_owned));
    stream::iter(&keys).for_each_concurrent(32, |key| cloud.put(key, key.as_bytes())).await;
    let list = || cloud.client.list_objects_v2().bucket(BUCKET);
    let first = list().prefix("in/").send().await.expect("a page");
    assert_eq!(
        (first.key_count(), first.is_truncated(), first.max_keys()),
        (Some(1000), Some(true), Some(1000))
    );
    let token = first.next_continuation_token().expect("a token");
    assert!(!keys.contains(&token.to_owned()));
    let second = list().prefix("in/").continuation_token(token).send().await.expect("a page");
    assert_eq!((second.key_count(), second.is_truncated()), (Some(4), Some(false)));
    assert_eq!((second.continuation_token(), second.next_continuation_token()), (Some(token), None));
    let listed: Vec<_> =
        first.contents().iter().chain(second.contents()).map(|object| object.key().expect("a key")).collect();
    let mut wanted: Vec<_> = keys.iter().map(String::as_str).filter(|key| key.starts_with("in/")).collect();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    let one = first.contents().first().expect("an object");
    assert_eq!((one.key(), one.size()), (Some("in/0"), Some(4)));
    assert_eq!(one.e_tag().map(str::len), Some(34));

    let folders = list().prefix("in/").delimiter("/").max_keys(2).start_after("in/999");
    let folders = folders.send().await.expect("a page");
    let prefixes: Vec<_> = folders.common_prefixes().iter().filter_map(|prefix| prefix.prefix()).collect();
    let names: Vec<_> = folders.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!((prefixes, names, folders.is_truncated()), (vec!["in/sub/"], vec!["in/ü"], Some(false)));

    let encoded = list().prefix("in/ü").encoding_type(EncodingType::Url).send().await.expect("a page");
    assert_eq!(encoded.contents()[0].key(), Some("in/%C3%BC"));
    assert_eq!(encoded.prefix(), Some("in/%C3%BC"));
    let none = list().prefix("in/").max_keys(0).send().await.expect("a page");
    assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
    assert_eq!(code(list().continuation_token("?").send().await), "InvalidArgument");
    assert_eq!(code(cloud.client.list_objects_v2().bucket("other").send().await), "NoSuchBucket");
}
