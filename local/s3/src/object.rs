//! An object, as it is kept.

use jiff::Timestamp;

use crate::checksum::Checksum;
use crate::content::Content;
use crate::headers::Kept;

/// An object. It is there whole or not at all, and never changes.
/// Source: S3 user guide, "What is Amazon S3?", data consistency model.
#[derive(Debug)]
pub struct Object {
    pub content: Content,
    /// Without its quotes.
    pub etag: String,
    /// In whole seconds.
    pub modified: Timestamp,
    pub kept: Kept,
    /// Where whoever put it has named an algorithm. S3 computes one of CRC64NVME where nobody has; nobody here asks for it.
    pub checksum: Option<Checksum>,
}
