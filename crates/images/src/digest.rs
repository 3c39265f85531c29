//! The name of content: a checksum of it.

use sha2::{Digest, Sha256};

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
