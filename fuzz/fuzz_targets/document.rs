//! A job document: what is accepted stays so when it is written, and what is refused is refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::check_fit;
use mayfly_model::job::{JobDocument, Limits, read};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let any = vec!["*".to_owned()];
    let limits = Limits {
        buckets: vec!["mayfly-data".to_owned()],
        subnets: any.clone(),
        security_groups: any,
        ..Limits::default()
    };
    if let Err(refusal) = read(text) {
        check_fit(&refusal);
    }
    match JobDocument::parse(text, &limits) {
        Ok(job) => {
            let written = serde_json::to_string(&job).expect("a document is JSON");
            assert_eq!(JobDocument::parse(&written, &limits), Ok(job));
        }
        Err(refusal) => check_fit(&refusal),
    }
});
