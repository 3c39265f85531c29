//! What there is: buckets, their objects, and uploads in parts that go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::ApiError;
use crate::object::Object;
use crate::uploads::Upload;

/// What exists here, by name. A key's bytes are compared, as S3 does it ("UTF-8 binary order": S3 API Reference,
/// `ListObjectsV2`).
#[derive(Debug, Default)]
pub struct State {
    buckets: BTreeMap<String, Bucket>,
}

#[derive(Debug, Default)]
pub struct Bucket {
    pub objects: BTreeMap<String, Arc<Object>>,
    /// By id.
    pub uploads: BTreeMap<String, Upload>,
}

impl State {
    /// Whether the bucket was not there before.
    pub fn make(&mut self, bucket: &str) -> bool {
        if self.buckets.contains_key(bucket) {
            return false;
        }
        self.buckets.insert(bucket.to_owned(), Bucket::default());
        true
    }

    pub fn bucket(&mut self, name: &str) -> Result<&mut Bucket, ApiError> {
        self.buckets.get_mut(name).ok_or_else(|| ApiError::no_such_bucket(name))
    }
}
