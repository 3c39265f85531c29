//! Bodies that are not what they are said to be.

use aws_sdk_s3::primitives::ByteStream;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cloud::{BUCKET, Cloud, eventually, told};

#[tokio::test]
async fn a_body_that_is_not_what_it_is_said_to_be_is_refused_and_nothing_is_kept() {
    let cloud = Cloud::start().await;
    cloud.put("k", "before").await;
    for (name, value, told_of) in [
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==", "BadDigest: The Content-MD5 you specified did not match"),
        ("content-md5", "5d41", "InvalidDigest: The Content-MD5 you specified was invalid."),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest: The CRC32 you specified did not match"),
        ("x-amz-checksum-crc32", "AAAA", "InvalidRequest: Value for x-amz-checksum-crc32 header is invalid."),
        ("x-amz-checksum-md2", "AAAA", "InvalidRequest: Checksum algorithm provided is unsupported."),
        ("x-amz-storage-class", "FAST", "InvalidStorageClass: The storage class you specified is not valid"),
    ] {
        let url = cloud.url(&Method::PUT, "data/k", &[(name, value)]);
        let put = cloud.http.put(url).header(name, value).body("after").send().await.expect("an answer");
        let (status, text) = told(put).await;
        assert_eq!(status, 400);
        assert!(text.starts_with(told_of), "{text}");
    }
    assert_eq!(cloud.get("k").await, Ok(b"before".to_vec()));
    eventually("the end of what was refused", async || cloud.disk().0 == 1).await;
}

#[tokio::test]
async fn a_body_with_its_checksum_behind_it_is_checked() {
    let cloud = Cloud::start().await;
    // As the SDK sends a stream: in chunks.
    let put = cloud.client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"hello"));
    let put = put.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc32).send().await;
    assert_eq!(put.expect("it is put").checksum_crc32(), Some("NhCmhg=="));
    for (checksum, status, told_of) in [
        ("NhCmhg==", 200, ""),
        ("AAAAAA==", 400, "BadDigest: The CRC32 you specified did not match the calculated checksum."),
    ] {
        let body = format!("2\r\nhe\r\n3\r\nllo\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n");
        let headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let response = cloud.signed_put("chunked", &headers, body.into()).await;
        assert_eq!(told(response).await, (status, told_of.to_owned()));
    }
    assert_eq!(cloud.get("chunked").await, Ok(b"hello".to_vec()));
    let head = cloud.client.head_object().bucket(BUCKET).key("chunked").send().await.expect("it is there");
    assert_eq!(head.content_encoding(), None);
    for (length, body) in
        [("6", "5\r\nhello\r\n0\r\n\r\n"), ("4", "5\r\nhello\r\n0\r\n\r\n"), ("5", "5\r\nhello\r\n")]
    {
        let headers = [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", length),
        ];
        let response = cloud.signed_put("short", &headers, body.into()).await;
        assert!(told(response).await.1.starts_with("IncompleteBody"), "{length}");
    }
}

#[tokio::test]
async fn a_file_that_the_sdk_sends_in_signed_chunks_is_checked_chunk_by_chunk() {
    let cloud = Cloud::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let content: Vec<u8> = (0..(1_u32 << 20)).map(|n| (n ^ (n >> 8)).to_le_bytes()[0]).collect();
    std::fs::write(file.path(), &content).expect("written");
    let body = ByteStream::from_path(file.path()).await.expect("a stream");
    cloud.client.put_object().bucket(BUCKET).key("k").body(body).send().await.expect("it is put");
    assert!(cloud.get("k").await.expect("an object") == content);
    let body = format!("5;chunk-signature={0}\r\nhello\r\n0;chunk-signature={0}\r\n\r\n", "0".repeat(64));
    let headers = [
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "5"),
    ];
    let response = cloud.signed_put("l", &headers, body.into()).await;
    let (status, text) = told(response).await;
    assert_eq!(status, 403);
    assert!(text.starts_with("SignatureDoesNotMatch: "), "{text}");
    assert_eq!(cloud.get("l").await, Err("NoSuchKey".into()));
}

#[tokio::test]
async fn a_body_of_another_hash_than_was_signed_is_refused() {
    let cloud = Cloud::start().await;
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (body, status) in [("hello", 200), ("hullo", 400)] {
        let response = cloud.signed_put("k", &[("x-amz-content-sha256", hash)], body.into()).await;
        let (found, text) = told(response).await;
        assert_eq!(found, status, "{text}");
        assert!(status == 200 || text.starts_with("XAmzContentSHA256Mismatch"), "{text}");
    }
}

#[tokio::test]
async fn what_breaks_off_leaves_what_was_there() {
    let cloud = Cloud::start().await;
    cloud.put("k", "before").await;
    let url: reqwest::Url = cloud.url(&Method::PUT, "data/k", &[]).parse().expect("a URL");
    let address = cloud.origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    stream.write_all(&vec![b'x'; 500_000]).await.expect("a half is sent");
    eventually("the new file", async || cloud.disk().0 == 2).await;
    assert_eq!(cloud.get("k").await, Ok(b"before".to_vec()));
    drop(stream);
    eventually("the end of the new file", async || cloud.disk().0 == 1).await;
    assert_eq!(cloud.get("k").await, Ok(b"before".to_vec()));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let cloud = Cloud::start().await;
    let url: reqwest::Url = cloud.url(&Method::PUT, "data/k", &[]).parse().expect("a URL");
    let address = cloud.origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let (most, more) = (5_u64 << 30, (5_u64 << 30) + 1);
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {address}\r\nexpect: 100-continue\r\ncontent-length: {more}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let mut answer = [0; 2000];
    let mut text = String::new();
    while !text.contains("</Error>") {
        let read = stream.read(&mut answer).await.expect("an answer");
        assert_ne!(read, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&answer[..read]));
    }
    assert!(text.contains("HTTP/1.1 400 "), "{text}");
    let sizes = format!("<ProposedSize>{more}</ProposedSize><MaxSizeAllowed>{most}</MaxSizeAllowed>");
    assert!(text.contains(&sizes), "{text}");
}

#[tokio::test]
async fn who_still_sends_reads_the_refusal() {
    let cloud = Cloud::start().await;
    let url = cloud.url(&Method::PUT, "data/k", &[]).replace("data/k", "data/another");
    let put = cloud.http.put(url).body(vec![0; 64 << 20]).send().await.expect("an answer");
    let (status, text) = told(put).await;
    assert_eq!(status, 403);
    assert!(text.starts_with("SignatureDoesNotMatch: "), "{text}");
}
