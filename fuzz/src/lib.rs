//! What the targets ask of every parser's answer.

use std::fmt::Debug;

use mayfly_model::shown::SHOWN_LIMIT;
use mayfly_model::visible::visible;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asks that what is read is the same when it is written and read again.
pub fn check_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    if let Ok(value) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&value).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<T>(&written).expect("what was written can be read"), value);
    }
}

/// Asks that a refusal is a short line which moves no cursor.
pub fn check_fit(refusal: &str) {
    assert!(!refusal.is_empty() && refusal.chars().count() <= 4 * SHOWN_LIMIT, "{refusal:?}");
    assert_eq!(visible(refusal), refusal);
    assert!(!refusal.contains(['\n', '\t']), "{refusal:?}");
}
