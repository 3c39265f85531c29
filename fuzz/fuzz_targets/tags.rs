//! A resource's tags, each a line with `=` behind the key: they claim it for their own stack and job alone.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use mayfly_model::tags::{self, Claim, is_of_value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let pairs: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let claim = Claim::read("mayfly", pairs.clone());
    let job = pairs.get(tags::JOB).filter(|_| pairs.get(tags::STACK) == Some(&"mayfly"));
    assert_eq!(claim.map(|claim| claim.job), job.copied());
    text.chars().for_each(|c| assert!(!(is_of_value(c) && c.is_control())));
});
