//! Objects that are put, got and deleted.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ServerSideEncryption, StorageClass};
use futures_util::future::join_all;
use reqwest::Method;

use crate::cloud::{BUCKET, Cloud, code, eventually, told};

#[tokio::test]
async fn what_is_put_is_got_with_all_that_was_said_of_it() {
    let cloud = Cloud::start().await;
    let put = cloud.client.put_object().bucket(BUCKET).key("a/b.mp4").body(ByteStream::from_static(b"hello"));
    let put = put
        .content_type("video/mp4")
        .cache_control("no-cache")
        .metadata("job", "j 1")
        .storage_class(StorageClass::StandardIa)
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id("key-1")
        .checksum_algorithm(ChecksumAlgorithm::Sha256);
    let put = put.send().await.expect("it is put");
    let md5 = "\"5d41402abc4b2a76b9719d911017c592\"";
    assert_eq!(put.e_tag(), Some(md5));
    assert_eq!(put.checksum_sha256(), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));

    let get = cloud.client.get_object().bucket(BUCKET).key("a/b.mp4");
    let get = get.checksum_mode(ChecksumMode::Enabled).send().await.expect("it is got");
    assert_eq!((get.e_tag(), get.content_length()), (Some(md5), Some(5)));
    assert_eq!((get.content_type(), get.cache_control()), (Some("video/mp4"), Some("no-cache")));
    assert_eq!(get.metadata().and_then(|metadata| metadata.get("job")).map(String::as_str), Some("j 1"));
    assert_eq!(get.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(get.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert_eq!((get.ssekms_key_id(), get.accept_ranges()), (Some("key-1"), Some("bytes")));
    assert_eq!(get.checksum_sha256(), put.checksum_sha256());
    assert_eq!(get.body.collect().await.expect("a body").to_vec(), b"hello");

    let head = cloud.client.head_object().bucket(BUCKET).key("a/b.mp4").send().await.expect("it is there");
    assert_eq!((head.e_tag(), head.content_length()), (Some(md5), Some(5)));
    cloud.client.delete_object().bucket(BUCKET).key("a/b.mp4").send().await.expect("it is deleted");
    cloud.client.delete_object().bucket(BUCKET).key("a/b.mp4").send().await.expect("it is deleted again");
    assert_eq!(cloud.get("a/b.mp4").await, Err("NoSuchKey".into()));
    assert_eq!(cloud.disk().0, 0);
    let calls: Vec<_> = cloud.calls.snapshot().into_iter().map(|call| (call.action, call.outcome)).collect();
    let last = |action: &str, outcome: &str| (action.to_owned(), outcome.to_owned());
    assert_eq!(calls.last(), Some(&last("s3:GetObject", "NoSuchKey")));
    assert_eq!(calls[1], last("s3:PutObject", "OK"));
}

#[tokio::test]
async fn keys_are_bytes_and_no_paths() {
    let cloud = Cloud::start().await;
    let long = "k".repeat(1024);
    let keys = [
        "../../../etc/passwd",
        "a/../b",
        "/leading",
        "a//b",
        "a/",
        "a",
        "a/b",
        ".",
        "..",
        "動画/ü ß+%2F&?#=~*'().mp4",
        "\u{1}\u{7f}\n",
        long.as_str(),
    ];
    for key in keys {
        cloud.put(key, key).await;
    }
    for key in keys {
        assert_eq!(cloud.get(key).await, Ok(key.as_bytes().to_vec()), "{key:?}");
    }
    assert_eq!(cloud.disk().0, keys.len());
    let longer = cloud.client.put_object().bucket(BUCKET).key(long + "k").send().await;
    assert_eq!(code(longer), "KeyTooLongError");
}

#[tokio::test]
async fn a_range_is_a_part_and_one_beyond_the_end_is_refused() {
    let cloud = Cloud::start().await;
    cloud.put("ten", "0123456789").await;
    cloud.put("none", "").await;
    let whole = "0123456789";
    for (key, range, status, content_range, body) in [
        ("ten", "bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("ten", "bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("ten", "bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("ten", "bytes=5-500", 206, Some("bytes 5-9/10"), "56789"),
        ("ten", "bytes=-500", 206, Some("bytes 0-9/10"), whole),
        ("ten", "bytes=10-", 416, None, "InvalidRange: The requested range is not satisfiable"),
        ("ten", "bytes=-0", 416, None, "InvalidRange: The requested range is not satisfiable"),
        ("none", "bytes=0-", 416, None, "InvalidRange: The requested range is not satisfiable"),
        ("ten", "bytes=0-1,3-4", 200, None, whole),
        ("ten", "pages=1", 200, None, whole),
        ("ten", "bytes=a-b", 200, None, whole),
    ] {
        let request = cloud.http.get(cloud.url(&Method::GET, &format!("{BUCKET}/{key}"), &[]));
        let response = request.header("range", range).send().await.expect("an answer");
        let header =
            response.headers().get("content-range").map(|value| value.to_str().expect("text").to_owned());
        assert_eq!(header.as_deref(), content_range, "{range}");
        assert_eq!(told(response).await, (status, body.to_owned()), "{key} {range}");
    }
}

#[tokio::test]
async fn conditions_are_looked_at_before_the_range() {
    let cloud = Cloud::start().await;
    cloud.put("ten", "0123456789").await;
    let tag = "\"781e5e245d69b566979b86e28d23f2c7\"";
    let (past, future) = ("Tue, 01 Jan 2019 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    let failed = "PreconditionFailed: At least one of the pre-conditions you specified did not hold";
    for (headers, status, body) in [
        (vec![("if-match", tag), ("range", "bytes=0-1")], 206, "01"),
        (vec![("if-match", "\"other\""), ("range", "bytes=0-1")], 412, failed),
        (vec![("if-match", "781e5e245d69b566979b86e28d23f2c7")], 200, "0123456789"),
        (vec![("if-match", "*")], 200, "0123456789"),
        (vec![("if-none-match", tag)], 304, ""),
        (vec![("if-none-match", "\"other\", \"another\"")], 200, "0123456789"),
        (vec![("if-unmodified-since", past)], 412, failed),
        (vec![("if-unmodified-since", past), ("if-match", tag)], 200, "0123456789"),
        (vec![("if-modified-since", past)], 200, "0123456789"),
        (vec![("if-modified-since", future)], 200, "0123456789"),
        (vec![("range", "bytes=0-1"), ("if-range", tag)], 206, "01"),
        (vec![("range", "bytes=0-1"), ("if-range", "\"other\"")], 200, "0123456789"),
    ] {
        let mut request = cloud.http.get(cloud.url(&Method::GET, "data/ten", &[]));
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(told(response).await, (status, body.to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn an_archived_object_cannot_be_read() {
    let cloud = Cloud::start().await;
    let put = cloud.client.put_object().bucket(BUCKET).key("old").storage_class(StorageClass::DeepArchive);
    put.send().await.expect("it is put");
    assert_eq!(cloud.get("old").await, Err("InvalidObjectState".into()));
    let head = cloud.client.head_object().bucket(BUCKET).key("old").send().await.expect("it is there");
    assert_eq!(head.storage_class(), Some(&StorageClass::DeepArchive));
}

#[tokio::test]
async fn of_uploads_of_one_key_at_once_one_stays_and_it_is_whole() {
    let cloud = Cloud::start().await;
    let bodies: Vec<Vec<u8>> = (0..12_u8).map(|n| vec![b'a' + n; 300_000 + usize::from(n)]).collect();
    let readers = join_all((0..12).map(|_| cloud.get("one")));
    let writers = join_all(bodies.iter().map(|body| cloud.put("one", body.clone())));
    let (read, _) = tokio::join!(readers, writers);
    let last = cloud.get("one").await.expect("an object");
    for body in read.into_iter().flatten().chain([last]) {
        assert!(bodies.contains(&body), "{} bytes that nobody has put", body.len());
    }
    eventually("the end of the replaced files", async || cloud.disk().0 == 1).await;
}

#[tokio::test]
async fn a_bucket_is_made_once_in_its_region_and_tells_it() {
    let cloud = Cloud::start().await;
    let create = |name: &str, region: Option<&str>| {
        let location = region.map(|region| {
            aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region.into()).build()
        });
        cloud.client.create_bucket().bucket(name).set_create_bucket_configuration(location).send()
    };
    assert_eq!(code(create(BUCKET, Some("eu-central-1")).await), "BucketAlreadyOwnedByYou");
    assert_eq!(code(create("other", None).await), "IllegalLocationConstraintException");
    assert_eq!(code(create("other", Some("us-west-2")).await), "IllegalLocationConstraintException");
    assert_eq!(code(create("Not-A-Name", Some("eu-central-1")).await), "InvalidBucketName");
    let head = cloud.client.head_bucket().bucket(BUCKET).send().await.expect("it is there");
    assert_eq!(head.bucket_region(), Some("eu-central-1"));
    let missing = cloud.client.head_bucket().bucket("other").send().await.expect_err("it is not there");
    assert_eq!(missing.raw_response().map(|response| response.status().as_u16()), Some(404));
    let put = cloud.client.put_object().bucket("other").key("k").send().await;
    assert_eq!(code(put), "NoSuchBucket");
}

#[tokio::test]
async fn what_nobody_calls_is_named_and_not_done() {
    let cloud = Cloud::start().await;
    cloud.put("k", "v").await;
    let not = "NotImplemented".to_owned();
    let client = &cloud.client;
    assert_eq!(code(client.get_object_acl().bucket(BUCKET).key("k").send().await), not);
    assert_eq!(code(client.list_objects().bucket(BUCKET).send().await), not);
    assert_eq!(code(client.put_object().bucket(BUCKET).key("k").if_none_match("*").send().await), not);
    let copy = client.copy_object().bucket(BUCKET).key("l").copy_source("data/k");
    assert_eq!(code(copy.send().await), not);
    assert_eq!(code(client.delete_bucket().bucket(BUCKET).send().await), not);
}

#[tokio::test]
async fn a_connection_carries_no_more_than_it_may() {
    let cloud = Cloud::start_with(Vec::new(), NonZeroU64::new(1_000_000)).await;
    // 200 ms, less what passes at the beginning.
    let began = Instant::now();
    cloud.put("k", vec![b'x'; 200_000]).await;
    assert!(began.elapsed() >= Duration::from_millis(150), "up in {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(cloud.get("k").await.map(|body| body.len()), Ok(200_000));
    assert!(began.elapsed() >= Duration::from_millis(150), "down in {:?}", began.elapsed());
}
