//! Choice rules.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html>

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use super::fault::Fault;
use super::fields::Fields;
use super::path::{Data, Path};

/// A condition on the data.
#[derive(Clone, Debug)]
pub enum Rule {
    /// All of them hold.
    And(Vec<Rule>),
    /// One of them holds.
    Or(Vec<Rule>),
    /// It does not hold.
    Not(Box<Rule>),
    /// A test of what a path leads to.
    Test(Path, Test),
}

/// What is asked of a variable.
#[derive(Clone, Debug)]
pub enum Test {
    /// `IsString` and its like, and the answer that is wanted.
    Is(Is, bool),
    /// `StringMatches`: `*` stands for any characters, `\*` for itself.
    Matches(Vec<Glob>),
    /// `NumericLessThan`, `StringEqualsPath` and their like.
    Compare(Kind, Relation, Operand),
}

/// The type tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// The path leads somewhere.
    Present,
    /// The value is null.
    Null,
    /// The value is a string.
    String,
    /// The value is a number.
    Numeric,
    /// The value is true or false.
    Boolean,
    /// The value is a string that is a timestamp.
    Timestamp,
}

/// What two values are compared as; values of another type make the test false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Character by character.
    String,
    /// As numbers.
    Numeric,
    /// As booleans, for equality only.
    Boolean,
    /// As moments, RFC 3339.
    Timestamp,
}

/// How the variable stands to the operand.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say all")]
pub enum Relation {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// What a variable is compared with.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A constant of the right type.
    Literal(Value),
    /// The value that a path leads to.
    Path(Path),
}

/// A piece of a `StringMatches` pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glob {
    /// Any characters, also none.
    Any,
    /// This character.
    Is(char),
}

impl Rule {
    /// Takes the one condition out of a rule's fields. A rule has a Comment at any depth (recorded).
    pub(super) fn parse(fields: &mut Fields) -> Result<Self, String> {
        fields.take::<String>("Comment")?;
        if let Some(rules) = fields.take("And")? {
            return Self::parse_all(fields, "And", rules).map(Self::And);
        }
        if let Some(rules) = fields.take("Or")? {
            return Self::parse_all(fields, "Or", rules).map(Self::Or);
        }
        if let Some(rule) = fields.take::<Value>("Not")? {
            return Self::parse_nested(fields, "Not", rule).map(|rule| Self::Not(Box::new(rule)));
        }
        let variable = fields.need_with("Variable", Path::parse)?;
        let name = fields
            .names()
            .next()
            .ok_or_else(|| fields.error("a comparison (such as StringEquals) is missing"))?
            .to_owned();
        let operand: Value = fields.need(&name)?;
        let test = Test::parse(&name, operand).map_err(|error| fields.error(&error))?;
        Ok(Self::Test(variable, test))
    }

    fn parse_all(fields: &Fields, name: &str, rules: Vec<Value>) -> Result<Vec<Self>, String> {
        if rules.is_empty() {
            return Err(fields.error(&format!("'{name}' is empty")));
        }
        rules.into_iter().map(|rule| Self::parse_nested(fields, name, rule)).collect()
    }

    fn parse_nested(fields: &Fields, name: &str, rule: Value) -> Result<Self, String> {
        let mut nested = Fields::of(rule, format!("{}, {name}", fields.place()))?;
        let rule = Self::parse(&mut nested)?;
        nested.finish()?;
        Ok(rule)
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// `States.Runtime` where a path leads nowhere and the test is not `IsPresent`.
    pub fn holds(&self, data: Data<'_>) -> Result<bool, Fault> {
        match self {
            Self::And(rules) => rules.iter().try_fold(true, |all, rule| Ok(all && rule.holds(data)?)),
            Self::Or(rules) => rules.iter().try_fold(false, |any, rule| Ok(any || rule.holds(data)?)),
            Self::Not(rule) => rule.holds(data).map(|holds| !holds),
            Self::Test(variable, test) => test.holds(variable, data),
        }
    }
}

fn variable_value(path: &Path, data: Data<'_>) -> Result<Value, Fault> {
    path.find(data).ok_or_else(|| {
        Fault::runtime(format!(
            "Invalid path '{}': The choice state's condition path references an invalid value.",
            path.text()
        ))
    })
}

impl Test {
    fn parse(name: &str, operand: Value) -> Result<Self, String> {
        if name == "StringMatches" {
            let pattern =
                operand.as_str().ok_or_else(|| format!("'{name}' must be a string, not {operand}"))?;
            return glob(pattern).map(Self::Matches);
        }
        if let Some(is) = Is::named(name) {
            let wanted =
                operand.as_bool().ok_or_else(|| format!("'{name}' must be true or false, not {operand}"))?;
            return Ok(Self::Is(is, wanted));
        }
        let (base, by_path) = name.strip_suffix("Path").map_or((name, false), |base| (base, true));
        let (kind, relation) = comparison(base)
            .ok_or_else(|| format!("'{name}' is not a field or comparison of a choice rule"))?;
        let operand = if by_path {
            let text = operand.as_str().ok_or_else(|| format!("'{name}' must be a path, not {operand}"))?;
            Operand::Path(Path::parse(text)?)
        } else if kind.fits(&operand) {
            Operand::Literal(operand)
        } else {
            return Err(format!("'{name}' does not take {operand}"));
        };
        Ok(Self::Compare(kind, relation, operand))
    }

