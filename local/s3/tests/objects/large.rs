//! An object of six gigabytes, most of it zeros.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use procfs::process::Process;
use reqwest::{Body, Method};

use crate::cloud::{BUCKET, Cloud};

const PARTS: u64 = 6;
const PART: u64 = 1 << 30;
const BLOCK: usize = 1 << 20;
/// The most memory of this process, which is server and client at once, and runs other tests beside this one.
const MEMORY: u64 = 700 << 20;
/// The most room that six blocks which are not zeros may take.
const DISK: u64 = 8 << 20;

/// A part: zeros, and its number in the last byte.
fn part(number: u64) -> Body {
    let zeros = Bytes::from(vec![0; BLOCK]);
    let mut last = vec![0; BLOCK];
    last[BLOCK - 1] = u8::try_from(number).expect("a small number");
    let blocks = usize::try_from(PART).expect("it fits") / BLOCK;
    let pieces = std::iter::repeat_n(zeros, blocks - 1).chain([Bytes::from(last)]);
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_gigabytes_take_neither_memory_nor_disk() {
    let cloud = Cloud::start().await;
    let created = cloud.client.create_multipart_upload().bucket(BUCKET).key("big").send().await;
    let id = created.expect("an upload").upload_id.expect("its id");
    let put = async |number: u64| {
        let path = format!("data/big?partNumber={number}&uploadId={id}");
        let length = PART.to_string();
        let url = cloud.url(&Method::PUT, &path, &[("content-length", &length)]);
        let put = cloud.http.put(url).header("content-length", PART).body(part(number)).send();
        let put = put.await.expect("an answer");
        assert_eq!(put.status().as_u16(), 200);
        let tag = put.headers()["etag"].to_str().expect("text");
        let number = i32::try_from(number).expect("a small number");
        CompletedPart::builder().part_number(number).e_tag(tag).build()
    };
    let parts: Vec<CompletedPart> = stream::iter(1..=PARTS).map(put).buffered(3).collect().await;
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let size = i64::try_from(PARTS * PART).expect("it fits");
    let complete = cloud.client.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&id);
    complete.multipart_upload(parts).mpu_object_size(size).send().await.expect("an object");

    let (files, room) = cloud.disk();
    assert_eq!(files, 6);
    assert!(room <= DISK, "{room} bytes of the disk");
    let head = cloud.client.head_object().bucket(BUCKET).key("big").send().await.expect("it is there");
    assert_eq!(head.content_length(), Some(size));
    // All of the second half, and what is not zero in it.
    let from = PART * 3 - 1;
    let get = cloud.http.get(cloud.url(&Method::GET, "data/big", &[]));
    let get = get.header("range", format!("bytes={from}-")).send().await.expect("an answer");
    let (mut at, mut found) = (from, Vec::new());
    let mut pieces = get.bytes_stream();
    let zeros = vec![0; BLOCK];
    while let Some(piece) = pieces.next().await {
        let piece = piece.expect("a piece");
        for block in piece.chunks(BLOCK) {
            if block != &zeros[..block.len()] {
                let own = (at..).zip(block).filter(|(_, byte)| **byte != 0);
                found.extend(own.map(|(at, byte)| (at, *byte)));
            }
            at += block.len() as u64;
        }
    }
    assert_eq!(at, PARTS * PART);
    assert_eq!(found, [(PART * 3 - 1, 3), (PART * 4 - 1, 4), (PART * 5 - 1, 5), (PART * 6 - 1, 6)]);
    let peak = Process::myself().and_then(|process| process.status()).expect("its status").vmhwm;
    let peak = peak.expect("a process has a peak") << 10;
    assert!(peak <= MEMORY, "{} MiB of memory", peak >> 20);
}
