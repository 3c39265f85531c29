//! The pages that List actions answer in.

use serde_json::{Map, Value};

use crate::error::{ApiError, Result};

/// The answer of a List action: `arns` in order, at most `max_results` of them after `next_token`, under
/// `field`.
///
/// Task definitions are in the order of family and then of revision, as `ListTaskDefinitions` documents; the
/// other actions document none.
pub(crate) fn page(
    field: &str,
    mut arns: Vec<String>,
    next_token: Option<&str>,
    max_results: Option<usize>,
    default: usize,
) -> Result<Value> {
    let size = max_results.unwrap_or(default);
    // Between 1 and 100: API Reference, `maxResults` of each List action.
    if !(1..=100).contains(&size) {
        return Err(ApiError::invalid_parameter(format!("maxResults must be between 1 and 100, not {size}")));
    }
    arns.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    if let Some(last) = next_token {
        if !last.starts_with("arn:") {
            return Err(ApiError::invalid_parameter("Invalid token"));
        }
        arns.retain(|arn| key(arn) > key(last));
    }
    let more = arns.len() > size;
    arns.truncate(size);
    let mut answer = Map::new();
    if more {
        answer.insert("nextToken".to_owned(), arns[size - 1].clone().into());
    }
    answer.insert(field.to_owned(), arns.into());
    Ok(answer.into())
}

/// The ARN without a revision, and the revision where it has one.
fn key(arn: &str) -> (&str, u64) {
    match arn.rsplit_once(':') {
        Some((family, revision)) => revision.parse().map_or((arn, 0), |revision| (family, revision)),
        None => (arn, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("arn:aws:ecs:r:a:task-definition/{name}")).collect()
    }

    #[test]
    fn every_item_is_on_exactly_one_page_in_the_order_of_revisions() {
        let all = arns(&["a:10", "b:1", "a:2", "a:1"]);
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let page = page("x", all.clone(), token.as_deref(), Some(3), 100).unwrap();
            seen.extend(page["x"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()));
            token = page["nextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, arns(&["a:1", "a:2", "a:10", "b:1"]));
    }

    #[test]
    fn a_page_size_out_of_range_and_a_foreign_token_are_refused() {
        assert!(page("x", Vec::new(), None, Some(101), 10).is_err());
        assert!(page("x", Vec::new(), None, Some(0), 10).is_err());
        assert!(page("x", Vec::new(), Some("7"), None, 10).is_err());
    }
}
