//! The fields of one JSON object of a definition, taken out one by one; what is left over is unknown.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An object on its way to be read.
pub struct Fields {
    map: Map<String, Value>,
    place: String,
}

impl Fields {
    /// The fields of `value`; `place` says where it stands, for messages.
    pub fn of(value: Value, place: String) -> Result<Self, String> {
        match value {
            Value::Object(map) => Ok(Self { map, place }),
            other => Err(format!("{place}: must be an object, not {other}")),
        }
    }

    /// Where the object stands.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// `problem`, placed.
    pub fn error(&self, problem: &str) -> String {
        format!("{}: {problem}", self.place)
    }

    /// The names not yet taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Takes a field as it is; null is a value.
    pub fn raw(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name)
    }

    /// Takes an object that must be there. Unlike [`need`](Self::need) this copies nothing of it, however deep it is.
    pub fn object(&mut self, name: &str) -> Result<Map<String, Value>, String> {
        match self.raw(name) {
            Some(Value::Object(map)) => Ok(map),
            Some(other) => Err(self.error(&format!("field '{name}': must be an object, not {other}"))),
            None => Err(self.error(&format!("field '{name}' is missing"))),
        }
    }

    /// Takes an array that must be there and has elements, as [`object`](Self::object) does.
    pub fn array(&mut self, name: &str) -> Result<Vec<Value>, String> {
        match self.raw(name) {
            Some(Value::Array(items)) if items.is_empty() => {
                Err(self.error(&format!("field '{name}' is empty")))
            }
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.error(&format!("field '{name}': must be an array, not {other}"))),
            None => Err(self.error(&format!("field '{name}' is missing"))),
        }
    }

    /// Takes a field that may be absent.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, String> {
        self.take_with(name, |value: Value| serde_json::from_value(value).map_err(|error| error.to_string()))
    }

    /// Takes a field that may be absent and reads it further.
    pub fn take_with<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        read: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<Option<U>, String> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let read = serde_json::from_value(value).map_err(|error| error.to_string()).and_then(read);
        read.map(Some).map_err(|error| self.error(&format!("field '{name}': {error}")))
    }

    /// Takes a field that must be there.
    pub fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        self.take(name)?.ok_or_else(|| self.error(&format!("field '{name}' is missing")))
    }

    /// Takes a string that must be there and reads it further.
    pub fn need_with<U>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<U, String>,
    ) -> Result<U, String> {
        self.take_with(name, |text: String| read(&text))?
            .ok_or_else(|| self.error(&format!("field '{name}' is missing")))
    }

    /// Takes at most one of two fields; says which two exclude each other.
    pub fn one_of<T>(
        &self,
        left: Option<T>,
        right: Option<T>,
        names: [&str; 2],
    ) -> Result<Option<T>, String> {
        match (left, right) {
            (Some(_), Some(_)) => {
                Err(self.error(&format!("fields '{}' and '{}' exclude each other", names[0], names[1])))
            }
            (left, right) => Ok(left.or(right)),
        }
    }

    /// Refuses what nobody has taken.
    pub fn finish(self) -> Result<(), String> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.error(&format!("field '{name}' is unknown or not supported here"))),
        }
    }
}
