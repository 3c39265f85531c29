//! What the worker is told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::check_again;
use mayfly_model::message::{Assignment, Order};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    check_again::<Order>(text);
    check_again::<Assignment>(text);
});
