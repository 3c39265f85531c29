//! Uploads in parts.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, StorageClass,
};
use bytes::Bytes;
use futures_util::stream;
use local_s3::Fault;
use reqwest::{Body, Method};
use tokio::sync::mpsc;

use crate::cloud::{BUCKET, Cloud, code, eventually, told};

const MIB: usize = 1 << 20;

/// An upload for a key.
struct Upload<'a> {
    cloud: &'a Cloud,
    key: &'a str,
    id: String,
}

impl<'a> Upload<'a> {
    async fn begin(cloud: &'a Cloud, key: &'a str) -> Self {
        let made = cloud.client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        Self { cloud, key, id: made.expect("an upload").upload_id.expect("its id") }
    }

    async fn part(&self, number: i32, body: Vec<u8>) -> CompletedPart {
        let part = self.cloud.client.upload_part().bucket(BUCKET).key(self.key).upload_id(&self.id);
        let part = part.part_number(number).body(body.into()).send().await.expect("a part");
        completed(number, &part)
    }

    async fn complete(&self, parts: &[CompletedPart]) -> String {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
        let complete = self.cloud.client.complete_multipart_upload().bucket(BUCKET).key(self.key);
        code(complete.upload_id(&self.id).multipart_upload(parts).send().await)
    }

    async fn abort(&self) -> String {
        let abort = self.cloud.client.abort_multipart_upload().bucket(BUCKET).key(self.key);
        code(abort.upload_id(&self.id).send().await)
    }

    /// The numbers of its parts, or the code of the error.
    async fn parts(&self) -> Result<Vec<i32>, String> {
        let list = self.cloud.client.list_parts().bucket(BUCKET).key(self.key).upload_id(&self.id);
        match list.send().await {
            Ok(page) => Ok(page.parts().iter().filter_map(|part| part.part_number()).collect()),
            Err(error) => Err(code::<(), _, _>(Err(error))),
        }
    }
}

fn completed(number: i32, part: &UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(part.e_tag.clone())
        .set_checksum_crc32(part.checksum_crc32.clone())
        .build()
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n * 31 + seed) ^ (n >> 8)).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn parts_make_an_object_with_what_was_said_at_the_beginning() {
    let cloud = Cloud::start().await;
    let create = cloud.client.create_multipart_upload().bucket(BUCKET).key("big.mp4");
    let create = create
        .content_type("video/mp4")
        .metadata("job", "j-1")
        .storage_class(StorageClass::OnezoneIa)
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .checksum_type(ChecksumType::FullObject);
    let id = create.send().await.expect("an upload").upload_id.expect("its id");
    let upload = Upload { cloud: &cloud, key: "big.mp4", id };
    let (first, last) = (bytes(5 * MIB, 1), bytes(1000, 2));
    // In any order, and the first once more.
    let last_part = upload.part(7, last.clone()).await;
    upload.part(2, bytes(5 * MIB, 3)).await;
    let first_part = upload.part(2, first.clone()).await;
    assert_eq!(upload.parts().await, Ok(vec![2, 7]));
    assert_eq!(cloud.get("big.mp4").await, Err("NoSuchKey".into()));
    assert_eq!(upload.complete(&[first_part, last_part]).await, "OK");

    let whole = [first, last].concat();
    let get = cloud.client.get_object().bucket(BUCKET).key("big.mp4").checksum_mode(ChecksumMode::Enabled);
    let get = get.send().await.expect("an object");
    assert_eq!(
        (get.content_type(), get.storage_class()),
        (Some("video/mp4"), Some(&StorageClass::OnezoneIa))
    );
    assert_eq!(get.metadata().and_then(|metadata| metadata.get("job")).map(String::as_str), Some("j-1"));
    assert!(get.e_tag().is_some_and(|tag| tag.ends_with("-2\"") && tag.len() == 36), "{:?}", get.e_tag());
    assert_eq!(get.checksum_type(), Some(&ChecksumType::FullObject));
    let put = cloud.client.put_object().bucket(BUCKET).key("same").body(whole.clone().into());
    let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.expect("it is put");
    assert_eq!(get.checksum_crc32(), put.checksum_crc32());
    assert!(get.body.collect().await.expect("a body").to_vec() == whole);
    let across = cloud.client.get_object().bucket(BUCKET).key("big.mp4").range("bytes=5242878-5242882");
    let across = across.send().await.expect("a part").body.collect().await.expect("a body").to_vec();
    assert_eq!(across, whole[5_242_878..=5_242_882]);
    // The upload is over, as whoever has lost the answer sees.
    assert_eq!(upload.parts().await, Err("NoSuchUpload".into()));
    assert_eq!(upload.complete(&[]).await, "NoSuchUpload");
    eventually("the end of the replaced part", async || cloud.disk().0 == 3).await;
}

