//! Paths into a state's input or into the context object, and reference paths, which name exactly one node.
//!
//! <https://states-language.net/spec.html#path> and <https://states-language.net/spec.html#ref-paths>

use local_aws::random::Random;
use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use super::fault::{Fault, RESULT_PATH_MATCH_FAILURE};

/// What a state's fields are evaluated against.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// `$`: the state's input as far as it has been processed.
    pub input: &'a Value,
    /// `$$`: the context object.
    pub context: &'a Value,
    /// What intrinsic functions draw from.
    pub random: &'a Random,
}

/// A path as it stands in a definition: `$…` into the input or `$$…` into the context object.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    into_context: bool,
    query: Query,
}

#[derive(Clone, Debug)]
enum Query {
    /// Names at most one node; the value is that node.
    One(ReferencePath),
    /// May name many nodes; the value is the list of them, even of none or one.
    Many(JsonPath),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (into_context, rooted) = match text.strip_prefix('$') {
            Some(rest) if rest.starts_with('$') => (true, rest),
            Some(_) => (false, text),
            None => return Err(format!("'{text}' is not a JSONPath: it does not start with '$'")),
        };
        let query = match ReferencePath::parse(rooted) {
            Ok(reference) => Query::One(reference),
            Err(_) => Query::Many(
                JsonPath::parse(rooted).map_err(|error| format!("'{text}' is not a JSONPath: {error}"))?,
            ),
        };
        Ok(Self { text: text.to_owned(), into_context, query })
    }

    /// `$`, the whole input.
    pub fn whole() -> Self {
        Self { text: "$".into(), into_context: false, query: Query::One(ReferencePath::default()) }
    }

    /// The path as it stands in the definition.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the path leads to; nothing where it leads nowhere.
    pub fn find(&self, data: Data<'_>) -> Option<Value> {
        self.follow(data).ok()
    }

    fn follow(&self, data: Data<'_>) -> Result<Value, String> {
        let root = if self.into_context { data.context } else { data.input };
        match &self.query {
            Query::One(reference) => reference.follow(root).cloned(),
            Query::Many(path) => Ok(path.query(root).all().into_iter().cloned().collect()),
        }
    }

    /// As [`Path::find`], where a path that leads nowhere is an error: of InputPath, OutputPath or one of a Task's clocks
    /// (recorded for all of them).
    pub fn reach(&self, data: Data<'_>) -> Result<Value, Fault> {
        self.follow(data).map_err(|why| Fault::runtime(format!("Invalid path '{}' : {why}", self.text)))
    }

    /// As [`Path::find`], where a path that leads nowhere is an error of the state's `field`: a key of a template, or the
    /// field of a Fail.
    pub fn value(&self, data: Data<'_>, field: &str) -> Result<Value, Fault> {
        self.find(data).ok_or_else(|| {
            Fault::runtime(format!(
                "The JSONPath '{}' specified for the field '{field}' could not be found in the input '{}'",
                self.text,
                if self.into_context { data.context } else { data.input },
            ))
        })
    }
}

/// A path of names and indices only, so that a value can also be put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferencePath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl ReferencePath {
    /// Reads `$`, `$.a.b`, `$['a'][0]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a reference path ($.name, $['name'] and $[0] are its steps)");
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step;
            if let Some(after) = rest.strip_prefix("['") {
                let (name, after) = after.split_once("']").ok_or_else(wrong)?;
                (step, rest) = (Step::Name(name.to_owned()), after);
            } else if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or_else(wrong)?;
                (step, rest) = (Step::Index(index.parse().map_err(|_| wrong())?), after);
            } else {
                let after = rest.strip_prefix('.').ok_or_else(wrong)?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, after) = after.split_at(end);
                if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
                    return Err(wrong());
                }
                (step, rest) = (Step::Name(name.to_owned()), after);
            }
            steps.push(step);
        }
        Ok(Self(steps))
    }

    /// The node.
    ///
    /// # Errors
    /// Where the path leads nowhere, in the words of AWS's JSONPath library (recorded).
    fn follow<'a>(&self, root: &'a Value) -> Result<&'a Value, String> {
        let mut node = root;
        for (at, step) in self.0.iter().enumerate() {
            let next = match step {
                Step::Name(name) => node.as_object().and_then(|fields| fields.get(name)),
                Step::Index(index) => node.as_array().and_then(|items| items.get(*index)),
            };
            node = next.ok_or_else(|| {
                let missing = Self(self.0[..=at].to_vec());
                if missing == *self {
                    format!("No results for path: {missing}")
                } else {
                    format!("Missing property in path {missing}")
                }
            })?;
        }
        Ok(node)
    }

    /// `root` with `value` put at this path. Names that are missing on the way are made
    /// (<https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultpath.html>).
    ///
    /// # Errors
    /// `States.ResultPathMatchFailure` where something on the way is neither missing nor a container.
    pub fn put(&self, mut root: Value, value: Value) -> Result<Value, Fault> {
        let mut node = &mut root;
        for step in &self.0 {
            let next = match step {
                Step::Name(name) => {
                    node.as_object_mut().map(|fields| fields.entry(name).or_insert_with(|| Map::new().into()))
                }
                Step::Index(index) => node.as_array_mut().and_then(|items| items.get_mut(*index)),
            };
            node = next.ok_or_else(|| Fault {
                error: RESULT_PATH_MATCH_FAILURE,
                message: format!("Unable to apply ReferencePath {self} to the state's input"),
            })?;
        }
        *node = value;
        Ok(root)
    }
}

impl std::fmt::Display for ReferencePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Name(name) => write!(f, "['{name}']"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}
