//! Large files that go up in parts: how they are cut, what worker and handle-report say about that, and what the `Jobs` table
//! remembers of each upload until it is known to be over.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// A file of more bytes than this goes up in parts: two of them side by side take less time than the file in one piece, by more
/// than the questions cost that an upload in parts begins with.
pub const PARTS_FROM: u64 = 2 * PART;

/// The bytes of a part, unless there would be more of them than S3 takes. From 5 MiB to 5 GiB are allowed.
/// Source: S3 user guide, "Amazon S3 multipart upload limits".
const PART: u64 = 64 * MIB;

/// The most parts of an upload.
/// Source: the same page.
const PARTS: u64 = 10_000;

/// How many parts one answer signs: a signature dies with the session that it was made with, and one message of SQS's is billed
/// by 64 KB.
pub const PARTS_AT_A_TIME: u16 = 200;

/// How a file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    bytes: u64,
    each: u64,
}

impl Cut {
    /// Of a file of so many bytes.
    pub fn of(bytes: u64) -> Self {
        Self { bytes, each: PART.max(bytes.div_ceil(PARTS).next_multiple_of(MIB)) }
    }

    /// How many parts there are; they count from 1.
    pub fn count(self) -> u16 {
        u16::try_from(self.bytes.div_ceil(self.each)).unwrap_or(u16::MAX)
    }

    /// Where this part begins in the file.
    pub fn begin(self, part: u16) -> u64 {
        u64::from(part.saturating_sub(1)) * self.each
    }

    /// How long this part is; the last one has what is left.
    pub fn length(self, part: u16) -> u64 {
        self.bytes.saturating_sub(self.begin(part)).min(self.each)
    }

    /// The parts that one answer signs, from this one on.
    pub fn batch(self, from: u16) -> impl Iterator<Item = u16> {
        let from = from.max(1);
        from..=self.count().min(from.saturating_add(PARTS_AT_A_TIME - 1))
    }
}

/// What the worker wants for a file that is too large for one request: an upload for it, and its next parts signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsWanted {
    /// The file's name in the working directory.
    pub file: String,
    /// The output that it is of, where that is a folder or a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// The first part to sign.
    pub from: u16,
}

/// Answer to [`PartsWanted`].
/// Source: S3 API Reference, `UploadPart`, `CompleteMultipartUpload` and `HeadObject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedParts {
    /// The start that asked.
    pub start: u32,
    /// The file's name in the working directory.
    pub file: String,
    /// The upload's id.
    pub id: String,
    /// Where parts are put, without what differs: the query's `partNumber` and `X-Amz-Signature`. The length is signed.
    pub url: String,
    /// The first part that is signed.
    pub from: u16,
    /// Its signature, and those of the parts that follow it.
    pub signatures: Vec<String>,
    /// Where the upload is completed; the size of the object is signed, as `x-amz-mp-object-size`.
    pub complete: String,
    /// Where a HEAD tells what object is there.
    pub look: String,
}

impl SignedParts {
    /// The parts by their numbers, with their signatures.
    pub fn parts(&self) -> impl Iterator<Item = (u16, &str)> {
        (self.from..).zip(self.signatures.iter().map(String::as_str))
    }
}

/// An upload in parts that was begun for an output, as the `Jobs` table remembers it. Of each place it remembers one, since
/// who begins another has ended the one before.
///
/// It is written down before S3 is asked for it, so that none can be there of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartedUpload {
    /// The file's name in the working directory.
    pub file: String,
    /// `s3://BUCKET/KEY`.
    pub to: String,
    /// The start that it is for.
    pub start: u32,
    /// The size of the file.
    pub bytes: u64,
    /// Its id, as soon as S3's answer is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When a function began to ask S3 for it, seconds since 1970; 0 where none is at it any more.
    pub asked: i64,
    /// Since when there may be an upload for this key whose id nobody has learnt, seconds since 1970; absent where there can be
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<i64>,
}

/// How long it may take until an upload is there that a function has begun to ask for, in seconds: the function's time-out, and a call's way.
const BEGINNING: i64 = 45;

impl PartedUpload {
    /// Whether a function may be about to begin it at this time, in seconds since 1970.
    pub fn is_being_begun(&self, now: i64) -> bool {
        self.id.is_none() && now < self.asked + BEGINNING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Order;

    #[test]
    fn a_file_is_cut_into_as_many_parts_as_s3_takes_and_no_byte_is_left_out() {
        const GIB: u64 = 1024 * MIB;
        for (bytes, count, each) in [
            (PARTS_FROM + 1, 3, PART),
            (6 * GIB, 96, PART),
            (200 * GIB, 3200, PART),
            (5_001 * GIB, 9_983, 513 * MIB),
        ] {
            let cut = Cut::of(bytes);
            assert_eq!((cut.count(), cut.length(1)), (count, each), "{bytes}");
            let sum: u64 = (1..=count).map(|part| cut.length(part)).sum();
            assert_eq!((sum, cut.begin(count) + cut.length(count)), (bytes, bytes));
            assert!(cut.length(count) > 0 && cut.length(count + 1) == 0);
        }
    }

    #[test]
    fn signed_parts_are_an_order_that_a_worker_reads() {
        let parts = SignedParts {
            start: 1,
            file: "a".into(),
            id: "u".into(),
            url: "https://b/a?uploadId=u".into(),
            from: 201,
            signatures: vec!["x".into(), "y".into()],
            complete: "c".into(),
            look: "l".into(),
        };
        assert_eq!(parts.parts().collect::<Vec<_>>(), [(201, "x"), (202, "y")]);
        let order = Order::Parts(parts);
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }

    #[test]
    fn parts_are_signed_in_batches() {
        let cut = Cut::of(PART * 250);
        assert_eq!(cut.batch(1).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
        assert_eq!(cut.batch(201).collect::<Vec<_>>(), (201..=250).collect::<Vec<_>>());
        assert_eq!((cut.batch(0).next(), cut.batch(251).next()), (Some(1), None));
    }
}
