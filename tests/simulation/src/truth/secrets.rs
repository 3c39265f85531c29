//! That nobody who may look at an execution, a log or an event can do what a job's container or its machine can.

use std::collections::BTreeSet;

use super::Whole;

/// What only signed URLs and forms have in them.
const SIGNATURES: [&str; 3] = ["X-Amz-Signature", "x-amz-signature", "X-Amz-Security-Token"];

/// Signed URLs, nonces and task tokens are nowhere, but for the tokens in the payloads of the steps that pass them on, which
/// Step Functions shows in the event that schedules the step.
pub(super) fn no_secret(seen: &Whole<'_>, violations: &mut Vec<String>) {
    let starts = seen.lives.values().flat_map(|life| &life.starts);
    let nonces: BTreeSet<_> = starts.map(|start| start.nonce.as_str()).collect();
    let tokens: BTreeSet<_> = seen.tokens.iter().map(String::as_str).collect();
    let secrets = [("signature", SIGNATURES.into()), ("nonce", nonces), ("task token", tokens)];
    for text in seen.written.iter().chain(seen.said) {
        let passes_on = text.contains("\"type\":\"TaskScheduled\"");
        for (what, secrets) in &secrets {
            let found = secrets.iter().find(|secret| text.contains(**secret));
            if let Some(secret) = found.filter(|_| !(passes_on && *what == "task token")) {
                violations.push(format!("secret: a {what}, {secret}, is in {text}"));
            }
        }
    }
}
