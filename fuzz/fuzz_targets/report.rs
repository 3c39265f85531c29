//! What the worker tells: reports, and what is stored of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::check_again;
use mayfly_model::message::Report;
use mayfly_model::outcome::Outcome;
use mayfly_model::record::Stored;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    check_again::<Report>(text);
    check_again::<Stored>(text);
    check_again::<Outcome>(text);
});
