//! Text of others on its way to a terminal, a log and a name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::check_fit;
use mayfly_model::names::job_id;
use mayfly_model::outcome::message_of;
use mayfly_model::shown::shown;
use mayfly_model::visible::{settled, visible, visible_json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let clean = visible(text);
    assert!(!clean.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    assert_eq!(visible(&clean), clean);
    assert!(!settled(text).contains('\r'));
    let written = visible_json(&text).expect("a text is JSON");
    assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
    check_fit(&shown(text));
    let secret = "SECRET";
    assert!(text.contains(secret) || !shown(&format!("{text}?{secret}")).contains(secret));
    let id = job_id(text);
    assert_eq!(job_id(&id), id);
    message_of(text);
});