#[tokio::test]
async fn parts_that_make_no_object_are_refused_and_stay() {
    let cloud = Cloud::start().await;
    let upload = Upload::begin(&cloud, "k").await;
    let (one, two) = (upload.part(1, bytes(5 * MIB, 1)).await, upload.part(2, b"two".to_vec()).await);
    let three = upload.part(3, b"three".to_vec()).await;
    let other = CompletedPart::builder().part_number(1).e_tag("\"5d41402abc4b2a76b9719d911017c592\"").build();
    let four = CompletedPart::builder().part_number(4).e_tag("\"5d41402abc4b2a76b9719d911017c592\"").build();
    for (parts, answer) in [
        (vec![], "InvalidRequest"),
        (vec![two.clone(), one.clone()], "InvalidPartOrder"),
        (vec![one.clone(), one.clone()], "InvalidPartOrder"),
        (vec![one.clone(), four], "InvalidPart"),
        (vec![other], "InvalidPart"),
        (vec![two.clone(), three.clone()], "EntityTooSmall"),
    ] {
        assert_eq!(upload.complete(&parts).await, answer, "{parts:?}");
    }
    let complete = |size: i64| {
        let parts = CompletedMultipartUpload::builder().parts(one.clone()).parts(three.clone()).build();
        let complete = cloud.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&upload.id);
        complete.multipart_upload(parts).mpu_object_size(size).send()
    };
    let right = i64::try_from(5 * MIB + 5).expect("it fits");
    let wrong = complete(right + 1).await.expect_err("refused");
    assert_eq!(
        (wrong.code(), wrong.message()),
        (
            Some("InvalidRequest"),
            Some(
                "The provided 'x-amz-mp-object-size' header value 5242886 does not match what was computed: 5242885"
            )
        )
    );
    let made = complete(right).await.expect("an object");
    assert_eq!((made.bucket(), made.key()), (Some(BUCKET), Some("k")));
    let head = cloud.client.head_object().bucket(BUCKET).key("k").send().await.expect("it is there");
    assert_eq!((head.content_length(), head.e_tag()), (Some(right), made.e_tag()));
    eventually("the end of the part that is not used", async || cloud.disk().0 == 2).await;
}

#[tokio::test]
async fn an_upload_is_told_by_its_key_and_id_and_a_part_by_its_number() {
    let cloud = Cloud::start().await;
    let upload = Upload::begin(&cloud, "k").await;
    for (key, id) in [("other", upload.id.as_str()), ("k", "fakeid")] {
        let other = Upload { cloud: &cloud, key, id: id.to_owned() };
        let part = cloud.client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(1);
        assert_eq!(code(part.send().await), "NoSuchUpload");
        assert_eq!(other.abort().await, "NoSuchUpload");
        assert_eq!(other.complete(&[]).await, "NoSuchUpload");
        assert_eq!(other.parts().await, Err("NoSuchUpload".into()));
    }
    for number in [-1, 0, 10_001] {
        let part = cloud.client.upload_part().bucket(BUCKET).key("k").upload_id(&upload.id);
        assert_eq!(code(part.part_number(number).send().await), "InvalidArgument");
    }
    let crc = cloud.client.create_multipart_upload().bucket(BUCKET).key("k");
    let crc = crc.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.expect("an upload");
    let part = cloud.client.upload_part().bucket(BUCKET).key("k").part_number(1);
    let part = part.set_upload_id(crc.upload_id).checksum_algorithm(ChecksumAlgorithm::Crc32).send().await;
    assert_eq!(code(part), "InvalidRequest");
}

#[tokio::test]
async fn a_part_is_put_by_a_signed_url_of_its_length_and_a_signed_post_completes() {
    let cloud = Cloud::start().await;
    let upload = Upload::begin(&cloud, "k").await;
    let path = format!("data/k?partNumber=1&uploadId={}", upload.id);
    let url = cloud.url(&Method::PUT, &path, &[("content-length", "5")]);
    let short = cloud.http.put(&url).body("hell").send().await.expect("an answer");
    assert_eq!(told(short).await.0, 403);
    let put = cloud.http.put(&url).body("hello").send().await.expect("an answer");
    let tag = put.headers()["etag"].to_str().expect("text").to_owned();
    let document = format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber>\
         <ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    let path = format!("data/k?uploadId={}", upload.id);
    let complete = async |size: &str, document: String| {
        let url = cloud.url(&Method::POST, &path, &[("x-amz-mp-object-size", size)]);
        let post = cloud.http.post(url).header("x-amz-mp-object-size", size).body(document);
        told(post.send().await.expect("an answer")).await
    };
    assert_eq!(complete("4", document.clone()).await.0, 400);
    assert_eq!(
        complete("5", "<CompleteMultipartUpload>".into()).await.1.split(':').next(),
        Some("MalformedXML")
    );
    cloud.faults.add("k", Fault::Slow(Duration::from_secs(12)));
    let (status, text) = complete("5", document.clone()).await;
    assert_eq!(status, 200);
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n   <CompleteMultipartUploadResult xmlns=";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(complete("5", document).await.1.split(':').next(), Some("NoSuchUpload"));
    assert_eq!(cloud.get("k").await, Ok(b"hello".to_vec()));
}