    fn holds(&self, variable: &Path, data: Data<'_>) -> Result<bool, Fault> {
        if let Self::Is(Is::Present, wanted) = self {
            return Ok(variable.find(data).is_some() == *wanted);
        }
        let value = variable_value(variable, data)?;
        Ok(match self {
            Self::Is(is, wanted) => is.holds(&value) == *wanted,
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Compare(kind, relation, operand) => {
                let operand = match operand {
                    Operand::Literal(value) => value.clone(),
                    Operand::Path(path) => variable_value(path, data)?,
                };
                kind.compare(&value, &operand).is_some_and(|ordering| relation.holds(ordering))
            }
        })
    }
}

impl Is {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "IsPresent" => Self::Present,
            "IsNull" => Self::Null,
            "IsString" => Self::String,
            "IsNumeric" => Self::Numeric,
            "IsBoolean" => Self::Boolean,
            "IsTimestamp" => Self::Timestamp,
            _ => return None,
        })
    }

    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Null => value.is_null(),
            Self::String => value.is_string(),
            Self::Numeric => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => moment(value).is_some(),
        }
    }
}

fn comparison(name: &str) -> Option<(Kind, Relation)> {
    let (kind, relation) = [
        ("String", Kind::String),
        ("Numeric", Kind::Numeric),
        ("Boolean", Kind::Boolean),
        ("Timestamp", Kind::Timestamp),
    ]
    .into_iter()
    .find_map(|(prefix, kind)| Some((kind, name.strip_prefix(prefix)?)))?;
    let relation = match relation {
        "Equals" => Relation::Equals,
        _ if kind == Kind::Boolean => return None,
        "LessThan" => Relation::LessThan,
        "LessThanEquals" => Relation::LessThanEquals,
        "GreaterThan" => Relation::GreaterThan,
        "GreaterThanEquals" => Relation::GreaterThanEquals,
        _ => return None,
    };
    Some((kind, relation))
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        self.compare(value, value).is_some()
    }

    /// How two values of this kind stand to each other; nothing where one is not of this kind.
    fn compare(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            Self::String => Some(left.as_str()?.cmp(right.as_str()?)),
            Self::Numeric => left.as_f64()?.partial_cmp(&right.as_f64()?),
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Timestamp => Some(moment(left)?.cmp(&moment(right)?)),
        }
    }
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEquals => ordering.is_le(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

/// A timestamp is RFC 3339 with a capital T and Z (<https://states-language.net/spec.html#timestamps>).
pub fn moment(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    if text.contains('T') && !text.contains('z') { text.parse().ok() } else { None }
}

fn glob(pattern: &str) -> Result<Vec<Glob>, String> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Glob::Any,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '\\')) => Glob::Is(escaped),
                _ => return Err(format!("the backslash in '{pattern}' may only stand before '*' or '\\'")),
            },
            other => Glob::Is(other),
        });
    }
    Ok(pieces)
}

fn matches(pattern: &[Glob], text: &str) -> bool {
    match pattern {
        [] => text.is_empty(),
        [Glob::Any, rest @ ..] => {
            matches(rest, text)
                || text.chars().next().is_some_and(|c| matches(pattern, &text[c.len_utf8()..]))
        }
        [Glob::Is(c), rest @ ..] => text.strip_prefix(*c).is_some_and(|text| matches(rest, text)),
    }
}
