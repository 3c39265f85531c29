//! Payload templates: JSON in which a key that ends in `.$` has a path or an intrinsic function for a value.
//!
//! <https://states-language.net/spec.html#payload-template>

use serde_json::Value;

use super::fault::Fault;
use super::intrinsic::Call;
use super::path::{Data, Path};

/// A parsed template.
#[derive(Clone, Debug)]
pub enum Template {
    /// Stands for itself.
    Literal(Value),
    /// Each key without its `.$`, and what it holds.
    Object(Vec<(String, Template)>),
    /// Each element.
    Array(Vec<Template>),
    /// The value of a key that ended in `.$`, with that key for messages.
    Computed(String, Expression),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence that names the key and what is wrong with it.
    pub fn parse(value: Value) -> Result<Self, String> {
        Ok(match value {
            Value::Object(fields) => {
                let mut entries = Vec::with_capacity(fields.len());
                for (key, value) in fields {
                    let (name, entry) = match key.strip_suffix(".$") {
                        None => (key, Self::parse(value)?),
                        Some(name) => {
                            let text = value.as_str().ok_or_else(|| {
                                format!("the value of '{key}' must be a string, not {value}")
                            })?;
                            let expression = Expression::parse(text)
                                .map_err(|error| format!("the value of '{key}': {error}"))?;
                            (name.to_owned(), Self::Computed(key, expression))
                        }
                    };
                    if entries.iter().any(|(other, _)| *other == name) {
                        return Err(format!("'{name}' is given both with and without '.$'"));
                    }
                    entries.push((name, entry));
                }
                Self::Object(entries)
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::parse).collect::<Result<_, _>>()?),
            literal => Self::Literal(literal),
        })
    }

    /// The names at the top of the template, without `.$`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Object(entries) => entries.as_slice(),
            _ => &[],
        }
        .iter()
        .map(|(name, _)| name.as_str())
    }

    /// The template filled in.
    pub fn fill(&self, data: Data<'_>) -> Result<Value, Fault> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Object(entries) => entries
                .iter()
                .map(|(name, entry)| Ok((name.clone(), entry.fill(data)?)))
                .collect::<Result<_, Fault>>()?,
            Self::Array(items) => items.iter().map(|item| item.fill(data)).collect::<Result<_, _>>()?,
            Self::Computed(key, expression) => expression.value(data, key)?,
        })
    }
}

/// A path or an intrinsic function.
#[derive(Clone, Debug)]
pub enum Expression {
    /// Into the input or the context object.
    Path(Path),
    /// `States.Name(…)`.
    Call(Call),
}

impl Expression {
    /// Reads `$…`, `$$…` or `States.…(…)`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("States.") {
            Call::parse(text).map(Self::Call)
        } else {
            Path::parse(text).map(Self::Path)
        }
    }

    /// What the expression is for `data`; `field` is where it stands.
    pub fn value(&self, data: Data<'_>, field: &str) -> Result<Value, Fault> {
        match self {
            Self::Path(path) => path.value(data, field),
            Self::Call(call) => call.value(data),
        }
    }
}