#[tokio::test]
async fn a_completion_may_fail_after_its_200_and_be_tried_again() {
    let cloud = Cloud::start().await;
    let upload = Upload::begin(&cloud, "k").await;
    let part = upload.part(1, b"hello".to_vec()).await;
    cloud.faults.add("k", Fault::Fails(Duration::from_secs(6)));
    assert_eq!(upload.complete(std::slice::from_ref(&part)).await, "InternalError");
    assert_eq!(cloud.get("k").await, Err("NoSuchKey".into()));
    assert_eq!(upload.complete(&[part]).await, "OK");
    assert_eq!(cloud.get("k").await, Ok(b"hello".to_vec()));
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_has_made_the_object() {
    let cloud = Cloud::start().await;
    let upload = Upload::begin(&cloud, "k").await;
    let part = upload.part(1, b"hello".to_vec()).await;
    cloud.faults.add("k", Fault::AnswerLost);
    let parts = CompletedMultipartUpload::builder().parts(part.clone()).build();
    let complete = cloud.client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&upload.id);
    let lost = complete.multipart_upload(parts).send().await.expect_err("no answer");
    assert_eq!(lost.code(), None);
    assert_eq!(upload.complete(&[part]).await, "NoSuchUpload");
    assert_eq!(cloud.get("k").await, Ok(b"hello".to_vec()));
}

#[tokio::test]
async fn an_upload_with_a_part_on_its_way_is_aborted_again() {
    let cloud = Arc::new(Cloud::start().await);
    let upload = Upload::begin(&cloud, "k").await;
    upload.part(1, b"hello".to_vec()).await;
    let path = format!("data/k?partNumber=2&uploadId={}", upload.id);
    let url = cloud.url(&Method::PUT, &path, &[]);
    let (send, mut sending) = mpsc::channel::<std::io::Result<Bytes>>(1);
    let body = Body::wrap_stream(stream::poll_fn(move |context| sending.poll_recv(context)));
    let put = cloud.http.put(url).header("content-length", "10").body(body).send();
    let put = tokio::spawn(put);
    send.send(Ok(Bytes::from_static(b"hello"))).await.expect("it is sent");
    eventually("the second part's file", async || cloud.disk().0 == 2).await;
    assert_eq!(upload.abort().await, "OK");
    // It is there yet, without the part that it had, and takes no other.
    assert_eq!(upload.parts().await, Ok(vec![]));
    let third = cloud.client.upload_part().bucket(BUCKET).key("k").upload_id(&upload.id).part_number(3);
    assert_eq!(code(third.send().await), "NoSuchUpload");
    send.send(Ok(Bytes::from_static(b"hello"))).await.expect("it is sent");
    drop(send);
    assert_eq!(put.await.expect("no panic").expect("an answer").status().as_u16(), 200);
    assert_eq!(upload.parts().await, Ok(vec![2]));
    assert_eq!(upload.abort().await, "OK");
    assert_eq!(upload.parts().await, Err("NoSuchUpload".into()));
    assert_eq!(cloud.disk().0, 0);
}

#[tokio::test]
async fn uploads_that_go_on_are_listed_by_key_and_time() {
    let cloud = Cloud::start().await;
    let mut ids = Vec::new();
    for key in ["b", "a/2", "a/1", "b"] {
        ids.push((key, Upload::begin(&cloud, key).await.id));
    }
    let list = || cloud.client.list_multipart_uploads().bucket(BUCKET);
    let all = list().send().await.expect("a page");
    let mut keys: Vec<_> = all.uploads().iter().filter_map(|upload| upload.key()).collect();
    assert_eq!(keys, ["a/1", "a/2", "b", "b"]);
    let below = list().prefix("a/").send().await.expect("a page");
    keys = below.uploads().iter().filter_map(|upload| upload.key()).collect();
    assert_eq!(keys, ["a/1", "a/2"]);
    let mut found = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let page = list().max_uploads(1).set_key_marker(key).set_upload_id_marker(id).send().await;
        let page = page.expect("a page");
        found.extend(page.uploads().iter().filter_map(|upload| upload.upload_id().map(str::to_owned)));
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
    }
    found.sort();
    let mut ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    assert_eq!(found, ids);
    let pages = Upload::begin(&cloud, "pages").await;
    for number in 1..=3 {
        pages.part(number, vec![0; 3]).await;
    }
    let list = cloud.client.list_parts().bucket(BUCKET).key("pages").upload_id(&pages.id);
    let first = list.clone().max_parts(2).send().await.expect("a page");
    assert_eq!((first.parts().len(), first.is_truncated()), (2, Some(true)));
    let second = list.set_part_number_marker(first.next_part_number_marker).send().await.expect("a page");
    assert_eq!((second.parts().len(), second.is_truncated()), (1, Some(false)));
    assert_eq!(second.parts()[0].part_number(), Some(3));
}
