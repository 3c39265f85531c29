//! What an item is made of: the types of attributes that the product has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The attributes of an item, by name.
pub type Item = BTreeMap<String, Value>;

/// The value of an attribute, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text.
    #[serde(rename = "S")]
    Text(String),
    /// A number.
    #[serde(rename = "N")]
    Number(Number),
    /// Yes or no.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// A set of texts.
    #[serde(rename = "SS")]
    Texts(Texts),
}

/// A whole number. DynamoDB has fractions too, up to 38 significant digits; nobody stores one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(i128);

/// Texts, each once, at least one, none of them empty.
/// Source: DynamoDB developer guide, "Supported data types and naming rules", sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Texts(BTreeSet<String>);

impl Number {
    /// The number.
    pub fn get(self) -> i128 {
        self.0
    }

    fn checked(number: i128) -> Option<Self> {
        (number.unsigned_abs() < 10_u128.pow(38)).then_some(Self(number))
    }

    /// The sum; none where it has more digits than a number can have.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::checked)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0.to_string()
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.parse().ok().and_then(Self::checked);
        number.ok_or_else(|| format!("the number {text:?}"))
    }
}

impl Texts {
    /// The texts.
    pub fn get(&self) -> &BTreeSet<String> {
        &self.0
    }

    /// All that are in one or the other.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }
}

impl TryFrom<Vec<String>> for Texts {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let set: BTreeSet<_> = texts.iter().cloned().collect();
        if set.is_empty() {
            return Err("an empty set".into());
        }
        if set.len() < texts.len() {
            return Err(format!("a set with duplicates: {texts:?}"));
        }
        if set.contains("") {
            return Err("an empty text in a set".into());
        }
        Ok(Self(set))
    }
}

impl Value {
    /// The type's name in requests and in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Bool(_) => "BOOL",
            Self::Texts(_) => "SS",
        }
    }

    /// In bytes.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            // "Leading and trailing zeroes are trimmed. The size of a number is approximately … (1 byte per two significant
            // digits) + (1 byte)."
            Self::Number(number) => {
                let digits = number.0.unsigned_abs().to_string();
                digits.trim_end_matches('0').len().div_ceil(2) + 1
            }
            Self::Bool(_) => 1,
            // The page says nothing of sets. A guess: as a list, with 3 bytes and one more for each element.
            Self::Texts(texts) => 3 + texts.0.iter().map(|text| text.len() + 1).sum::<usize>(),
        }
    }
}

/// In bytes, names included.
/// Source: DynamoDB developer guide, "DynamoDB item sizes and formats".
pub fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}
