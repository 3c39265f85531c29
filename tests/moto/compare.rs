//! Where two answers differ, leaving aside what is different in every answer: ids, times, names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::answer::Answer;
use crate::conversation::Step;

/// One difference. `at` is `outcome`, `content type`, or the place in the body: `/services[]/status`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub at: String,
    pub moto: String,
    pub ours: String,
}

/// All differences. Where the outcomes differ the bodies say nothing more.
pub fn differences(step: &Step, moto: &Answer, ours: &Answer) -> Vec<Difference> {
    let outcome = (moto.outcome(), ours.outcome());
    if outcome.0 != outcome.1 {
        return vec![Difference { at: "outcome".into(), moto: outcome.0, ours: outcome.1 }];
    }
    let mut found = Vec::new();
    let mut differ = |at: &str, moto: String, ours: String| {
        if moto != ours {
            found.push(Difference { at: at.to_owned(), moto, ours });
        }
    };
    differ("content type", moto.content_type.clone(), ours.content_type.clone());
    let (moto_shape, our_shape) = (shape(&moto.body), shape(&ours.body));
    let places: BTreeSet<_> = moto_shape.keys().chain(our_shape.keys()).collect();
    for at in places {
        // What is inside of something that only one side has says nothing more.
        if parent(at).is_none_or(|parent| moto_shape.contains_key(parent) && our_shape.contains_key(parent)) {
            let say = |shape: &BTreeMap<String, String>| shape.get(at).cloned().unwrap_or("nothing".into());
            differ(at, say(&moto_shape), say(&our_shape));
        }
    }
    for at in step.same {
        let say = |body: &Value| body.pointer(at).map_or("nothing".into(), Value::to_string);
        differ(at, say(&moto.body), say(&ours.body));
    }
    found
}

/// The type at each place of a body. A list says how many it has at the top, where its length is what was asked for.
fn shape(body: &Value) -> BTreeMap<String, String> {
    fn walk(at: &str, value: &Value, shape: &mut BTreeMap<String, String>) {
        let kind = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "boolean".to_owned(),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(items) if at.matches('/').count() == 1 => format!("list of {}", items.len()),
            Value::Array(_) => "list".to_owned(),
            Value::Object(_) => "structure".to_owned(),
        };
        shape.insert(at.to_owned(), kind);
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(&format!("{at}[]"), item, shape)),
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(&format!("{at}/{name}"), value, shape));
            }
            _ => {}
        }
    }
    let mut shape = BTreeMap::new();
    walk("", body, &mut shape);
    shape
}

/// The place that holds the place `at`.
fn parent(at: &str) -> Option<&str> {
    at.strip_suffix("[]").or_else(|| at.rsplit_once('/').map(|(parent, _)| parent))
}
