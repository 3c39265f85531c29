//! S3 has what an outcome says that was delivered, and all of it.

use std::collections::BTreeSet;

use mayfly_model::job::{Output, Pattern, S3Uri};
use mayfly_model::outcome::{Delivered, End};
use serde_json::Value;

use crate::truth::{Seen, starts};

/// Whatever is told is there; of a success also the list of it, and each output that the document demands.
pub(super) fn is_there(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(outcome) = seen.outcome else { return };
    let delivered = match &outcome.end {
        End::Failed(failure) => &failure.outputs,
        End::Succeeded(_) => match outcome.end.result() {
            Some(result) => &result.outputs,
            None => return,
        },
    };
    // Of all starts, since a later one may be the one that is told of, and writes over what an earlier one has left.
    let stored: BTreeSet<&str> =
        starts(seen).flat_map(|start| &start.stored).map(|stored| stored.place.as_str()).collect();
    let has = |uri: &str| S3Uri::parse(uri).is_some_and(|uri| stored.iter().any(|place| is_at(place, &uri)));
    for Delivered { file, to, files, first, more, .. } in delivered {
        let Some(files) = files else {
            if !has(to) {
                violations.push(format!("untrue outcome: {file} is not at {to}"));
            }
            continue;
        };
        let folder = Pattern::parse(file).map_or("", |pattern| pattern.folder());
        let missing = first.iter().find(|file| {
            let name = file.file.strip_prefix(folder).unwrap_or("?");
            !has(&format!("{to}{name}"))
        });
        if let Some(missing) = missing {
            violations.push(format!("untrue outcome: {} is not below {to}", missing.file));
        }
        let prefix = S3Uri::parse(to).map_or("?", |uri| uri.key);
        let below = stored.iter().filter(|place| key_of(place).starts_with(prefix)).count() as u64;
        if first.len() as u64 + more.unwrap_or_default() != *files || below < *files {
            violations.push(format!("untrue outcome: {files} files of {file}, and {below} are below {to}"));
        }
    }
    if outcome.end.result().is_some() {
        let task = &seen.document["task"];
        let outputs: Vec<Output> = serde_json::from_value(task["outputs"].clone()).unwrap_or_default();
        for output in outputs.iter().filter(|output| !output.optional) {
            if !delivered.iter().any(|delivered| delivered.to == output.to) {
                violations.push(format!("untrue outcome: nothing is told of {}", output.file));
            }
        }
        if let Some(list) = task.get("outputList").and_then(Value::as_str)
            && !has(list)
        {
            violations.push(format!("untrue outcome: the list of outputs is not at {list}"));
        }
    }
}

/// Whether an object's host and key are those of `uri`.
fn is_at(place: &str, uri: &S3Uri<'_>) -> bool {
    let host = place.split('.').next().unwrap_or_default();
    host == uri.bucket && key_of(place) == uri.key
}

fn key_of(place: &str) -> &str {
    place.split_once(' ').map_or("", |(_, key)| key)
}
